//! Records when orders are acknowledged, and the longest gaps between acknowledgements.

use std::sync::{Mutex, MutexGuard, PoisonError};

use history::Moment;

/// A time span without an acknowledged order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) from: Moment,
    pub(super) to: Moment,
}

impl Gap {
    /// In microseconds.
    pub(super) fn length_us(self) -> u64 {
        microseconds(self.from, self.to)
    }
}

/// The time between two moments, in microseconds; 0 if `to` is the earlier one.
pub(super) fn microseconds(from: Moment, to: Moment) -> u64 {
    to.0.saturating_sub(from.0) / 1000
}

/// The longest gaps around one fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AckGaps {
    /// The longest gap that began during the fault; it may have ended later.
    pub(super) during: Gap,
    /// The longest gap that began after the fault was healed.
    pub(super) after: Gap,
}

impl AckGaps {
    /// The longer one.
    pub(super) fn longest(self) -> Gap {
        if self.after.length_us() > self.during.length_us() { self.after } else { self.during }
    }
}

/// Maximum number of acknowledgements kept. A failover ends long before.
const ACKS_MAX: usize = 20_000;

/// Records every acknowledgement of an order.
#[derive(Debug)]
pub(super) struct AckMonitor(Mutex<AckState>);

#[derive(Debug, Default)]
struct AckState {
    last: Moment,
    healed: Option<Moment>,
    longest: AckGaps,
    /// Acknowledgements since the fault; the first [`ACKS_MAX`].
    acks: Vec<Moment>,
    /// Acknowledged orders by frontend.
    acknowledged: Vec<u64>,
}

impl AckMonitor {
    pub(super) fn new(frontends: usize) -> Self {
        Self(Mutex::new(AckState { acknowledged: vec![0; frontends], ..AckState::default() }))
    }

    /// Records an order that was acknowledged through a frontend.
    pub(super) fn record(&self, at: Moment, frontend: usize) {
        let mut state = self.lock();
        state.extend(at);
        state.acknowledged[frontend] += 1;
        if state.acks.len() < ACKS_MAX {
            state.acks.push(at);
        }
    }

    /// Starts to measure a new longest gap. It begins at `from` at the earliest, even if the last
    /// acknowledgement was before.
    pub(super) fn watch_from(&self, from: Moment) {
        let mut state = self.lock();
        state.last = state.last.max(from);
        state.healed = None;
        state.acks.clear();
        state.longest = AckGaps::default();
    }

    /// Records that the fault was healed.
    pub(super) fn healed(&self, at: Moment) {
        self.lock().healed = Some(at);
    }

    /// The longest gaps since [`AckMonitor::watch_from`]; a gap that has not ended counts up to
    /// `now`.
    pub(super) fn gaps(&self, now: Moment) -> AckGaps {
        let mut state = self.lock();
        let still = Gap { from: state.last, to: state.last.max(now) };
        state.note(still);
        state.longest
    }

    /// The acknowledgements since [`AckMonitor::watch_from`], the first [`ACKS_MAX`] of them.
    pub(super) fn take_acks(&self) -> Vec<Moment> {
        std::mem::take(&mut self.lock().acks)
    }

    /// The number of acknowledged orders so far, by frontend.
    pub(super) fn acknowledged(&self) -> Vec<u64> {
        self.lock().acknowledged.clone()
    }

    /// The number of acknowledged orders so far.
    pub(super) fn total(&self) -> u64 {
        self.lock().acknowledged.iter().sum()
    }

    fn lock(&self) -> MutexGuard<'_, AckState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AckState {
    fn extend(&mut self, at: Moment) {
        // Concurrent shoppers may record their acknowledgements out of order.
        if at > self.last {
            self.note(Gap { from: self.last, to: at });
            self.last = at;
        }
    }

    fn note(&mut self, gap: Gap) {
        let AckGaps { during, after } = &mut self.longest;
        let longest = if self.healed.is_some_and(|healed| healed <= gap.from) { after } else { during };
        if gap.to.0 - gap.from.0 > longest.to.0 - longest.from.0 {
            *longest = gap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gaps_since_the_fault() {
        let gap = |from, to| Gap { from: Moment(from), to: Moment(to) };
        let acks = AckMonitor::new(2);
        acks.record(Moment(10), 0);
        acks.watch_from(Moment(50));
        assert_eq!(acks.gaps(Moment(55)).during, gap(50, 55));
        for at in [60, 58, 90, 95] {
            acks.record(Moment(at), 1);
        }
        assert_eq!(acks.gaps(Moment(99)).during, gap(60, 90));
        assert_eq!((acks.acknowledged(), acks.total()), (vec![1, 4], 5));
        assert_eq!((acks.take_acks(), acks.take_acks()), ([60, 58, 90, 95].map(Moment).to_vec(), vec![]));

        acks.healed(Moment(100));
        acks.record(Moment(130), 0);
        assert_eq!(
            acks.gaps(Moment(140)),
            AckGaps { during: gap(95, 130), after: gap(130, 140) },
            "it began before the end"
        );
        assert_eq!(acks.gaps(Moment(140)).longest(), gap(95, 130));

        acks.watch_from(Moment(150));
        assert_eq!(acks.gaps(Moment(200)), AckGaps { during: gap(150, 200), after: Gap::default() });
    }
}
