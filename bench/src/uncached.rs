//! P2: an uncached product, compared with a cached one.
//!
//! One store has two frontends: the first with default settings, the second with its cache switched
//! off, so that each product read is a request to the catalog. wrk sends requests to them in turn:
//! with as many connections as in P1, for which there is a goal, and over a single connection,
//! where requests do not wait for each other.

use std::time::Duration;

use anyhow::{Result, ensure};
use report::{Document, Table, number};
use serde::Serialize;
use toystore::local::StoreMember;

use crate::benchmark::Benchmark;
use crate::cached::{Lookups, WRK, url, warm};
use crate::context::BenchContext;
use crate::outcome::BenchOutcome;
use crate::profile::Profile;
use crate::result::{BenchResult, Figure, Goal};
use crate::rounds::Rounds;
use crate::store::{Assortment, BenchStore};
use crate::wrk::LoadGenerator;

/// A single connection.
const ONE: LoadGenerator = LoadGenerator { threads: 1, connections: 1 };

const PRODUCTS: usize = 5;

/// The numbers of the frontends.
const WITH_CACHE: u8 = 1;
const WITHOUT: u8 = 2;

/// The rounds with one number of connections.
#[derive(Debug, Serialize)]
struct UncachedRounds {
    connections: u32,
    cached: Rounds,
    uncached: Rounds,
}

/// Runs the benchmark.
pub(crate) async fn measure(context: &BenchContext) -> Result<BenchOutcome> {
    let dir = context.dir("uncached")?;
    let arrange = |layout: toystore::local::StoreLayout| {
        layout.with_frontends(WITHOUT).with_member_variable(StoreMember::Frontend(WITHOUT), "CACHE_SIZE", 0)
    };
    let store = BenchStore::open(&context.binary, &dir.join("ours"), Assortment::of(PRODUCTS), arrange).await?;
    let mut pairs = Vec::new();
    for generator in [ONE, WRK] {
        pairs.push(pair(context, &store, generator).await?);
    }
    Ok(BenchOutcome::new(pairs.iter().flat_map(results).collect(), details(&pairs), &pairs))
}

async fn pair(context: &BenchContext, store: &BenchStore, generator: LoadGenerator) -> Result<UncachedRounds> {
    let Profile { rounds, warm_up, measured, .. } = context.profile;
    // The rates differ much: half of the time is enough to measure the difference.
    let measured = (measured / 2).max(Duration::from_secs(1));
    let mut pair =
        UncachedRounds { connections: generator.connections, cached: Rounds::default(), uncached: Rounds::default() };
    for round in 1..=rounds {
        warm(store).await?;
        let before = [Lookups::of(store, WITH_CACHE).await?, Lookups::of(store, WITHOUT).await?];
        let cached = generator.measure(&url(&store.target(WITH_CACHE)), warm_up, measured).await?;
        let uncached = generator.measure(&url(&store.target(WITHOUT)), warm_up, measured).await?;
        Lookups::of(store, WITH_CACHE).await?.since(before[0]).check()?;
        let hits = Lookups::of(store, WITHOUT).await?.since(before[1]).hits;
        ensure!(hits < 1.0, "a cache that is switched off had {hits} hits");
        context.progress.line(format!(
            "P2 {:>2} connections, round {round} of {rounds}: {:>7} GET/s cached, {:>7} not",
            generator.connections,
            number(cached.per_s),
            number(uncached.per_s)
        ));
        pair.cached.add(cached);
        pair.uncached.add(uncached);
    }
    Ok(pair)
}

fn results(pair: &UncachedRounds) -> Vec<BenchResult> {
    let (cached, uncached) = (pair.cached.median(), pair.uncached.median());
    let part = format!("@{}", pair.connections);
    let ms = |us| Figure::new(us / 1e3, "ms");
    let rate = |per_s| Figure::new(per_s, "GET/s");
    let goal = if pair.connections == WRK.connections { Goal::AtMost(4.0) } else { Goal::Stated };
    let what = |what: &str| format!("{what}, {} connections", pair.connections);
    let [p50, benefit] =
        [what("p50 of an uncached product ÷ a cached one"), what("cached products per second ÷ uncached")];
    vec![
        Benchmark::P2.ratio(&format!("{part}-p50"), &p50, ms(uncached.p50_us), ms(cached.p50_us), goal),
        Benchmark::P2.ratio(&part, &benefit, rate(cached.per_s), rate(uncached.per_s), Goal::Stated),
    ]
}

fn details(pairs: &[UncachedRounds]) -> Document {
    let mut page = Document::new("Uncached products");
    let sides = pairs.iter().flat_map(|pair| {
        [("cached", &pair.cached), ("uncached", &pair.uncached)]
            .map(|(side, rounds)| (format!("{} × {side}", pair.connections), rounds))
    });
    let table = Table::of(sides).text("connections", |(side, _)| side.clone());
    page.table(Rounds::columns(table, "GET/s", |(_, rounds)| rounds));
    page
}
