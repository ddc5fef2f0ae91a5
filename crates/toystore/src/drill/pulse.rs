//! When orders were acknowledged, and for how long none was.

use std::sync::{Mutex, MutexGuard, PoisonError};

use history::Moment;
use tokio::time::Instant;

/// The drill's one clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> Moment {
        Moment::after(self.0.elapsed())
    }
}

/// From one moment to a later one.
pub(super) fn microseconds(from: Moment, to: Moment) -> u64 {
    to.0.saturating_sub(from.0) / 1000
}

/// A time in which no order was acknowledged.
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

/// The longest gaps around one fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    /// Of those that began while the fault lasted; it may have ended later.
    pub(super) during: Gap,
    /// Of those that began after the fault's end.
    pub(super) after: Gap,
}

/// A fail-over is over long before so many orders are acknowledged.
const BEATS_MAX: usize = 20_000;

/// Hears of every acknowledgement.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Moment,
    healed: Option<Moment>,
    longest: Gaps,
    /// Since the fault; the first [`BEATS_MAX`].
    beats: Vec<Moment>,
    /// By frontend.
    acknowledged: Vec<u64>,
}

impl Pulse {
    pub(super) fn new(frontends: usize) -> Self {
        Self(Mutex::new(State { acknowledged: vec![0; frontends], ..State::default() }))
    }

    /// An order was acknowledged through one of the frontends.
    pub(super) fn beat(&self, at: Moment, frontend: usize) {
        let mut state = self.lock();
        state.extend(at);
        state.acknowledged[frontend] += 1;
        if state.beats.len() < BEATS_MAX {
            state.beats.push(at);
        }
    }

    /// From now on a new longest gap is looked for. It begins here at the earliest, whenever the last acknowledgement was.
    pub(super) fn listen(&self, from: Moment) {
        let mut state = self.lock();
        state.last = state.last.max(from);
        state.healed = None;
        state.beats.clear();
        state.longest = Gaps::default();
    }

    /// The fault is over.
    pub(super) fn healed(&self, at: Moment) {
        self.lock().healed = Some(at);
    }

    /// The longest gaps since [`Pulse::listen`]; one that still lasts counts up to `now`.
    pub(super) fn gaps(&self, now: Moment) -> Gaps {
        let mut state = self.lock();
        let still = Gap { from: state.last, to: state.last.max(now) };
        state.note(still);
        state.longest
    }

    /// The first acknowledgement after `moment`, since [`Pulse::listen`].
    pub(super) fn first_after(&self, moment: Moment) -> Option<Moment> {
        self.lock().beats.iter().copied().filter(|at| *at > moment).min()
    }

    /// Acknowledged orders so far, by frontend.
    pub(super) fn acknowledged(&self) -> Vec<u64> {
        self.lock().acknowledged.clone()
    }

    /// Acknowledged orders so far.
    pub(super) fn total(&self) -> u64 {
        self.lock().acknowledged.iter().sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn extend(&mut self, at: Moment) {
        // Two shoppers may tell of their answers in the other order.
        if at > self.last {
            self.note(Gap { from: self.last, to: at });
            self.last = at;
        }
    }

    fn note(&mut self, gap: Gap) {
        let Gaps { during, after } = &mut self.longest;
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
        let pulse = Pulse::new(2);
        pulse.beat(Moment(10), 0);
        pulse.listen(Moment(50));
        assert_eq!(pulse.gaps(Moment(55)).during, gap(50, 55));
        for at in [60, 58, 90, 95] {
            pulse.beat(Moment(at), 1);
        }
        assert_eq!(pulse.gaps(Moment(99)).during, gap(60, 90));
        assert_eq!((pulse.acknowledged(), pulse.total()), (vec![1, 4], 5));
        assert_eq!((pulse.first_after(Moment(60)), pulse.first_after(Moment(95))), (Some(Moment(90)), None));

        pulse.healed(Moment(100));
        pulse.beat(Moment(130), 0);
        assert_eq!(
            pulse.gaps(Moment(140)),
            Gaps { during: gap(95, 130), after: gap(130, 140) },
            "it began before the end"
        );

        pulse.listen(Moment(150));
        assert_eq!(pulse.gaps(Moment(200)), Gaps { during: gap(150, 200), after: Gap::default() });
    }
}
