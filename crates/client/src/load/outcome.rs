//! What became of the requests.

use std::fmt;
use std::time::Duration;

use api::OrderNumber;
use hdrhistogram::Histogram;
use history::OrderOutcome;
use serde::Serialize;

use super::book::Slip;
use super::schedule::Stage;
use crate::Latency;

/// An hour: longer than any request is waited for. What is longer counts as this.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// A latency is known to three significant digits.
const LATENCY_DIGITS: u8 = 3;

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A product.
    Query,
    /// An order of one piece.
    Order,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Query, Self::Order];

    /// As reports call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Order => "order",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// 200, or "out of stock": the store did its work.
    Done,
    /// The same, and it was the latter.
    SoldOut,
    /// 503, 507 or 429: refused for now, perhaps with the word when to come again.
    Refused { told_when: bool },
    /// Any other status.
    Other,
    /// No answer in time.
    Silent,
    /// No connection, or it broke.
    Broken,
}

/// How long requests of one sort took, in microseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    since_due: Histogram<u64>,
    since_sent: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        // Grows with the longest latency, to some 250 KB for a minute.
        let histogram = || Histogram::new(LATENCY_DIGITS).expect("three digits are possible");
        Self { since_due: histogram(), since_sent: histogram() }
    }
}

impl Latencies {
    fn record(&mut self, timing: Timing) {
        let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).clamp(1, LATENCY_US_MAX);
        for (histogram, latency) in [(&mut self.since_due, timing.since_due), (&mut self.since_sent, timing.since_sent)]
        {
            histogram.record(us(latency)).expect("it grows as needed");
        }
    }

    /// Takes in those of another.
    fn absorb(&mut self, other: &Self) {
        self.since_due.add(&other.since_due).expect("it grows as needed");
        self.since_sent.add(&other.since_sent).expect("it grows as needed");
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

    /// All of those since the request was due, in microseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.since_due
    }

    /// All of those since it was sent, in microseconds.
    pub fn histogram_since_sent(&self) -> &Histogram<u64> {
        &self.since_sent
    }
}

fn quantiles(histogram: &Histogram<u64>) -> Latency {
    let at = |quantile| histogram.value_at_quantile(quantile);
    Latency { p50_us: at(0.5), p90_us: at(0.9), p99_us: at(0.99), max_us: histogram.max() }
}

/// How long one request took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) since_due: Duration,
    pub(super) since_sent: Duration,
}

/// What became of the requests of one kind.
#[derive(Clone, Debug, Default)]
pub struct KindOutcome {
    /// Done: 200, or an order that was told that nothing is left.
    pub done: Latencies,
    /// Those of the done that were told so (409, `out_of_stock`).
    pub sold_out: u64,
    /// Refused for now: 503, 507 or 429.
    pub refused: Latencies,
    /// Those of the refused that were told when to come again (`Retry-After`).
    pub told_when: u64,
    /// Any other status.
    pub other: u64,
    /// Not answered in time. The time that they were waited for is in [`waited`](Self::waited).
    pub silent: u64,
    /// The connection could not be opened, or it broke.
    pub broken: u64,
    /// What a shopper has waited for: that of the done, and of the silent until they were given up. Without the latter a store could hide a
    /// stall by not answering at all.
    pub waited: Latencies,
}

impl KindOutcome {
    /// Requests that were sent.
    pub fn sent(&self) -> u64 {
        self.done.count() + self.failed()
    }

    /// Requests that were sent and not done.
    pub fn failed(&self) -> u64 {
        self.refused.count() + self.other + self.silent + self.broken
    }

    pub(super) fn count(&mut self, end: End, timing: Timing) {
        match end {
            End::Done | End::SoldOut => {
                self.done.record(timing);
                self.waited.record(timing);
                self.sold_out += u64::from(end == End::SoldOut);
            }
            End::Refused { told_when } => {
                self.refused.record(timing);
                self.told_when += u64::from(told_when);
            }
            End::Other => self.other += 1,
            End::Silent => {
                self.waited.record(timing);
                self.silent += 1;
            }
            End::Broken => self.broken += 1,
        }
    }

    /// Takes in another one.
    pub fn absorb(&mut self, other: &Self) {
        let Self { done, sold_out, refused, told_when, other: others, silent, broken, waited } = other;
        self.done.absorb(done);
        self.sold_out += sold_out;
        self.refused.absorb(refused);
        self.told_when += told_when;
        self.other += others;
        self.silent += silent;
        self.broken += broken;
        self.waited.absorb(waited);
    }
}

/// What became of the requests of a stage, of a second, or of all.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Asked for a product.
    pub queries: KindOutcome,
    /// Ordered one.
    pub orders: KindOutcome,
    /// How long it lasted.
    pub measured: Duration,
    /// Visits that were due, but not begun before the end of the load, for lack of a free connection.
    pub unsent: u64,
}

impl Outcome {
    /// What became of one kind.
    pub fn of(&self, kind: Kind) -> &KindOutcome {
        match kind {
            Kind::Query => &self.queries,
            Kind::Order => &self.orders,
        }
    }

    pub(super) fn of_mut(&mut self, kind: Kind) -> &mut KindOutcome {
        match kind {
            Kind::Query => &mut self.queries,
            Kind::Order => &mut self.orders,
        }
    }

    /// Both kinds together.
    pub fn both(&self) -> KindOutcome {
        let mut both = self.queries.clone();
        both.absorb(&self.orders);
        both
    }

    /// Requests that were sent.
    pub fn sent(&self) -> u64 {
        self.queries.sent() + self.orders.sent()
    }

    /// So many per second of what was counted.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people; counts are far below 2^53")]
    pub fn per_second(&self, count: u64) -> f64 {
        if self.measured.is_zero() { 0.0 } else { count as f64 / self.measured.as_secs_f64() }
    }

    /// Takes in another one, requests and time.
    pub fn absorb(&mut self, other: &Self) {
        self.queries.absorb(&other.queries);
        self.orders.absorb(&other.orders);
        self.measured += other.measured;
        self.unsent += other.unsent;
    }
}

/// One second of a load.
#[derive(Clone, Debug)]
pub struct Second {
    /// From the begin of the load to that of this second.
    pub begin: Duration,
    /// Which stage was on at its begin.
    pub stage: usize,
    /// The rate of visits that was wanted in its middle; `None` in a closed loop.
    pub wanted_per_s: Option<f64>,
    /// What was *answered* (or given up) in it.
    pub outcome: Outcome,
}

/// A load that is over.
#[derive(Debug)]
pub struct Loaded {
    /// What was due in each stage. A stage that was not reached is empty.
    pub stages: Vec<(Stage, Outcome)>,
    /// Each attempt at an order that was written down.
    pub(crate) slips: Vec<Slip>,
    /// Attempts at orders for which there was no more room.
    pub(crate) slips_missed: u64,
    /// The moment that slips count from.
    pub(crate) begin: tokio::time::Instant,
}

impl Loaded {
    /// The number of each order that was acknowledged, but for those beyond the first million attempts.
    pub fn order_numbers(&self) -> impl Iterator<Item = OrderNumber> {
        self.slips.iter().filter_map(|slip| match slip.outcome {
            OrderOutcome::Acknowledged(number) => Some(number),
            OrderOutcome::Refused(_) | OrderOutcome::Unknown => None,
        })
    }

    /// What was due in the stages that count.
    pub fn counted(&self) -> Outcome {
        let mut counted = Outcome::default();
        self.stages.iter().filter(|(stage, _)| stage.counted).for_each(|(_, outcome)| counted.absorb(outcome));
        counted
    }
}
