//! Which fault comes when, and how long it lasts: drawn from a seed.
//!
//! The seed decides on order, victims and durations. What happens then is real: processes, disks and the scheduler of the machine
//! have their own mind, so that one seed is one plan and not one history. (For that see the simulator.)

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::fault::Fault;

/// One fault to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) fault: Fault,
    /// Quiet before it.
    pub(super) pause: Duration,
    /// From the fault to its end.
    pub(super) hold: Duration,
    /// Whom it hits, among those that it can hit: an index into them, counted round.
    pub(super) victim: usize,
}

/// All rounds, without end: each has every kind of fault once, in an order of its own if nobody says otherwise.
#[derive(Debug)]
pub(super) struct Plan {
    faults: Vec<Fault>,
    random: Xoshiro256PlusPlus,
    is_shuffled: bool,
    round: Vec<Step>,
}

impl Plan {
    /// # Panics
    /// If there is no fault to choose from.
    pub(super) fn new(faults: &[Fault], seed: u64) -> Self {
        assert!(!faults.is_empty(), "a drill needs a fault");
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self { faults: faults.to_vec(), random, is_shuffled: true, round: Vec::new() }
    }

    /// The same, with each round's faults as they were given.
    pub(super) fn in_order(self) -> Self {
        Self { is_shuffled: false, ..self }
    }

    /// Steps in a round.
    pub(super) fn round_len(&self) -> usize {
        self.faults.len()
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.round.is_empty() {
            let mut faults = self.faults.clone();
            if self.is_shuffled {
                faults.shuffle(&mut self.random);
            } else {
                // Steps are taken from the end.
                faults.reverse();
            }
            let random = &mut self.random;
            let mut between = |range: (u64, u64)| Duration::from_millis(random.random_range(range.0..=range.1));
            // Every step draws the same number of values, whichever fault it is.
            let steps = faults.into_iter().map(|fault| (fault, between(PAUSE_MS), between(hold_ms(fault))));
            let steps: Vec<_> = steps.collect();
            let step = |(fault, pause, hold)| Step { fault, pause, hold, victim: self.random.random_range(0..VICTIMS) };
            self.round = steps.into_iter().map(step).collect();
        }
        self.round.pop()
    }
}

/// Long enough for the load to be steady again.
const PAUSE_MS: (u64, u64) = (100, 500);

/// Divisible by every number of candidates that there can be.
const VICTIMS: usize = 60;

/// How long a fault is left alone, from … to, in milliseconds.
fn hold_ms(fault: Fault) -> (u64, u64) {
    match fault {
        // Until the supervisor of a real store has started it again.
        Fault::KillLeader | Fault::KillFollower | Fault::WipeFollower => (200, 1000),
        // Past the lease of the dead frontend.
        Fault::KillFrontend => (500, 2000),
        Fault::KillCatalog | Fault::KillAll | Fault::RollingRestart => (0, 0),
        // Around the 5 s within which a shopper is answered: some requests outlive the fault, some do not.
        Fault::PauseLeader => (1500, 6000),
        Fault::PartitionLeader
        | Fault::PartitionFollower
        | Fault::PartitionMuteLeader
        | Fault::PartitionDeafLeader
        | Fault::PartitionCatalog
        | Fault::PartitionFrontend
        | Fault::PartitionDeafFrontend
        | Fault::PartitionMuteFrontend => (1000, 5000),
        Fault::SlowDisk => (2000, 4000),
        Fault::FullDisk => (1000, 3000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64) -> Vec<Step> {
        Plan::new(Fault::ALL, seed).take(3 * Fault::ALL.len()).collect()
    }

    #[test]
    fn one_seed_is_one_plan() {
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn a_round_has_every_fault_once() {
        let plan = plan(7);
        let mut orders = Vec::new();
        for round in plan.chunks(Fault::ALL.len()) {
            let mut faults: Vec<_> = round.iter().map(|step| step.fault).collect();
            orders.push(faults.clone());
            faults.sort_unstable();
            assert_eq!(faults, Fault::ALL);
        }
        assert_ne!(orders[0], orders[1]);
        let in_order: Vec<_> =
            Plan::new(Fault::ALL, 7).in_order().map(|step| step.fault).take(orders[0].len()).collect();
        assert_eq!(in_order, Fault::ALL);
    }
}
