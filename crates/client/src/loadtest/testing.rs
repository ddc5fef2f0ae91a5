//! Made-up statistics, for tests.

use std::time::Duration;

use workload::{LoadStats, RequestKind, RequestOutcome, RequestTiming};

/// Statistics of one kind of request: counts and latencies of the served requests, and of those
/// that timed out.
pub(crate) fn stats(
    kind: RequestKind,
    done: &[(u64, Duration)],
    timed_out: &[(u64, Duration)],
    unsent: u64,
    measured: Duration,
) -> LoadStats {
    let mut stats = LoadStats { measured, unsent, ..LoadStats::default() };
    for (outcome, requests) in [(RequestOutcome::Done, done), (RequestOutcome::TimedOut, timed_out)] {
        for (count, took) in requests {
            let timing = RequestTiming { since_due: *took, since_sent: *took };
            (0..*count).for_each(|_| stats.of_mut(kind).count(outcome, timing));
        }
    }
    stats
}
