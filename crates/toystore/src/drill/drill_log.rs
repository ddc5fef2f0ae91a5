//! The log of a drill: the log lines of all members in one file, and the stages of a failover that
//! they show.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use history::Moment;
use serde::Serialize;
use workload::RunClock;

use super::ack_monitor::{AckMonitor, microseconds};
use crate::local::LogSink;

/// Collects the log lines of all members. Cheap to clone.
#[derive(Clone)]
pub(super) struct DrillLog {
    clock: RunClock,
    state: Arc<Mutex<DrillLogState>>,
}

struct DrillLogState {
    file: BufWriter<File>,
    markers: [String; 3],
    /// When each stage began.
    stages: [Option<Moment>; 3],
}

/// Parts of the log lines that mark the stages of a failover of the order group, in their order.
/// The first is logged by a frontend, the others by the new leader.
fn stage_markers() -> [String; 3] {
    let event = |kind| format!(" kind=\"{kind}\"");
    let election = format!("{} group={}", event("election_started"), order::GROUP);
    [election, event("taking_over"), event("takes_orders")]
}

/// The duration of each stage of one failover, in microseconds. A line counts when it arrives here,
/// so each value is off by about 0.1 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stages {
    /// From the fault to the first order that the new leader acknowledges: the sum of the other
    /// fields.
    pub fail_over_us: u64,
    /// From the fault until a frontend starts an election.
    pub detection_us: u64,
    /// Until a replica is elected.
    pub election_us: u64,
    /// Until it accepts orders.
    pub take_over_us: u64,
    /// Until the first order is acknowledged.
    pub first_order_us: u64,
}

impl DrillLog {
    /// Creates the file, or truncates it.
    pub(super) fn begin(path: &Path, clock: RunClock) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        Ok(Self {
            clock,
            state: Arc::new(Mutex::new(DrillLogState { file, markers: stage_markers(), stages: [None; 3] })),
        })
    }

    /// The sink for the members' log lines.
    pub(super) fn sink(&self) -> LogSink {
        let log = self.clone();
        Arc::new(move |member, line| {
            let now = log.clock.now();
            let mut state = log.state();
            state.look_for_stages(now, line);
            // A full disk must not stop the drill.
            let _ = writeln!(state.file, "{now:>16} {:>10} | {line}", member.to_string());
        })
    }

    /// Adds a line of the drill itself, and flushes the file: this process may be killed next.
    pub(super) fn note(&self, line: &str) {
        let now = self.clock.now();
        let mut state = self.state();
        let _ = writeln!(state.file, "{now:>16} {:>10} | {line}", "drill");
        let _ = state.file.flush();
    }

    /// Forgets the stages seen so far, and looks for those of the next failover.
    pub(super) fn forget_stages(&self) {
        self.state().stages = Default::default();
    }

    /// The stages of the failover since `fault`, if all of them were seen.
    pub(super) fn stages(&self, fault: Moment, acks: &AckMonitor) -> Option<Stages> {
        let [Some(election), Some(leads), Some(serves)] = self.state().stages else { return None };
        let order = acks.first_after(serves)?;
        (fault <= election).then(|| Stages {
            fail_over_us: microseconds(fault, order),
            detection_us: microseconds(fault, election),
            election_us: microseconds(election, leads),
            take_over_us: microseconds(leads, serves),
            first_order_us: microseconds(serves, order),
        })
    }

    fn state(&self) -> MutexGuard<'_, DrillLogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DrillLogState {
    fn look_for_stages(&mut self, now: Moment, line: &str) {
        for (index, marker) in self.markers.iter().enumerate() {
            // A stage only counts after the one before it, which ignores late lines of an earlier
            // term.
            let due = index == 0 || self.stages[index - 1].is_some();
            if due && self.stages[index].is_none() && line.contains(marker) {
                self.stages[index] = Some(now);
            }
        }
    }
}
