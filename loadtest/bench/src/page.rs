//! The page with the figures: the parts of it that this program writes.
//!
//! A part lies between the lines `<!-- bench: NAME -->` and `<!-- bench end -->`. `goals` is the table of all goals: the rows of what was measured now
//! are replaced, those of other benchmarks stay. `machine` tells on what the last measurement ran. `P1` to `P7` are the details. Everything else on the
//! page is people's.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use report::Document;
use toystore::experiment::Machine;

use crate::benchmark::Benchmark;
use crate::finding::{Digits, Finding};
use crate::outcome::Outcome;

const HEAD: &str =
    "| | what | ours | beside it | ratio or value | goal | | measured |\n|---|---|---:|---:|---:|---:|---|---|\n";

const END: &str = "<!-- bench end -->\n";

/// A page that is being brought up to date.
pub(crate) struct Page {
    path: PathBuf,
    text: String,
    label: String,
}

impl Page {
    /// Reads it. `label` says when something is measured, and of which version.
    pub(crate) fn read(path: &Path, label: &str) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Self { path: path.to_owned(), text, label: label.to_owned() })
    }

    /// Puts a benchmark's figures in.
    pub(crate) fn put(&mut self, benchmark: Benchmark, outcome: &Outcome) -> Result<()> {
        let goals = self.part("goals")?.to_owned();
        let prefix = format!("| {benchmark}");
        let others = goals.lines().filter(|line| line.starts_with("| P") && !line.starts_with(&prefix));
        let mut rows: Vec<_> = others.map(str::to_owned).collect();
        rows.extend(outcome.findings.iter().map(|finding| row(finding, &self.label)));
        // By the benchmark alone: within one, the rows keep their order.
        rows.sort_by_key(|row| row.chars().nth("| P".len()));
        self.replace("goals", &format!("{HEAD}{}\n", rows.join("\n")))?;
        self.replace(&benchmark.to_string(), &outcome.details.markdown_body(""))
    }

    /// Writes it, with a word about the machine.
    pub(crate) fn write(mut self, machine: &Machine) -> Result<()> {
        let mut document = Document::new("Machine");
        let measured = [["last measured".to_owned(), self.label.clone()]];
        document.table(["machine", ""], measured.into_iter().chain(machine.rows()));
        self.replace("machine", &document.markdown_body(""))?;
        std::fs::write(&self.path, &self.text).with_context(|| format!("{} cannot be written", self.path.display()))
    }

    fn part(&self, name: &str) -> Result<&str> {
        let (begin, end) = self.place(name)?;
        Ok(&self.text[begin..end])
    }

    fn replace(&mut self, name: &str, with: &str) -> Result<()> {
        let (begin, end) = self.place(name)?;
        self.text.replace_range(begin..end, &format!("\n{}\n\n", with.trim()));
        Ok(())
    }

    /// Where a part begins and ends.
    fn place(&self, name: &str) -> Result<(usize, usize)> {
        let marker = format!("<!-- bench: {name} -->\n");
        let lacks = || format!("{} has no lines {} … {}", self.path.display(), marker.trim(), END.trim());
        let begin = self.text.find(&marker).with_context(lacks)? + marker.len();
        let end = self.text[begin..].find(END).with_context(lacks)? + begin;
        Ok((begin, end))
    }
}

fn row(finding: &Finding, label: &str) -> String {
    let Finding { what, ours, beside, value, unit, .. } = finding;
    let value = if *unit == "ratio" { Digits(*value).to_string() } else { format!("{} {unit}", Digits(*value)) };
    let (name, wanted, verdict) = (finding.name(), finding.wanted(), finding.verdict());
    format!("| {name} | {what} | {ours} | {beside} | {value} | {wanted} | {verdict} | {label} |")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::finding::{Figure, Goal};

    const EMPTY: &str = "# Mine\n<!-- bench: goals -->\n<!-- bench end -->\nbetween\n<!-- bench: P1 -->\nold\n<!-- bench end -->\n<!-- bench: P3 -->\n<!-- bench end -->\nlast\n";

    fn outcome(benchmark: Benchmark, ours: f64) -> Outcome {
        let rate = |value| Figure::new(value, "per second");
        let finding = Finding::ratio(benchmark, "", "speed", rate(ours), rate(100.0), Goal::AtLeast(0.9));
        let mut details = Document::new("");
        details.text(format!("{ours} it was."));
        Outcome::new(vec![finding], details, &())
    }

    #[test]
    fn only_what_was_measured_is_replaced() {
        let mut page = Page { path: "page.md".into(), text: EMPTY.into(), label: "today".into() };
        page.put(Benchmark::P3, &outcome(Benchmark::P3, 50.0)).unwrap();
        page.label = "tomorrow".into();
        page.put(Benchmark::P1, &outcome(Benchmark::P1, 90.0)).unwrap();
        page.put(Benchmark::P1, &outcome(Benchmark::P1, 95.0)).unwrap();
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
    fn the_projects_page_has_all_parts() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/performance.md");
        let page = Page::read(&path, "").unwrap();
        let benchmarks = Benchmark::value_variants().iter().map(ToString::to_string);
        for part in benchmarks.chain(["goals", "machine"].map(str::to_owned)) {
            page.part(&part).unwrap();
        }
    }

    #[test]
    fn a_page_without_the_lines_is_an_error() {
        let mut page = Page { path: "page.md".into(), text: "# Mine\n".into(), label: String::new() };
        let error = page.put(Benchmark::P1, &outcome(Benchmark::P1, 1.0)).unwrap_err().to_string();
        assert!(error.contains("page.md") && error.contains("bench: goals"), "{error}");
    }
}
