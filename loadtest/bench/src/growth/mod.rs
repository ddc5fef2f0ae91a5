//! P5: does it stay as it is when the ledger grows?
//!
//! One store, the *old* one, is filled to 10 k, 100 k, 1 M and 5 M orders. At each size:
//!
//! * **memory**: what an order replica has allocated (`RssAnon` and `VmSwap` of `/proc/PID/status`), of the three the one with most;
//! * **restart**: `kill -9` of a follower; from its start until it says that it is ready, which it does when it is level with its leader;
//! * **catch-up**: `kill -9` of a follower, 20,000 orders without it; from its start until it has applied all that was committed then;
//! * **orders per second** of 64 shoppers, and how long it takes to read an order whose number is drawn from all of them, over one connection.
//!
//! The last two are compared with a *young* store of 10 k orders, which is made anew for each round, right before the old one is measured; the other one
//! of the two is frozen meanwhile. Both grow while orders are placed in them: the sizes are those at the begin of a measurement.

mod fill;
mod page;
mod reads;
mod replica;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use tokio::time::sleep;

use crate::extent::Extent;
use crate::finding::Digits;
use crate::orders::order;
use crate::outcome::Outcome;
use crate::rounds::{Measured, Rounds, median};
use crate::shop::{Assortment, Shop};
use crate::suite::Field;
use fill::fill;
use reads::{Reads, read};

/// Who order at the same time.
const SHOPPERS: usize = 64;

/// What they choose among: as many as in the catalog that the store comes with.
const PRODUCTS: usize = 14;

/// Orders that a replica misses before it has to catch up.
const MISSED: u64 = 20_000;

/// After the orders of a filling, for checkpoints that they have made due.
const QUIET: Duration = Duration::from_secs(1);

/// The old store at one size, and the young one beside it.
#[derive(Debug, Serialize)]
struct Size {
    /// That was asked for.
    wanted: u64,
    /// In the ledger when memory was looked at.
    orders: u64,
    /// Of the replica with most.
    memory_bytes: u64,
    /// Of a follower that has just been started.
    memory_restarted_bytes: u64,
    restart_s: Vec<f64>,
    catch_up_s: Vec<f64>,
    /// Nothing for the smallest size: the young store is as large.
    beside_young: Option<BesideYoung>,
}

/// What is measured in turn.
#[derive(Debug, Default, Serialize)]
struct BesideYoung {
    old: Rounds,
    young: Rounds,
    old_reads: Vec<Reads>,
    young_reads: Vec<Reads>,
}

/// Measures it.
pub(crate) async fn measure(field: &Field) -> Result<Outcome> {
    let dir = field.dir("growth")?;
    let mut old = open(field, &dir.join("old")).await?;
    let mut sizes = Vec::new();
    for wanted in field.extent.ledgers {
        sizes.push(size(field, &dir, &mut old, *wanted).await?);
    }
    Ok(Outcome::new(page::findings(&sizes), page::details(&sizes), &sizes))
}

async fn open(field: &Field, dir: &Path) -> Result<Shop> {
    Shop::open(&field.binary, dir, Assortment::of(PRODUCTS), |layout| layout).await
}

async fn size(field: &Field, dir: &Path, old: &mut Shop, wanted: u64) -> Result<Size> {
    let filled = fill(old, wanted, field.progress).await?;
    let mut orders = filled;
    sleep(QUIET).await;
    let memory_bytes = replica::memory(old)?;
    let (mut restart_s, mut catch_up_s, mut memory_restarted_bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..field.extent.ledger_rounds {
        let restarted = replica::restart(old).await?;
        restart_s.push(restarted.until_ready.as_secs_f64());
        memory_restarted_bytes = memory_restarted_bytes.max(restarted.memory_bytes);
    }
    for _ in 0..field.extent.ledger_rounds {
        let (until_level, now) = replica::catch_up(old, orders + MISSED, field.progress).await?;
        catch_up_s.push(until_level.as_secs_f64());
        orders = now;
    }
    field.progress.line(format!(
        "P5 {} orders: {} MB, restart {} s, catch-up {} s",
        page::short(wanted),
        Digits(page::megabytes(memory_bytes)),
        Digits(median(restart_s.clone())),
        Digits(median(catch_up_s.clone()))
    ));
    old.settle().await?;
    let young =
        if wanted > field.extent.ledgers[0] { Some(beside_young(field, dir, old, wanted).await?) } else { None };
    Ok(Size {
        wanted,
        orders: wanted,
        memory_bytes,
        memory_restarted_bytes,
        restart_s,
        catch_up_s,
        beside_young: young,
    })
}

async fn beside_young(field: &Field, dir: &Path, old: &mut Shop, wanted: u64) -> Result<BesideYoung> {
    // Half as long as elsewhere: the young store is to stay young.
    let extent = field.extent.halved();
    let mut both = BesideYoung::default();
    for round in 1..=field.extent.ledger_rounds {
        old.freeze()?;
        let files = dir.join("young");
        let mut young = open(field, &files).await?;
        fill(&mut young, field.extent.ledgers[0], field.progress).await?;
        let (reads, rate) = work(&extent, &young, field.extent.ledgers[0]).await?;
        both.young_reads.push(reads);
        both.young.add(rate);
        young.close().await;
        std::fs::remove_dir_all(&files)?;
        old.thaw().await?;
        let (reads, rate) = work(&extent, old, wanted).await?;
        both.old_reads.push(reads);
        both.old.add(rate);
        let [old_rate, young_rate] = [&both.old, &both.young].map(|rounds| Digits(rounds.median().per_s));
        field.progress.line(format!(
            "P5 {} orders, round {round} of {}: {old_rate} orders/s, with 10k {young_rate}",
            page::short(wanted),
            field.extent.ledger_rounds
        ));
    }
    Ok(both)
}

/// Reads among the first `orders` orders, and then the rate of new ones.
async fn work(extent: &Extent, shop: &Shop, orders: u64) -> Result<(Reads, Measured)> {
    let reads = read(&shop.target(1), orders).await?;
    Ok((reads, order(extent, shop, SHOPPERS).await?))
}
