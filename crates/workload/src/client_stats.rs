//! The statistics of clients that repeat requests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::StoreClientError;
use crate::request::RequestKind;
use crate::retrying_client::ClientObserver;
use crate::stats::{LoadStats, RequestOutcome, RequestTiming};

/// As many failures as a person reads in a report.
const FAILURES_MAX: usize = 20;

/// Counts the requests of all clients of a run. A latency runs from the first attempt to the
/// response, including the pauses between attempts: it is the time that a shopper waited.
#[derive(Debug, Default)]
pub struct ClientStats(Mutex<ClientCounts>);

#[derive(Debug, Default)]
struct ClientCounts {
    stats: LoadStats,
    failures: Vec<String>,
}

impl ClientStats {
    /// What was counted so far.
    pub fn so_far(&self) -> LoadStats {
        self.lock().stats.clone()
    }

    /// The number of requests of that kind that have ended so far.
    pub fn finished(&self, kind: RequestKind) -> u64 {
        self.lock().stats.of(kind).sent()
    }

    /// The errors of the first 20 requests that failed.
    pub fn failures(&self) -> Vec<String> {
        self.lock().failures.clone()
    }

    fn lock(&self) -> MutexGuard<'_, ClientCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientObserver for ClientStats {
    fn ended(
        &self,
        kind: RequestKind,
        attempts: u32,
        latency: Duration,
        result: Result<RequestOutcome, &StoreClientError>,
    ) {
        let ClientCounts { stats, failures } = &mut *self.lock();
        let requests = stats.of_mut(kind);
        requests.retries += u64::from(attempts - 1);
        requests.count(result.unwrap_or_else(RequestOutcome::of_error), RequestTiming::since_sent(latency));
        if let Err(error) = result
            && failures.len() < FAILURES_MAX
        {
            failures.push(format!("{kind}: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_once_with_its_retries() {
        let (stats, lost) = (ClientStats::default(), StoreClientError::ConnectionLost("reset".into()));
        for ms in 1..=100 {
            let outcome = if ms > 90 { RequestOutcome::SoldOut } else { RequestOutcome::Done };
            stats.ended(RequestKind::Order, 1, Duration::from_millis(ms), Ok(outcome));
        }
        for _ in 0..30 {
            stats.ended(RequestKind::Order, 2, Duration::from_secs(9), Err(&lost));
        }
        let counted = stats.so_far();
        let orders = counted.of(RequestKind::Order);
        assert_eq!((orders.done.count(), orders.sold_out, orders.connection_errors, orders.retries), (100, 10, 30, 30));
        assert_eq!([RequestKind::Order, RequestKind::Query].map(|kind| stats.finished(kind)), [130, 0]);
        // Three significant digits: at most 0.1 % off.
        let latency = orders.done.since_due();
        for (found, us) in [(latency.p50_us, 50_000), (latency.p99_us, 99_000), (latency.max_us, 100_000)] {
            assert!(found.abs_diff(us) <= us / 1000, "{found} for {us}");
        }
        assert_eq!(stats.failures(), ["order: the connection was lost: reset"; 20]);
    }
}
