//! Writes the report and the raw data to files.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use report::Document;
use serde::Serialize;

use super::cache_trace::CacheTrace;
use super::kills::Kill;
use super::latency::LatencyMeasurement;
use super::outcome::ExperimentOutcome;

/// Markers of the section of a user's document into which the report is written.
const BEGIN: &str = "<!-- experiment: begin; what follows is written by `toystore experiment --document` -->";
const END: &str = "<!-- experiment: end -->";

/// Writes report and raw data into the existing directory `dir`.
pub(super) fn write(dir: &Path, outcome: &ExperimentOutcome, document: &Document) -> io::Result<()> {
    report::save(&dir.join("report.html"), document.html().as_bytes())?;
    report::save(&dir.join("report.md"), document.markdown("plots").as_bytes())?;
    write_figures(&dir.join("plots"), document)?;
    write_latencies(&dir.join("latency.csv"), &outcome.measurements)?;
    if let Some(trace) = &outcome.trace {
        write_cache_trace(&dir.join("cache.csv"), trace)?;
    }
    if let Some(kills) = &outcome.kills {
        write_kills(&dir.join("kills.csv"), &kills.kills)?;
        write_acknowledged(&dir.join("acknowledged.csv"), &kills.kills)?;
    }
    Ok(())
}

/// Writes the report into a user's document, and its plots into a directory named after the
/// document.
pub(super) fn write_into(path: &Path, document: &Document) -> io::Result<()> {
    let error = |what: &str| io::Error::other(format!("{}: {what}", path.display()));
    let name = path.file_stem().and_then(|name| name.to_str()).ok_or_else(|| error("the file has no name"))?;
    let text = fs::read_to_string(path).map_err(|why| error(&why.to_string()))?;
    let text =
        with_report(&text, &document.markdown_body(name)).ok_or_else(|| error("its two marker lines are missing"))?;
    write_figures(&path.with_file_name(name), document)?;
    report::save(path, text.as_bytes())
}

fn with_report(text: &str, report: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{report}\n{END}{after}"))
}

fn write_figures(dir: &Path, document: &Document) -> io::Result<()> {
    document.figures().try_for_each(|(name, svg)| report::save(&dir.join(format!("{name}.svg")), svg.as_bytes()))
}

fn write_lines<T: Serialize>(path: &Path, lines: impl IntoIterator<Item = T>) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    lines.into_iter().try_for_each(|line| csv.serialize(line))?;
    report::save(path, &csv.into_inner().map_err(io::Error::other)?)
}

/// A line of `latency.csv`: one kind of request in one repetition.
#[derive(Serialize)]
struct LatencyLine {
    repetition: u32,
    purchase_probability_percent: u32,
    cache: &'static str,
    request: &'static str,
    shopping_ms: u64,
    sessions: u64,
    answered: u64,
    retries: u64,
    failed: u64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    max_us: u64,
    cache_hits: Option<u64>,
    cache_misses: Option<u64>,
}

fn write_latencies(path: &Path, measurements: &[LatencyMeasurement]) -> io::Result<()> {
    let line = |measurement: &LatencyMeasurement, request: &client::RequestSummary| LatencyLine {
        repetition: measurement.combination.repetition,
        purchase_probability_percent: measurement.combination.probability,
        cache: measurement.combination.cache.name(),
        request: request.kind.as_str(),
        shopping_ms: millis(measurement.shopping),
        sessions: measurement.sessions,
        answered: request.answered,
        retries: request.retries,
        failed: request.failed,
        p50_us: request.latency.p50_us,
        p90_us: request.latency.p90_us,
        p99_us: request.latency.p99_us,
        max_us: request.latency.max_us,
        cache_hits: measurement.cache_counts.map(|counts| counts.hits),
        cache_misses: measurement.cache_counts.map(|counts| counts.misses),
    };
    let line = &line;
    write_lines(
        path,
        measurements
            .iter()
            .flat_map(|measurement| measurement.requests.iter().map(move |request| line(measurement, request))),
    )
}

/// A line of `cache.csv`: one request, and the contents of the cache after it, the most recently
/// used product first.
#[derive(Serialize)]
struct CacheTraceLine {
    step: usize,
    action: &'static str,
    product: String,
    latency_us: u64,
    contents: String,
}

fn write_cache_trace(path: &Path, trace: &CacheTrace) -> io::Result<()> {
    let lines = trace.steps.iter().enumerate().map(|(step, it)| CacheTraceLine {
        step,
        action: it.action.name(),
        product: it.product.to_string(),
        latency_us: micros(it.latency),
        contents: it.contents.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    });
    write_lines(path, lines)
}

/// A line of `kills.csv`.
#[derive(Serialize)]
struct KillLine<'a> {
    round: usize,
    fault: &'static str,
    victim: &'a str,
    at_ms: u64,
    longest_gap_us: u64,
    longest_order_us: u64,
    retries: u64,
    errors_seen: u64,
    connections_broken: u64,
    recovered_after_ms: u64,
}

fn write_kills(path: &Path, kills: &[Kill]) -> io::Result<()> {
    let lines = kills.iter().map(|Kill { round, event, retries, longest_order, .. }| KillLine {
        round: *round,
        fault: event.fault.name(),
        victim: &event.victims,
        at_ms: event.at_ms,
        longest_gap_us: event.gap_us,
        longest_order_us: micros(*longest_order),
        retries: *retries,
        errors_seen: event.errors.by_kind.values().sum(),
        connections_broken: event.errors.connection_errors,
        recovered_after_ms: event.recovered_after_ms,
    });
    write_lines(path, lines)
}

/// A line of `acknowledged.csv`: the orders that were acknowledged in one interval around a kill.
#[derive(Serialize)]
struct AcknowledgedLine {
    round: usize,
    fault: &'static str,
    ms_after_the_kill: i64,
    acknowledged: u64,
}

fn write_acknowledged(path: &Path, kills: &[Kill]) -> io::Result<()> {
    let lines = kills.iter().flat_map(|kill| {
        let (round, fault) = (kill.round, kill.event.fault.name());
        let line = move |(ms, count): &(i64, u64)| AcknowledgedLine {
            round,
            fault,
            ms_after_the_kill: *ms,
            acknowledged: *count,
        };
        kill.acknowledged.iter().map(line)
    });
    write_lines(path, lines)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_around_the_report_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evaluation.md");
        let own = format!("# Mine\n\n{BEGIN}\nold\n{END}\n\nThe end.\n");
        fs::write(&path, &own).unwrap();
        let mut document = Document::new("Evaluation");
        document.heading("In short");
        document.figure("query", "Fast.", "<svg></svg>".into());
        write_into(&path, &document).unwrap();
        let written = fs::read_to_string(&path).unwrap();
        let report = "## In short\n\n![Fast.](evaluation/query.svg)\n\n*Fast.*\n";
        assert_eq!(written, format!("# Mine\n\n{BEGIN}\n\n{report}\n{END}\n\nThe end.\n"));
        assert_eq!(fs::read_to_string(dir.path().join("evaluation/query.svg")).unwrap(), "<svg></svg>");
        write_into(&path, &document).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), written, "writing it again changes nothing");

        fs::write(&path, "# Mine\n").unwrap();
        assert!(write_into(&path, &document).unwrap_err().to_string().ends_with("its two marker lines are missing"));
    }
}
