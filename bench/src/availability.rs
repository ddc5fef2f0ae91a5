//! P8: how long no order gets through, for each kind of fault.
//!
//! `toystore drill` with two frontends injects each fault in turn, in random order, under 16
//! shoppers who place 500 orders per second. The *gap* is the longest time without an acknowledged
//! order, from the fault until the store has recovered.

use std::time::Duration;

use anyhow::{Context, Result};
use report::{Cell, Document, Table};
use workload::Latency;

use crate::benchmark::Benchmark;
use crate::context::BenchContext;
use crate::drill::{self, FaultSummary, PER_S, SHOPPERS};
use crate::outcome::BenchOutcome;
use crate::result::{BenchResult, Figure, Goal};

/// How long a process stays dead or frozen, and a link cut: longer than the longest gap.
const HOLD: Duration = Duration::from_secs(1);

/// The longest gap that a kind of fault may cause, in milliseconds.
struct Budget {
    fault: &'static str,
    p50_ms: f64,
    p99_ms: f64,
}

const fn budget(fault: &'static str, p50_ms: f64, p99_ms: f64) -> Budget {
    Budget { fault, p50_ms, p99_ms }
}

const BUDGETS: [Budget; 12] = [
    budget("kill-leader", 15.0, 30.0),
    budget("kill-frontend", 250.0, 350.0),
    budget("kill-catalog", 400.0, 600.0),
    budget("pause-leader", 250.0, 400.0),
    budget("partition-leader", 400.0, 600.0),
    budget("partition-mute-leader", 400.0, 600.0),
    budget("partition-deaf-leader", 400.0, 600.0),
    budget("partition-frontend", 350.0, 600.0),
    budget("partition-mute-frontend", 350.0, 600.0),
    budget("partition-deaf-frontend", 350.0, 600.0),
    budget("partition-catalog", 400.0, 600.0),
    budget("rolling-restart", 350.0, 600.0),
];

/// The stages of a failover, by their names in the report and on the page.
const STAGES: [(&str, &str); 4] = [
    ("detection", "detection ms"),
    ("election", "election ms"),
    ("take_over", "takeover ms"),
    ("first_order", "first order ms"),
];

/// Runs the benchmark.
pub(crate) async fn measure(context: &BenchContext) -> Result<BenchOutcome> {
    let dir = context.dir("availability")?;
    let kinds = BUDGETS.each_ref().map(|budget| budget.fault);
    let report = drill::inject(context, &dir, &kinds, context.profile.faults, Some(HOLD)).await?;
    let measured = BUDGETS.iter().map(|budget| {
        let summary = report.faults.iter().find(|summary| summary.fault == budget.fault);
        Ok((budget, summary.with_context(|| format!("the drill's report lacks {}", budget.fault))?))
    });
    let measured = measured.collect::<Result<Vec<_>>>()?;
    Ok(BenchOutcome::new(results(&measured), details(&measured), &report))
}

fn results(measured: &[(&Budget, &FaultSummary)]) -> Vec<BenchResult> {
    let of = |(budget, summary): &(&Budget, &FaultSummary)| {
        let Budget { fault, p50_ms, p99_ms } = budget;
        let Latency { p50_us, p99_us, .. } = summary.gap;
        [("p50", p50_us, *p50_ms), ("p99", p99_us, *p99_ms)].map(|(percentile, gap_us, budget_ms)| {
            let gap = Figure::new(Duration::from_micros(gap_us).as_secs_f64() * 1e3, "ms");
            let what = format!("gap at {fault}, {percentile}");
            Benchmark::P8.figure(&format!("@{fault}-{percentile}"), &what, gap, "", Goal::AtMost(budget_ms))
        })
    };
    measured.iter().flat_map(of).collect()
}

fn details(measured: &[(&Budget, &FaultSummary)]) -> Document {
    let mut page = Document::new("Availability");
    page.text(format!(
        "Two frontends, one catalog, three order replicas; {SHOPPERS} writers, {PER_S} orders per second. Faults that \
         last are healed after {} s. *Errors* are what the writers and readers saw in all rounds together. A stage is \
         the median of the faults after which a new leader was elected.",
        HOLD.as_secs()
    ));
    let summaries = measured.iter().map(|(_, summary)| *summary);
    let table = Table::of(summaries).text("fault", |it| it.fault.clone()).number("times", |it| it.times);
    let table = table.ms(["gap p50", "p99", "max"], |it| [it.gap.p50_us, it.gap.p99_us, it.gap.max_us]);
    let stage_ms = |summary: &FaultSummary, stage| {
        let us = summary.stages.as_ref()?.get(stage)?.p50_us;
        Some(Duration::from_micros(us).as_secs_f64() * 1e3)
    };
    page.table(table.number("errors", |it| it.errors()).numbers(STAGES.map(|(_, head)| head), |it| {
        STAGES.map(|(stage, _)| stage_ms(it, stage).map_or(Cell::Missing, Cell::Number))
    }));
    page
}
