//! Updates the page with the results: the sections of it that this program writes.
//!
//! A section is between the lines `<!-- bench: NAME -->` and `<!-- bench end -->`. `goals` is the
//! table of all goals: the rows of the benchmarks that were run are replaced, the others stay.
//! `machine` describes the machine of the last run. `P1` to `P8` have the details. Everything else
//! on the page is written by people.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use report::{Document, Table, number};
use toystore::experiment::MachineInfo;

use crate::benchmark::Benchmark;
use crate::outcome::BenchOutcome;
use crate::result::BenchResult;

const END: &str = "<!-- bench end -->";

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
        let measured = goals(&outcome.results, &self.label);
        let prefix = format!("| {benchmark}");
        let others = self.part("goals")?.lines().filter(|line| line.starts_with("| P") && !line.starts_with(&prefix));
        let lines = measured.lines().chain(others);
        let (mut rows, head): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("| P"));
        // Sorted by benchmark only: the rows of a benchmark keep their order.
        rows.sort_by_key(|row| row.chars().nth("| P".len()));
        let goals = [head, rows].concat().join("\n");
        self.replace("goals", &goals)?;
        self.replace(&benchmark.to_string(), &outcome.details.markdown_body(""))
    }

    /// Writes the page, with a description of the machine.
    pub(crate) fn write(mut self, machine: &MachineInfo) -> Result<()> {
        let mut document = Document::new("Machine");
        document.facts("machine", [("last measured", self.label.clone())].into_iter().chain(machine.facts()));
        self.replace("machine", &document.markdown_body(""))?;
        std::fs::write(&self.path, &self.text).with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn part(&self, name: &str) -> Result<&str> {
        report::section(&self.text, &begin(name), END).with_context(|| self.lacks(name))
    }

    fn replace(&mut self, name: &str, with: &str) -> Result<()> {
        let replaced = report::replace_section(&self.text, &begin(name), END, with);
        self.text = replaced.with_context(|| self.lacks(name))?;
        Ok(())
    }

    fn lacks(&self, name: &str) -> String {
        format!("{} has no section {} … {END}", self.path.display(), begin(name))
    }
}

fn begin(section: &str) -> String {
    format!("<!-- bench: {section} -->")
}

/// The results of a benchmark as a table.
fn goals(results: &[BenchResult], label: &str) -> String {
    let value = |result: &BenchResult| match result.unit {
        "ratio" => number(result.value),
        unit => format!("{} {unit}", number(result.value)),
    };
    let mut page = Document::new("Goals");
    page.table(
        Table::of(results)
            .text("", |result| result.name())
            .text("what", |result| result.what.clone())
            .number("ours", |result| result.ours.clone())
            .number("reference", |result| result.reference.clone())
            .number("ratio or value", |result| value(result))
            .number("goal", |result| result.wanted())
            .text("", |result| result.verdict())
            .text("measured", |_| label),
    );
    page.markdown_body("")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::result::{Figure, Goal};

    const EMPTY: &str = "# Mine\n<!-- bench: goals -->\n<!-- bench end -->\nbetween\n<!-- bench: P1 -->\nold\n<!-- bench end -->\n<!-- bench: P3 -->\n<!-- bench end -->\nlast\n";

    fn outcome(benchmark: Benchmark, ours: f64) -> BenchOutcome {
        let rate = |value| Figure::new(value, "per second");
        let result = benchmark.ratio("", "speed", rate(ours), rate(100.0), Goal::AtLeast(0.9));
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
        let rows: Vec<_> = page.part("goals").unwrap().lines().skip(2).collect();
        let known = [
            "| P1 | speed | 95.0 per second | 100 per second | 0.950 | ≥ 0.900 | met | tomorrow |",
            "| P3 | speed | 50.0 per second | 100 per second | 0.500 | ≥ 0.900 | missed | today |",
        ];
        assert_eq!(rows, known);
        assert_eq!(page.part("P1").unwrap(), "95 it was.");
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
