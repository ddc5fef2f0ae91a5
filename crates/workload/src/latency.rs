//! Percentiles of a latency.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latency percentiles in microseconds: the median, the 90th and the 99th percentile, and the
/// maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the line above describes all four")]
pub struct Latency {
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

impl Latency {
    /// The names of [`values_us`](Self::values_us).
    pub const NAMES: [&str; 4] = ["p50", "p90", "p99", "max"];

    /// All values, in microseconds.
    pub fn values_us(&self) -> [u64; 4] {
        [self.p50_us, self.p90_us, self.p99_us, self.max_us]
    }

    /// The percentiles of a histogram in microseconds; all 0 if it is empty.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self { p50_us: at(0.5), p90_us: at(0.9), p99_us: at(0.99), max_us: histogram.max() }
    }
}
