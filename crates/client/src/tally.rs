//! What happened, counted: per kind of request, shared by all shoppers.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::StoreError;

/// Longer than the longest that a request can take: three tries of 6 s and two pauses of 2 s. What is longer counts as this.
const LATENCY_US_MAX: u64 = 60_000_000;

/// A latency is known to three significant digits, which takes 150 KB per kind of request.
const LATENCY_DIGITS: u8 = 3;

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// A product.
    Query,
    /// An order to be placed.
    Order,
    /// An acknowledged order sent again with its key.
    Repeat,
    /// An acknowledged order fetched.
    Check,
}

impl RequestKind {
    /// Every kind, in the order of a run.
    pub const ALL: [Self; 4] = [Self::Query, Self::Order, Self::Repeat, Self::Check];

    /// As reports call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Order => "order",
            Self::Repeat => "repeat",
            Self::Check => "check",
        }
    }
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How long answers took, in microseconds: half, 90 %, 99 % of them at most so long, and the longest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the line above tells all four")]
pub struct Latency {
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

/// One kind of request over a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RequestSummary {
    /// Which kind.
    pub kind: RequestKind,
    /// Requests that got an answer.
    pub answered: u64,
    /// Tries beyond the first.
    pub retries: u64,
    /// Requests that failed for good.
    pub failed: u64,
    /// Answers per second of their phase, by all shoppers.
    pub per_second: f64,
    /// From the first try to the answer.
    pub latency: Latency,
}

/// The first few of something, and how many there were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirstFew<T> {
    /// How many in all.
    pub total: u64,
    /// The first ones, at most [`FirstFew::LISTED_MAX`].
    pub listed: Vec<T>,
}

impl<T> FirstFew<T> {
    /// As many as a person reads.
    pub const LISTED_MAX: usize = 20;

    /// Counts one more; it is made only if it will be listed.
    pub(crate) fn push(&mut self, one: impl FnOnce() -> T) {
        self.total += 1;
        if self.listed.len() < Self::LISTED_MAX {
            self.listed.push(one());
        }
    }

    /// Takes in those of another list.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.total += other.total;
        self.listed.extend(other.listed.into_iter().take(Self::LISTED_MAX - self.listed.len()));
    }
}

impl<T> Default for FirstFew<T> {
    fn default() -> Self {
        Self { total: 0, listed: Vec::new() }
    }
}

/// The counts of all shoppers. A lock is held for one increment.
#[derive(Debug)]
pub(crate) struct Tally {
    requests: [Mutex<Requests>; RequestKind::ALL.len()],
    failures: Mutex<FirstFew<String>>,
    sessions: AtomicU64,
    sold_out: AtomicU64,
}

#[derive(Debug)]
struct Requests {
    latency_us: Histogram<u64>,
    retries: u64,
    failed: u64,
}

impl Requests {
    fn none() -> Self {
        let latency_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, LATENCY_DIGITS).expect("the bounds are valid");
        Self { latency_us, retries: 0, failed: 0 }
    }
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            requests: RequestKind::ALL.map(|_| Mutex::new(Requests::none())),
            failures: Mutex::default(),
            sessions: AtomicU64::new(0),
            sold_out: AtomicU64::new(0),
        }
    }

    pub(crate) fn answered(&self, kind: RequestKind, latency: Duration) {
        self.of(kind).latency_us.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn retried(&self, kind: RequestKind) {
        self.of(kind).retries += 1;
    }

    pub(crate) fn failed(&self, kind: RequestKind, error: &StoreError) {
        self.of(kind).failed += 1;
        self.failures.lock().expect("no holder panics").push(|| format!("{kind}: {error}"));
    }

    pub(crate) fn session_done(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sold_out(&self) {
        self.sold_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Sessions that are through.
    pub(crate) fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Orders that came too late.
    pub(crate) fn times_sold_out(&self) -> u64 {
        self.sold_out.load(Ordering::Relaxed)
    }

    /// Requests of that kind that are over, whether answered or failed for good.
    pub(crate) fn finished(&self, kind: RequestKind) -> u64 {
        let requests = self.of(kind);
        requests.latency_us.len() + requests.failed
    }

    /// What failed for good.
    pub(crate) fn failures(&self) -> FirstFew<String> {
        self.failures.lock().expect("no holder panics").clone()
    }

    /// One kind's numbers over a phase of `elapsed`; `None` if there was no such request.
    pub(crate) fn summary(&self, kind: RequestKind, elapsed: Duration) -> Option<RequestSummary> {
        let requests = self.of(kind);
        let histogram = &requests.latency_us;
        let latency = Latency {
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            max_us: histogram.max(),
        };
        let answered = histogram.len();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people; counts are far below 2^53")]
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

    fn of(&self, kind: RequestKind) -> MutexGuard<'_, Requests> {
        self.requests[kind as usize].lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_rates() {
        let tally = Tally::new();
        for ms in 1..=100 {
            tally.answered(RequestKind::Query, Duration::from_millis(ms));
        }
        tally.retried(RequestKind::Query);
        tally.failed(RequestKind::Query, &StoreError::Broken("reset".into()));
        let summary = tally.summary(RequestKind::Query, Duration::from_secs(4)).unwrap();
        assert_eq!((summary.answered, summary.retries, summary.failed), (100, 1, 1));
        assert!((summary.per_second - 25.0).abs() < f64::EPSILON);
        // Three digits: at most 0.1 % off.
        let expected =
            [(summary.latency.p50_us, 50_000), (summary.latency.p99_us, 99_000), (summary.latency.max_us, 100_000)];
        for (found, us) in expected {
            assert!(found.abs_diff(us) <= us / 1000, "{found} for {us}");
        }
        assert_eq!(tally.finished(RequestKind::Query), 101);
        assert_eq!(tally.summary(RequestKind::Order, Duration::from_secs(4)), None);
    }

    #[test]
    fn lists_are_bounded_but_counted() {
        let mut few = FirstFew::default();
        (0..30).for_each(|n| few.push(|| n));
        let mut all = FirstFew::default();
        all.push(|| -1);
        all.absorb(few);
        assert_eq!((all.total, all.listed.len()), (31, FirstFew::<i32>::LISTED_MAX));
        assert_eq!(all.listed[..3], [-1, 0, 1]);
    }
}
