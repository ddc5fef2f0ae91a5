//! P4: a leader is killed under load. For how long is nothing acknowledged?
//!
//! Ours is `toystore drill`: 16 shoppers order through two frontends, 500 orders per second together; the order leader gets `kill -9`, and is
//! started again. The *gap* is the longest time without an acknowledged order, from the kill until the store is whole again. In the
//! end the drill compares everything that the shoppers were told with what is on the disks: a lost order is an error.
//!
//! Theirs is the same: 16 clients, 500 puts per second, each client with a list of all three nodes; `kill -9` of the leader, which is started
//! again after a second.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use report::Document;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::sleep;

use crate::benchmark::Benchmark;
use crate::etcd::{self, Cluster, Writers};
use crate::finding::{Digits, Figure, Finding, Goal};
use crate::outcome::Outcome;
use crate::rounds::median;
use crate::suite::Field;

/// Who order at the same time, on either side.
const SHOPPERS: u32 = 16;

/// Of all of them together. An outage is told apart to within 2 ms.
const PER_S: u32 = 500;

/// For so long a killed node of etcd stays away: longer than its election.
const AWAY: Duration = Duration::from_secs(2);

/// Puts that must be acknowledged between two kills.
const PUTS_BETWEEN: u64 = 250;

/// Gaps in milliseconds.
#[derive(Debug, Serialize)]
struct Gaps {
    ours: Vec<f64>,
    etcd: Vec<f64>,
}

/// The parts of the drill's report that are looked at.
#[derive(Deserialize)]
struct Drilled {
    events: Vec<Event>,
    broken: Vec<String>,
}

#[derive(Deserialize)]
struct Event {
    gap_us: u64,
}

/// Measures it.
pub(crate) async fn measure(field: &Field) -> Result<Outcome> {
    let dir = field.dir("failover")?;
    let version = etcd::version().await?;
    let etcd = etcd_gaps(field, &dir.join("etcd")).await?;
    field.progress.line(format!("P4 etcd: {} ms at the median of {} kills", Digits(median(etcd.clone())), etcd.len()));
    let ours = own_gaps(field, &dir).await?;
    let gaps = Gaps { ours, etcd };
    Ok(Outcome::new(findings(&gaps), details(&gaps, &version), &gaps))
}

async fn own_gaps(field: &Field, dir: &Path) -> Result<Vec<f64>> {
    let json = dir.join("drill.json");
    let mut command = Command::new(&field.binary);
    command.args(["drill", "--faults", "kill-leader", "--rounds", &field.extent.kills.to_string()]);
    command.args(["--shoppers", &SHOPPERS.to_string(), "--orders-per-s", &PER_S.to_string()]);
    command.arg("--data-dir").arg(dir.join("ours")).arg("--json").arg(&json);
    let output = command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).output().await?;
    let told = || format!("the drill failed:\n{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), told());
    let text = std::fs::read(&json).with_context(told)?;
    let Drilled { events, broken } = serde_json::from_slice(&text).context("the drill's report cannot be read")?;
    ensure!(broken.is_empty(), "the drill found a broken promise: {}", broken.join("; "));
    let kills = usize::try_from(field.extent.kills)?;
    ensure!(events.len() == kills, "the drill killed {} times instead of {kills}", events.len());
    Ok(events.iter().map(|event| Duration::from_micros(event.gap_us).as_secs_f64() * 1e3).collect())
}

async fn etcd_gaps(field: &Field, dir: &Path) -> Result<Vec<f64>> {
    let mut cluster = Cluster::start(dir).await?;
    let writers = Writers::start(SHOPPERS, PER_S, &cluster.endpoints()).await?;
    let mut gaps_ms = Vec::new();
    for _ in 0..field.extent.etcd_kills {
        writers.flow(PUTS_BETWEEN).await?;
        let leader = cluster.leader().await?;
        let outage = writers.listen();
        cluster.kill(leader).await?;
        sleep(AWAY).await;
        writers.flow(1).await?;
        cluster.restart(leader)?;
        cluster.leader().await?;
        gaps_ms.push(outage.longest().as_secs_f64() * 1e3);
    }
    Ok(gaps_ms)
}

/// Nearest rank: the smallest gap that so many per cent do not exceed.
fn percentile(gaps: &[f64], percent: usize) -> f64 {
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

fn findings(gaps: &Gaps) -> Vec<Finding> {
    let ms = |value| Figure::new(value, "ms");
    let [p99, p50] = [99, 50].map(|percent| ms(percentile(&gaps.ours, percent)));
    let beside = format!("etcd {}", ms(percentile(&gaps.etcd, 99)));
    let etcd_p50 = ms(percentile(&gaps.etcd, 50));
    vec![
        Finding::figure(Benchmark::P4, "-p99", "gap at a kill of the leader, p99", p99, &beside, Goal::AtMost(50.0)),
        Finding::ratio(Benchmark::P4, "-p50", "gap at a kill of the leader, p50", p50, etcd_p50, Goal::Stated),
    ]
}

fn details(gaps: &Gaps, version: &str) -> Document {
    let mut page = Document::new("Fail-over");
    page.text(format!(
        "Beside it: etcd {version}, three nodes as they come. On both sides {SHOPPERS} clients, {PER_S} requests per second together."
    ));
    let row = |side: &str, gaps: &[f64]| {
        let [p50, p90, p99, max] = [50, 90, 99, 100].map(|percent| Digits(percentile(gaps, percent)).to_string());
        [side.to_owned(), gaps.len().to_string(), p50, p90, p99, max]
    };
    page.table(["gap, ms", "kills", "p50", "p90", "p99", "max"], [row("store", &gaps.ours), row("etcd", &gaps.etcd)]);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rank() {
        let gaps: Vec<_> = (1..=50).rev().map(f64::from).collect();
        let found = [50, 99, 100].map(|percent| Digits(percentile(&gaps, percent)).to_string());
        assert_eq!(found, ["25.0", "50.0", "50.0"]);
    }
}
