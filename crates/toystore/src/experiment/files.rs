//! Writes the report and the raw data to files.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use report::{Document, Table};

use super::cache_trace::CacheTrace;
use super::kills::Kill;
use super::latency::LatencyMeasurement;
use super::outcome::ExperimentOutcome;

/// Markers of the section of a user's document into which the report is written.
const BEGIN: &str = "<!-- experiment: begin; what follows is written by `toystore experiment --document` -->";
const END: &str = "<!-- experiment: end -->";

/// Writes report and raw data into the existing directory `dir`.
pub(super) fn write(dir: &Path, outcome: &ExperimentOutcome, document: &Document) -> io::Result<()> {
    document.save(dir)?;
    let killed = outcome.kills.as_ref().map(|it| &*it.kills);
    let files = [
        ("latency.csv", Some(latencies(&outcome.measurements))),
        ("cache.csv", outcome.trace.as_ref().map(cache_trace)),
        ("kills.csv", killed.map(kills)),
        ("acknowledged.csv", killed.map(acknowledged)),
        ("timelines.csv", killed.map(timelines)),
    ];
    let mut written = files.into_iter().filter_map(|(name, text)| Some((name, text?)));
    written.try_for_each(|(name, text)| report::save(&dir.join(name), text.as_bytes()))
}

/// Writes the report into a user's document, and its plots into a directory named after the
/// document.
pub(super) fn write_into(path: &Path, document: &Document) -> io::Result<()> {
    let error = |what: &str| io::Error::other(format!("{}: {what}", path.display()));
    let name = path.file_stem().and_then(|name| name.to_str()).ok_or_else(|| error("the file has no name"))?;
    let text = fs::read_to_string(path).map_err(|why| error(&why.to_string()))?;
    let text = report::replace_section(&text, BEGIN, END, &document.markdown_body(name))
        .ok_or_else(|| error("its two marker lines are missing"))?;
    document.save_figures(&path.with_file_name(name))?;
    report::save(path, text.as_bytes())
}

/// One kind of request in one repetition.
fn latencies(measurements: &[LatencyMeasurement]) -> String {
    Table::of(measurements.iter().flat_map(|it| it.requests.iter().map(move |request| (it, request))))
        .text("repetition", |(it, _)| it.combination.repetition)
        .text("purchase_probability_percent", |(it, _)| it.combination.probability)
        .text("cache", |(it, _)| it.combination.cache.name())
        .text("request", |(_, it)| it.kind)
        .number("shopping_ms", |(it, _)| millis(it.shopping))
        .number("sessions", |(it, _)| it.sessions)
        .number("answered", |(_, it)| it.answered)
        .number("retries", |(_, it)| it.retries)
        .number("failed", |(_, it)| it.failed)
        .numbers(["p50_us", "p90_us", "p99_us", "max_us"], |(_, it)| it.latency.values_us())
        .number("cache_hits", |(it, _)| it.cache_counts.map(|counts| counts.hits))
        .number("cache_misses", |(it, _)| it.cache_counts.map(|counts| counts.misses))
        .csv()
}

/// One request, and the contents of the cache after it, the most recently used product first.
fn cache_trace(trace: &CacheTrace) -> String {
    Table::of(trace.steps.iter().enumerate())
        .number("step", |(step, _)| *step)
        .text("action", |(_, it)| it.action.name())
        .text("product", |(_, it)| it.product.clone())
        .number("latency_us", |(_, it)| micros(it.latency))
        .text("contents", |(_, it)| it.contents.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        .csv()
}

fn kills(kills: &[Kill]) -> String {
    Table::of(kills)
        .number("round", |it| it.round)
        .text("fault", |it| it.event.fault)
        .text("victim", |it| it.event.victims.clone())
        .number("at_ms", |it| it.event.at_ms)
        .number("longest_gap_us", |it| it.event.gap_us)
        .number("longest_order_us", |it| micros(it.longest_order))
        .number("retries", |it| it.retries)
        .number("errors_seen", |it| it.event.errors.total())
        .number("connections_broken", |it| it.event.errors.connection_errors)
        .number("recovered_after_ms", |it| it.event.recovered_after_ms)
        .csv()
}

/// The orders that were acknowledged in one interval around a kill.
fn acknowledged(kills: &[Kill]) -> String {
    Table::of(kills.iter().flat_map(|kill| kill.acknowledged.iter().map(move |interval| (kill, interval))))
        .number("round", |(kill, _)| kill.round)
        .text("fault", |(kill, _)| kill.event.fault)
        .text("ms_after_the_kill", |(_, (ms, _))| *ms)
        .number("acknowledged", |(_, (_, count))| *count)
        .csv()
}

/// What a process did around a kill that has a timeline.
fn timelines(kills: &[Kill]) -> String {
    let with_timeline = kills.iter().filter_map(|kill| Some((kill, kill.event.timeline.as_ref()?)));
    Table::of(with_timeline.flat_map(|(kill, timeline)| timeline.entries.iter().map(move |entry| (kill, entry))))
        .number("round", |(kill, _)| kill.round)
        .text("fault", |(kill, _)| kill.event.fault)
        .text("us_after_the_kill", |(_, it)| it.at_us)
        .text("process", |(_, it)| it.process.clone())
        .text("kind", |(_, it)| it.event.as_ref().map_or("", |event| event.kind()))
        .text("what_happened", |(_, it)| it.text.clone())
        .csv()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use report::{Axis, Figure, Plot, Scale};

    use super::*;

    #[test]
    fn text_around_the_report_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evaluation.md");
        let own = format!("# Mine\n\n{BEGIN}\nold\n{END}\n\nThe end.\n");
        fs::write(&path, &own).unwrap();
        let mut document = Document::new("Evaluation");
        document.heading("In short");
        let plot = Plot {
            title: "Query".into(),
            x: Axis::new("percent", Scale::Linear),
            y: Axis::new("ms", Scale::Linear),
            series: Vec::new(),
            annotations: Vec::new(),
        };
        document.figure("query", "Fast.", plot.clone());
        write_into(&path, &document).unwrap();
        let written = fs::read_to_string(&path).unwrap();
        let report = "## In short\n\n![Fast.](evaluation/query.svg)\n\n*Fast.*\n";
        assert_eq!(written, format!("# Mine\n\n{BEGIN}\n\n{report}\n{END}\n\nThe end.\n"));
        assert_eq!(fs::read_to_string(dir.path().join("evaluation/query.svg")).unwrap(), plot.svg());
        write_into(&path, &document).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), written, "writing it again changes nothing");

        fs::write(&path, "# Mine\n").unwrap();
        assert!(write_into(&path, &document).unwrap_err().to_string().ends_with("its two marker lines are missing"));
    }
}
