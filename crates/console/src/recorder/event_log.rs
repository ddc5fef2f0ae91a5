//! What was read of each process. Pure.

use std::collections::VecDeque;

use api::Term;
use api::event::{Event, Recorded};

use super::recorded::{MissingEvents, ProcessEvent, RecordedEvents, WhyMissing};
use crate::follower::{Observation, Observed};
use crate::names::Names;
use crate::source::ProcessAddress;

/// The most events that are kept, and the most notes of missing ones. An event takes some hundred
/// bytes, so all of them take a few MiB.
const KEPT_MAX: usize = 16_384;

/// A process sends an event within some 20 ms. One that is this old was sent, unless the process
/// stood still.
const SENT_WITHIN_US: u64 = 100_000;

/// The newest events of some processes.
#[derive(Debug)]
pub(super) struct EventLog {
    names: Names,
    processes: Vec<Followed>,
    /// Events by the index of their process, as they arrived.
    kept: VecDeque<(usize, Recorded)>,
    missing: VecDeque<MissingEvents>,
    /// The newest event that is no longer kept.
    forgotten_us: Option<u64>,
}

#[derive(Debug)]
struct Followed {
    process: ProcessAddress,
    stream: EventStream,
    /// The newest event that was read, whether it is kept or not.
    newest_us: u64,
    /// Events that are missing before the next one.
    missed: u64,
    /// The last term in which it placed a batch.
    placed_in: Option<Term>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EventStream {
    NotYet,
    Open,
    /// Since this time.
    Closed(u64),
}

impl EventLog {
    pub(super) fn new(processes: &[ProcessAddress]) -> Self {
        let followed = |process: &ProcessAddress| Followed {
            process: process.clone(),
            stream: EventStream::NotYet,
            newest_us: 0,
            missed: 0,
            placed_in: None,
        };
        Self {
            names: Names::of(processes),
            processes: processes.iter().map(followed).collect(),
            kept: VecDeque::new(),
            missing: VecDeque::new(),
            forgotten_us: None,
        }
    }

    /// Takes what a follower has seen.
    pub(super) fn observe(&mut self, Observed { process, what }: Observed, now_us: u64) {
        let Some(index) = self.processes.iter().position(|it| *it.process.name == *process) else { return };
        let followed = &mut self.processes[index];
        match what {
            Observation::Opened { restarted } => {
                let before = std::mem::replace(&mut followed.stream, EventStream::Open);
                if restarted {
                    let until_us = if let EventStream::Closed(at_us) = before { at_us } else { now_us };
                    let missing = followed.missing(until_us, WhyMissing::Ended);
                    self.note(missing);
                }
            }
            // It is also reported when the process is still not there.
            Observation::Closed => {
                if followed.stream == EventStream::Open {
                    followed.stream = EventStream::Closed(now_us);
                }
            }
            Observation::Missed(missed) => followed.missed += missed,
            Observation::Event { recorded, .. } => self.event(index, recorded),
            Observation::Polled(_) | Observation::Scraped(_) => {}
        }
    }

    fn event(&mut self, index: usize, recorded: Recorded) {
        let followed = &mut self.processes[index];
        let missing = match std::mem::take(&mut followed.missed) {
            0 => None,
            missed => Some(followed.missing(recorded.at_us, WhyMissing::Overrun(missed))),
        };
        followed.newest_us = followed.newest_us.max(recorded.at_us);
        let is_first_batch = match &recorded.event {
            Event::BatchPlaced { term, .. } => followed.placed_in.replace(*term) != Some(*term),
            _ => false,
        };
        if recorded.event.is_notable() || is_first_batch {
            if self.kept.len() == KEPT_MAX
                && let Some((_, forgotten)) = self.kept.pop_front()
            {
                self.forgotten_us = self.forgotten_us.max(Some(forgotten.at_us));
            }
            self.kept.push_back((index, recorded));
        }
        if let Some(missing) = missing {
            self.note(missing);
        }
    }

    fn note(&mut self, missing: MissingEvents) {
        if self.missing.len() == KEPT_MAX {
            self.missing.pop_front();
        }
        self.missing.push_back(missing);
    }

    /// What happened in this period, as far as it was read.
    pub(super) fn between(&self, from_us: u64, to_us: u64) -> RecordedEvents {
        let period = from_us..=to_us;
        let mut found: Vec<_> = self.kept.iter().filter(|(_, it)| period.contains(&it.at_us)).collect();
        found.sort_by_key(|(_, it)| it.at_us);
        let event = |(index, recorded): &(usize, Recorded)| {
            let ProcessAddress { name, service, .. } = &self.processes[*index].process;
            let (at_us, event) = (recorded.at_us, recorded.event.clone());
            ProcessEvent { at_us, process: name.clone(), text: self.names.sentence(name, *service, &event), event }
        };
        let noted = self.missing.iter().filter(|it| it.may_be_within(from_us, to_us)).cloned();
        let unreached = self.processes.iter().filter_map(|it| it.unreached(to_us));
        let forgotten = self.forgotten_us.filter(|at_us| *at_us >= from_us).into_iter().flat_map(|until_us| {
            let missing = move |it: &Followed| MissingEvents {
                process: it.process.name.clone(),
                after_us: 0,
                until_us,
                why: WhyMissing::Forgotten,
            };
            self.processes.iter().map(missing)
        });
        RecordedEvents {
            events: found.into_iter().map(event).collect(),
            missing: noted.chain(unreached).chain(forgotten).collect(),
        }
    }

    pub(super) fn is_following_all(&self) -> bool {
        self.processes.iter().all(|it| it.stream == EventStream::Open)
    }

    pub(super) fn is_following_none(&self) -> bool {
        self.processes.iter().all(|it| it.stream != EventStream::Open)
    }
}

impl MissingEvents {
    /// Whether they may have happened in this period.
    fn may_be_within(&self, from_us: u64, to_us: u64) -> bool {
        let earliest_us = match self.why {
            WhyMissing::Ended => self.after_us.max(self.until_us.saturating_sub(SENT_WITHIN_US)),
            _ => self.after_us,
        };
        earliest_us <= to_us && self.until_us >= from_us
    }
}

impl Followed {
    fn missing(&self, until_us: u64, why: WhyMissing) -> MissingEvents {
        MissingEvents { process: self.process.name.clone(), after_us: self.newest_us, until_us, why }
    }

    /// What is missing before `to_us` because the process is not being followed any more, or yet.
    fn unreached(&self, to_us: u64) -> Option<MissingEvents> {
        let is_unreached = match self.stream {
            EventStream::NotYet => true,
            EventStream::Open => false,
            EventStream::Closed(at_us) => at_us < to_us,
        };
        is_unreached.then(|| self.missing(to_us, WhyMissing::Unreached))
    }
}

#[cfg(test)]
mod tests;
