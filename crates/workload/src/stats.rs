//! Statistics of requests: outcomes and latencies.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::error::StoreClientError;
use crate::latency::Latency;
use crate::request::RequestKind;

/// One hour: longer than any request timeout. Longer latencies are recorded as this value.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Significant digits of latencies.
const LATENCY_DIGITS: u8 = 3;

/// The outcome of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// 200: the store served the request.
    Done,
    /// 409 "out of stock": the store served the request, too.
    SoldOut,
    /// 503, 507 or 429: refused for now, with or without a `Retry-After` header.
    Refused {
        /// Whether the response had that header.
        with_retry_after: bool,
    },
    /// Any other status.
    Other,
    /// No response in time.
    TimedOut,
    /// The connection could not be opened, or was lost.
    ConnectionError,
}

impl RequestOutcome {
    /// The outcome of a request that failed with this error.
    pub fn of_error(error: &StoreClientError) -> Self {
        match error {
            StoreClientError::Unavailable { status: 429 | 503 | 507, .. } => Self::Refused { with_retry_after: false },
            StoreClientError::Unavailable { .. }
            | StoreClientError::Refused(_)
            | StoreClientError::InvalidResponse(_) => Self::Other,
            StoreClientError::Timeout(_) => Self::TimedOut,
            StoreClientError::Unreachable(_) | StoreClientError::ConnectionLost(_) => Self::ConnectionError,
        }
    }
}

/// Latencies of requests, in microseconds.
#[derive(Clone, Debug)]
pub struct LatencyHistograms {
    since_due: Histogram<u64>,
    since_sent: Histogram<u64>,
}

impl Default for LatencyHistograms {
    fn default() -> Self {
        // Grows with the longest latency, to about 250 KB for one minute.
        let histogram = || Histogram::new(LATENCY_DIGITS).expect("three digits are possible");
        Self { since_due: histogram(), since_sent: histogram() }
    }
}

impl LatencyHistograms {
    /// Adds the latency of one request.
    pub fn record(&mut self, timing: RequestTiming) {
        let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).clamp(1, LATENCY_US_MAX);
        for (histogram, latency) in [(&mut self.since_due, timing.since_due), (&mut self.since_sent, timing.since_sent)]
        {
            histogram.record(us(latency)).expect("it grows as needed");
        }
    }

    /// Adds other latencies.
    fn merge(&mut self, other: &Self) {
        self.since_due.add(&other.since_due).expect("it grows as needed");
        self.since_sent.add(&other.since_sent).expect("it grows as needed");
    }

    /// The number of latencies.
    pub fn count(&self) -> u64 {
        self.since_due.len()
    }

    /// Percentiles, from when a request was due.
    pub fn since_due(&self) -> Latency {
        Latency::of(&self.since_due)
    }

    /// Percentiles, from when a request was sent: without the wait for a free connection.
    pub fn since_sent(&self) -> Latency {
        Latency::of(&self.since_sent)
    }

    /// The histogram from when requests were due, in microseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.since_due
    }

    /// The histogram from when requests were sent, in microseconds.
    pub fn histogram_since_sent(&self) -> &Histogram<u64> {
        &self.since_sent
    }
}

/// The latency of one request.
#[derive(Clone, Copy, Debug)]
pub struct RequestTiming {
    /// From when it was due.
    pub since_due: Duration,
    /// From when it was sent.
    pub since_sent: Duration,
}

impl RequestTiming {
    /// That of a request that was due when it was sent.
    pub fn since_sent(latency: Duration) -> Self {
        Self { since_due: latency, since_sent: latency }
    }
}

/// Statistics of the requests of one kind.
#[derive(Clone, Debug, Default)]
pub struct RequestStats {
    /// Served: status 200, or 409 `out_of_stock`.
    pub done: LatencyHistograms,
    /// The served requests that were answered with 409 `out_of_stock`.
    pub sold_out: u64,
    /// Refused for now: 503, 507 or 429.
    pub refused: LatencyHistograms,
    /// The refused requests whose response had a `Retry-After` header.
    pub with_retry_after: u64,
    /// Any other status.
    pub other: u64,
    /// No response in time. [`waited`](Self::waited) contains the time that they were waited for.
    pub timed_out: u64,
    /// The connection could not be opened, or was lost.
    pub connection_errors: u64,
    /// The time that a shopper waited: the latencies of the served requests, and of those that
    /// timed out the time until the timeout. Without the latter, a store could hide a stall by not
    /// answering at all.
    pub waited: LatencyHistograms,
    /// Attempts after the first, of clients that repeat requests. A request counts once above,
    /// however often it was attempted.
    pub retries: u64,
}

impl RequestStats {
    /// Requests that were sent.
    pub fn sent(&self) -> u64 {
        self.done.count() + self.failed()
    }

    /// Requests that were sent, but not served.
    pub fn failed(&self) -> u64 {
        self.refused.count() + self.other + self.timed_out + self.connection_errors
    }

    /// Counts a request.
    pub fn count(&mut self, outcome: RequestOutcome, timing: RequestTiming) {
        match outcome {
            RequestOutcome::Done | RequestOutcome::SoldOut => {
                self.done.record(timing);
                self.waited.record(timing);
                self.sold_out += u64::from(outcome == RequestOutcome::SoldOut);
            }
            RequestOutcome::Refused { with_retry_after } => {
                self.refused.record(timing);
                self.with_retry_after += u64::from(with_retry_after);
            }
            RequestOutcome::Other => self.other += 1,
            RequestOutcome::TimedOut => {
                self.waited.record(timing);
                self.timed_out += 1;
            }
            RequestOutcome::ConnectionError => self.connection_errors += 1,
        }
    }

    /// Adds other statistics.
    pub fn merge(&mut self, added: &Self) {
        let Self { done, sold_out, refused, with_retry_after, other, timed_out, connection_errors, waited, retries } =
            added;
        self.done.merge(done);
        self.sold_out += sold_out;
        self.refused.merge(refused);
        self.with_retry_after += with_retry_after;
        self.other += other;
        self.timed_out += timed_out;
        self.connection_errors += connection_errors;
        self.waited.merge(waited);
        self.retries += retries;
    }
}

/// Statistics of a stage, of an interval, or of a whole load.
#[derive(Clone, Debug, Default)]
pub struct LoadStats {
    /// By kind; without those of which there was no request.
    pub requests: BTreeMap<RequestKind, RequestStats>,
    /// The time that the statistics cover.
    pub measured: Duration,
    /// Visits that were due, but not begun before the end of the load, because no connection was
    /// free.
    pub unsent: u64,
}

impl LoadStats {
    /// The statistics of one kind.
    pub fn of(&self, kind: RequestKind) -> &RequestStats {
        static NONE: LazyLock<RequestStats> = LazyLock::new(RequestStats::default);
        self.requests.get(&kind).unwrap_or(&NONE)
    }

    /// The statistics of one kind, to add to them.
    pub fn of_mut(&mut self, kind: RequestKind) -> &mut RequestStats {
        self.requests.entry(kind).or_default()
    }

    /// The statistics of all kinds together.
    pub fn all(&self) -> RequestStats {
        let mut all = RequestStats::default();
        self.requests.values().for_each(|stats| all.merge(stats));
        all
    }

    /// Requests that were sent.
    pub fn sent(&self) -> u64 {
        self.requests.values().map(RequestStats::sent).sum()
    }

    /// Converts a count to a rate per second of the measured time.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn per_second(&self, count: u64) -> f64 {
        if self.measured.is_zero() { 0.0 } else { count as f64 / self.measured.as_secs_f64() }
    }

    /// Adds other statistics: their requests and their time.
    pub fn merge(&mut self, other: &Self) {
        for (kind, stats) in &other.requests {
            self.of_mut(*kind).merge(stats);
        }
        self.measured += other.measured;
        self.unsent += other.unsent;
    }
}
