//! Describes the report of a drill.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use ::report::{Cell, Document, Table, count, number};
use history::Counts;
use workload::Latency;

use super::fault::Fault;
use super::fault_timeline::{BEFORE_US, FaultTimeline, in_ms, signed_ms};
use super::report::{DrillReport, FaultEvent, STAGES, TIMELINES_PER_KIND};
use super::timeline_figure;

impl Display for DrillReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.document().fmt(f)
    }
}

impl DrillReport {
    /// The report for a terminal.
    fn document(&self) -> Document {
        let Self { seed, shoppers, events, .. } = self;
        let seconds = number(Duration::from_millis(self.elapsed_ms).as_secs_f64());
        let mut page =
            Document::new(format!("{} faults in {seconds} s, seed {seed}, {shoppers} writers", events.len()));
        page.conclude(self.checks.result(), self.verdict(), &self.checks);
        let faults = Table::of(&self.faults).text("fault", |it| it.fault).number("times", |it| it.times);
        let faults = faults.ms(["gap p50", "p90", "p99", "max"], |it| it.gap.values_us());
        let faults = faults.ms(["healing max", "recovered p50", "max"], |it| {
            [it.healing_gap.max_us, it.recovered_after.p50_us, it.recovered_after.max_us]
        });
        page.table(faults.number("errors", |it| it.errors.total()));
        let latencies = Table::of(self.latencies()).text("", |(what, _)| what.clone());
        page.table(latencies.ms(Latency::NAMES, |(_, latency)| latency.values_us()));
        page.facts("", self.facts());
        page
    }

    /// The report for a page: as for a terminal, and the timelines of faults.
    pub(super) fn page(&self) -> Document {
        let mut page = self.document();
        page.heading("What the processes did");
        timelines(&mut page, self);
        page
    }

    /// The latency of orders, and the stages of the failovers if leaders were killed.
    fn latencies(&self) -> Vec<(String, Latency)> {
        let leader = self.faults.iter().find(|summary| summary.fault == Fault::KillLeader);
        let stages = leader
            .and_then(|it| it.stages.as_ref())
            .into_iter()
            .flat_map(|summary| STAGES.map(|(name, stage, _)| (format!("kill-leader: {stage}"), summary[name])));
        std::iter::once(("orders, including outages".to_owned(), self.order_latency)).chain(stages).collect()
    }

    /// What the checkers counted, and the errors that shoppers saw.
    pub(crate) fn facts(&self) -> Vec<(String, Cell)> {
        let Counts { acknowledged, lost, duplicated, product_reads, stale_reads, leaked_pieces, restocks, .. } =
            self.counts;
        let identical = self.ledgers_identical.map_or("not all could be read", |same| if same { "yes" } else { "NO" });
        let facts: [(&str, Cell); 8] = [
            ("acknowledged orders", acknowledged.into()),
            ("… lost", lost.into()),
            ("… duplicated", duplicated.into()),
            ("product reads", product_reads.into()),
            ("… stale", stale_reads.into()),
            ("pieces of stock leaked", leaked_pieces.into()),
            ("restocks", restocks.into()),
            ("ledgers identical", identical.into()),
        ];
        let errors = self.errors.by_kind.iter().map(|(what, count)| (format!("errors, {what}"), (*count).into()));
        let broken = count(self.errors.connection_errors);
        let broken = format!("{broken} (shoppers continue with the other frontend)").into();
        let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(errors);
        facts.chain([("broken connections".to_owned(), broken)]).collect()
    }
}

/// Adds the timelines of faults, by kind, and those with the longest gaps first.
pub(crate) fn timelines(page: &mut Document, report: &DrillReport) {
    let mut shown: Vec<_> = (1..)
        .zip(&report.events)
        .filter_map(|(n, event): (usize, _)| Some((n, event, event.timeline.as_ref()?)))
        .collect();
    shown.sort_by_key(|(_, event, _)| (event.fault, std::cmp::Reverse(event.gap_us)));
    page.text(format!(
        "Of the faults of each kind, the {TIMELINES_PER_KIND} with the longest gaps have a timeline: {} of {} faults. It begins {} ms before the fault and \
         ends when the store had recovered. Times are in ms after the fault, by the machine's clock.",
        shown.len(),
        report.events.len(),
        BEFORE_US / 1000
    ));
    for kind in shown.chunk_by(|(_, one, _), (_, other, _)| one.fault == other.fault) {
        for (rank, (n, event, timeline)) in (1..).zip(kind) {
            let name = format!("{}-{rank}", event.fault);
            page.details(summary(*n, event), |part| fill(part, &name, event, timeline));
        }
    }
}

fn summary(n: usize, FaultEvent { fault, victims, gap_us, recovered_after_ms, .. }: &FaultEvent) -> String {
    let gap = in_ms(*gap_us);
    let recovered = count(*recovered_after_ms);
    format!("{fault}: {victims} (fault {n}): no order for {gap} ms, recovered {recovered} ms after the fault ended")
}

fn fill(part: &mut Document, name: &str, event: &FaultEvent, timeline: &FaultTimeline) {
    let FaultEvent { fault, victims, .. } = event;
    let title = format!("{fault}: {victims}");
    if let Some(closer) = timeline_figure::around_the_gap(timeline, format!("{title}, around the gap")) {
        let description = "Around the time without an acknowledged order. The table below has the same as sentences.";
        part.figure(&format!("{name}-gap"), description, closer);
    }
    let description = "From the fault until the store had recovered. The table below has the same as sentences.";
    part.figure(name, description, timeline_figure::whole(timeline, title));
    part.table(
        Table::of(&timeline.entries)
            .number("ms", |it| signed_ms(it.at_us))
            .prose("what happened", |it| it.text.clone()),
    );
    for sentence in timeline.left_out_sentence().iter().chain(&timeline.missing) {
        part.text(sentence.clone());
    }
}

#[cfg(test)]
mod tests;
