//! The report of a drill, as text and as JSON. The names of the JSON fields are stable.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use ::report::{CheckResult, Checks};
use history::{Counts, Verdict};
use serde::Serialize;
use workload::Latency;

use super::drill_log::Stages;
use super::fault::Fault;
use super::load::ErrorCounts;

/// The result of a drill. `Display` is the report as text.
#[derive(Clone, Debug, Serialize)]
pub struct DrillReport {
    /// The seed of the fault schedule.
    pub seed: u64,
    /// Time from the first fault to the end of the last one, in milliseconds.
    pub elapsed_ms: u64,
    /// Number of concurrent writers.
    pub shoppers: u32,
    /// Time from the first attempt of an order to its acknowledgement, including outages.
    pub order_latency: Latency,
    /// One summary per kind of fault.
    pub faults: Vec<FaultSummary>,
    /// All faults in chronological order.
    pub events: Vec<FaultEvent>,
    /// The errors that shoppers saw.
    #[serde(rename = "seen")]
    pub errors: ErrorCounts,
    /// The counts of the checkers: acknowledged, lost and duplicated orders, stale reads, leaked
    /// pieces, restocks …
    pub counts: Counts,
    /// Whether the ledgers of all replicas are byte-identical; `None` if not all could be read.
    pub ledgers_identical: Option<bool>,
    /// Violations, and what could not be checked.
    #[serde(skip)]
    pub checks: Checks,
}

/// One fault and its effect.
#[derive(Clone, Debug, Serialize)]
pub struct FaultEvent {
    /// Its kind.
    pub fault: Fault,
    /// The members that it affected.
    pub victims: String,
    /// Its time in milliseconds since the start of the drill.
    pub at_ms: u64,
    /// How long it was held before it was healed, in milliseconds.
    pub held_ms: u64,
    /// The longest time without an acknowledged order, from the fault until recovery, in
    /// microseconds.
    pub gap_us: u64,
    /// The longest such time that began after the fault was healed, in microseconds.
    pub healing_gap_us: u64,
    /// Time from healing until recovery, in milliseconds.
    #[serde(rename = "whole_after_ms")]
    pub recovered_after_ms: u64,
    /// The stages of the failover, if a new order leader was elected and every stage was seen.
    pub stages: Option<Stages>,
    /// The errors that shoppers saw from the fault until recovery.
    #[serde(rename = "seen")]
    pub errors: ErrorCounts,
}

/// The summary of all faults of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct FaultSummary {
    /// Their kind.
    pub fault: Fault,
    /// Their number.
    pub times: usize,
    /// Of [`FaultEvent::gap_us`].
    pub gap: Latency,
    /// Of [`FaultEvent::healing_gap_us`].
    pub healing_gap: Latency,
    /// Of [`FaultEvent::recovered_after_ms`], in microseconds.
    #[serde(rename = "whole_after")]
    pub recovered_after: Latency,
    /// The stages of the failovers, if a new order leader was elected and every stage was seen.
    pub stages: Option<StagesSummary>,
    /// The errors that shoppers saw from a fault until recovery.
    #[serde(rename = "seen")]
    pub errors: ErrorCounts,
}

/// Percentiles of each field of [`Stages`] by itself.
#[derive(Clone, Copy, Debug, Serialize)]
#[expect(missing_docs, reason = "they are the fields of `Stages`")]
pub struct StagesSummary {
    pub fail_over: Latency,
    pub detection: Latency,
    pub election: Latency,
    pub take_over: Latency,
    pub first_order: Latency,
}

impl DrillReport {
    /// Adds the result of the checkers.
    pub(super) fn record(&mut self, verdict: &Verdict) {
        let Counts { violations, undecided, acknowledged, product_reads, .. } = verdict.counts;
        self.counts = verdict.counts;
        self.checks.violations(&verdict.violations, violations);
        if undecided > 0 {
            self.checks.not_checked(format!("the reads of {undecided} products: the search budget was exceeded"));
        }
        if acknowledged == 0 {
            self.checks.not_checked("no order was acknowledged");
        }
        if product_reads == 0 {
            self.checks.not_checked("no product was read");
        }
    }

    /// Adds a fault. A rolling restart is part of every release, so any error that shoppers see
    /// during one is a violation.
    pub(super) fn add(&mut self, event: FaultEvent) {
        if event.fault == Fault::RollingRestart && event.errors.total() > 0 {
            let errors: Vec<_> = event.errors.by_kind.iter().map(|(what, count)| format!("{count} × {what}")).collect();
            self.checks.broken(format!("shoppers saw errors during a rolling restart: {}", errors.join(", ")));
        }
        self.events.push(event);
    }

    /// Summarizes the faults by kind.
    pub(super) fn summarize(&mut self) {
        let mut kinds = BTreeMap::<Fault, Vec<&FaultEvent>>::new();
        for event in &self.events {
            kinds.entry(event.fault).or_default().push(event);
        }
        self.faults = kinds.into_iter().map(|(fault, events)| FaultSummary::of(fault, &events)).collect();
    }

    /// Whether every promise was kept, and whether everything was checked. Faults that were not
    /// injected count as not checked.
    pub fn check_result(&self) -> CheckResult {
        self.checks.result()
    }

    /// The verdict as a sentence.
    pub fn verdict(&self) -> String {
        self.checks.verdict("every promise was kept")
    }
}

impl FaultSummary {
    fn of(fault: Fault, events: &[&FaultEvent]) -> Self {
        let of = |value: fn(&FaultEvent) -> u64| percentiles(events.iter().map(|event| value(event)).collect());
        let mut errors = ErrorCounts::default();
        for event in events {
            errors.add(&event.errors);
        }
        Self {
            fault,
            times: events.len(),
            gap: of(|event| event.gap_us),
            healing_gap: of(|event| event.healing_gap_us),
            recovered_after: of(|event| event.recovered_after_ms * 1000),
            stages: StagesSummary::of(&events.iter().filter_map(|event| event.stages).collect::<Vec<_>>()),
            errors,
        }
    }
}

impl StagesSummary {
    fn of(stages: &[Stages]) -> Option<Self> {
        let of = |part: fn(&Stages) -> u64| percentiles(stages.iter().map(part).collect());
        (!stages.is_empty()).then(|| Self {
            fail_over: of(|stages| stages.fail_over_us),
            detection: of(|stages| stages.detection_us),
            election: of(|stages| stages.election_us),
            take_over: of(|stages| stages.take_over_us),
            first_order: of(|stages| stages.first_order_us),
        })
    }
}

/// Percentiles by nearest rank: the smallest value that at least this percentage of values does not
/// exceed.
fn percentiles(mut values_us: Vec<u64>) -> Latency {
    values_us.sort_unstable();
    let at = |percent: usize| {
        let rank = (values_us.len() * percent).div_ceil(100).max(1);
        values_us.get(rank - 1).copied().unwrap_or_default()
    };
    Latency { p50_us: at(50), p90_us: at(90), p99_us: at(99), max_us: at(100) }
}

/// Formats microseconds as milliseconds with one decimal.
struct Ms(u64);

impl Display for Ms {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.1}", Duration::from_micros(self.0).as_secs_f64() * 1000.0))
    }
}

impl Display for FaultEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { fault, victims, gap_us, recovered_after_ms, errors, .. } = self;
        write!(f, "{fault:<23} {victims:<28} gap {:>8} ms, recovered in {recovered_after_ms:>5} ms", Ms(*gap_us))?;
        match errors.total() {
            0 => Ok(()),
            count => write!(f, ", {count} errors"),
        }
    }
}

impl Display for DrillReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { seed, shoppers, events, counts, .. } = self;
        let seconds = Duration::from_millis(self.elapsed_ms).as_secs_f64();
        writeln!(f, "\n{} faults in {seconds:.0} s, seed {seed}, {shoppers} writers\n", events.len())?;
        self.table(f)?;
        self.stages(f)?;
        writeln!(f)?;
        let latency = self.order_latency;
        let (p50, p99, max) = (Ms(latency.p50_us), Ms(latency.p99_us), Ms(latency.max_us));
        writeln!(f, "order latency           p50 {p50}, p99 {p99}, max {max} ms, including outages")?;
        writeln!(f, "acknowledged orders     {}", counts.acknowledged)?;
        writeln!(f, "  lost                  {}", counts.lost)?;
        writeln!(f, "  duplicated            {}", counts.duplicated)?;
        writeln!(f, "product reads           {}", counts.product_reads)?;
        writeln!(f, "  stale                 {}", counts.stale_reads)?;
        writeln!(f, "stock leaked            {} pieces ({} restocks)", counts.leaked_pieces, counts.restocks)?;
        let identical = self.ledgers_identical.map_or("not all could be read", |same| if same { "yes" } else { "NO" });
        writeln!(f, "ledgers identical       {identical}")?;
        for (what, count) in &self.errors.by_kind {
            writeln!(f, "errors                  {count} × {what}")?;
        }
        writeln!(
            f,
            "broken connections      {} (shoppers continue with the other frontend)",
            self.errors.connection_errors
        )?;
        write!(f, "{}{}", self.checks, self.verdict())
    }
}

impl DrillReport {
    fn table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let head = ["gap p50", "p90", "p99", "max ms", "healing", "recov. p50", "max ms", "errors"];
        write!(f, "{:<24}{:>5}", "fault", "times")?;
        head.iter().try_for_each(|column| write!(f, "{column:>10}"))?;
        writeln!(f)?;
        for FaultSummary { fault, times, gap, healing_gap, recovered_after, errors, .. } in &self.faults {
            write!(f, "{fault:<24}{times:>5}")?;
            let (healing, recovered) = (healing_gap.max_us, recovered_after);
            for us in [gap.p50_us, gap.p90_us, gap.p99_us, gap.max_us, healing, recovered.p50_us, recovered.max_us] {
                write!(f, "{:>10}", Ms(us))?;
            }
            writeln!(f, "{:>10}", errors.total())?;
        }
        Ok(())
    }

    fn stages(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let leader = self.faults.iter().find(|summary| summary.fault == Fault::KillLeader);
        let Some(StagesSummary { fail_over, detection, election, take_over, first_order }) =
            leader.and_then(|it| it.stages)
        else {
            return Ok(());
        };
        let stages = [
            ("failover", fail_over),
            ("detection", detection),
            ("election", election),
            ("takeover", take_over),
            ("first order", first_order),
        ];
        for (stage, Latency { p50_us, p99_us, max_us, .. }) in stages {
            let (p50, p99, max) = (Ms(p50_us), Ms(p99_us), Ms(max_us));
            writeln!(f, "  kill-leader, {stage:<12} p50 {p50:>7}, p99 {p99:>7}, max {max:>7} ms")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(fault: Fault, gap_us: u64) -> FaultEvent {
        let parts = (1000, gap_us / 2, 300, 700);
        let stages = Stages {
            fail_over_us: parts.0 + parts.1 + parts.2 + parts.3,
            detection_us: parts.0,
            election_us: parts.1,
            take_over_us: parts.2,
            first_order_us: parts.3,
        };
        FaultEvent {
            fault,
            victims: "order-1".into(),
            at_ms: 1,
            held_ms: 200,
            gap_us,
            healing_gap_us: 900,
            recovered_after_ms: 400,
            stages: (fault == Fault::KillLeader).then_some(stages),
            errors: ErrorCounts { by_kind: [("order: 503".to_owned(), 1)].into(), connection_errors: 2 },
        }
    }

    fn report() -> DrillReport {
        let mut report = DrillReport {
            seed: 7,
            elapsed_ms: 60_000,
            shoppers: 16,
            order_latency: Latency { p50_us: 1500, p90_us: 2000, p99_us: 20_000, max_us: 2_000_000 },
            faults: Vec::new(),
            events: (1..=100)
                .map(|n| event(Fault::KillLeader, n * 1000))
                .chain([event(Fault::KillAll, 2_000_000)])
                .collect(),
            errors: ErrorCounts::default(),
            counts: Counts { acknowledged: 12_345, ..Counts::default() },
            ledgers_identical: Some(true),
            checks: Checks::default(),
        };
        report.summarize();
        report
    }

    #[test]
    fn faults_of_a_kind_are_summarised_by_nearest_rank() {
        let report = report();
        let [leader, all] = &report.faults[..] else { panic!("{:?}", report.faults) };
        assert_eq!((leader.fault, leader.times, all.times), (Fault::KillLeader, 100, 1));
        assert_eq!(leader.gap, Latency { p50_us: 50_000, p90_us: 90_000, p99_us: 99_000, max_us: 100_000 });
        assert_eq!(leader.stages.unwrap().election.max_us, 50_000);
        assert_eq!((leader.errors.total(), leader.errors.connection_errors), (100, 200));
        assert!(all.stages.is_none());
    }

    #[test]
    fn errors_during_a_rolling_restart_are_violations() {
        let mut report = report();
        report.add(event(Fault::KillAll, 1000));
        assert_eq!(report.check_result(), CheckResult::Passed);
        report.add(event(Fault::RollingRestart, 1000));
        let text = report.checks.to_string();
        assert_eq!(text, "BROKEN: shoppers saw errors during a rolling restart: 1 × order: 503\n");
    }

    #[test]
    fn an_incomplete_check_is_not_a_pass() {
        let checked = Counts { acknowledged: 1, product_reads: 1, ..Counts::default() };
        for (counts, result) in [
            (checked, CheckResult::Passed),
            (Counts { undecided: 1, ..checked }, CheckResult::NotChecked),
            (Counts { acknowledged: 0, ..checked }, CheckResult::NotChecked),
            (Counts { product_reads: 0, ..checked }, CheckResult::NotChecked),
        ] {
            let mut report = report();
            report.record(&Verdict { counts, ..Verdict::default() });
            assert_eq!(report.check_result(), result, "{report}");
            report.checks.broken("I1: an order is lost");
            assert_eq!(report.check_result(), CheckResult::Failed, "a violation takes precedence");
        }
    }

    #[test]
    fn the_report_ends_with_the_verdict() {
        let mut report = report();
        let text = report.to_string();
        assert!(text.contains("kill-leader               100      50.0      90.0      99.0     100.0"), "{text}");
        assert!(text.ends_with("every promise was kept"), "{text}");
        report.checks.broken("I1: an order is lost");
        let text = report.to_string();
        assert!(
            text.contains("BROKEN: I1: an order is lost\n") && text.ends_with("THE STORE BROKE ITS PROMISES"),
            "{text}"
        );
    }

    #[test]
    fn json_names_its_units() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["events"][0]["gap_us"], 1000);
        assert_eq!(json["faults"][0]["fault"], "kill-leader");
        assert_eq!(json["faults"][0]["gap"]["p99_us"], 99_000);
        assert_eq!(json["faults"][0]["stages"]["take_over"]["max_us"], 300);
        assert_eq!(json["counts"]["lost"], 0);
        assert_eq!(json["ledgers_identical"], true);
    }
}
