//! A replica's way with a batch of orders that is committed.

use std::hint::black_box;
use std::mem::forget;

use anyhow::{Result, ensure};
use api::catalog::OrderLine;
use api::{BatchId, BatchNumber, LogPosition, OrderId, ProductName, Quantity, Term};
use order::BATCH_ORDERS_MAX;
use order::ledger::Ledger;
use order::orders::{Command, Orders};
use replication::{StateMachine, StateStore};
use uuid::Uuid;

use crate::Times;

/// So many ids are remembered: fewer than there are orders, so that ids are forgotten, too.
const REMEMBERED: usize = 5_000;

const TERM: Term = Term(1);

/// An order's id, its checksum, and some more.
const LINE_BYTES_MIN: u64 = 36 + 8 + 8;

/// As in the catalog that the store comes with.
const PRODUCTS: usize = 14;

/// All batches are there in any case; the first ones are applied, `times` orders of them.
pub(crate) fn apply(times: Times) -> Result<()> {
    let batches = batches()?;
    let mut orders = begun();
    let mut batches = batches.into_iter();
    for (position, command) in batches.by_ref().take(times.0 / BATCH_ORDERS_MAX) {
        black_box(orders.apply(position, black_box(command)));
    }
    ensure!(orders.count() == whole_batches(times), "not every order has a number");
    // How long it takes to clear up depends on what was done, and is no part of it.
    forget((orders, batches));
    Ok(())
}

/// All batches are applied in any case; the first ones are written, `times` orders of them.
pub(crate) fn append(times: Times) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("log1.csv");
    let mut ledger = Ledger::open(&path, dir.path())?;
    ensure!(ledger.load()?.is_none(), "the directory is fresh");
    let mut orders = begun();
    for (batch, (position, command)) in batches()?.into_iter().enumerate() {
        orders.apply(position, command);
        if batch < times.0 / BATCH_ORDERS_MAX {
            ledger.record(black_box(&orders))?;
        }
    }
    // Without reading them: that would be counted with each line.
    let bytes = std::fs::metadata(&path)?.len();
    ensure!(bytes >= LINE_BYTES_MIN * whole_batches(times), "the ledger has only {bytes} bytes");
    forget(orders);
    Ok(())
}

fn whole_batches(times: Times) -> u64 {
    (times.0 - times.0 % BATCH_ORDERS_MAX) as u64
}

fn begun() -> Orders {
    let mut orders = Orders::remembering(REMEMBERED);
    orders.apply(LogPosition { term: TERM, index: 1 }, Command::Begin { term: TERM });
    orders
}

/// [`Times::MAX`] orders, in full batches, as the log has them.
fn batches() -> Result<Vec<(LogPosition, Command)>> {
    let names = (1..=PRODUCTS).map(|n| ProductName::new(&format!("Toy {n}"))).collect::<Result<Vec<_>, _>>()?;
    let line = |n: usize| OrderLine {
        // Ids differ in all their bits, as random ones do.
        order_id: OrderId(Uuid::from_u128((n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))),
        name: names[n % PRODUCTS].clone(),
        quantity: Quantity::ONE,
    };
    let batch = |batch: usize| {
        let first = batch * BATCH_ORDERS_MAX;
        let id = BatchId { term: TERM, batch: BatchNumber(batch as u64 + 1) };
        let command = Command::Place { id, orders: (first..first + BATCH_ORDERS_MAX).map(line).collect() };
        (LogPosition { term: TERM, index: batch as u64 + 2 }, command)
    };
    Ok((0..Times::MAX.0 / BATCH_ORDERS_MAX).map(batch).collect())
}
