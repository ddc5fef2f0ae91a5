//! What became of the requests.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::connection::{Answer, NoAnswer};
use crate::Latency;

/// Longer than any request is waited for. What is longer counts as this.
const LATENCY_US_MAX: u64 = 60_000_000;

/// Three significant digits.
const LATENCY_DIGITS: u8 = 3;

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A product.
    Query,
    /// An order of one piece.
    Order,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Query, Self::Order];
}

/// How long answers of one sort took.
#[derive(Clone, Debug)]
pub struct Latencies {
    since_due: Histogram<u64>,
    since_sent: Histogram<u64>,
}

impl Latencies {
    fn none() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_US_MAX, LATENCY_DIGITS).expect("the bounds are valid");
        Self { since_due: histogram(), since_sent: histogram() }
    }

    fn record(&mut self, due: Instant, sent: Instant) {
        let us = |since: Instant| u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.since_due.saturating_record(us(due));
        self.since_sent.saturating_record(us(sent));
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.since_due.len()
    }

    /// From when the request was due.
    pub fn since_due(&self) -> Latency {
        quantiles(&self.since_due)
    }

    /// From when it was sent: without the wait for a free connection.
    pub fn since_sent(&self) -> Latency {
        quantiles(&self.since_sent)
    }
}

fn quantiles(histogram: &Histogram<u64>) -> Latency {
    let at = |quantile| histogram.value_at_quantile(quantile);
    Latency { p50_us: at(0.5), p90_us: at(0.9), p99_us: at(0.99), max_us: histogram.max() }
}

/// What became of the requests of one kind.
#[derive(Clone, Debug)]
pub struct KindOutcome {
    /// Done: 200.
    pub done: Latencies,
    /// Refused for now: 503.
    pub refused: Latencies,
    /// Those of the refused that were told when to come again (`Retry-After`).
    pub told_when: u64,
    /// Any other status.
    pub other: u64,
    /// Not answered in time.
    pub silent: u64,
    /// The connection broke.
    pub broken: u64,
}

impl KindOutcome {
    fn none() -> Self {
        Self { done: Latencies::none(), refused: Latencies::none(), told_when: 0, other: 0, silent: 0, broken: 0 }
    }

    /// Requests that were sent.
    pub fn sent(&self) -> u64 {
        self.done.count() + self.refused.count() + self.other + self.silent + self.broken
    }
}

/// What became of a load.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Asked for a product.
    pub queries: KindOutcome,
    /// Ordered one.
    pub orders: KindOutcome,
    /// How long was counted.
    pub measured: Duration,
    /// Due, but not sent before the end, for lack of a free connection.
    pub unsent: u64,
}

impl Outcome {
    pub(super) fn new(measured: Duration) -> Self {
        Self { queries: KindOutcome::none(), orders: KindOutcome::none(), measured, unsent: 0 }
    }

    /// What became of one kind.
    pub fn of(&self, kind: Kind) -> &KindOutcome {
        match kind {
            Kind::Query => &self.queries,
            Kind::Order => &self.orders,
        }
    }

    /// Requests that were sent.
    pub fn sent(&self) -> u64 {
        self.queries.sent() + self.orders.sent()
    }

    /// So many per second of what was counted.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people; counts are far below 2^53")]
    pub fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.measured.as_secs_f64()
    }

    pub(super) fn count(&mut self, kind: Kind, answer: Result<Answer, NoAnswer>, due: Instant, sent: Instant) {
        let of_kind = match kind {
            Kind::Query => &mut self.queries,
            Kind::Order => &mut self.orders,
        };
        match answer {
            Ok(Answer { status: 200, .. }) => of_kind.done.record(due, sent),
            Ok(Answer { status: 503, retry_after }) => {
                of_kind.refused.record(due, sent);
                of_kind.told_when += u64::from(retry_after);
            }
            Ok(Answer { .. }) => of_kind.other += 1,
            Err(NoAnswer::Silent) => of_kind.silent += 1,
            Err(NoAnswer::Broken(error)) => {
                tracing::debug!(%error, "a connection broke");
                of_kind.broken += 1;
            }
        }
    }
}
