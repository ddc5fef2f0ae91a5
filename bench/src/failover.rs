//! P4: how long nothing is acknowledged after a leader was killed under load.
//!
//! Our side is `toystore drill`: 16 shoppers place 500 orders per second through two frontends. The
//! order leader is killed with `kill -9` and started again. The *gap* is the longest time without
//! an acknowledged order, from the kill until the store has recovered. At the end, the drill
//! compares all responses with the ledgers on the disks: a lost order is an error.
//!
//! The other side is the same for etcd: 16 clients send 500 puts per second, each client with a
//! list of all three nodes. The leader is killed with `kill -9` and started again after two
//! seconds.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use report::{Document, Table, nearest_rank, number};
use serde::Serialize;
use tokio::time::sleep;

use crate::benchmark::Benchmark;
use crate::context::BenchContext;
use crate::drill::{self, InjectedFault, PER_S, SHOPPERS};
use crate::etcd::{self, EtcdCluster, EtcdWriters};
use crate::outcome::BenchOutcome;
use crate::result::{BenchResult, Figure, Goal};
use crate::rounds::median;

/// How long a killed node of etcd stays stopped: longer than an election.
const AWAY: Duration = Duration::from_secs(2);

/// Puts that must be acknowledged between two kills.
const PUTS_BETWEEN: u64 = 250;

/// Gaps in milliseconds.
#[derive(Debug, Serialize)]
struct FailoverGaps {
    ours: Vec<f64>,
    etcd: Vec<f64>,
}

/// Runs the benchmark.
pub(crate) async fn measure(context: &BenchContext) -> Result<BenchOutcome> {
    let dir = context.dir("failover")?;
    let version = etcd::version().await?;
    let etcd = etcd_gaps(context, &dir.join("etcd")).await?;
    context.progress.line(format!(
        "P4 etcd: {} ms at the median of {} kills",
        number(median(etcd.iter().copied())),
        etcd.len()
    ));
    let ours = own_gaps(context, &dir).await?;
    let gaps = FailoverGaps { ours, etcd };
    Ok(BenchOutcome::new(results(&gaps), details(&gaps, &version), &gaps))
}

async fn own_gaps(context: &BenchContext, dir: &Path) -> Result<Vec<f64>> {
    let report = drill::inject(context, dir, &["kill-leader"], context.profile.kills, None).await?;
    Ok(report.events.iter().map(InjectedFault::gap_ms).collect())
}

async fn etcd_gaps(context: &BenchContext, dir: &Path) -> Result<Vec<f64>> {
    let mut cluster = EtcdCluster::start(dir).await?;
    let writers = EtcdWriters::start(SHOPPERS, PER_S, &cluster.endpoints()).await?;
    let mut gaps_ms = Vec::new();
    for _ in 0..context.profile.etcd_kills {
        writers.wait_for_puts(PUTS_BETWEEN).await?;
        let leader = cluster.leader().await?;
        let outage = writers.measure_outage();
        cluster.kill(leader).await?;
        sleep(AWAY).await;
        writers.wait_for_puts(1).await?;
        cluster.restart(leader)?;
        cluster.leader().await?;
        gaps_ms.push(outage.longest().as_secs_f64() * 1e3);
    }
    Ok(gaps_ms)
}

/// The nearest-rank percentile.
fn percentile(gaps: &[f64], percent: usize) -> f64 {
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    nearest_rank(&sorted, percent).expect("there is at least one gap")
}

fn results(gaps: &FailoverGaps) -> Vec<BenchResult> {
    let ms = |value| Figure::new(value, "ms");
    let [p99, p50] = [99, 50].map(|percent| ms(percentile(&gaps.ours, percent)));
    let reference = format!("etcd {}", ms(percentile(&gaps.etcd, 99)));
    let etcd_p50 = ms(percentile(&gaps.etcd, 50));
    vec![
        Benchmark::P4.figure("-p99", "gap at a kill of the leader, p99", p99, &reference, Goal::AtMost(50.0)),
        Benchmark::P4.ratio("-p50", "gap at a kill of the leader, p50", p50, etcd_p50, Goal::Stated),
    ]
}

fn details(gaps: &FailoverGaps, version: &str) -> Document {
    let mut page = Document::new("Fail-over");
    page.text(format!(
        "Reference: etcd {version}, three nodes with default settings. {SHOPPERS} clients and {PER_S} requests per second on both sides."
    ));
    let table = Table::of([("store", &gaps.ours), ("etcd", &gaps.etcd)]).text("gap, ms", |(side, _)| *side);
    let table = table.number("kills", |(_, gaps)| gaps.len());
    let percentiles = [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)];
    page.table(
        percentiles
            .into_iter()
            .fold(table, |table, (head, percent)| table.number(head, |(_, gaps)| percentile(gaps, percent))),
    );
    page
}
