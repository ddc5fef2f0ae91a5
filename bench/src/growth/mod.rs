//! P5: does the store stay as fast when the ledger grows?
//!
//! One store, the *old* store, is filled to 10 k, 100 k, 1 M and 5 M orders. At each size, this
//! benchmark measures:
//!
//! * **memory**: the anonymous memory of an order replica (`RssAnon` and `VmSwap` of
//!   `/proc/PID/status`), for the replica that uses most;
//! * **restart**: `kill -9` of a follower; the time from its start until it is ready, which means
//!   that it has caught up with its leader;
//! * **catch-up**: `kill -9` of a follower, and 20,000 orders without it; the time from its start
//!   until it has applied everything that was committed at its start;
//! * **orders per second** of 64 shoppers, and the latency of reading a random order over one
//!   connection.
//!
//! The last two are compared with a *young* store of 10 k orders. It is created for each round,
//! right before the old store is measured. One of the two stores is always paused. Both grow while
//! orders are placed: the stated sizes are those at the start of a measurement.

mod fill;
mod page;
mod reads;
mod replica;
mod size;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use report::number;
use tokio::time::sleep;

use crate::context::BenchContext;
use crate::orders::order;
use crate::outcome::BenchOutcome;
use crate::profile::Profile;
use crate::rounds::{Measurement, median};
use crate::store::{Assortment, BenchStore};
use fill::fill;
use reads::{Reads, read};
use size::{AgeComparison, LedgerSizeResult, MISSED, SHOPPERS};

/// As many products as in the default catalog.
const PRODUCTS: usize = 14;

/// The pause after the store was filled, in which the replicas write the checkpoints that are due.
const QUIET: Duration = Duration::from_secs(1);

/// Runs the benchmark.
pub(crate) async fn measure(context: &BenchContext) -> Result<BenchOutcome> {
    let dir = context.dir("growth")?;
    let mut old = open(context, &dir.join("old")).await?;
    let mut sizes = Vec::new();
    for wanted in context.profile.ledgers {
        sizes.push(size(context, &dir, &mut old, *wanted).await?);
    }
    Ok(BenchOutcome::new(page::results(&sizes), page::details(&sizes), &sizes))
}

async fn open(context: &BenchContext, dir: &Path) -> Result<BenchStore> {
    BenchStore::open(&context.binary, dir, Assortment::of(PRODUCTS), |layout| layout).await
}

async fn size(context: &BenchContext, dir: &Path, old: &mut BenchStore, wanted: u64) -> Result<LedgerSizeResult> {
    let filled = fill(old, wanted, context.progress).await?;
    let mut orders = filled;
    sleep(QUIET).await;
    let memory_bytes = replica::memory(old)?;
    let (mut restart_s, mut catch_up_s, mut memory_restarted_bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..context.profile.ledger_rounds {
        let restarted = replica::restart(old).await?;
        restart_s.push(restarted.until_ready.as_secs_f64());
        memory_restarted_bytes = memory_restarted_bytes.max(restarted.memory_bytes);
    }
    for _ in 0..context.profile.ledger_rounds {
        let (until_caught_up, now) = replica::catch_up(old, orders + MISSED, context.progress).await?;
        catch_up_s.push(until_caught_up.as_secs_f64());
        orders = now;
    }
    context.progress.line(format!(
        "P5 {} orders: {} MB, restart {} s, catch-up {} s",
        page::short(wanted),
        number(page::megabytes(memory_bytes)),
        number(median(restart_s.iter().copied())),
        number(median(catch_up_s.iter().copied()))
    ));
    old.settle().await?;
    let comparison =
        if wanted > context.profile.ledgers[0] { Some(compare(context, dir, old, wanted).await?) } else { None };
    Ok(LedgerSizeResult {
        wanted,
        orders: wanted,
        memory_bytes,
        memory_restarted_bytes,
        restart_s,
        catch_up_s,
        comparison,
    })
}

async fn compare(context: &BenchContext, dir: &Path, old: &mut BenchStore, wanted: u64) -> Result<AgeComparison> {
    // Half as long as in other benchmarks, so that the young store stays small.
    let profile = context.profile.halved();
    let mut both = AgeComparison::default();
    for round in 1..=context.profile.ledger_rounds {
        old.freeze()?;
        let files = dir.join("young");
        let mut young = open(context, &files).await?;
        fill(&mut young, context.profile.ledgers[0], context.progress).await?;
        let (reads, rate) = reads_and_rate(&profile, &young, context.profile.ledgers[0]).await?;
        both.young_reads.push(reads);
        both.young.add(rate);
        young.close().await;
        std::fs::remove_dir_all(&files)?;
        old.thaw().await?;
        let (reads, rate) = reads_and_rate(&profile, old, wanted).await?;
        both.old_reads.push(reads);
        both.old.add(rate);
        let [old_rate, young_rate] = [&both.old, &both.young].map(|rounds| number(rounds.median().per_s));
        context.progress.line(format!(
            "P5 {} orders, round {round} of {}: {old_rate} orders/s, with 10k {young_rate}",
            page::short(wanted),
            context.profile.ledger_rounds
        ));
    }
    Ok(both)
}

/// Measures reads of the first `orders` orders, and then the rate of new orders.
async fn reads_and_rate(profile: &Profile, store: &BenchStore, orders: u64) -> Result<(Reads, Measurement)> {
    let reads = read(&store.target(1), orders).await?;
    Ok((reads, order(profile, store, SHOPPERS, store.products().len()).await?))
}
