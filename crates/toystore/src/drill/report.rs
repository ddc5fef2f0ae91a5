//! The results of a drill, and their report. The names of the JSON fields are stable.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use ::report::{Checks, nearest_rank};
use history::{Counts, Verdict};
use serde::Serialize;
use workload::Latency;

use super::fault::Fault;
use super::fault_timeline::{FaultTimeline, in_ms};
use super::load::ErrorCounts;
use super::stages::Stages;

/// How many faults of each kind have a timeline: those with the longest gaps. A timeline takes some
/// 20 KiB of a page, so a drill of all faults stays below 2 MiB.
pub(super) const TIMELINES_PER_KIND: usize = 3;

/// The results of a drill. `Display` is the report for a terminal.
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
    /// What the processes did; only of the three faults of a kind with the longest gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<FaultTimeline>,
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

/// Percentiles of each stage of the failovers by itself, by the stage's name in JSON.
pub type StagesSummary = BTreeMap<&'static str, Latency>;

/// A stage of a failover: its name in JSON and in the report, and its duration in microseconds.
pub(super) type Stage = (&'static str, &'static str, fn(&Stages) -> u64);

/// The stages in their order.
pub(super) const STAGES: [Stage; 5] = [
    ("fail_over", "failover", |it| it.fail_over_us),
    ("detection", "… detection", |it| it.detection_us),
    ("election", "… election", |it| it.election_us),
    ("take_over", "… takeover", |it| it.take_over_us),
    ("first_order", "… first order", |it| it.first_order_us),
];

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

    /// Adds the timeline of the fault `index`, if its gap is one of the longest of its kind. It
    /// then replaces the one with the shortest gap.
    pub(super) fn add_timeline(&mut self, index: usize, timeline: impl FnOnce() -> FaultTimeline) {
        let FaultEvent { fault, gap_us, .. } = self.events[index];
        let with_timeline = |it: &&mut FaultEvent| it.fault == fault && it.timeline.is_some();
        if self.events.iter_mut().filter(with_timeline).count() == TIMELINES_PER_KIND {
            let shortest = self.events.iter_mut().filter(with_timeline).min_by_key(|it| it.gap_us);
            match shortest.filter(|it| it.gap_us < gap_us) {
                Some(replaced) => replaced.timeline = None,
                None => return,
            }
        }
        self.events[index].timeline = Some(timeline());
    }

    /// Summarizes the faults by kind.
    pub(super) fn summarize(&mut self) {
        let mut kinds = BTreeMap::<Fault, Vec<&FaultEvent>>::new();
        for event in &self.events {
            kinds.entry(event.fault).or_default().push(event);
        }
        self.faults = kinds.into_iter().map(|(fault, events)| FaultSummary::of(fault, &events)).collect();
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
            stages: summarized(&events.iter().filter_map(|event| event.stages).collect::<Vec<_>>()),
            errors,
        }
    }
}

fn summarized(stages: &[Stages]) -> Option<StagesSummary> {
    let of = |part: fn(&Stages) -> u64| percentiles(stages.iter().map(part).collect());
    (!stages.is_empty()).then(|| STAGES.into_iter().map(|(name, _, part)| (name, of(part))).collect())
}

/// Percentiles by nearest rank.
fn percentiles(mut values_us: Vec<u64>) -> Latency {
    values_us.sort_unstable();
    let at = |percent| nearest_rank(&values_us, percent).unwrap_or_default();
    Latency { p50_us: at(50), p90_us: at(90), p99_us: at(99), max_us: at(100) }
}

/// One line, printed while the drill runs.
impl Display for FaultEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { fault, victims, gap_us, recovered_after_ms, errors, .. } = self;
        let gap = in_ms(*gap_us);
        write!(f, "{fault:<23} {victims:<28} gap {gap:>6} ms, recovered in {recovered_after_ms:>5} ms")?;
        match errors.total() {
            0 => Ok(()),
            count => write!(f, ", {count} errors"),
        }
    }
}

#[cfg(test)]
mod tests {
    use ::report::CheckResult;

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
            timeline: None,
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
        assert_eq!(leader.stages.as_ref().unwrap()["election"].max_us, 50_000);
        assert_eq!((leader.errors.total(), leader.errors.connection_errors), (100, 200));
        assert!(all.stages.is_none());
    }

    #[test]
    fn errors_during_a_rolling_restart_are_violations() {
        let mut report = report();
        report.add(event(Fault::KillAll, 1000));
        assert_eq!(report.checks.result(), CheckResult::Passed);
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
            assert_eq!(report.checks.result(), result, "{report}");
            report.checks.broken("I1: an order is lost");
            assert_eq!(report.checks.result(), CheckResult::Failed, "a violation takes precedence");
        }
    }

    #[test]
    fn the_report_ends_with_the_verdict() {
        let mut report = report();
        let text = report.to_string();
        assert!(text.contains("kill-leader    100        50.0    90.0    99.0     100 "), "{text}");
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
