//! P2: a product that is not cached, beside a cached one.
//!
//! One store with two frontends: the first one as it comes, the second one with its cache switched off, so that each look is a request to the
//! catalog. wrk asks them in turn, with as many connections as in P1, which is what the goal is about, and over a single one, where nobody waits for
//! anybody else.

use std::time::Duration;

use anyhow::{Result, ensure};
use report::Document;
use serde::Serialize;
use toystore::local::Member;

use crate::benchmark::Benchmark;
use crate::cached::{ASKER, Lookups, url, warm};
use crate::extent::Extent;
use crate::finding::{Digits, Figure, Finding, Goal};
use crate::outcome::Outcome;
use crate::rounds::Rounds;
use crate::shop::{Assortment, Shop};
use crate::suite::Field;
use crate::wrk::Asker;

/// Alone.
const ONE: Asker = Asker { threads: 1, connections: 1 };

const PRODUCTS: usize = 5;

/// The frontends.
const WITH_CACHE: u8 = 1;
const WITHOUT: u8 = 2;

/// Both at one number of connections.
#[derive(Debug, Serialize)]
struct Pair {
    connections: u32,
    cached: Rounds,
    uncached: Rounds,
}

/// Measures it.
pub(crate) async fn measure(field: &Field) -> Result<Outcome> {
    let dir = field.dir("uncached")?;
    let arrange = |layout: toystore::local::Layout| {
        layout.with_frontends(WITHOUT).with_member_variable(Member::Frontend(WITHOUT), "CACHE_SIZE", 0)
    };
    let shop = Shop::open(&field.binary, &dir.join("ours"), Assortment::of(PRODUCTS), arrange).await?;
    let mut pairs = Vec::new();
    for asker in [ONE, ASKER] {
        pairs.push(pair(field, &shop, asker).await?);
    }
    Ok(Outcome::new(pairs.iter().flat_map(findings).collect(), details(&pairs), &pairs))
}

async fn pair(field: &Field, shop: &Shop, asker: Asker) -> Result<Pair> {
    let Extent { rounds, warm_up, measured, .. } = field.extent;
    // Rates are told apart in half of the time that two servers of nearly the same speed need.
    let measured = (measured / 2).max(Duration::from_secs(1));
    let mut pair = Pair { connections: asker.connections, cached: Rounds::default(), uncached: Rounds::default() };
    for round in 1..=rounds {
        warm(shop).await?;
        let before = [Lookups::of(shop, WITH_CACHE).await?, Lookups::of(shop, WITHOUT).await?];
        let cached = asker.measure(&url(&shop.target(WITH_CACHE)), warm_up, measured).await?;
        let uncached = asker.measure(&url(&shop.target(WITHOUT)), warm_up, measured).await?;
        Lookups::of(shop, WITH_CACHE).await?.since(before[0]).check()?;
        let hits = Lookups::of(shop, WITHOUT).await?.since(before[1]).hits;
        ensure!(hits < 1.0, "a cache that is switched off had {hits} hits");
        field.progress.line(format!(
            "P2 {:>2} connections, round {round} of {rounds}: {:>7} GET/s cached, {:>7} not",
            asker.connections,
            Digits(cached.per_s),
            Digits(uncached.per_s)
        ));
        pair.cached.add(cached);
        pair.uncached.add(uncached);
    }
    Ok(pair)
}

fn findings(pair: &Pair) -> Vec<Finding> {
    let (cached, uncached) = (pair.cached.median(), pair.uncached.median());
    let part = format!("@{}", pair.connections);
    let ms = |us| Figure::new(us / 1e3, "ms");
    let rate = |per_s| Figure::new(per_s, "GET/s");
    let goal = if pair.connections == ASKER.connections { Goal::AtMost(4.0) } else { Goal::Stated };
    let what = |what: &str| format!("{what}, {} connections", pair.connections);
    let [p50, benefit] =
        [what("p50 of an uncached product ÷ a cached one"), what("cached products per second ÷ uncached")];
    vec![
        Finding::ratio(Benchmark::P2, &format!("{part}-p50"), &p50, ms(uncached.p50_us), ms(cached.p50_us), goal),
        Finding::ratio(Benchmark::P2, &part, &benefit, rate(cached.per_s), rate(uncached.per_s), Goal::Stated),
    ]
}

fn details(pairs: &[Pair]) -> Document {
    let mut page = Document::new("Uncached products");
    let rows = pairs.iter().flat_map(|pair| {
        [("cached", &pair.cached), ("uncached", &pair.uncached)].map(|(side, rounds)| {
            let ((low, high), median) = (rounds.range_per_s(), rounds.median());
            [
                format!("{} × {side}", pair.connections),
                format!("{} ({}–{})", Digits(median.per_s), Digits(low), Digits(high)),
                Digits(median.p50_us / 1e3).to_string(),
                Digits(median.p99_us / 1e3).to_string(),
                Digits(median.asker_cores).to_string(),
            ]
        })
    });
    page.table(["connections", "GET/s", "p50 ms", "p99 ms", "asker's cores"], rows.collect::<Vec<_>>());
    page
}
