//! A small report, for the tests of the renderers.

use crate::{Axis, CheckResult, Checks, Document, Plot, Scale, Series, Table};

/// A report with a block of each kind.
pub(crate) fn document() -> Document {
    let mut checks = Checks::default();
    checks.broken("1 order is lost");
    checks.counted(3, 5, "orders");
    let mut page = Document::new("Tux & <Uno>");
    page.conclude(checks.result(), checks.verdict("all is well"), &checks);
    page.heading("Latency");
    page.text("The `p99` is *high*.");
    let rows = [("steady", "10/s", 17_566_u64, 310), ("a|b", "1/s", 3, 4_004_321)];
    let table = Table::of(rows).text("stage", |row| row.0).text("load", |row| row.1);
    page.table(table.number("requests", |row| row.2).ms(["p50"], |row| [row.3]));
    page.figure("latency", "It [rises].", plot());
    page.verdict(CheckResult::Passed, "kept\ntwice");
    page.facts("", [("seed", 7_u64)]);
    page.details("round 1 & more", |part| {
        part.figure("folded", "It falls.", plot());
        part.table(Table::of([("+12", "a < b")]).number("ms", |row| row.0).prose("what happened", |row| row.1));
    });
    page
}

/// A small plot.
pub(crate) fn plot() -> Plot {
    Plot {
        title: "Latency & <more>".into(),
        x: Axis::new("seconds", Scale::Linear),
        y: Axis::new("ms", Scale::Linear),
        series: vec![Series::line("p50", vec![(0.0, 1.0), (1.0, 2.0)])],
        annotations: Vec::new(),
    }
}
