//! The schedule of faults: which fault comes when, and how long it lasts, drawn from a seed.
//!
//! The seed determines order, victims and durations. The effects are not reproducible: they depend
//! on processes, disks and the scheduler of the machine. For reproducible runs use `toystore
//! simulate`.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::fault::Fault;

/// A fault to inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScheduledFault {
    pub(super) fault: Fault,
    /// Time without a fault before it.
    pub(super) pause: Duration,
    /// Time from injecting to healing it.
    pub(super) hold: Duration,
    /// Selects the victim among the candidates: an index modulo their number.
    pub(super) victim: usize,
}

/// An infinite sequence of rounds. Each round has every kind of fault once, in random order by
/// default.
#[derive(Debug)]
pub(super) struct FaultSchedule {
    faults: Vec<Fault>,
    /// How long every fault is held that is held at all; drawn for each if there is none.
    hold: Option<Duration>,
    random: Xoshiro256PlusPlus,
    is_shuffled: bool,
    round: Vec<ScheduledFault>,
}

impl FaultSchedule {
    /// A schedule in random order.
    ///
    /// # Panics
    /// If `faults` is empty.
    pub(super) fn new(faults: &[Fault], hold: Option<Duration>, seed: u64) -> Self {
        assert!(!faults.is_empty(), "a drill needs a fault");
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self { faults: faults.to_vec(), hold, random, is_shuffled: true, round: Vec::new() }
    }

    /// Keeps the order in which the faults were given.
    pub(super) fn in_order(self) -> Self {
        Self { is_shuffled: false, ..self }
    }

    /// The number of faults in a round.
    pub(super) fn round_len(&self) -> usize {
        self.faults.len()
    }
}

impl Iterator for FaultSchedule {
    type Item = ScheduledFault;

    fn next(&mut self) -> Option<ScheduledFault> {
        if self.round.is_empty() {
            let mut faults = self.faults.clone();
            if self.is_shuffled {
                faults.shuffle(&mut self.random);
            } else {
                // Faults are taken from the end.
                faults.reverse();
            }
            let random = &mut self.random;
            let mut between = |range: (u64, u64)| Duration::from_millis(random.random_range(range.0..=range.1));
            // Every fault draws the same number of random values, whatever its kind.
            let timed = faults.into_iter().map(|fault| (fault, between(PAUSE_MS), between(hold_ms(fault))));
            let timed: Vec<_> = timed.collect();
            let with_victim = |(fault, pause, drawn)| ScheduledFault {
                fault,
                pause,
                hold: self.hold.filter(|_| hold_ms(fault) != AT_ONCE).unwrap_or(drawn),
                victim: self.random.random_range(0..VICTIMS),
            };
            self.round = timed.into_iter().map(with_victim).collect();
        }
        self.round.pop()
    }
}

/// Long enough for the load to become steady again.
const PAUSE_MS: (u64, u64) = (100, 500);

/// A multiple of every possible number of candidates.
const VICTIMS: usize = 60;

/// Healed as soon as it was injected.
const AT_ONCE: (u64, u64) = (0, 0);

/// How long a fault is held, from … to, in milliseconds.
fn hold_ms(fault: Fault) -> (u64, u64) {
    match fault {
        // About as long as a supervisor takes to restart a process.
        Fault::KillLeader | Fault::KillFollower | Fault::WipeFollower => (200, 1000),
        // Longer than the cache lease of the dead frontend.
        Fault::KillFrontend => (500, 2000),
        Fault::KillCatalog | Fault::KillAll | Fault::RollingRestart => AT_ONCE,
        // Around the store's deadline of 5 s: some requests outlive the fault, some do not.
        Fault::PauseLeader => (1500, 6000),
        Fault::SlowDisk => (2000, 4000),
        Fault::FullDisk => (1000, 3000),
        fault => {
            assert!(fault.is_partition(), "{fault} has no duration");
            (1000, 5000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(seed: u64) -> Vec<ScheduledFault> {
        FaultSchedule::new(Fault::ALL, None, seed).take(3 * Fault::ALL.len()).collect()
    }

    #[test]
    fn a_seed_determines_the_schedule() {
        assert_eq!(schedule(7), schedule(7));
        assert_ne!(schedule(7), schedule(8));
    }

    #[test]
    fn a_given_time_applies_to_all_faults_that_are_held() {
        let hold = Duration::from_millis(700);
        for scheduled in FaultSchedule::new(Fault::ALL, Some(hold), 7).take(Fault::ALL.len()) {
            let at_once = matches!(scheduled.fault, Fault::KillCatalog | Fault::KillAll | Fault::RollingRestart);
            assert_eq!(scheduled.hold, if at_once { Duration::ZERO } else { hold }, "{}", scheduled.fault);
        }
    }

    #[test]
    fn a_round_has_every_fault_once() {
        let schedule = schedule(7);
        let mut orders = Vec::new();
        for round in schedule.chunks(Fault::ALL.len()) {
            let mut faults: Vec<_> = round.iter().map(|it| it.fault).collect();
            orders.push(faults.clone());
            faults.sort_unstable();
            assert_eq!(faults, Fault::ALL);
        }
        assert_ne!(orders[0], orders[1]);
        let in_order: Vec<_> =
            FaultSchedule::new(Fault::ALL, None, 7).in_order().map(|it| it.fault).take(orders[0].len()).collect();
        assert_eq!(in_order, Fault::ALL);
    }
}
