//! P3: orders, compared with puts to etcd and with orders in `PostgreSQL`, at rising numbers of
//! clients.
//!
//! Store and etcd number their requests, replicate them over three processes, and respond when a
//! majority has synced them. A request of ours is an order: it goes through a frontend to the order
//! leader, and takes its pieces from the stock of the catalog, exactly once. A request to etcd is a
//! put of a new key with a value of 100 bytes, sent to the leader directly.
//!
//! `PostgreSQL` does what the store does, in one statement without HTTP: it takes a piece of one of
//! the products, which locks its row, and inserts the order. So it is measured with many products,
//! too, whose rows are rarely locked by another client.
//!
//! The sides take turns for each number of clients. While one side is measured, the processes of
//! store and etcd are paused, and `PostgreSQL` is idle.

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
use crate::postgres::PostgresCluster;
use crate::process::{Meter, Pid};
use crate::profile::Profile;
use crate::result::{BenchResult, Figure, Goal};
use crate::rounds::{Measurement, Rounds};
use crate::store::{Assortment, BenchStore};

/// Concurrent shoppers, each with one order in flight.
const SHOPPERS: [usize; 4] = [1, 16, 64, 256];

/// As many products as in the default catalog.
const PRODUCTS: usize = 14;

/// Enough that two orders rarely want the same product.
const MANY_PRODUCTS: usize = 1000;

/// The numbers of shoppers who want one of many products.
const SHOPPERS_OF_MANY: [usize; 2] = [64, 256];

/// The numbers of shared connections to etcd that are tried, in addition to one connection per
/// client.
const SHARED: [usize; 2] = [1, 4];

/// All sides at one number of shoppers.
#[derive(Debug, Serialize)]
struct OrderRounds {
    shoppers: usize,
    connections: EtcdConnections,
    ours: Rounds,
    etcd: Rounds,
    postgres: Rounds,
}

/// Store and `PostgreSQL` with many products.
#[derive(Debug, Serialize)]
struct ManyProductsRounds {
    shoppers: usize,
    ours: Rounds,
    postgres: Rounds,
}

/// The sides. Store and etcd are paused while they are not measured.
struct Sides {
    store: BenchStore,
    etcd: EtcdCluster,
    postgres: PostgresCluster,
}

/// Runs the benchmark.
pub(crate) async fn measure(context: &BenchContext) -> Result<BenchOutcome> {
    let version = etcd::version().await?;
    let dir = context.dir("orders")?;
    let postgres = PostgresCluster::start(&dir.join("postgres"), MANY_PRODUCTS).await?;
    let versions = Versions { etcd: version, postgres: postgres.version().await? };
    let etcd = EtcdCluster::start(&dir.join("etcd")).await?;
    etcd.freeze()?;
    let mut store =
        BenchStore::open(&context.binary, &dir.join("ours"), Assortment::of(MANY_PRODUCTS), |layout| layout).await?;
    store.freeze()?;
    let mut sides = Sides { store, etcd, postgres };
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for shoppers in SHOPPERS {
        few.push(few_products(context, &mut sides, shoppers).await?);
    }
    for shoppers in SHOPPERS_OF_MANY {
        many.push(many_products(context, &mut sides, shoppers).await?);
    }
    let results = few.iter().flat_map(results).chain(many.iter().map(result_of_many)).collect();
    Ok(BenchOutcome::new(results, details(&few, &many, &versions), &(&few, &many)))
}

async fn few_products(context: &BenchContext, sides: &mut Sides, shoppers: usize) -> Result<OrderRounds> {
    let Profile { rounds, .. } = context.profile;
    sides.etcd.thaw().await?;
    let connections = best_connections(context, &sides.etcd, shoppers).await?;
    let [ours, etcd, postgres] = [Rounds::default(), Rounds::default(), Rounds::default()];
    let mut all = OrderRounds { shoppers, connections, ours, etcd, postgres };
    for round in 1..=rounds {
        if round > 1 {
            sides.etcd.thaw().await?;
        }
        let etcd = put(context, &sides.etcd, shoppers, connections).await?;
        sides.etcd.freeze()?;
        let (ours, postgres) = sides.order(&context.profile, shoppers, PRODUCTS).await?;
        context.progress.line(format!(
            "P3 {shoppers:>3} shoppers, round {round} of {rounds}: {:>7} orders/s, etcd {:>7} puts/s, PostgreSQL {:>7} orders/s",
            number(ours.per_s),
            number(etcd.per_s),
            number(postgres.per_s)
        ));
        all.ours.add(ours);
        all.etcd.add(etcd);
        all.postgres.add(postgres);
    }
    Ok(all)
}

async fn many_products(context: &BenchContext, sides: &mut Sides, shoppers: usize) -> Result<ManyProductsRounds> {
    let Profile { rounds, .. } = context.profile;
    let mut both = ManyProductsRounds { shoppers, ours: Rounds::default(), postgres: Rounds::default() };
    for round in 1..=rounds {
        let (ours, postgres) = sides.order(&context.profile, shoppers, MANY_PRODUCTS).await?;
        context.progress.line(format!(
            "P3 {shoppers:>3} shoppers, {MANY_PRODUCTS} products, round {round} of {rounds}: {:>7} orders/s, PostgreSQL {:>7}",
            number(ours.per_s),
            number(postgres.per_s)
        ));
        both.ours.add(ours);
        both.postgres.add(postgres);
    }
    Ok(both)
}

impl Sides {
    /// Orders of the first `products` products, at the store and at `PostgreSQL`.
    async fn order(
        &mut self,
        profile: &Profile,
        shoppers: usize,
        products: usize,
    ) -> Result<(Measurement, Measurement)> {
        self.store.thaw().await?;
        let ours = order(profile, &self.store, shoppers, products).await?;
        self.store.freeze()?;
        Ok((ours, self.postgres.measure(shoppers, products, profile.warm_up, profile.measured).await?))
    }
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

/// Orders of the first `products` products, as fast as they are acknowledged.
///
/// # Errors
/// If an order fails, or two orders have the same number.
pub(crate) async fn order(
    profile: &Profile,
    store: &BenchStore,
    shoppers: usize,
    products: usize,
) -> Result<Measurement> {
    let Profile { warm_up, measured, .. } = *profile;
    let stages = vec![Stage::closed(shoppers, warm_up).not_counted(), Stage::closed(shoppers, measured)];
    let plan = LoadPlan::single_requests(store.target(1), store.products()[..products].to_vec(), 1.0, stages);
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
fn results(all: &OrderRounds) -> Vec<BenchResult> {
    let (ours, etcd) = (all.ours.median(), all.etcd.median());
    let (part, shoppers) = (format!("@{}", all.shoppers), all.shoppers);
    let rate = |goal| {
        let (ours, etcd) = (Figure::new(ours.per_s, "orders/s"), Figure::new(etcd.per_s, "puts/s"));
        Benchmark::P3.ratio(&part, &format!("orders per second, {shoppers} shoppers"), ours, etcd, goal)
    };
    let p50 = |goal| {
        let ms = |us| Figure::new(us / 1e3, "ms");
        let what = format!("p50 of an order, {shoppers} shoppers");
        Benchmark::P3.ratio(&format!("{part}-p50"), &what, ms(ours.p50_us), ms(etcd.p50_us), goal)
    };
    let postgres = |goal| {
        let what = format!("orders per second, {shoppers} shoppers, against PostgreSQL");
        Benchmark::P3.ratio(&format!("{part}-pg"), &what, orders(&all.ours), orders(&all.postgres), Goal::AtLeast(goal))
    };
    match shoppers {
        1 => vec![rate(Goal::AtLeast(1.0)), p50(Goal::AtMost(1.0)), postgres(1.0)],
        16 => vec![rate(Goal::Stated), p50(Goal::AtMost(1.0)), postgres(2.0)],
        64 => vec![rate(Goal::AtLeast(1.5)), postgres(5.0)],
        _ => vec![rate(Goal::AtLeast(2.5)), postgres(12.0)],
    }
}

fn result_of_many(both: &ManyProductsRounds) -> BenchResult {
    let ManyProductsRounds { shoppers, ours, postgres } = both;
    let what = format!("the same with {MANY_PRODUCTS} products, {shoppers} shoppers");
    Benchmark::P3.ratio(&format!("@{shoppers}-pg-many"), &what, orders(ours), orders(postgres), Goal::Stated)
}

fn orders(rounds: &Rounds) -> Figure {
    Figure::new(rounds.median().per_s, "orders/s")
}

struct Versions {
    etcd: String,
    postgres: String,
}

fn details(few: &[OrderRounds], many: &[ManyProductsRounds], versions: &Versions) -> Document {
    let Versions { etcd: version, postgres } = versions;
    let mut page = Document::new("Orders");
    page.text(format!(
        "Reference: etcd {version}, three nodes with default settings; puts of {VALUE_BYTES} bytes under new keys, sent to the leader. The clients share \
         one connection, share four, or have one each, whichever gives etcd the highest rate. PostgreSQL {postgres} has two standbys, one of which must have synced each commit; pgbench sends it one prepared \
         statement per order over a connection for each client, without HTTP. Rates are medians, with the lowest and the highest round."
    ));
    let each = || "one each".to_owned();
    let of_few = few.iter().flat_map(|all| {
        [
            ("store", each(), &all.ours),
            ("etcd", all.connections.0.to_string(), &all.etcd),
            ("PostgreSQL", each(), &all.postgres),
        ]
        .map(|(side, connections, rounds)| (format!("{} × {side}", all.shoppers), connections, rounds))
    });
    let of_many = many.iter().flat_map(|both| {
        [("store", &both.ours), ("PostgreSQL", &both.postgres)]
            .map(|(side, rounds)| (format!("{} × {side}, {MANY_PRODUCTS} products", both.shoppers), each(), rounds))
    });
    let sides = of_few.chain(of_many);
    let table = Table::of(sides).text("shoppers", |(side, ..)| side.clone());
    let table = Rounds::columns(table, "per second", |(.., rounds)| rounds);
    page.table(table.text("connections", |(_, connections, _)| connections.clone()));
    page
}
