//! What does a store do that is asked for ten times what it can do?
//!
//! `cargo build --release && cargo run --release --example overload -- 0.2` starts a store on ports of its own. It finds the best goodput (answers 200 per
//! second, in a closed loop with rising numbers of connections), then three times offers ten times that rate over ten times those connections (an open
//! loop), and the best load again. The argument is the share of orders among the requests, 0.2 if there is none; the others ask for products. It prints the
//! goodput, what became of the rest and how fast, and each process's peak memory.
//!
//! The generator runs on the same machine: what it needs, the store does not have. `sent` says which rate it has really reached.
//! `OVERLOAD_BINARY` names another binary than the one beside this example, `OVERLOAD_SECONDS` the length of each step (5), `OVERLOAD_LOG` what the store logs.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::{Address, ProductName};
use client::load::{self, Kind, KindOutcome, Outcome, Pace, Plan, Stage};
use toystore::local::{Layout, PortBase, Store};

const PATIENCE: Duration = Duration::from_secs(30);
/// From one shopper to more than two full batches.
const CONNECTIONS: [usize; 7] = [1, 4, 16, 64, 128, 256, 512];
const PRODUCTS: usize = 20;
/// Times the best rate, over times as many connections.
const OVERLOAD: usize = 10;
/// Of overload, and of the best load after it.
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let order_share: f64 = std::env::args().nth(1).map_or(Ok(0.2), |share| share.parse()).context("a share, 0 to 1")?;
    ensure!((0.0..=1.0).contains(&order_share), "the share of orders is from 0 to 1");
    let seconds = std::env::var("OVERLOAD_SECONDS").map_or(Ok(5), |seconds| seconds.parse()).context("seconds")?;
    let directory = tempfile::tempdir()?;
    let products: Vec<_> = (1..=PRODUCTS).map(|n| format!("Toy {n}")).collect();
    let catalog = products.iter().fold("name,price,quantity\n".to_owned(), |mut csv, name| {
        writeln!(csv, "{name},1.00,1000000000").expect("a string takes all");
        csv
    });
    std::fs::write(directory.path().join("catalog.csv"), catalog)?;
    let mut store = start(Layout::new(directory.path(), PortBase::ephemeral()?)).await?;
    let bench = Bench {
        target: store.layout().public(1),
        products: products.iter().map(|name| ProductName::new(name).expect("a name")).collect(),
        order_share,
        measured: Duration::from_secs(seconds),
    };
    let best = bench.best().await?;
    let rate = best.goodput() * as_f64(OVERLOAD as u64);
    let connections = best.connections * OVERLOAD;
    let (mut flooded, mut after) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        println!(
            "\nround {round} of {ROUNDS}, ten times that: {rate:.0} requests/s due, over {connections} connections"
        );
        let flood = bench.step(connections, Pace::steady(rate)).await?;
        flood.print();
        flooded.push(flood.goodput());
        println!("the best load again");
        let again = bench.step(best.connections, Pace::Closed { shoppers: best.connections }).await?;
        again.print();
        after.push(again.goodput());
    }
    println!("\npeak memory");
    for process in store.processes() {
        println!("{:>10} {:>6.1} MiB", process.member().to_string(), peak_memory_mib(process.pid())?);
    }
    // What others on this machine do, changes from step to step: the best load is measured as often as the flood.
    let ratios = flooded.iter().zip(&after).map(|(flooded, after)| 100.0 * flooded / after).collect();
    let after = after.into_iter().map(|after| 100.0 * after / best.goodput()).collect();
    println!(
        "\ngoodput: under overload {:.0} % of that of the best load after it, which is {:.0} % of the best before (medians of {ROUNDS} rounds)",
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

async fn start(layout: Layout) -> Result<Store> {
    let layout = layout
        .with_variable("CACHE_SIZE", PRODUCTS)
        .with_variable("LOG_LEVEL", std::env::var("OVERLOAD_LOG").unwrap_or_else(|_| "off".into()));
    let beside =
        || Ok::<_, anyhow::Error>(std::env::current_exe()?.parent().context("a directory")?.join("../toystore"));
    let binary = std::env::var_os("OVERLOAD_BINARY").map_or_else(beside, |path| Ok(PathBuf::from(path)))?;
    ensure!(binary.exists(), "build the release binary first: cargo build --release");
    let mut store = Store::new(layout, binary, Arc::new(|member, line| eprintln!("{member:>10} | {line}")));
    store.start_all()?;
    store.ready(PATIENCE).await.map_err(anyhow::Error::msg)?;
    Ok(store)
}

struct Bench {
    target: Address,
    products: Vec<ProductName>,
    order_share: f64,
    measured: Duration,
}

struct Step {
    connections: usize,
    outcome: Outcome,
}

impl Bench {
    /// The closed loop with the best goodput.
    async fn best(&self) -> Result<Step> {
        let mut best: Option<Step> = None;
        for connections in CONNECTIONS {
            let step = self.step(connections, Pace::Closed { shoppers: connections }).await?;
            step.print();
            if best.as_ref().is_none_or(|best| best.goodput() < step.goodput()) {
                best = Some(step);
            }
        }
        best.context("there are steps")
    }

    async fn step(&self, connections: usize, pace: Pace) -> Result<Step> {
        let stage = |length| Stage { name: "step".into(), pace, length, counted: true };
        let mut stages = vec![stage(self.measured)];
        if matches!(pace, Pace::Closed { .. }) {
            // What an open stage leaves undone is done in the next one's time: nothing else would be.
            stages.insert(0, stage(Duration::from_secs(1)).not_counted());
        }
        let plan = Plan::of_requests(self.target.clone(), self.products.clone(), self.order_share, stages);
        let outcome = load::run_to_end(&Plan { connections, ..plan }).await?;
        Ok(Step { connections, outcome })
    }
}

impl Step {
    /// Answers 200 per second.
    fn goodput(&self) -> f64 {
        self.outcome.per_second(Kind::ALL.iter().map(|kind| self.outcome.of(*kind).done.count()).sum())
    }

    fn print(&self) {
        let outcome = &self.outcome;
        println!(
            "{:>5} connections: {:>6.0} good/s of {:>6.0} sent/s",
            self.connections,
            self.goodput(),
            outcome.per_second(outcome.sent())
        );
        for kind in Kind::ALL {
            let of_kind = outcome.of(kind);
            if of_kind.sent() > 0 {
                print_kind(outcome, kind, of_kind);
            }
        }
        if outcome.unsent > 0 {
            println!("        {} due and never sent: the generator or the store was not faster", outcome.unsent);
        }
    }
}

fn print_kind(outcome: &Outcome, kind: Kind, of_kind: &KindOutcome) {
    let sorts = [("200", &of_kind.done), ("503", &of_kind.refused)];
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
    let without = of_kind.refused.count() - of_kind.told_when;
    if without + of_kind.other + of_kind.silent + of_kind.broken > 0 {
        println!(
            "        {kind:?}: {without} of the 503 without Retry-After, {} of another status, {} not answered, {} broken",
            of_kind.other, of_kind.silent, of_kind.broken
        );
    }
}

/// The most that the process has had in memory at any time.
fn peak_memory_mib(pid: i32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("a peak")?;
    let kib: u32 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(f64::from(kib) / 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
