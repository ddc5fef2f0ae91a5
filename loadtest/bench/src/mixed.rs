//! P6: what a shop sees: mostly looks, some orders, a few products that everybody wants.
//!
//! 64 shoppers of the project's own load generator; a tenth of their requests are orders, each of which invalidates what it has changed in the cache. In
//! turn with it, P1's load on the same store.

use anyhow::{Result, ensure};
use client::Latency;
use client::load::{self, Kind, KindOutcome, Outcome as Load, Plan, Popularity, Stage};
use report::Document;
use serde::Serialize;

use crate::benchmark::Benchmark;
use crate::cached::{ASKER, Lookups, url, warm};
use crate::extent::Extent;
use crate::finding::{Digits, Figure, Finding, Goal};
use crate::outcome::Outcome;
use crate::process::{Meter, Pid};
use crate::rounds::median;
use crate::shop::{Assortment, Shop};
use crate::suite::Field;

const SHOPPERS: usize = 64;

/// The share of orders among all requests.
const ORDER_SHARE: f64 = 0.1;

/// Product *k* is wanted 1/*k* as often as the first one.
const POPULARITY: Popularity = Popularity::Zipf { exponent: 1.0 };

/// Twice as many as the cache holds, as in the catalog that the store comes with.
const PRODUCTS: usize = 14;

/// The store's only one.
const FRONTEND: u8 = 1;

/// One measurement.
#[derive(Clone, Copy, Debug, Serialize)]
struct Mixed {
    per_s: f64,
    query_p50_us: f64,
    query_p99_us: f64,
    order_p50_us: f64,
    order_p99_us: f64,
    /// Of the looks, 0 to 1.
    hit_share: f64,
    asker_cores: f64,
    /// P1's load, right after it.
    cached_per_s: f64,
}

/// Measures it.
pub(crate) async fn measure(field: &Field) -> Result<Outcome> {
    let dir = field.dir("mixed")?;
    let shop = Shop::open(&field.binary, &dir.join("ours"), Assortment::of(PRODUCTS), |layout| layout).await?;
    let Extent { rounds, warm_up, measured, .. } = field.extent;
    let mut all = Vec::new();
    for round in 1..=rounds {
        let mixed = mix(field, &shop).await?;
        warm(&shop).await?;
        let cached_per_s = ASKER.measure(&url(&shop.target(FRONTEND)), warm_up, measured).await?.per_s;
        field.progress.line(format!(
            "P6 round {round} of {rounds}: {:>7} requests/s, cached alone {:>7}",
            Digits(mixed.per_s),
            Digits(cached_per_s)
        ));
        all.push(Mixed { cached_per_s, ..mixed });
    }
    Ok(Outcome::new(findings(&all), details(&all), &all))
}

async fn mix(field: &Field, shop: &Shop) -> Result<Mixed> {
    let Extent { warm_up, measured, .. } = field.extent;
    let stages = vec![Stage::closed(SHOPPERS, warm_up).not_counted(), Stage::closed(SHOPPERS, measured)];
    let plan = Plan::of_requests(shop.target(FRONTEND), shop.products().to_vec(), ORDER_SHARE, stages);
    let before = Lookups::of(shop, FRONTEND).await?;
    let meter = Meter::start(Pid::own())?;
    let load = load::run_to_end(&Plan { popularity: POPULARITY, ..plan }).await?;
    let asker_cores = meter.cores()?;
    let hit_share = Lookups::of(shop, FRONTEND).await?.since(before).hit_share();
    let (queries, orders) = (latency(&load, Kind::Query)?, latency(&load, Kind::Order)?);
    #[expect(clippy::cast_precision_loss, reason = "microseconds are far below 2^53")]
    let us = |us: u64| us as f64;
    Ok(Mixed {
        per_s: load.per_second(load.sent()),
        query_p50_us: us(queries.p50_us),
        query_p99_us: us(queries.p99_us),
        order_p50_us: us(orders.p50_us),
        order_p99_us: us(orders.p99_us),
        hit_share,
        asker_cores,
        cached_per_s: 0.0,
    })
}

/// # Errors
/// If a request was not answered with success.
fn latency(load: &Load, kind: Kind) -> Result<Latency> {
    let KindOutcome { done, sold_out, .. } = load.of(kind);
    let failed = load.of(kind).failed() + sold_out;
    ensure!(failed == 0 && done.count() > 0, "{failed} requests ({kind:?}) were not answered with success");
    Ok(done.since_sent())
}

fn of(all: &[Mixed], figure: fn(&Mixed) -> f64) -> f64 {
    median(all.iter().map(figure).collect())
}

fn findings(all: &[Mixed]) -> Vec<Finding> {
    let per_s = Figure::new(of(all, |mixed| mixed.per_s), "requests/s");
    let cached = Figure::new(of(all, |mixed| mixed.cached_per_s), "GET/s");
    let hits = Figure::new(of(all, |mixed| mixed.hit_share) * 100.0, "%");
    vec![
        Finding::ratio(Benchmark::P6, "", "mixed requests per second ÷ cached products", per_s, cached, Goal::Stated),
        Finding::figure(Benchmark::P6, "-hits", "looks that the cache answers", hits, "", Goal::Stated),
    ]
}

fn details(all: &[Mixed]) -> Document {
    let mut page = Document::new("Mixed load");
    let ms = |figure| Digits(of(all, figure) / 1e3).to_string();
    let row = |kind: &str, share: f64, p50, p99| {
        [kind.to_owned(), Digits(of(all, |mixed| mixed.per_s) * share).to_string(), ms(p50), ms(p99)]
    };
    page.table(
        ["requests", "per second", "p50 ms", "p99 ms"],
        [
            row("look", 1.0 - ORDER_SHARE, |mixed| mixed.query_p50_us, |mixed| mixed.query_p99_us),
            row("order", ORDER_SHARE, |mixed| mixed.order_p50_us, |mixed| mixed.order_p99_us),
        ],
    );
    page.text(format!(
        "{SHOPPERS} shoppers, {PRODUCTS} products drawn by {POPULARITY}, a cache of 7: {} % of the looks are hits. The asker used {} cores.",
        Digits(of(all, |mixed| mixed.hit_share) * 100.0),
        Digits(of(all, |mixed| mixed.asker_cores))
    ));
    page
}
