//! P3: orders, beside etcd's puts, at rising numbers of shoppers.
//!
//! Both sides number and replicate what they are given over three processes, and answer when a majority has synced it. One of ours is an
//! order: a request through a frontend that is routed to the leader, its stock taken at the catalog, exactly once. One of theirs is a put of a
//! new key with 100 bytes, sent to the leader directly.
//!
//! The two sides take turns within each number of shoppers, and while one is measured, the other one's processes are frozen.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use client::load::{self, Kind, Plan, Stage};
use report::Document;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::benchmark::Benchmark;
use crate::etcd::{self, Cluster, Connections, Putters, VALUE_BYTES};
use crate::extent::Extent;
use crate::finding::{Digits, Figure, Finding, Goal};
use crate::outcome::Outcome;
use crate::process::{Meter, Pid};
use crate::rounds::{Measured, Rounds};
use crate::shop::{Assortment, Shop};
use crate::suite::Field;

/// Who order at the same time, each with one order under way.
const SHOPPERS: [usize; 4] = [1, 16, 64, 256];

/// What they choose among: as many as in the catalog that the store comes with.
const PRODUCTS: usize = 14;

/// Connections to etcd that all clients may share, besides one each: one, and a few.
const SHARED: [usize; 2] = [1, 4];

/// Both sides at one number of shoppers.
#[derive(Debug, Serialize)]
struct Pair {
    shoppers: usize,
    connections: Connections,
    ours: Rounds,
    etcd: Rounds,
}

/// Measures it.
pub(crate) async fn measure(field: &Field) -> Result<Outcome> {
    let version = etcd::version().await?;
    let dir = field.dir("orders")?;
    let cluster = Cluster::start(&dir.join("etcd")).await?;
    cluster.freeze()?;
    let mut shop = Shop::open(&field.binary, &dir.join("ours"), Assortment::of(PRODUCTS), |layout| layout).await?;
    shop.freeze()?;
    let mut pairs = Vec::new();
    for shoppers in SHOPPERS {
        pairs.push(pair(field, &mut shop, &cluster, shoppers).await?);
    }
    let findings = pairs.iter().flat_map(findings).collect();
    Ok(Outcome::new(findings, details(&pairs, &version), &pairs))
}

async fn pair(field: &Field, shop: &mut Shop, cluster: &Cluster, shoppers: usize) -> Result<Pair> {
    let Extent { rounds, .. } = field.extent;
    cluster.thaw().await?;
    let connections = best_connections(field, cluster, shoppers).await?;
    let mut pair = Pair { shoppers, connections, ours: Rounds::default(), etcd: Rounds::default() };
    for round in 1..=rounds {
        if round > 1 {
            cluster.thaw().await?;
        }
        let theirs = put(field, cluster, shoppers, connections).await?;
        cluster.freeze()?;
        shop.thaw().await?;
        let ours = order(&field.extent, shop, shoppers).await?;
        shop.freeze()?;
        field.progress.line(format!(
            "P3 {shoppers:>3} shoppers, round {round} of {rounds}: {:>7} orders/s, etcd {:>7} puts/s",
            Digits(ours.per_s),
            Digits(theirs.per_s)
        ));
        pair.ours.add(ours);
        pair.etcd.add(theirs);
    }
    Ok(pair)
}

/// The number of connections with which etcd does most.
async fn best_connections(field: &Field, cluster: &Cluster, clients: usize) -> Result<Connections> {
    let mut best = (Connections(clients), 0.0);
    if clients == 1 {
        return Ok(best.0);
    }
    for connections in SHARED.into_iter().chain([clients]).map(Connections) {
        let measured = put(field, cluster, clients, connections).await?;
        field.progress.line(format!(
            "P3 {clients:>3} clients of etcd on {:>3} connections: {:>7} puts/s",
            connections.0,
            Digits(measured.per_s)
        ));
        if measured.per_s > best.1 {
            best = (connections, measured.per_s);
        }
    }
    Ok(best.0)
}

async fn put(field: &Field, cluster: &Cluster, clients: usize, connections: Connections) -> Result<Measured> {
    let leader = cluster.leader().await?;
    let Extent { warm_up, measured, .. } = field.extent;
    Putters { clients, connections }.measure(cluster.endpoint(leader), warm_up, measured).await
}

/// Orders as fast as they are acknowledged.
///
/// # Errors
/// If one is not, or two have the same number.
pub(crate) async fn order(extent: &Extent, shop: &Shop, shoppers: usize) -> Result<Measured> {
    let Extent { warm_up, measured, .. } = *extent;
    let stages = vec![Stage::closed(shoppers, warm_up).not_counted(), Stage::closed(shoppers, measured)];
    let plan = Plan::of_requests(shop.target(1), shop.products().to_vec(), 1.0, stages);
    let meter = Meter::start(Pid::own())?;
    let loaded = load::run(&plan, &CancellationToken::new(), |_| {}).await?;
    let asker_cores = meter.cores()?;
    let numbers: HashSet<_> = loaded.order_numbers().collect();
    let mut acknowledged = 0;
    for (_, outcome) in &loaded.stages {
        let orders = outcome.of(Kind::Order);
        ensure!(orders.failed() + orders.sold_out == 0, "not every order was placed: {orders:?}");
        acknowledged += orders.done.count();
    }
    let distinct = u64::try_from(numbers.len())?;
    ensure!(distinct == acknowledged, "{acknowledged} orders were acknowledged, with {distinct} numbers");
    let (_, counted) = loaded.stages.last().context("there is a stage that counts")?;
    let orders = &counted.of(Kind::Order).done;
    let latency = orders.since_sent();
    #[expect(clippy::cast_precision_loss, reason = "counts and microseconds are far below 2^53")]
    let (count, p50_us, p99_us) = (orders.count() as f64, latency.p50_us as f64, latency.p99_us as f64);
    Ok(Measured { per_s: count / measured.as_secs_f64(), p50_us, p99_us, asker_cores })
}

/// What the goals are about: the rate where shoppers are many, the latency where they are few.
fn findings(pair: &Pair) -> Vec<Finding> {
    let (ours, etcd) = (pair.ours.median(), pair.etcd.median());
    let (part, shoppers) = (format!("@{}", pair.shoppers), pair.shoppers);
    let rate = |goal| {
        let (ours, etcd) = (Figure::new(ours.per_s, "orders/s"), Figure::new(etcd.per_s, "puts/s"));
        Finding::ratio(Benchmark::P3, &part, &format!("orders per second, {shoppers} shoppers"), ours, etcd, goal)
    };
    let p50 = |goal| {
        let ms = |us| Figure::new(us / 1e3, "ms");
        let what = format!("p50 of an order, {shoppers} shoppers");
        Finding::ratio(Benchmark::P3, &format!("{part}-p50"), &what, ms(ours.p50_us), ms(etcd.p50_us), goal)
    };
    match shoppers {
        1 => vec![rate(Goal::Stated), p50(Goal::AtMost(2.0))],
        16 => vec![rate(Goal::Stated), p50(Goal::AtMost(1.0))],
        64 => vec![rate(Goal::AtLeast(1.5))],
        _ => vec![rate(Goal::AtLeast(2.5))],
    }
}

fn details(pairs: &[Pair], version: &str) -> Document {
    let mut page = Document::new("Orders");
    page.text(format!(
        "Beside it: etcd {version}, three nodes as they come; puts of {VALUE_BYTES} bytes under new keys, sent to the leader. Of one connection for all \
         clients, four, and one each, the one with which etcd does most at that number of clients. Rates are medians, with the lowest and the highest round."
    ));
    let rows = pairs.iter().flat_map(|pair| {
        let sides =
            [("store", "one each".to_owned(), &pair.ours), ("etcd", pair.connections.0.to_string(), &pair.etcd)];
        sides.map(|(side, connections, rounds)| {
            let ((low, high), median) = (rounds.range_per_s(), rounds.median());
            [
                format!("{} × {side}", pair.shoppers),
                format!("{} ({}–{})", Digits(median.per_s), Digits(low), Digits(high)),
                Digits(median.p50_us / 1e3).to_string(),
                Digits(median.p99_us / 1e3).to_string(),
                Digits(median.asker_cores).to_string(),
                connections,
            ]
        })
    });
    page.table(
        ["shoppers", "per second", "p50 ms", "p99 ms", "asker's cores", "connections"],
        rows.collect::<Vec<_>>(),
    );
    page
}
