//! Outcomes that were not measured, for tests.

use std::time::Duration;

use super::outcome::{End, Kind, Outcome, Timing};

/// So many requests of that kind were done, each in so long; others were silent for so long.
pub(crate) fn outcome(
    kind: Kind,
    done: &[(u64, Duration)],
    silent: &[(u64, Duration)],
    unsent: u64,
    measured: Duration,
) -> Outcome {
    let mut outcome = Outcome { measured, unsent, ..Outcome::default() };
    for (end, requests) in [(End::Done, done), (End::Silent, silent)] {
        for (count, took) in requests {
            let timing = Timing { since_due: *took, since_sent: *took };
            (0..*count).for_each(|_| outcome.of_mut(kind).count(end, timing));
        }
    }
    outcome
}
