//! Measures how long a start takes for a given number of orders, and how much memory it needs:
//! `cargo run --release -p order --example load_ledger [orders]`.

#![allow(clippy::print_stdout, reason = "it prints its measurements")]

use std::time::Instant;

use api::catalog::OrderLine;
use api::{BatchId, BatchNumber, LogPosition, OrderId, ProductName, Quantity, Term};
use order::ledger::Ledger;
use order::orders::{OrderCommand, Orders};
use replication::{StateMachine, StateStore};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(5_000_000), |count| count.parse())?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("log1.csv");

    let begun = Instant::now();
    let mut ledger = Ledger::open(&path, dir.path())?;
    assert!(ledger.load()?.is_none(), "the directory is fresh");
    let mut orders = Orders::default();
    let names =
        ["Tux", "Whale", "Elephant", "Fox", "Python", "Dolphin"].map(|name| ProductName::new(name).expect("a name"));
    orders.apply(LogPosition { term: Term(1), index: 1 }, OrderCommand::Begin { term: Term(1) });
    for batch in 0..count.div_ceil(256) {
        let numbers = batch * 256..count.min((batch + 1) * 256);
        let lines = numbers.map(|n| OrderLine {
            order_id: OrderId::random(),
            name: names[(n % 6) as usize].clone(),
            quantity: Quantity::ONE,
        });
        let id = BatchId { term: Term(1), batch: BatchNumber(batch + 1) };
        orders.apply(
            LogPosition { term: Term(1), index: batch + 2 },
            OrderCommand::Place { id, orders: lines.collect() },
        );
        ledger.record(&orders)?;
    }
    println!("placed and written {} orders in {:.2?}", orders.count(), begun.elapsed());
    let begun = Instant::now();
    ledger.checkpoint(&orders, b"header")?;
    println!("checkpoint of all of them in {:.2?}", begun.elapsed());
    drop((ledger, orders));

    let begun = Instant::now();
    let mut ledger = Ledger::open(&path, dir.path())?;
    let (orders, _) = ledger.load()?.ok_or("there is a checkpoint")?;
    let elapsed = begun.elapsed();
    println!("loaded {} orders, {} MB, in {elapsed:.2?}", orders.count(), std::fs::metadata(&path)?.len() / 1_000_000);
    // The kernel's own figure, in kB.
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!("{}", status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("memory unknown"));
    Ok(())
}
