//! How long do clients wait when the order leader is killed?
//!
//! `cargo run --release --example failover -- 50` starts a store on ports of its own, lets 16 shoppers order as fast as they can, kills
//! (`kill -9`) the leader 50 times, and prints the longest gap between acknowledged orders around each kill. Each killed replica is restarted, and the
//! next kill waits until it is ready. `FAILOVER_LOG=info` shows what the store says meanwhile.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::mpsc;
use tokio::time::Instant;
use toystore::local::{Layout, Member, PortBase, Store};
use uuid::Uuid;

const SHOPPERS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);
/// After the gap, so many acknowledgements show that the store goes on.
const ACKNOWLEDGED_AFTER: usize = 100;

#[tokio::main]
async fn main() -> Result<()> {
    let kills: usize = std::env::args().nth(1).map_or(Ok(50), |kills| kills.parse()).context("how many kills?")?;
    let directory = tempfile::tempdir()?;
    let layout = Layout::new(directory.path(), PortBase::ephemeral()?)
        .with_variable("RESTOCK_INTERVAL_MS", 50)
        .with_variable("LOG_LEVEL", std::env::var("FAILOVER_LOG").unwrap_or_else(|_| "off".into()));
    let binary = std::env::current_exe()?.parent().context("a directory")?.join("../toystore");
    ensure!(binary.exists(), "build the release binary first: cargo build --release");
    let sink: toystore::local::LogSink = Arc::new(|member, line| eprintln!("{member:>10} | {line}"));
    let mut store = Store::new(layout, binary, sink);
    store.start_all()?;
    store.ready(PATIENCE).await.map_err(anyhow::Error::msg)?;
    let (sender, mut acknowledged) = mpsc::channel(65_536);
    let url = store.layout().public(1).url("");
    let shoppers: Vec<_> = (0..SHOPPERS).map(|n| tokio::spawn(shop(url.clone(), n, sender.clone()))).collect();
    let mut gaps_us = Vec::new();
    for kill in 1..=kills {
        let leader = store.leader_other_than(None, PATIENCE).await.map_err(anyhow::Error::msg)?;
        let gap = kill_and_measure(&mut store, Member::Order(leader), &mut acknowledged).await?;
        println!("kill {kill:>3}: order-{leader}, longest gap {:>7.1} ms", gap.as_secs_f64() * 1e3);
        gaps_us.push(gap.as_micros());
        store.start(Member::Order(leader))?;
        store.ready(PATIENCE).await.map_err(anyhow::Error::msg)?;
    }
    for shopper in shoppers {
        shopper.abort();
    }
    store.stop().await;
    gaps_us.sort_unstable();
    let at = |share: usize| gaps_us[(gaps_us.len() * share).div_ceil(100).max(1) - 1];
    let ms = |us: u128| Duration::from_micros(u64::try_from(us).unwrap_or(u64::MAX)).as_secs_f64() * 1e3;
    println!("{kills} kills: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", ms(at(50)), ms(at(99)), ms(at(100)));
    Ok(())
}

/// Kills a member and takes the longest gap between acknowledgements from then on.
async fn kill_and_measure(
    store: &mut Store,
    member: Member,
    acknowledged: &mut mpsc::Receiver<Instant>,
) -> Result<Duration> {
    while acknowledged.try_recv().is_ok() {}
    let mut last = acknowledged.recv().await.context("shoppers are at work")?;
    store.process(member).kill().await?;
    let killed = Instant::now();
    let (mut gap, mut after) = (Duration::ZERO, 0);
    while after < ACKNOWLEDGED_AFTER {
        let next =
            tokio::time::timeout(PATIENCE, acknowledged.recv()).await.context("orders go on")?.context("shoppers")?;
        gap = gap.max(next.saturating_duration_since(last));
        after += usize::from(next > killed);
        last = last.max(next);
    }
    Ok(gap)
}

/// Orders as fast as it is answered. An error ends the measurement: clients must not see one.
async fn shop(url: String, shopper: usize, acknowledged: mpsc::Sender<Instant>) {
    const TOYS: [&str; 5] = ["Tux", "Fox", "Whale", "Elephant", "Python"];
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    for toy in TOYS.iter().cycle().skip(shopper) {
        let order = client.post(format!("{url}/orders")).header("Idempotency-Key", Uuid::new_v4().to_string());
        let body = format!(r#"{{"name":"{toy}","quantity":1}}"#);
        let answer = order.header("Content-Type", "application/json").body(body).send().await.expect("an answer");
        match answer.status().as_u16() {
            200 => {
                if acknowledged.send(Instant::now()).await.is_err() {
                    return;
                }
            }
            409 => {}
            status => panic!("a shopper saw {status}: {}", answer.text().await.unwrap_or_default()),
        }
    }
}
