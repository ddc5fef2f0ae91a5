//! Statistics of the requests: outcomes and latencies.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::OrderNumber;
use hdrhistogram::Histogram;
use history::{Moment, OrderCall, OrderOutcome};
use serde::Serialize;

use super::schedule::Stage;
use crate::attempt_log::AttemptLog;
use crate::latency::Latency;
use crate::verification::acknowledged_numbers;

/// One hour: longer than any request timeout. Longer latencies are recorded as this value.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Significant digits of latencies.
const LATENCY_DIGITS: u8 = 3;

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadRequestKind {
    /// Reads a product.
    Query,
    /// Orders one piece.
    Order,
}

impl LoadRequestKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Query, Self::Order];

    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Order => "order",
        }
    }
}

impl fmt::Display for LoadRequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

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
    fn record(&mut self, timing: RequestTiming) {
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
        let Self { done, sold_out, refused, with_retry_after, other, timed_out, connection_errors, waited } = added;
        self.done.merge(done);
        self.sold_out += sold_out;
        self.refused.merge(refused);
        self.with_retry_after += with_retry_after;
        self.other += other;
        self.timed_out += timed_out;
        self.connection_errors += connection_errors;
        self.waited.merge(waited);
    }
}

/// Statistics of a stage, of an interval, or of a whole load.
#[derive(Clone, Debug, Default)]
pub struct LoadStats {
    /// Product reads.
    pub queries: RequestStats,
    /// Orders of one piece.
    pub orders: RequestStats,
    /// The time that the statistics cover.
    pub measured: Duration,
    /// Visits that were due, but not begun before the end of the load, because no connection was
    /// free.
    pub unsent: u64,
}

impl LoadStats {
    /// The statistics of one kind.
    pub fn of(&self, kind: LoadRequestKind) -> &RequestStats {
        match kind {
            LoadRequestKind::Query => &self.queries,
            LoadRequestKind::Order => &self.orders,
        }
    }

    /// The statistics of one kind, to add to them.
    pub fn of_mut(&mut self, kind: LoadRequestKind) -> &mut RequestStats {
        match kind {
            LoadRequestKind::Query => &mut self.queries,
            LoadRequestKind::Order => &mut self.orders,
        }
    }

    /// The statistics of both kinds together.
    pub fn both(&self) -> RequestStats {
        let mut both = self.queries.clone();
        both.merge(&self.orders);
        both
    }

    /// Requests that were sent.
    pub fn sent(&self) -> u64 {
        self.queries.sent() + self.orders.sent()
    }

    /// Converts a count to a rate per second of the measured time.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn per_second(&self, count: u64) -> f64 {
        if self.measured.is_zero() { 0.0 } else { count as f64 / self.measured.as_secs_f64() }
    }

    /// Adds other statistics: their requests and their time.
    pub fn merge(&mut self, other: &Self) {
        self.queries.merge(&other.queries);
        self.orders.merge(&other.orders);
        self.measured += other.measured;
        self.unsent += other.unsent;
    }
}

/// One second of a load.
#[derive(Clone, Debug)]
pub struct LoadInterval {
    /// From the start of the load to the start of this interval.
    pub begin: Duration,
    /// The stage that was active at its start.
    pub stage: usize,
    /// The wanted rate of visits in the middle of the interval; `None` in a closed loop.
    pub wanted_per_s: Option<f64>,
    /// The requests that were *answered* (or given up) in it.
    pub stats: LoadStats,
}

/// The result of a load.
#[derive(Debug)]
pub struct LoadResult {
    /// The stages, with the statistics of what was due in each. A stage that was not reached is
    /// empty.
    pub stages: Vec<(Stage, LoadStats)>,
    /// The recorded attempts to place orders.
    pub(super) orders: Vec<OrderCall>,
    /// Records the attempts of the verification, too.
    pub(super) log: Arc<AttemptLog>,
}

impl LoadResult {
    /// The numbers of the acknowledged orders, without those after the first million attempts.
    pub fn order_numbers(&self) -> BTreeSet<OrderNumber> {
        acknowledged_numbers(&self.orders)
    }

    /// The longest time without an acknowledged order, from the start of the load to its end.
    /// `None` if no order was sent, or if there were too many to record all of them.
    pub fn longest_ack_gap(&self) -> Option<Duration> {
        if self.orders.is_empty() || self.log.dropped() > 0 {
            return None;
        }
        let end = Moment::after(self.stages.iter().map(|(_, stats)| stats.measured).sum());
        let acknowledged = self.orders.iter().filter(|call| matches!(call.outcome, OrderOutcome::Acknowledged(_)));
        let mut moments: Vec<_> = acknowledged.filter_map(|call| call.returned).chain([Moment::default(), end]).collect();
        moments.sort_unstable();
        moments.windows(2).map(|pair| Duration::from_nanos(pair[1].0 - pair[0].0)).max()
    }

    /// The statistics of the stages that count.
    pub fn counted(&self) -> LoadStats {
        let mut counted = LoadStats::default();
        self.stages.iter().filter(|(stage, _)| stage.counted).for_each(|(_, stats)| counted.merge(stats));
        counted
    }
}
