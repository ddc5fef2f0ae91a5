//! How long requests take: five shoppers, by purchase probability, with the cache on and off.

use std::path::Path;
use std::time::Duration;

use api::Quantity;
use client::{Patience, RequestKind, RequestSummary, RunType, Summary};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use tokio_util::sync::CancellationToken;

use super::repeated::Repeated;
use super::shop::{Cache, Looks, Shop};

/// As in the exercise.
pub(super) const SHOPPERS: u32 = 5;

/// Percent.
pub(super) const PROBABILITIES: [u32; 6] = [0, 20, 40, 60, 80, 100];

/// More than anybody can have in the longest time.
const SESSIONS_MAX: u32 = 1_000_000_000;

/// Kinds of requests that shoppers make, and their names in the report.
pub(super) const KINDS: [(RequestKind, &str); 3] =
    [(RequestKind::Query, "query"), (RequestKind::Order, "buy"), (RequestKind::Check, "look an order up")];

/// One combination that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    /// From 0.
    pub(super) repetition: u32,
    /// How likely a shopper buys, in percent.
    pub(super) probability: u32,
    /// Whether the cache is on.
    pub(super) cache: Cache,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// What was measured.
    pub(super) setup: Setup,
    /// For how long shoppers shopped.
    pub(super) shopping: Duration,
    /// Sessions of all of them.
    pub(super) sessions: u64,
    /// Per kind of request that there was.
    pub(super) requests: Vec<RequestSummary>,
    /// Orders that were acknowledged.
    pub(super) acknowledged: u64,
    /// Requests that failed for good.
    pub(super) failed: u64,
    /// What the cache could answer; `None` if it is off, or cannot be asked.
    pub(super) looks: Option<Looks>,
    /// Promises that were broken.
    pub(super) broken: Vec<String>,
}

/// All combinations, in the order in which they are measured. Within each repetition probabilities come in a random order, and the two settings of
/// the cache one right after the other, now this one first and now that: a store that grows and a machine that warms up are the same for both.
pub(super) fn setups(repetitions: u32, caches: &[Cache], seed: u64) -> Vec<Setup> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut setups = Vec::new();
    for repetition in 0..repetitions {
        let mut probabilities = PROBABILITIES;
        probabilities.shuffle(&mut random);
        for (turn, probability) in (repetition as usize..).zip(probabilities) {
            let pair = caches.iter().map(|cache| Setup { repetition, probability, cache: *cache });
            setups.extend(if turn % 2 == 0 { pair.collect::<Vec<_>>() } else { pair.rev().collect() });
        }
    }
    setups
}

/// Lets shoppers in for so long. In one repetition they want the same products whatever the cache is, drawn from `seed`.
///
/// # Errors
/// If the store does not serve them at all.
pub(super) async fn measure(
    shop: &Shop,
    setup: Setup,
    length: Duration,
    seed: u64,
    work: &Path,
) -> Result<Cell, String> {
    let front = shop.front(setup.cache).ok_or("there is no frontend without a cache")?.clone();
    let config = client::Config {
        front,
        shoppers: SHOPPERS,
        sessions: SESSIONS_MAX,
        order_probability: f64::from(setup.probability) / 100.0,
        run_type: RunType::SessionCheck,
        quantity_max: Quantity::ONE,
        orders_file: work.join("orders.csv"),
        summary_file: None,
        seed: Some(seed.wrapping_add(u64::from(setup.repetition))),
        patience: Patience::default(),
        time_limit: Some(length),
        is_shown: false,
    };
    let before = shop.looks().await?;
    let summary = client::run(config, CancellationToken::new()).await.map_err(|error| error.to_string())?;
    let after = shop.looks().await?;
    let looks = after.zip(before).map(|(after, before)| after.since(before)).filter(|_| setup.cache == Cache::On);
    Ok(Cell::of(setup, summary, looks))
}

impl Cell {
    fn of(setup: Setup, summary: Summary, looks: Option<Looks>) -> Self {
        let Summary { numbered_twice, checked, .. } = &summary;
        let mismatches = numbered_twice.listed.iter().chain(checked.iter().flat_map(|it| &it.mismatches.listed));
        let mut broken: Vec<_> = mismatches.map(ToString::to_string).collect();
        if let Some(more) = summary.mismatches().checked_sub(broken.len() as u64).filter(|more| *more > 0) {
            broken.push(format!("… and {more} broken promises more"));
        }
        if let Some(unverified) = checked.as_ref().map(|it| it.unverified).filter(|unverified| *unverified > 0) {
            broken.push(format!("{unverified} acknowledged orders could not be looked up"));
        }
        Self {
            setup,
            shopping: summary.shopping,
            sessions: summary.sessions_done,
            requests: summary.requests,
            acknowledged: summary.acknowledged,
            failed: summary.failures.total,
            looks,
            broken,
        }
    }

    /// One kind's numbers.
    pub(super) fn request(&self, kind: RequestKind) -> Option<&RequestSummary> {
        self.requests.iter().find(|request| request.kind == kind && request.answered > 0)
    }

    /// Sessions of all shoppers per second.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people; counts are far below 2^53")]
    pub(super) fn sessions_per_s(&self) -> f64 {
        self.sessions as f64 / self.shopping.as_secs_f64()
    }
}

/// A number of each repetition of one combination, taken together.
pub(super) fn over(
    cells: &[Cell],
    probability: u32,
    cache: Cache,
    number: impl Fn(&Cell) -> Option<f64>,
) -> Option<Repeated> {
    let these = cells.iter().filter(|cell| cell.setup.probability == probability && cell.setup.cache == cache);
    Repeated::of(these.filter_map(number))
}

/// A latency in milliseconds, of one kind of request.
pub(super) fn latency_ms(kind: RequestKind, of: fn(&client::Latency) -> u64) -> impl Fn(&Cell) -> Option<f64> {
    move |cell| {
        let us = of(&cell.request(kind)?.latency);
        Some(Duration::from_micros(us).as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_combination_is_measured_as_often_and_neither_setting_is_always_first() {
        let setups = setups(4, &Cache::ALL, 7);
        assert_eq!(setups.len(), 4 * PROBABILITIES.len() * 2);
        for probability in PROBABILITIES {
            for cache in Cache::ALL {
                let times = setups.iter().filter(|it| it.probability == probability && it.cache == cache).count();
                assert_eq!(times, 4, "{probability} % {cache:?}");
            }
        }
        let pairs: Vec<_> = setups.chunks(2).collect();
        assert!(pairs.iter().all(|pair| pair[0].probability == pair[1].probability && pair[0].cache != pair[1].cache));
        assert_eq!(pairs.iter().filter(|pair| pair[0].cache == Cache::On).count(), pairs.len() / 2);
        assert_eq!(setups, super::setups(4, &Cache::ALL, 7));
    }

    #[test]
    fn repetitions_are_put_together() {
        let cell = |repetition, p50_us| {
            let latency = client::Latency { p50_us, ..Default::default() };
            let kind = RequestKind::Query;
            let request = RequestSummary { kind, answered: 1, retries: 0, failed: 0, per_second: 1.0, latency };
            let setup = Setup { repetition, probability: 20, cache: Cache::On };
            let shopping = Duration::from_secs(2);
            let (looks, broken) = (None, Vec::new());
            Cell { setup, shopping, sessions: 10, requests: vec![request], acknowledged: 0, failed: 0, looks, broken }
        };
        let cells = [cell(0, 300), cell(1, 100), cell(2, 200)];
        let p50 = |kind| over(&cells, 20, Cache::On, latency_ms(kind, |latency| latency.p50_us));
        assert_eq!(p50(RequestKind::Query), Some(Repeated { median: 0.2, least: 0.1, most: 0.3 }));
        assert_eq!(p50(RequestKind::Order), None);
        assert_eq!(over(&cells, 20, Cache::Off, |_| Some(1.0)), None);
        assert!((cells[0].sessions_per_s() - 5.0).abs() < f64::EPSILON);
    }
}
