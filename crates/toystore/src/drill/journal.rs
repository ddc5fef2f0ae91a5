//! What the members log, in one file; and the stages of a fail-over, as their lines tell them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use history::Moment;
use serde::Serialize;

use super::pulse::{Clock, Pulse, microseconds};
use crate::local::LogSink;

/// Takes every member's lines. Cheap to clone.
#[derive(Clone)]
pub(super) struct Journal {
    clock: Clock,
    pages: Arc<Mutex<Pages>>,
}

struct Pages {
    file: BufWriter<File>,
    seen: [Option<Moment>; STAGES.len()],
}

/// Lines that mark the stages of a fail-over of the order group, in their order.
const STAGES: [&str; 3] = [" election group=\"order\"", " leads; taking over ", " takes orders "];

/// How long the stages of one fail-over took, in microseconds. A line counts when it arrives here: each is off by some 0.1 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stages {
    /// From the fault to the first order that the new leader acknowledged: the sum of the rest.
    pub fail_over_us: u64,
    /// From the fault until a frontend begins an election.
    pub detection_us: u64,
    /// Until a replica leads.
    pub election_us: u64,
    /// Until it takes orders.
    pub take_over_us: u64,
    /// Until the first order is acknowledged.
    pub first_order_us: u64,
}

impl Journal {
    /// Begins the file anew.
    pub(super) fn begin(path: &Path, clock: Clock) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        Ok(Self { clock, pages: Arc::new(Mutex::new(Pages { file, seen: [None; STAGES.len()] })) })
    }

    /// Where members' lines go.
    pub(super) fn sink(&self) -> LogSink {
        let journal = self.clone();
        Arc::new(move |member, line| {
            let now = journal.clock.now();
            let mut pages = journal.pages();
            pages.look_for_stages(now, line);
            // A full disk must not stop the drill.
            let _ = writeln!(pages.file, "{now:>16} {:>10} | {line}", member.to_string());
        })
    }

    /// A line of the drill's own. What is there so far is written out: the process may be killed next.
    pub(super) fn note(&self, line: &str) {
        let now = self.clock.now();
        let mut pages = self.pages();
        let _ = writeln!(pages.file, "{now:>16} {:>10} | {line}", "drill");
        let _ = pages.file.flush();
    }

    /// From now on the stages of a new fail-over are looked for.
    pub(super) fn watch(&self) {
        self.pages().seen = Default::default();
    }

    /// The stages of the fail-over since `fault`, if all of them were seen; `pulse` knows when orders were acknowledged.
    pub(super) fn stages(&self, fault: Moment, pulse: &Pulse) -> Option<Stages> {
        let [Some(election), Some(leads), Some(serves)] = self.pages().seen else { return None };
        let order = pulse.first_after(serves)?;
        (fault <= election).then(|| Stages {
            fail_over_us: microseconds(fault, order),
            detection_us: microseconds(fault, election),
            election_us: microseconds(election, leads),
            take_over_us: microseconds(leads, serves),
            first_order_us: microseconds(serves, order),
        })
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn look_for_stages(&mut self, now: Moment, line: &str) {
        for (index, stage) in STAGES.iter().enumerate() {
            // Each stage after the one before: what is left of an earlier term does not count.
            let due = index == 0 || self.seen[index - 1].is_some();
            if due && self.seen[index].is_none() && line.contains(stage) {
                self.seen[index] = Some(now);
            }
        }
    }
}
