//! P3: orders, compared with puts to etcd, at rising numbers of clients.
//!
//! Both sides number their requests, replicate them over three processes, and respond when a
//! majority has synced them. A request of ours is an order: it goes through a frontend to the order
//! leader, and takes its pieces from the stock of the catalog, exactly once. A request to etcd is a
//! put of a new key with a value of 100 bytes, sent to the leader directly.
//!
//! The two sides take turns for each number of clients. While one side is measured, the processes
//! of the other are paused.

use anyhow::{Context, Result, ensure};
use report::{Document, Table, number};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use workload::RequestKind;
use workload::load::{self, LoadPlan, Stage};

use crate::benchmark::Benchmark;
use crate::context::BenchContext;
use crate::etcd::{self, EtcdCluster, EtcdConnections, PutLoad, VALUE_BYTES};
use crate::outcome::BenchOutcome;
use crate::process::{Meter, Pid};
use crate::profile::Profile;
use crate::result::{BenchResult, Figure, Goal};
use crate::rounds::{Measurement, Rounds};
use crate::store::{Assortment, BenchStore};

/// Concurrent shoppers, each with one order in flight.
const SHOPPERS: [usize; 4] = [1, 16, 64, 256];

/// As many products as in the default catalog.
const PRODUCTS: usize = 14;

/// The numbers of shared connections to etcd that are tried, in addition to one connection per
/// client.
const SHARED: [usize; 2] = [1, 4];

/// Both sides at one number of shoppers.
#[derive(Debug, Serialize)]
struct OrderRounds {
    shoppers: usize,
    connections: EtcdConnections,
    ours: Rounds,
    etcd: Rounds,
}

/// Runs the benchmark.
pub(crate) async fn measure(context: &BenchContext) -> Result<BenchOutcome> {
    let version = etcd::version().await?;
    let dir = context.dir("orders")?;
    let cluster = EtcdCluster::start(&dir.join("etcd")).await?;
    cluster.freeze()?;
    let mut store =
        BenchStore::open(&context.binary, &dir.join("ours"), Assortment::of(PRODUCTS), |layout| layout).await?;
    store.freeze()?;
    let mut pairs = Vec::new();
    for shoppers in SHOPPERS {
        pairs.push(pair(context, &mut store, &cluster, shoppers).await?);
    }
    let results = pairs.iter().flat_map(results).collect();
    Ok(BenchOutcome::new(results, details(&pairs, &version), &pairs))
}

async fn pair(
    context: &BenchContext,
    store: &mut BenchStore,
    cluster: &EtcdCluster,
    shoppers: usize,
) -> Result<OrderRounds> {
    let Profile { rounds, .. } = context.profile;
    cluster.thaw().await?;
    let connections = best_connections(context, cluster, shoppers).await?;
    let mut pair = OrderRounds { shoppers, connections, ours: Rounds::default(), etcd: Rounds::default() };
    for round in 1..=rounds {
        if round > 1 {
            cluster.thaw().await?;
        }
        let theirs = put(context, cluster, shoppers, connections).await?;
        cluster.freeze()?;
        store.thaw().await?;
        let ours = order(&context.profile, store, shoppers).await?;
        store.freeze()?;
        context.progress.line(format!(
            "P3 {shoppers:>3} shoppers, round {round} of {rounds}: {:>7} orders/s, etcd {:>7} puts/s",
            number(ours.per_s),
            number(theirs.per_s)
        ));
        pair.ours.add(ours);
        pair.etcd.add(theirs);
    }
    Ok(pair)
}

/// The number of connections with which etcd has the highest rate.
async fn best_connections(context: &BenchContext, cluster: &EtcdCluster, clients: usize) -> Result<EtcdConnections> {
    let mut best = (EtcdConnections(clients), 0.0);
    if clients == 1 {
        return Ok(best.0);
    }
    for connections in SHARED.into_iter().chain([clients]).map(EtcdConnections) {
        let measured = put(context, cluster, clients, connections).await?;
        context.progress.line(format!(
            "P3 {clients:>3} clients of etcd on {:>3} connections: {:>7} puts/s",
            connections.0,
            number(measured.per_s)
        ));
        if measured.per_s > best.1 {
            best = (connections, measured.per_s);
        }
    }
    Ok(best.0)
}

async fn put(
    context: &BenchContext,
    cluster: &EtcdCluster,
    clients: usize,
    connections: EtcdConnections,
) -> Result<Measurement> {
    let leader = cluster.leader().await?;
    let Profile { warm_up, measured, .. } = context.profile;
    PutLoad { clients, connections }.measure(cluster.endpoint(leader), warm_up, measured).await
}

/// Orders as fast as they are acknowledged.
///
/// # Errors
/// If an order fails, or two orders have the same number.
pub(crate) async fn order(profile: &Profile, store: &BenchStore, shoppers: usize) -> Result<Measurement> {
    let Profile { warm_up, measured, .. } = *profile;
    let stages = vec![Stage::closed(shoppers, warm_up).not_counted(), Stage::closed(shoppers, measured)];
    let plan = LoadPlan::single_requests(store.target(1), store.products().to_vec(), 1.0, stages);
    let meter = Meter::start(Pid::own())?;
    let loaded = load::run(&plan, &CancellationToken::new(), |_| {}).await?;
    let generator_cores = meter.cores()?;
    let numbers = loaded.order_numbers();
    let mut acknowledged = 0;
    for (_, outcome) in &loaded.stages {
        let orders = outcome.of(RequestKind::Order);
        ensure!(orders.failed() + orders.sold_out == 0, "not every order was placed: {orders:?}");
        acknowledged += orders.done.count();
    }
    let distinct = u64::try_from(numbers.len())?;
    ensure!(distinct == acknowledged, "{acknowledged} orders were acknowledged, with {distinct} numbers");
    let (_, counted) = loaded.stages.last().context("no stage counts")?;
    let orders = &counted.of(RequestKind::Order).done;
    let latency = orders.since_sent();
    #[expect(clippy::cast_precision_loss, reason = "counts and microseconds are far below 2^53")]
    let (count, p50_us, p99_us) = (orders.count() as f64, latency.p50_us as f64, latency.p99_us as f64);
    Ok(Measurement { per_s: count / measured.as_secs_f64(), p50_us, p99_us, generator_cores })
}

/// The goals: a rate for many shoppers, a latency for few.
fn results(pair: &OrderRounds) -> Vec<BenchResult> {
    let (ours, etcd) = (pair.ours.median(), pair.etcd.median());
    let (part, shoppers) = (format!("@{}", pair.shoppers), pair.shoppers);
    let rate = |goal| {
        let (ours, etcd) = (Figure::new(ours.per_s, "orders/s"), Figure::new(etcd.per_s, "puts/s"));
        Benchmark::P3.ratio(&part, &format!("orders per second, {shoppers} shoppers"), ours, etcd, goal)
    };
    let p50 = |goal| {
        let ms = |us| Figure::new(us / 1e3, "ms");
        let what = format!("p50 of an order, {shoppers} shoppers");
        Benchmark::P3.ratio(&format!("{part}-p50"), &what, ms(ours.p50_us), ms(etcd.p50_us), goal)
    };
    match shoppers {
        1 => vec![rate(Goal::Stated), p50(Goal::AtMost(2.0))],
        16 => vec![rate(Goal::Stated), p50(Goal::AtMost(1.0))],
        64 => vec![rate(Goal::AtLeast(1.5))],
        _ => vec![rate(Goal::AtLeast(2.5))],
    }
}

fn details(pairs: &[OrderRounds], version: &str) -> Document {
    let mut page = Document::new("Orders");
    page.text(format!(
        "Reference: etcd {version}, three nodes with default settings; puts of {VALUE_BYTES} bytes under new keys, sent to the leader. The clients share \
         one connection, share four, or have one each, whichever gives etcd the highest rate. Rates are medians, with the lowest and the highest round."
    ));
    let sides = pairs.iter().flat_map(|pair| {
        [("store", "one each".to_owned(), &pair.ours), ("etcd", pair.connections.0.to_string(), &pair.etcd)]
            .map(|(side, connections, rounds)| (format!("{} × {side}", pair.shoppers), connections, rounds))
    });
    let table = Table::of(sides).text("shoppers", |(side, ..)| side.clone());
    let table = Rounds::columns(table, "per second", |(.., rounds)| rounds);
    page.table(table.text("connections", |(_, connections, _)| connections.clone()));
    page
}
