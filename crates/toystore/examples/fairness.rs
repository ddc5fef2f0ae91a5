//! Does a flood of one kind of request starve another kind?
//!
//! `cargo build --release && cargo run --release --example fairness` starts a store with one
//! frontend and a thousand products on free ports. For each kind of request it measures orders in a
//! closed loop over 50 connections: alone, and while 400 other connections send nothing but that
//! kind in a closed loop. Both are measured in several rounds in turn, because other processes on
//! the machine change the results from step to step. It prints the share of their throughput that
//! orders keep (the median of the rounds), and the throughput of the flood. Then 3,000 clients
//! request the list of products and do not read it; it prints how much memory of the frontend that
//! takes.
//!
//! The clients run on the same machine and take CPU time from the store. `FAIRNESS_BINARY` names
//! another binary than the one beside this example, `FAIRNESS_SECONDS` is the length of each step
//! (3), `FAIRNESS_ROUNDS` their number (3). Arguments are the paths to flood instead.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]

mod release_store;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use api::{Address, ProductName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use workload::load::{self, LoadModel, LoadPlan, Stage};
use workload::{LoadStats, RequestKind};

use release_store::memory_mib;

const PRODUCTS: usize = 1000;
const ORDERING: usize = 50;
const FLOODING: usize = 400;
const NOT_READING: usize = 3000;

/// The paths of the floods.
const FLOODS: [&str; 9] = [
    "/metrics",
    "/products",
    "/openapi.json",
    "/healthz",
    "/nowhere",
    "/products/Toy%201",
    "/products/Nothing",
    "/orders/1",
    "/orders/one",
];

#[tokio::main]
async fn main() -> Result<()> {
    let number =
        |name: &str, default: u64| std::env::var(name).map_or(Ok(default), |text| text.parse()).context("a number");
    let (seconds, rounds) = (number("FAIRNESS_SECONDS", 3)?, number("FAIRNESS_ROUNDS", 3)?);
    let directory = tempfile::tempdir()?;
    let binary = std::env::var_os("FAIRNESS_BINARY").map(PathBuf::from);
    let (mut store, products) = release_store::start(directory.path(), PRODUCTS, binary, "off").await?;
    let orders = OrderLoad { target: store.layout().public(1), products, measured: Duration::from_secs(seconds) };
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let floods = if paths.is_empty() { FLOODS.map(str::to_owned).to_vec() } else { paths };
    println!("{ORDERING} connections place orders; {FLOODING} others flood");
    for path in &floods {
        let mut kept = Vec::new();
        for _ in 0..rounds {
            let alone = orders.step().await?;
            let (during_flood, flood_per_s) = during_flood(&orders, path).await?;
            kept.push(100.0 * during_flood.per_second(placed(&during_flood)) / alone.per_second(placed(&alone)));
            println!(
                "  alone {}; during {flood_per_s:.0} of {path} per s: {}",
                describe(&alone),
                describe(&during_flood)
            );
        }
        kept.sort_by(f64::total_cmp);
        println!("{path}: orders keep {:.0} %", kept[kept.len() / 2]);
    }
    measure_unread_responses(
        &orders.target,
        store
            .processes()
            .find(|process| process.member().to_string().starts_with("frontend"))
            .context("a frontend")?
            .pid(),
    )
    .await?;
    store.stop().await;
    Ok(())
}

struct OrderLoad {
    target: Address,
    products: Vec<ProductName>,
    measured: Duration,
}

impl OrderLoad {
    async fn step(&self) -> Result<LoadStats> {
        let model = LoadModel::Closed { shoppers: ORDERING };
        let stage = |length| Stage { name: "step".into(), model, length, counted: true };
        let stages = vec![stage(Duration::from_secs(1)).not_counted(), stage(self.measured)];
        let plan = LoadPlan::single_requests(self.target.clone(), self.products.clone(), 1.0, stages);
        Ok(load::run_to_end(&LoadPlan { connections: ORDERING, ..plan }).await?)
    }
}

fn placed(outcome: &LoadStats) -> u64 {
    outcome.of(RequestKind::Order).done.count()
}

fn describe(outcome: &LoadStats) -> String {
    let sent = outcome.of(RequestKind::Order).done.since_sent();
    let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1e3;
    format!(
        "{:.0} orders/s, p50 {:.1} p99 {:.1} ms",
        outcome.per_second(placed(outcome)),
        ms(sent.p50_us),
        ms(sent.p99_us)
    )
}

/// The orders during a flood, and the flood's responses per second.
async fn during_flood(orders: &OrderLoad, path: &str) -> Result<(LoadStats, f64)> {
    let answered = Arc::new(AtomicU64::new(0));
    let mut flood = JoinSet::new();
    for _ in 0..FLOODING {
        flood.spawn(send_repeatedly(orders.target.clone(), path.to_owned(), Arc::clone(&answered)));
    }
    let begun = tokio::time::Instant::now();
    let outcome = orders.step().await?;
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let per_second = answered.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    flood.shutdown().await;
    Ok((outcome, per_second))
}

async fn send_repeatedly(target: Address, path: String, answered: Arc<AtomicU64>) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {target}\r\n\r\n");
    loop {
        // Broken connections are replaced.
        if let Ok(mut stream) = TcpStream::connect(target.as_str()).await {
            while exchange(&mut stream, &request).await.is_some() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn exchange(stream: &mut TcpStream, request: &str) -> Option<()> {
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut bytes = Vec::with_capacity(4096);
    let head = loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let length = String::from_utf8_lossy(&bytes[..head]).lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    })?;
    while bytes.len() < head + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(())
}

/// Clients that request a long response and do not read it.
async fn measure_unread_responses(target: &Address, frontend: i32) -> Result<()> {
    let before = memory_mib(frontend, "VmRSS")?;
    let mut clients = Vec::new();
    for _ in 0..NOT_READING {
        let mut stream = TcpStream::connect(target.as_str()).await?;
        stream.write_all(format!("GET /products HTTP/1.1\r\nhost: {target}\r\n\r\n").as_bytes()).await?;
        clients.push(stream);
    }
    let mut most = before;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        most = most.max(memory_mib(frontend, "VmRSS")?);
    }
    drop(clients);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = memory_mib(frontend, "VmRSS")?;
    println!(
        "{NOT_READING} clients that do not read the list: the frontend uses {before:.0} MiB before, {most:.0} during, {after:.0} after"
    );
    Ok(())
}
