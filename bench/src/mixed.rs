//! P6: a realistic mix: mostly product reads, some orders, and a few popular products.
//!
//! 64 shoppers of the project's own load generator. A tenth of their requests are orders, each of
//! which invalidates a product in the cache. It takes turns with P1's load on the same store.

use anyhow::{Result, ensure};
use report::{Document, Table, number};
use serde::Serialize;
use workload::load::{self, LoadPlan, Popularity, Stage};
use workload::{Latency, LoadStats, RequestKind, RequestStats};

use crate::benchmark::Benchmark;
use crate::cached::{Lookups, WRK, url, warm};
use crate::context::BenchContext;
use crate::outcome::BenchOutcome;
use crate::process::{Meter, Pid};
use crate::profile::Profile;
use crate::result::{BenchResult, Figure, Goal};
use crate::rounds::median;
use crate::store::{Assortment, BenchStore};

const SHOPPERS: usize = 64;

/// The share of orders among all requests.
const ORDER_SHARE: f64 = 0.1;

/// The popularity of product *k* is proportional to 1/*k*.
const POPULARITY: Popularity = Popularity::Zipf { exponent: 1.0 };

/// Twice as many as the cache holds, as in the default catalog.
const PRODUCTS: usize = 14;

/// The store's only frontend.
const FRONTEND: u8 = 1;

/// One measurement.
#[derive(Clone, Copy, Debug, Serialize)]
struct Mixed {
    per_s: f64,
    query_p50_us: f64,
    query_p99_us: f64,
    order_p50_us: f64,
    order_p99_us: f64,
    /// The share of product reads that hit the cache, 0 to 1.
    hit_share: f64,
    generator_cores: f64,
    /// The rate of P1's load, measured right after it.
    cached_per_s: f64,
}

/// Runs the benchmark.
pub(crate) async fn measure(context: &BenchContext) -> Result<BenchOutcome> {
    let dir = context.dir("mixed")?;
    let store = BenchStore::open(&context.binary, &dir.join("ours"), Assortment::of(PRODUCTS), |layout| layout).await?;
    let Profile { rounds, warm_up, measured, .. } = context.profile;
    let mut all = Vec::new();
    for round in 1..=rounds {
        let mixed = mix(context, &store).await?;
        warm(&store).await?;
        let cached_per_s = WRK.measure(&url(&store.target(FRONTEND)), warm_up, measured).await?.per_s;
        context.progress.line(format!(
            "P6 round {round} of {rounds}: {:>7} requests/s, cached alone {:>7}",
            number(mixed.per_s),
            number(cached_per_s)
        ));
        all.push(Mixed { cached_per_s, ..mixed });
    }
    Ok(BenchOutcome::new(results(&all), details(&all), &all))
}

async fn mix(context: &BenchContext, store: &BenchStore) -> Result<Mixed> {
    let Profile { warm_up, measured, .. } = context.profile;
    let stages = vec![Stage::closed(SHOPPERS, warm_up).not_counted(), Stage::closed(SHOPPERS, measured)];
    let plan = LoadPlan::single_requests(store.target(FRONTEND), store.products().to_vec(), ORDER_SHARE, stages);
    let before = Lookups::of(store, FRONTEND).await?;
    let meter = Meter::start(Pid::own())?;
    let load = load::run_to_end(&LoadPlan { popularity: POPULARITY, ..plan }).await?;
    let generator_cores = meter.cores()?;
    let hit_share = Lookups::of(store, FRONTEND).await?.since(before).hit_share();
    let (queries, orders) = (latency(&load, RequestKind::Query)?, latency(&load, RequestKind::Order)?);
    #[expect(clippy::cast_precision_loss, reason = "microseconds are far below 2^53")]
    let us = |us: u64| us as f64;
    Ok(Mixed {
        per_s: load.per_second(load.sent()),
        query_p50_us: us(queries.p50_us),
        query_p99_us: us(queries.p99_us),
        order_p50_us: us(orders.p50_us),
        order_p99_us: us(orders.p99_us),
        hit_share,
        generator_cores,
        cached_per_s: 0.0,
    })
}

/// # Errors
/// If a request failed.
fn latency(load: &LoadStats, kind: RequestKind) -> Result<Latency> {
    let RequestStats { done, sold_out, .. } = load.of(kind);
    let failed = load.of(kind).failed() + sold_out;
    ensure!(failed == 0 && done.count() > 0, "{failed} requests ({kind:?}) did not succeed");
    Ok(done.since_sent())
}

fn of(all: &[Mixed], figure: fn(&Mixed) -> f64) -> f64 {
    median(all.iter().map(figure))
}

fn results(all: &[Mixed]) -> Vec<BenchResult> {
    let per_s = Figure::new(of(all, |mixed| mixed.per_s), "requests/s");
    let cached = Figure::new(of(all, |mixed| mixed.cached_per_s), "GET/s");
    let hits = Figure::new(of(all, |mixed| mixed.hit_share) * 100.0, "%");
    vec![
        Benchmark::P6.ratio("", "mixed requests per second ÷ cached products", per_s, cached, Goal::Stated),
        Benchmark::P6.figure("-hits", "product reads served by the cache", hits, "", Goal::Stated),
    ]
}

/// A latency in microseconds.
type FigureUs = fn(&Mixed) -> f64;

fn details(all: &[Mixed]) -> Document {
    let mut page = Document::new("Mixed load");
    let rows: [(&str, f64, [FigureUs; 2]); 2] = [
        ("product read", 1.0 - ORDER_SHARE, [|mixed| mixed.query_p50_us, |mixed| mixed.query_p99_us]),
        ("order", ORDER_SHARE, [|mixed| mixed.order_p50_us, |mixed| mixed.order_p99_us]),
    ];
    page.table(
        Table::of(rows)
            .text("requests", |(kind, ..)| *kind)
            .number("per second", |(_, share, _)| of(all, |mixed| mixed.per_s) * share)
            .number("p50 ms", |(.., [p50, _])| of(all, *p50) / 1e3)
            .number("p99 ms", |(.., [_, p99])| of(all, *p99) / 1e3),
    );
    page.text(format!(
        "{SHOPPERS} shoppers, {PRODUCTS} products with popularity {POPULARITY}, a cache of 7 products: {} % of the product reads are hits. The load generator used {} cores.",
        number(of(all, |mixed| mixed.hit_share) * 100.0),
        number(of(all, |mixed| mixed.generator_cores))
    ));
    page
}
