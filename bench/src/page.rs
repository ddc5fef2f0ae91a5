//! Updates the page with the results: the sections of it that this program writes.
//!
//! A section is between the lines `<!-- bench: NAME -->` and `<!-- bench end -->`. `goals` is the
//! table of all goals: the rows of the benchmarks that were run are replaced, the others stay.
//! `machine` describes the machine of the last run. `P1` to `P7` have the details. Everything else
//! on the page is written by people.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use report::Document;
use toystore::experiment::MachineInfo;

use crate::benchmark::Benchmark;
use crate::outcome::BenchOutcome;
use crate::result::{BenchResult, Digits};

const HEAD: &str =
    "| | what | ours | reference | ratio or value | goal | | measured |\n|---|---|---:|---:|---:|---:|---|---|\n";

const END: &str = "<!-- bench end -->\n";

/// A page that is being updated.
pub(crate) struct Page {
    path: PathBuf,
    text: String,
    label: String,
}

impl Page {
    /// Reads a page. `label` has the date and version of the measurement.
    pub(crate) fn read(path: &Path, label: &str) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path: path.to_owned(), text, label: label.to_owned() })
    }

    /// Updates the sections of one benchmark.
    pub(crate) fn update(&mut self, benchmark: Benchmark, outcome: &BenchOutcome) -> Result<()> {
        let goals = self.part("goals")?.to_owned();
        let prefix = format!("| {benchmark}");
        let others = goals.lines().filter(|line| line.starts_with("| P") && !line.starts_with(&prefix));
        let mut rows: Vec<_> = others.map(str::to_owned).collect();
        rows.extend(outcome.results.iter().map(|result| row(result, &self.label)));
        // Sorted by benchmark only: the rows of a benchmark keep their order.
        rows.sort_by_key(|row| row.chars().nth("| P".len()));
        self.replace("goals", &format!("{HEAD}{}\n", rows.join("\n")))?;
        self.replace(&benchmark.to_string(), &outcome.details.markdown_body(""))
    }

    /// Writes the page, with a description of the machine.
    pub(crate) fn write(mut self, machine: &MachineInfo) -> Result<()> {
        let mut document = Document::new("Machine");
        let measured = [["last measured".to_owned(), self.label.clone()]];
        document.table(["machine", ""], measured.into_iter().chain(machine.rows()));
        self.replace("machine", &document.markdown_body(""))?;
        std::fs::write(&self.path, &self.text).with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn part(&self, name: &str) -> Result<&str> {
        let (begin, end) = self.position(name)?;
        Ok(&self.text[begin..end])
    }

    fn replace(&mut self, name: &str, with: &str) -> Result<()> {
        let (begin, end) = self.position(name)?;
        self.text.replace_range(begin..end, &format!("\n{}\n\n", with.trim()));
        Ok(())
    }

    /// The position of a section.
    fn position(&self, name: &str) -> Result<(usize, usize)> {
        let marker = format!("<!-- bench: {name} -->\n");
        let lacks = || format!("{} has no section {} … {}", self.path.display(), marker.trim(), END.trim());
        let begin = self.text.find(&marker).with_context(lacks)? + marker.len();
        let end = self.text[begin..].find(END).with_context(lacks)? + begin;
        Ok((begin, end))
    }
}

fn row(result: &BenchResult, label: &str) -> String {
    let BenchResult { what, ours, reference, value, unit, .. } = result;
    let value = if *unit == "ratio" { Digits(*value).to_string() } else { format!("{} {unit}", Digits(*value)) };
    let (name, wanted, verdict) = (result.name(), result.wanted(), result.verdict());
    format!("| {name} | {what} | {ours} | {reference} | {value} | {wanted} | {verdict} | {label} |")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::result::{Figure, Goal};

    const EMPTY: &str = "# Mine\n<!-- bench: goals -->\n<!-- bench end -->\nbetween\n<!-- bench: P1 -->\nold\n<!-- bench end -->\n<!-- bench: P3 -->\n<!-- bench end -->\nlast\n";

    fn outcome(benchmark: Benchmark, ours: f64) -> BenchOutcome {
        let rate = |value| Figure::new(value, "per second");
        let result = BenchResult::ratio(benchmark, "", "speed", rate(ours), rate(100.0), Goal::AtLeast(0.9));
        let mut details = Document::new("");
        details.text(format!("{ours} it was."));
        BenchOutcome::new(vec![result], details, &())
    }

    #[test]
    fn only_the_measured_benchmarks_are_replaced() {
        let mut page = Page { path: "page.md".into(), text: EMPTY.into(), label: "today".into() };
        page.update(Benchmark::P3, &outcome(Benchmark::P3, 50.0)).unwrap();
        page.label = "tomorrow".into();
        page.update(Benchmark::P1, &outcome(Benchmark::P1, 90.0)).unwrap();
        page.update(Benchmark::P1, &outcome(Benchmark::P1, 95.0)).unwrap();
        let rows: Vec<_> = page.part("goals").unwrap().trim().lines().skip(2).collect();
        let known = [
            "| P1 | speed | 95.0 per second | 100 per second | 0.95 | ≥ 0.90 | met | tomorrow |",
            "| P3 | speed | 50.0 per second | 100 per second | 0.50 | ≥ 0.90 | missed | today |",
        ];
        assert_eq!(rows, known);
        assert_eq!(page.part("P1").unwrap(), "\n95 it was.\n\n");
        assert!(
            page.text.starts_with("# Mine\n") && page.text.contains("\nbetween\n") && page.text.ends_with("\nlast\n")
        );
    }

    #[test]
    fn the_projects_page_has_all_sections() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
        let page = Page::read(&path, "").unwrap();
        let benchmarks = Benchmark::value_variants().iter().map(ToString::to_string);
        for part in benchmarks.chain(["goals", "machine"].map(str::to_owned)) {
            page.part(&part).unwrap();
        }
    }

    #[test]
    fn a_page_without_the_section_is_an_error() {
        let mut page = Page { path: "page.md".into(), text: "# Mine\n".into(), label: String::new() };
        let error = page.update(Benchmark::P1, &outcome(Benchmark::P1, 1.0)).unwrap_err().to_string();
        assert!(error.contains("page.md") && error.contains("bench: goals"), "{error}");
    }
}
