//! Reads the events of all processes while the drill runs, and makes of them the timeline of each
//! fault and the stages of each failover.
//!
//! A fault is completed when the one after it has recovered, or at the end of the drill: by then
//! its events have arrived, and nothing has waited for them.

use std::time::Duration;

use store_console::EventRecorder;

use super::fault_timeline::{FaultTimeline, InjectedFaultSpan};
use super::report::DrillReport;
use super::stages::Stages;
use crate::local::LocalStore;

/// The processes answer, and a follower tries to reach them several times a second.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(3);

/// The processes have stopped. Their last events are on their way.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Records the events around faults.
pub(super) struct FaultRecorder {
    events: EventRecorder,
    /// The last fault: its index in the report.
    last: Option<(usize, InjectedFaultSpan)>,
}

impl FaultRecorder {
    /// Starts to read the events of all members.
    pub(super) fn start(store: &LocalStore) -> Self {
        let events = EventRecorder::start(&store.layout().process_addresses(), store.json_client().clone());
        Self { events, last: None }
    }

    /// Takes the fault that the report had last, and completes the one before it.
    pub(super) fn recovered(&mut self, span: InjectedFaultSpan, report: &mut DrillReport) {
        self.complete_last(report);
        self.last = Some((report.events.len() - 1, span));
    }

    /// Waits until all processes are being read, so that those that were started last are, too.
    pub(super) async fn before_stop(&self) {
        // What is missing after that is told in the timeline.
        self.events.all_followed(FOLLOW_TIMEOUT).await;
    }

    /// Completes the last fault, after the processes have stopped.
    pub(super) async fn finish(mut self, report: &mut DrillReport) {
        self.events.all_ended(END_TIMEOUT).await;
        self.complete_last(report);
    }

    fn complete_last(&mut self, report: &mut DrillReport) {
        let Some((index, span)) = self.last.take() else { return };
        let (from_us, to_us) = span.period_us();
        let recorded = self.events.between(from_us, to_us);
        let acks_us = span.acks.iter().map(|at| span.wall_us(*at));
        report.events[index].stages = Stages::of(&recorded.events, span.injected_us, acks_us);
        report.add_timeline(index, || FaultTimeline::of(&span, recorded));
    }
}
