//! Request statistics, by kind of request, shared by all shoppers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use workload::{ClientObserver, Latency, RequestKind, StoreClientError};

/// Longer than any request takes by default: three attempts of 6 s and two pauses of 2 s. Longer
/// latencies are recorded as this value.
const LATENCY_US_MAX: u64 = 60_000_000;

/// Latencies have three significant digits, which takes 150 KB per kind of request.
const LATENCY_DIGITS: u8 = 3;

/// One kind of request over a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RequestSummary {
    /// The kind.
    pub kind: RequestKind,
    /// Requests that got a response.
    pub answered: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Requests that failed after all attempts.
    pub failed: u64,
    /// Responses per second of the phase, for all shoppers together.
    pub per_second: f64,
    /// From the first attempt to the response.
    pub latency: Latency,
}

/// A list that keeps its first items and counts the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CappedList<T> {
    /// The number of items, including those that are not listed.
    pub total: u64,
    /// The first items, at most [`CappedList::LISTED_MAX`].
    pub listed: Vec<T>,
}

impl<T> CappedList<T> {
    /// As many as a person reads in a report.
    pub const LISTED_MAX: usize = 20;

    /// Counts one more item. `item` is called only if the item will be listed.
    pub(crate) fn push(&mut self, item: impl FnOnce() -> T) {
        self.total += 1;
        if self.listed.len() < Self::LISTED_MAX {
            self.listed.push(item());
        }
    }
}

impl<T> Default for CappedList<T> {
    fn default() -> Self {
        Self { total: 0, listed: Vec::new() }
    }
}

/// The statistics of all shoppers. Each lock is held for one increment.
#[derive(Debug)]
pub(crate) struct ShoppingStats {
    requests: [Mutex<RequestCounts>; RequestKind::ALL.len()],
    failures: Mutex<CappedList<String>>,
    sessions: AtomicU64,
    sold_out: AtomicU64,
}

#[derive(Debug)]
struct RequestCounts {
    latency_us: Histogram<u64>,
    retries: u64,
    failed: u64,
}

impl RequestCounts {
    fn none() -> Self {
        let latency_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, LATENCY_DIGITS).expect("the bounds are valid");
        Self { latency_us, retries: 0, failed: 0 }
    }
}

impl ClientObserver for ShoppingStats {
    fn ended(&self, kind: RequestKind, attempts: u32, result: Result<Duration, &StoreClientError>) {
        let mut requests = self.of(kind);
        requests.retries += u64::from(attempts - 1);
        match result {
            Ok(latency) => {
                requests.latency_us.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
            }
            Err(error) => {
                requests.failed += 1;
                self.failures.lock().expect("no holder panics").push(|| format!("{kind}: {error}"));
            }
        }
    }
}

impl ShoppingStats {
    pub(crate) fn new() -> Self {
        Self {
            requests: RequestKind::ALL.map(|_| Mutex::new(RequestCounts::none())),
            failures: Mutex::default(),
            sessions: AtomicU64::new(0),
            sold_out: AtomicU64::new(0),
        }
    }

    pub(crate) fn session_done(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sold_out(&self) {
        self.sold_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Finished sessions.
    pub(crate) fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Orders refused as out of stock.
    pub(crate) fn times_sold_out(&self) -> u64 {
        self.sold_out.load(Ordering::Relaxed)
    }

    /// Finished requests of that kind, whether answered or failed.
    pub(crate) fn finished(&self, kind: RequestKind) -> u64 {
        let requests = self.of(kind);
        requests.latency_us.len() + requests.failed
    }

    /// The errors of failed requests.
    pub(crate) fn failures(&self) -> CappedList<String> {
        self.failures.lock().expect("no holder panics").clone()
    }

    /// The summary of one kind over a phase of length `elapsed`; `None` if there was no such
    /// request.
    pub(crate) fn summary(&self, kind: RequestKind, elapsed: Duration) -> Option<RequestSummary> {
        let requests = self.of(kind);
        let histogram = &requests.latency_us;
        let latency = Latency::of(histogram);
        let answered = histogram.len();
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let per_second = if elapsed.is_zero() { 0.0 } else { answered as f64 / elapsed.as_secs_f64() };
        let (retries, failed) = (requests.retries, requests.failed);
        (answered + retries + failed > 0).then_some(RequestSummary {
            kind,
            answered,
            retries,
            failed,
            per_second,
            latency,
        })
    }

    fn of(&self, kind: RequestKind) -> MutexGuard<'_, RequestCounts> {
        self.requests[kind as usize].lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_rates() {
        let stats = ShoppingStats::new();
        for ms in 1..=100 {
            stats.ended(RequestKind::Query, 1, Ok(Duration::from_millis(ms)));
        }
        stats.ended(RequestKind::Query, 2, Err(&StoreClientError::ConnectionLost("reset".into())));
        let summary = stats.summary(RequestKind::Query, Duration::from_secs(4)).unwrap();
        assert_eq!((summary.answered, summary.retries, summary.failed), (100, 1, 1));
        assert!((summary.per_second - 25.0).abs() < f64::EPSILON);
        // Three significant digits: at most 0.1 % off.
        let expected =
            [(summary.latency.p50_us, 50_000), (summary.latency.p99_us, 99_000), (summary.latency.max_us, 100_000)];
        for (found, us) in expected {
            assert!(found.abs_diff(us) <= us / 1000, "{found} for {us}");
        }
        assert_eq!(stats.finished(RequestKind::Query), 101);
        assert_eq!(stats.summary(RequestKind::Order, Duration::from_secs(4)), None);
    }

    #[test]
    fn lists_are_bounded_but_counted() {
        let mut few = CappedList::default();
        (0..30).for_each(|n| few.push(|| n));
        assert_eq!((few.total, few.listed.len()), (30, CappedList::<i32>::LISTED_MAX));
        assert_eq!(few.listed[..2], [0, 1]);
    }
}
