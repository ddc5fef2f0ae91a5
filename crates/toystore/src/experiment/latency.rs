//! Measures latencies: five shoppers, by purchase probability, with the cache on and off.

use std::path::Path;
use std::time::Duration;

use client::{RequestSummary, ShoppingSummary};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use report::{Checks, Spread};
use tokio_util::sync::CancellationToken;
use workload::RequestKind;

use super::target::{CacheCounts, CacheMode, Target};

/// Number of concurrent shoppers.
pub(super) const SHOPPERS: u32 = 5;

/// Purchase probabilities, in percent.
pub(super) const PROBABILITIES: [u32; 6] = [0, 20, 40, 60, 80, 100];

/// More than possible in the longest measurement.
const SESSIONS_MAX: u32 = 1_000_000_000;

/// The kinds of requests that shoppers send, and their names in the report.
pub(super) const KINDS: [(RequestKind, &str); 3] =
    [(RequestKind::Query, "query"), (RequestKind::Order, "buy"), (RequestKind::Check, "lookup")];

/// A combination of parameters to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Combination {
    /// Counted from 0.
    pub(super) repetition: u32,
    /// Probability that a shopper buys, in percent.
    pub(super) probability: u32,
    /// Whether the cache is on.
    pub(super) cache: CacheMode,
}

/// The result of one measurement.
#[derive(Clone, Debug)]
pub(super) struct LatencyMeasurement {
    /// What was measured.
    pub(super) combination: Combination,
    /// How long the shoppers were active.
    pub(super) shopping: Duration,
    /// Sessions of all shoppers.
    pub(super) sessions: u64,
    /// One summary per kind of request that was sent.
    pub(super) requests: Vec<RequestSummary>,
    /// The number of acknowledged orders.
    pub(super) acknowledged: u64,
    /// The number of requests that failed permanently.
    pub(super) failed: u64,
    /// Hits and misses of the cache; `None` if it is off or cannot be inspected.
    pub(super) cache_counts: Option<CacheCounts>,
    /// Violations that the shoppers found, and what could not be measured or checked.
    pub(super) checks: Checks,
}

/// All combinations, in the order in which they are measured. Each repetition has the probabilities
/// in random order. The measurements with the cache on and off follow each other directly, in
/// alternating order, so that growing data and a warming machine affect both equally.
pub(super) fn combinations(repetitions: u32, caches: &[CacheMode], seed: u64) -> Vec<Combination> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut combinations = Vec::new();
    for repetition in 0..repetitions {
        let mut probabilities = PROBABILITIES;
        probabilities.shuffle(&mut random);
        for (index, probability) in (repetition as usize..).zip(probabilities) {
            let pair = caches.iter().map(|cache| Combination { repetition, probability, cache: *cache });
            combinations.extend(if index % 2 == 0 { pair.collect::<Vec<_>>() } else { pair.rev().collect() });
        }
    }
    combinations
}

/// Runs shoppers for this time, or until `stop`. In one repetition they choose the same products
/// with the cache on and off, drawn from `seed`.
///
/// # Errors
/// If the store does not serve the shoppers at all.
pub(super) async fn measure(
    target: &mut Target,
    combination: Combination,
    length: Duration,
    seed: u64,
    work: &Path,
    stop: &CancellationToken,
) -> Result<LatencyMeasurement, String> {
    let frontend = target.frontend(combination.cache).ok_or("no frontend without a cache is known")?.clone();
    let config = client::Config {
        front: frontend,
        shoppers: SHOPPERS,
        sessions: SESSIONS_MAX,
        order_probability: f64::from(combination.probability) / 100.0,
        orders_file: work.join("orders.csv"),
        seed: Some(seed.wrapping_add(u64::from(combination.repetition))),
        time_limit: Some(length),
        show_progress: false,
        ..client::Config::default()
    };
    let before = target.cache_counts().await?;
    let stop = stop.child_token();
    let mut shopping = Box::pin(client::run(config, stop.clone()));
    let (summary, exited) = tokio::select! {
        summary = &mut shopping => (summary, None),
        exited = target.exited() => {
            stop.cancel();
            (shopping.await, Some(exited))
        }
    };
    let summary = summary.map_err(|error| error.to_string())?;
    let mut checks = summary.checks.clone();
    if let Some(exited) = exited {
        checks.not_checked(exited);
    }
    let after = target.cache_counts().await.unwrap_or_else(|error| {
        checks.not_checked(format!("the hits of the cache: {error}"));
        None
    });
    let cache_counts =
        after.zip(before).map(|(after, before)| after.since(before)).filter(|_| combination.cache == CacheMode::On);
    Ok(LatencyMeasurement::of(combination, summary, cache_counts, checks))
}

impl LatencyMeasurement {
    fn of(
        combination: Combination,
        summary: ShoppingSummary,
        cache_counts: Option<CacheCounts>,
        checks: Checks,
    ) -> Self {
        Self {
            combination,
            shopping: summary.shopping,
            sessions: summary.sessions_done,
            acknowledged: summary.acknowledged,
            failed: summary.failed(),
            requests: summary.requests,
            cache_counts,
            checks,
        }
    }

    /// The summary of one kind of request.
    pub(super) fn request(&self, kind: RequestKind) -> Option<&RequestSummary> {
        self.requests.iter().find(|request| request.kind == kind && request.answered > 0)
    }

    /// Sessions of all shoppers per second.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people; counts are far below 2^53")]
    pub(super) fn sessions_per_s(&self) -> f64 {
        self.sessions as f64 / self.shopping.as_secs_f64()
    }
}

/// Statistics of a number over the repetitions of one combination.
pub(super) fn across_repetitions(
    measurements: &[LatencyMeasurement],
    probability: u32,
    cache: CacheMode,
    number: impl Fn(&LatencyMeasurement) -> Option<f64>,
) -> Option<Spread> {
    let these = measurements.iter().filter(|measurement| {
        measurement.combination.probability == probability && measurement.combination.cache == cache
    });
    Spread::of(these.filter_map(number))
}

/// A percentile of the latency of one kind of request, in milliseconds.
pub(super) fn latency_ms(
    kind: RequestKind,
    of: fn(&workload::Latency) -> u64,
) -> impl Fn(&LatencyMeasurement) -> Option<f64> {
    move |measurement| {
        let us = of(&measurement.request(kind)?.latency);
        Some(Duration::from_micros(us).as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_are_measured_equally_often_and_neither_cache_setting_always_comes_first() {
        let combinations = combinations(4, &CacheMode::ALL, 7);
        assert_eq!(combinations.len(), 4 * PROBABILITIES.len() * 2);
        for probability in PROBABILITIES {
            for cache in CacheMode::ALL {
                let times = combinations.iter().filter(|it| it.probability == probability && it.cache == cache).count();
                assert_eq!(times, 4, "{probability} % {cache:?}");
            }
        }
        let pairs: Vec<_> = combinations.chunks(2).collect();
        assert!(pairs.iter().all(|pair| pair[0].probability == pair[1].probability && pair[0].cache != pair[1].cache));
        assert_eq!(pairs.iter().filter(|pair| pair[0].cache == CacheMode::On).count(), pairs.len() / 2);
        assert_eq!(combinations, super::combinations(4, &CacheMode::ALL, 7));
    }

    #[test]
    fn repetitions_are_summarised() {
        let measurement = |repetition, p50_us| {
            let latency = workload::Latency { p50_us, ..Default::default() };
            let kind = RequestKind::Query;
            let request = RequestSummary { kind, answered: 1, retries: 0, failed: 0, per_second: 1.0, latency };
            let combination = Combination { repetition, probability: 20, cache: CacheMode::On };
            let shopping = Duration::from_secs(2);
            let (acknowledged, failed, cache_counts, checks) = (0, 0, None, Checks::default());
            let requests = vec![request];
            LatencyMeasurement {
                combination,
                shopping,
                sessions: 10,
                requests,
                acknowledged,
                failed,
                cache_counts,
                checks,
            }
        };
        let measurements = [measurement(0, 300), measurement(1, 100), measurement(2, 200)];
        let p50 =
            |kind| across_repetitions(&measurements, 20, CacheMode::On, latency_ms(kind, |latency| latency.p50_us));
        assert_eq!(p50(RequestKind::Query), Some(Spread { median: 0.2, min: 0.1, max: 0.3 }));
        assert_eq!(p50(RequestKind::Order), None);
        assert_eq!(across_repetitions(&measurements, 20, CacheMode::Off, |_| Some(1.0)), None);
        assert!((measurements[0].sessions_per_s() - 5.0).abs() < f64::EPSILON);
    }
}
