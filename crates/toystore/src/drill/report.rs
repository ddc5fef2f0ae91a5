//! What a drill came to, for people and as JSON. The field names are stable.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use client::Latency;
use history::{Counts, Verdict};
use serde::Serialize;

use super::fault::Fault;
use super::journal::Stages;
use super::load::Seen;

/// What a drill came to. `Display` is the report for people.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What drew the plan.
    pub seed: u64,
    /// From the first fault to the last, in milliseconds.
    pub elapsed_ms: u64,
    /// How many wrote at the same time.
    pub shoppers: u32,
    /// How long orders took from the first attempt to the acknowledgement, outages included.
    pub order_latency: Latency,
    /// Per kind of fault.
    pub faults: Vec<FaultSummary>,
    /// Every fault, in its order.
    pub events: Vec<Event>,
    /// What all shoppers saw.
    pub seen: Seen,
    /// The checkers' counts: acknowledged orders, lost, duplicated, stale reads, leaked pieces, restocks …
    pub counts: Counts,
    /// Whether the replicas' ledgers are the same bytes.
    pub ledgers_identical: bool,
    /// Lines that say what is broken; none in a good store.
    pub broken: Vec<String>,
}

/// One fault and what it did.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Which kind.
    pub fault: Fault,
    /// Whom it hit.
    pub victims: String,
    /// When, in milliseconds since the drill began.
    pub at_ms: u64,
    /// How long it lasted, in milliseconds.
    pub held_ms: u64,
    /// The longest time without an acknowledged order, from the fault until the store was whole again, in microseconds.
    pub gap_us: u64,
    /// The longest one of those that began after the fault's end.
    pub healing_gap_us: u64,
    /// From its end until the store was whole again, in milliseconds.
    pub whole_after_ms: u64,
    /// Parts of the gap, where an order leader had to be replaced and each part was seen.
    pub stages: Option<Stages>,
    /// What shoppers saw meanwhile.
    pub seen: Seen,
}

/// All faults of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct FaultSummary {
    /// Which kind.
    pub fault: Fault,
    /// How many there were.
    pub times: usize,
    /// Of [`Event::gap_us`].
    pub gap: Latency,
    /// Of [`Event::healing_gap_us`].
    pub healing_gap: Latency,
    /// Of [`Event::whole_after_ms`], in microseconds.
    pub whole_after: Latency,
    /// Parts of the gap, where an order leader had to be replaced and each part was seen.
    pub stages: Option<StagesSummary>,
    /// What shoppers saw meanwhile.
    pub seen: Seen,
}

/// Of the parts of [`Stages`], each by itself.
#[derive(Clone, Copy, Debug, Serialize)]
#[expect(missing_docs, reason = "they are the fields of `Stages`")]
pub struct StagesSummary {
    pub fail_over: Latency,
    pub detection: Latency,
    pub election: Latency,
    pub take_over: Latency,
    pub first_order: Latency,
}

impl Report {
    /// Puts the checkers' findings in.
    pub(super) fn judge(&mut self, verdict: &Verdict) {
        self.counts = verdict.counts;
        self.broken.extend(verdict.violations.iter().map(ToString::to_string));
        if let Some(more) =
            verdict.counts.violations.checked_sub(verdict.violations.len() as u64).filter(|more| *more > 0)
        {
            self.broken.push(format!("… and {more} violations more"));
        }
    }

    /// Takes one more event in. A rolling restart is what every release does: shoppers must not see it.
    pub(super) fn add(&mut self, event: Event) {
        if event.fault == Fault::RollingRestart && event.seen.total() > 0 {
            let errors: Vec<_> = event.seen.errors.iter().map(|(what, count)| format!("{count} × {what}")).collect();
            self.broken.push(format!("shoppers saw a rolling restart: {}", errors.join(", ")));
        }
        self.events.push(event);
    }

    /// Adds up the events.
    pub(super) fn sum_up(&mut self) {
        let mut kinds = BTreeMap::<Fault, Vec<&Event>>::new();
        for event in &self.events {
            kinds.entry(event.fault).or_default().push(event);
        }
        self.faults = kinds.into_iter().map(|(fault, events)| FaultSummary::of(fault, &events)).collect();
    }

    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }
}

impl FaultSummary {
    fn of(fault: Fault, events: &[&Event]) -> Self {
        let of = |value: fn(&Event) -> u64| percentiles(events.iter().map(|event| value(event)).collect());
        let mut seen = Seen::default();
        for event in events {
            seen.add(&event.seen);
        }
        Self {
            fault,
            times: events.len(),
            gap: of(|event| event.gap_us),
            healing_gap: of(|event| event.healing_gap_us),
            whole_after: of(|event| event.whole_after_ms * 1000),
            stages: StagesSummary::of(&events.iter().filter_map(|event| event.stages).collect::<Vec<_>>()),
            seen,
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

/// Nearest rank: the smallest value that so many per cent do not exceed.
fn percentiles(mut values_us: Vec<u64>) -> Latency {
    values_us.sort_unstable();
    let at = |percent: usize| {
        let rank = (values_us.len() * percent).div_ceil(100).max(1);
        values_us.get(rank - 1).copied().unwrap_or_default()
    };
    Latency { p50_us: at(50), p90_us: at(90), p99_us: at(99), max_us: at(100) }
}

/// Milliseconds with one digit.
struct Ms(u64);

impl Display for Ms {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.1}", Duration::from_micros(self.0).as_secs_f64() * 1000.0))
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { fault, victims, gap_us, whole_after_ms, seen, .. } = self;
        write!(f, "{fault:<23} {victims:<28} gap {:>8} ms, whole {whole_after_ms:>5} ms after", Ms(*gap_us))?;
        match seen.total() {
            0 => Ok(()),
            errors => write!(f, ", {errors} errors seen"),
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { seed, shoppers, events, counts, .. } = self;
        let seconds = Duration::from_millis(self.elapsed_ms).as_secs_f64();
        writeln!(f, "\n{} faults in {seconds:.0} s, seed {seed}, {shoppers} writers\n", events.len())?;
        self.table(f)?;
        self.stages(f)?;
        writeln!(f)?;
        let latency = self.order_latency;
        let (p50, p99, max) = (Ms(latency.p50_us), Ms(latency.p99_us), Ms(latency.max_us));
        writeln!(f, "an order took           p50 {p50}, p99 {p99}, max {max} ms, outages included")?;
        writeln!(f, "acknowledged orders     {}", counts.acknowledged)?;
        writeln!(f, "  lost                  {}", counts.lost)?;
        writeln!(f, "  duplicated            {}", counts.duplicated)?;
        writeln!(f, "reads of products       {}", counts.product_reads)?;
        writeln!(f, "  stale                 {}", counts.stale_reads)?;
        if counts.undecided > 0 {
            writeln!(f, "  undecided             {} products: the search was given up", counts.undecided)?;
        }
        writeln!(f, "stock leaked            {} pieces ({} restocks)", counts.leaked_pieces, counts.restocks)?;
        writeln!(f, "ledgers identical       {}", if self.ledgers_identical { "yes" } else { "NO" })?;
        for (what, count) in &self.seen.errors {
            writeln!(f, "errors seen             {count} × {what}")?;
        }
        writeln!(
            f,
            "connections broken      {} (shoppers go on with the other frontend)",
            self.seen.connection_errors
        )?;
        for line in &self.broken {
            writeln!(f, "BROKEN: {line}")?;
        }
        f.write_str(if self.is_clean() { "every promise was kept" } else { "THE STORE BROKE ITS WORD" })
    }
}

impl Report {
    fn table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let head = ["gap p50", "p90", "p99", "max ms", "healing", "whole p50", "max ms", "errors"];
        write!(f, "{:<24}{:>5}", "fault", "times")?;
        head.iter().try_for_each(|column| write!(f, "{column:>10}"))?;
        writeln!(f)?;
        for FaultSummary { fault, times, gap, healing_gap, whole_after, seen, .. } in &self.faults {
            write!(f, "{fault:<24}{times:>5}")?;
            let (healing, whole) = (healing_gap.max_us, whole_after);
            for us in [gap.p50_us, gap.p90_us, gap.p99_us, gap.max_us, healing, whole.p50_us, whole.max_us] {
                write!(f, "{:>10}", Ms(us))?;
            }
            writeln!(f, "{:>10}", seen.total())?;
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
            ("fail-over", fail_over),
            ("detection", detection),
            ("election", election),
            ("take-over", take_over),
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

    fn event(fault: Fault, gap_us: u64) -> Event {
        let parts = (1000, gap_us / 2, 300, 700);
        let stages = Stages {
            fail_over_us: parts.0 + parts.1 + parts.2 + parts.3,
            detection_us: parts.0,
            election_us: parts.1,
            take_over_us: parts.2,
            first_order_us: parts.3,
        };
        Event {
            fault,
            victims: "order-1".into(),
            at_ms: 1,
            held_ms: 200,
            gap_us,
            healing_gap_us: 900,
            whole_after_ms: 400,
            stages: (fault == Fault::KillLeader).then_some(stages),
            seen: Seen { errors: [("order: 503".to_owned(), 1)].into(), connection_errors: 2 },
        }
    }

    fn report() -> Report {
        let mut report = Report {
            seed: 7,
            elapsed_ms: 60_000,
            shoppers: 16,
            order_latency: Latency { p50_us: 1500, p90_us: 2000, p99_us: 20_000, max_us: 2_000_000 },
            faults: Vec::new(),
            events: (1..=100)
                .map(|n| event(Fault::KillLeader, n * 1000))
                .chain([event(Fault::KillAll, 2_000_000)])
                .collect(),
            seen: Seen::default(),
            counts: Counts { acknowledged: 12_345, ..Counts::default() },
            ledgers_identical: true,
            broken: Vec::new(),
        };
        report.sum_up();
        report
    }

    #[test]
    fn kinds_are_summed_up_by_nearest_rank() {
        let report = report();
        let [leader, all] = &report.faults[..] else { panic!("{:?}", report.faults) };
        assert_eq!((leader.fault, leader.times, all.times), (Fault::KillLeader, 100, 1));
        assert_eq!(leader.gap, Latency { p50_us: 50_000, p90_us: 90_000, p99_us: 99_000, max_us: 100_000 });
        assert_eq!(leader.stages.unwrap().election.max_us, 50_000);
        assert_eq!((leader.seen.total(), leader.seen.connection_errors), (100, 200));
        assert!(all.stages.is_none());
    }

    #[test]
    fn a_rolling_restart_must_not_be_seen() {
        let mut report = report();
        report.add(event(Fault::KillAll, 1000));
        assert!(report.is_clean());
        report.add(event(Fault::RollingRestart, 1000));
        assert_eq!(report.broken, ["shoppers saw a rolling restart: 1 × order: 503"]);
    }

    #[test]
    fn the_text_says_whether_promises_were_kept() {
        let mut report = report();
        let text = report.to_string();
        assert!(text.contains("kill-leader               100      50.0      90.0      99.0     100.0"), "{text}");
        assert!(text.ends_with("every promise was kept"), "{text}");
        report.broken.push("I1: an order is lost".into());
        let text = report.to_string();
        assert!(
            text.contains("BROKEN: I1: an order is lost\n") && text.ends_with("THE STORE BROKE ITS WORD"),
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
