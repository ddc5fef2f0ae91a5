//! What does a store do that gets ten times the load that it can handle?
//!
//! `cargo build --release && cargo run --release --example overload -- 0.2` starts a store on free
//! ports. It finds the best goodput (200 responses per second, in a closed loop with a rising
//! number of connections). Then, three times, it offers ten times that rate over ten times those
//! connections (an open loop), and the best load again. The argument is the share of orders among
//! the requests, 0.2 by default; the others read products. It prints the goodput, the outcome and
//! latency of all other requests, and the peak memory of each process.
//!
//! The load generator runs on the same machine and takes CPU time from the store. `sent` is the
//! rate that it has really reached. `OVERLOAD_BINARY` names another binary than the one beside this
//! example, `OVERLOAD_SECONDS` is the length of each step (5), `OVERLOAD_LOG` the log level of the
//! store.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]

mod release_store;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::{Address, ProductName};
use workload::load::{self, LoadModel, LoadPlan, Stage};
use workload::{LoadStats, RequestKind, RequestStats};

use release_store::memory_mib;

/// From one shopper to more than two full batches.
const CONNECTIONS: [usize; 7] = [1, 4, 16, 64, 128, 256, 512];
const PRODUCTS: usize = 20;
/// The multiple of the best rate and of its number of connections.
const OVERLOAD: usize = 10;
/// Rounds of overload followed by the best load.
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let order_share: f64 =
        std::env::args().nth(1).map_or(Ok(0.2), |share| share.parse()).context("a share from 0 to 1")?;
    ensure!((0.0..=1.0).contains(&order_share), "the share of orders must be from 0 to 1");
    let seconds = std::env::var("OVERLOAD_SECONDS")
        .map_or(Ok(5), |seconds| seconds.parse())
        .context("OVERLOAD_SECONDS must be a number")?;
    let directory = tempfile::tempdir()?;
    let binary = std::env::var_os("OVERLOAD_BINARY").map(PathBuf::from);
    let log = std::env::var("OVERLOAD_LOG").unwrap_or_else(|_| "off".into());
    let (mut store, products) = release_store::start(directory.path(), PRODUCTS, binary, &log).await?;
    let bench =
        Bench { target: store.layout().public(1), products, order_share, measured: Duration::from_secs(seconds) };
    let best = bench.best().await?;
    let rate = best.goodput() * as_f64(OVERLOAD as u64);
    let connections = best.connections * OVERLOAD;
    let (mut flooded, mut after) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        println!("\nround {round} of {ROUNDS}, overload: {rate:.0} requests/s offered, over {connections} connections");
        let flood = bench.step(connections, LoadModel::constant(rate)).await?;
        flood.print();
        flooded.push(flood.goodput());
        println!("the best load again");
        let again = bench.step(best.connections, LoadModel::Closed { shoppers: best.connections }).await?;
        again.print();
        after.push(again.goodput());
    }
    println!("\npeak memory");
    for process in store.processes() {
        println!("{:>10} {:>6.1} MiB", process.member().to_string(), memory_mib(process.pid(), "VmHWM")?);
    }
    // Other processes on this machine change the results from step to step, so the best load is
    // measured as often as the overload.
    let ratios = flooded.iter().zip(&after).map(|(flooded, after)| 100.0 * flooded / after).collect();
    let after = after.into_iter().map(|after| 100.0 * after / best.goodput()).collect();
    println!(
        "\ngoodput: under overload {:.0} % of that of the best load after it, which is {:.0} % of the best load before (medians of {ROUNDS} rounds)",
        median(ratios),
        median(after)
    );
    store.stop().await;
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Bench {
    target: Address,
    products: Vec<ProductName>,
    order_share: f64,
    measured: Duration,
}

struct OverloadStep {
    connections: usize,
    outcome: LoadStats,
}

impl Bench {
    /// The closed loop with the best goodput.
    async fn best(&self) -> Result<OverloadStep> {
        let mut best: Option<OverloadStep> = None;
        for connections in CONNECTIONS {
            let step = self.step(connections, LoadModel::Closed { shoppers: connections }).await?;
            step.print();
            if best.as_ref().is_none_or(|best| best.goodput() < step.goodput()) {
                best = Some(step);
            }
        }
        best.context("there are steps")
    }

    async fn step(&self, connections: usize, model: LoadModel) -> Result<OverloadStep> {
        let stage = |length| Stage { name: "step".into(), model, length, counted: true };
        let mut stages = vec![stage(self.measured)];
        if matches!(model, LoadModel::Closed { .. }) {
            // Only a closed loop gets a warm-up: the unfinished requests of an open one would take
            // up the measured stage.
            stages.insert(0, stage(Duration::from_secs(1)).not_counted());
        }
        let plan = LoadPlan::single_requests(self.target.clone(), self.products.clone(), self.order_share, stages);
        let outcome = load::run_to_end(&LoadPlan { connections, ..plan }).await?;
        Ok(OverloadStep { connections, outcome })
    }
}

impl OverloadStep {
    /// 200 responses per second.
    fn goodput(&self) -> f64 {
        self.outcome.per_second(RequestKind::OF_A_VISIT.iter().map(|kind| self.outcome.of(*kind).done.count()).sum())
    }

    fn print(&self) {
        let outcome = &self.outcome;
        println!(
            "{:>5} connections: {:>6.0} good/s of {:>6.0} sent/s",
            self.connections,
            self.goodput(),
            outcome.per_second(outcome.sent())
        );
        for kind in RequestKind::OF_A_VISIT {
            let stats = outcome.of(kind);
            if stats.sent() > 0 {
                print_kind(outcome, kind, stats);
            }
        }
        if outcome.unsent > 0 {
            println!("        {} due but never sent: the generator or the store was too slow", outcome.unsent);
        }
    }
}

fn print_kind(outcome: &LoadStats, kind: RequestKind, stats: &RequestStats) {
    let sorts = [("200", &stats.done), ("503", &stats.refused)];
    for (status, latencies) in sorts.into_iter().filter(|(_, latencies)| latencies.count() > 0) {
        let (sent, due) = (latencies.since_sent(), latencies.since_due());
        let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1e3;
        println!(
            "        {kind:?} {status}: {:>6.0}/s; since sent p50 {:.1} p99 {:.1} max {:.1} ms; since due p50 {:.1} p99 {:.1} ms",
            outcome.per_second(latencies.count()),
            ms(sent.p50_us),
            ms(sent.p99_us),
            ms(sent.max_us),
            ms(due.p50_us),
            ms(due.p99_us),
        );
    }
    let without = stats.refused.count() - stats.with_retry_after;
    if without + stats.other + stats.timed_out + stats.connection_errors > 0 {
        println!(
            "        {kind:?}: {without} of the 503 responses without Retry-After, {} with another status, {} not answered, {} broken",
            stats.other, stats.timed_out, stats.connection_errors
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
