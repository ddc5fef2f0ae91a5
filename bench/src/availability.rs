//! P8: how long nobody gets an order through, for each kind of fault.
//!
//! `toystore drill` with two frontends injects each fault in turn, in random order, under 16
//! shoppers who place 500 orders per second. The *gap* is the longest time without an acknowledged
//! order, from the fault until the store has recovered.

use std::time::Duration;

use anyhow::Result;
use report::{Cell, Document, Table};

use crate::benchmark::Benchmark;
use crate::context::BenchContext;
use crate::drill::{self, InjectedFault, PER_S, SHOPPERS};
use crate::outcome::BenchOutcome;
use crate::result::{BenchResult, Figure, Goal};
use crate::rounds::{median, percentile};

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

/// The faults of one kind.
struct Measured {
    budget: &'static Budget,
    gaps_ms: Vec<f64>,
    errors: u64,
    /// Detection, election, takeover, first order: the median of each.
    stages_ms: Option<[f64; 4]>,
}

/// Runs the benchmark.
pub(crate) async fn measure(context: &BenchContext) -> Result<BenchOutcome> {
    let dir = context.dir("availability")?;
    let kinds = BUDGETS.each_ref().map(|budget| budget.fault);
    let faults = drill::inject(context, &dir, &kinds, context.profile.faults, Some(HOLD)).await?;
    let measured: Vec<_> = BUDGETS.iter().map(|budget| Measured::of(budget, &faults)).collect();
    Ok(BenchOutcome::new(results(&measured), details(&measured), &faults))
}

impl Measured {
    fn of(budget: &'static Budget, faults: &[InjectedFault]) -> Self {
        let of_kind: Vec<_> = faults.iter().filter(|it| it.fault == budget.fault).collect();
        let stages: Vec<_> = of_kind.iter().filter_map(|it| it.stages_ms()).collect();
        let stage = |index: usize| median(stages.iter().map(|stages| stages[index]));
        Self {
            budget,
            gaps_ms: of_kind.iter().map(|it| it.gap_ms()).collect(),
            errors: of_kind.iter().map(|it| it.errors()).sum(),
            stages_ms: (!stages.is_empty()).then(|| [0, 1, 2, 3].map(stage)),
        }
    }
}

fn results(measured: &[Measured]) -> Vec<BenchResult> {
    let of = |it: &Measured| {
        let Budget { fault, p50_ms, p99_ms } = it.budget;
        [(50, *p50_ms), (99, *p99_ms)].map(|(percent, budget_ms)| {
            let gap = Figure::new(percentile(&it.gaps_ms, percent), "ms");
            let what = format!("gap at {fault}, p{percent}");
            Benchmark::P8.figure(&format!("@{fault}-p{percent}"), &what, gap, "", Goal::AtMost(budget_ms))
        })
    };
    measured.iter().flat_map(of).collect()
}

fn details(measured: &[Measured]) -> Document {
    let mut page = Document::new("Availability");
    page.text(format!(
        "Two frontends, one catalog, three order replicas; {SHOPPERS} writers, {PER_S} orders per second. Faults that \
         last are healed after {} s. *Errors* are what the writers and readers saw in all rounds together. A stage is \
         the median of the faults after which a new leader was elected.",
        HOLD.as_secs()
    ));
    let table = Table::of(measured).text("fault", |it| it.budget.fault).number("times", |it| it.gaps_ms.len());
    let gap = |it: &Measured, percent| percentile(&it.gaps_ms, percent);
    let table = table
        .numbers(["gap p50 ms", "p99 ms", "max ms"], |it| [50, 99, 100].map(|percent| gap(it, percent)))
        .number("errors", |it| it.errors);
    let stages = ["detection ms", "election ms", "takeover ms", "first order ms"];
    page.table(table.numbers(stages, |it| match it.stages_ms {
        Some(stages) => stages.map(Cell::Number),
        None => [const { Cell::Missing }; 4],
    }));
    page
}
