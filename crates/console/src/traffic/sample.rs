//! The counters of one frontend at one moment.

use service::metrics::{MetricLine, lines};

/// The histogram of requests.
const REQUESTS: &str = "toystore_http_request_duration_seconds";

/// What a frontend has counted since it was started, and what waits in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Orders that were placed.
    pub(crate) orders: Latencies,
    /// Products and lists of products.
    pub(crate) reads: Latencies,
    /// Responses with a status of 500 or higher.
    failed: u64,
    /// Orders with a status from 400 to 498.
    rejected: u64,
    /// Requests that were refused because too many were in flight. Their status is 503.
    refused: u64,
    /// Orders and reads.
    pub(super) waits: [Waits; 2],
    hits: u64,
    /// Products and lists that the cache did not have, or may not serve.
    pub(crate) misses: u64,
}

/// Requests of one kind, as far as they wait for the services behind a frontend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) in_flight: u64,
    /// How many have been answered, or given up by their clients.
    pub(super) ended: u64,
}

/// A histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Latencies {
    /// Upper bounds in seconds, and how many values are not greater.
    buckets: Vec<(f64, u64)>,
    pub(crate) count: u64,
    sum_s: f64,
}

impl Sample {
    /// Reads the counters from the text of `/metrics`.
    pub(crate) fn read(text: &str) -> Self {
        let mut sample = Self::default();
        for line in lines(text) {
            match line.name.strip_prefix(REQUESTS) {
                Some(suffix) if line.label("port") == Some("public") => sample.add_request(&line, suffix),
                Some(_) => {}
                None => sample.add_counter(&line),
            }
        }
        sample
    }

    fn add_counter(&mut self, line: &MetricLine<'_>) {
        let [orders, reads] = &mut self.waits;
        let counter = match line.name {
            "toystore_cache_hits_total" | "toystore_cache_list_hits_total" => &mut self.hits,
            "toystore_cache_misses_total" | "toystore_cache_list_misses_total" => &mut self.misses,
            "toystore_frontend_refused_total" => &mut self.refused,
            "toystore_frontend_in_flight_requests" => match line.label("kind") {
                Some("order") => &mut orders.in_flight,
                // Single products and lists.
                _ => &mut reads.in_flight,
            },
            _ => return,
        };
        *counter += line.count();
    }

    fn add_request(&mut self, line: &MetricLine<'_>, suffix: &str) {
        let [route, method, status] = ["route", "method", "status"].map(|name| line.label(name).unwrap_or_default());
        if suffix == "_count" {
            let [orders, reads] = &mut self.waits;
            let waits = if (route, method) == ("/orders", "POST") { orders } else { reads };
            waits.ended += line.count();
            match status.as_bytes().first() {
                Some(b'5') => self.failed += line.count(),
                Some(b'4') if status != "499" && (route, method) == ("/orders", "POST") => {
                    self.rejected += line.count();
                }
                _ => {}
            }
        }
        let latencies = match (route, method, status) {
            ("/orders", "POST", "200") => &mut self.orders,
            ("/products" | "/products/{name}", "GET", "200" | "404") => &mut self.reads,
            _ => return,
        };
        match suffix {
            "_count" => latencies.count += line.count(),
            "_sum" => latencies.sum_s += line.value,
            "_bucket" => {
                let le = line.label("le").and_then(|le| le.parse().ok()).unwrap_or(f64::INFINITY);
                latencies.add_bucket(le, line.count());
            }
            _ => {}
        }
    }

    /// What happened since the sample `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let total = |sample: &Self| sample.orders.count + sample.reads.count + sample.failed + sample.hits;
        if total(self) < total(before) {
            return self.clone();
        }
        Self {
            orders: self.orders.since(&before.orders),
            reads: self.reads.since(&before.reads),
            failed: self.failed.saturating_sub(before.failed),
            rejected: self.rejected.saturating_sub(before.rejected),
            refused: self.refused.saturating_sub(before.refused),
            waits: self.waits,
            hits: self.hits.saturating_sub(before.hits),
            misses: self.misses.saturating_sub(before.misses),
        }
    }

    /// Adds what another frontend has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.orders.add(&other.orders);
        self.reads.add(&other.reads);
        self.failed += other.failed;
        self.rejected += other.rejected;
        self.refused += other.refused;
        for (waits, other) in self.waits.iter_mut().zip(other.waits) {
            waits.in_flight += other.in_flight;
        }
        self.hits += other.hits;
        self.misses += other.misses;
    }

    /// Requests that failed because of the store.
    pub(crate) fn errors(&self) -> u64 {
        self.failed.saturating_sub(self.refused)
    }

    /// Orders that got no number, and requests that were refused because there were too many.
    pub(crate) fn refusals(&self) -> u64 {
        self.rejected + self.refused
    }

    /// Requests that wait for the services behind the frontend.
    pub(crate) fn in_flight(&self) -> u64 {
        self.waits.iter().map(|waits| waits.in_flight).sum()
    }

    /// The share of lookups that the cache answered.
    pub(crate) fn hit_ratio(&self) -> Option<f64> {
        let lookups = self.hits + self.misses;
        (lookups > 0).then(|| float(self.hits) / float(lookups))
    }
}

impl Latencies {
    fn add_bucket(&mut self, le: f64, count: u64) {
        match self.buckets.iter_mut().find(|(bound, _)| bound.total_cmp(&le).is_eq()) {
            Some((_, known)) => *known += count,
            None => self.buckets.push((le, count)),
        }
    }

    fn since(&self, before: &Self) -> Self {
        let known = |le: f64| {
            before.buckets.iter().find(|(bound, _)| bound.total_cmp(&le).is_eq()).map_or(0, |(_, count)| *count)
        };
        Self {
            buckets: self.buckets.iter().map(|(le, count)| (*le, count.saturating_sub(known(*le)))).collect(),
            count: self.count.saturating_sub(before.count),
            sum_s: (self.sum_s - before.sum_s).max(0.0),
        }
    }

    fn add(&mut self, other: &Self) {
        other.buckets.iter().for_each(|(le, count)| self.add_bucket(*le, *count));
        self.count += other.count;
        self.sum_s += other.sum_s;
    }

    /// The mean, in ms.
    pub(crate) fn mean_ms(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_s * 1000.0 / float(self.count))
    }

    /// The value that the share `quantile` does not exceed, in ms. `None` without values. Values
    /// beyond the last finite bound count as that bound.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let mut buckets = self.buckets.clone();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = buckets.last()?.1;
        if total == 0 {
            return None;
        }
        let rank = quantile * float(total);
        let (mut low_s, mut below) = (0.0, 0);
        for (le, count) in buckets {
            if float(count) >= rank {
                let inside = float(count - below);
                let share = if inside > 0.0 { (rank - float(below)) / inside } else { 1.0 };
                let high_s = if le.is_finite() { le } else { low_s };
                return Some((low_s + (high_s - low_s) * share) * 1000.0);
            }
            (low_s, below) = (le, count);
        }
        None
    }
}

/// A count as a number that can be divided.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
