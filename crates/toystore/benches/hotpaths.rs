//! The pure hot paths, by the number of instructions, which valgrind counts:
//! `cargo bench -p toystore --bench hotpaths`.
//!
//! | path | one run |
//! |---|---|
//! | `cache-hit` | serves a cached product: lock, clock, lease, lookup, count |
//! | `batch-apply` | applies one order of a batch to the state machine: number, record, id index |
//! | `ledger-append` | writes one order of a batch to the ledger: text, chained checksum, write |
//!
//! For each path, the bench runs itself under valgrind, which counts only what
//! [`count_instructions`] runs. It fails if a path takes over [`TOLERANCE_PERCENT`] more than its
//! [`BASELINE`]. The result depends on neither the speed nor the load of the machine.
//!
//! # Caveats
//! * Instructions are not time: a CPU cache miss, a contended lock and a system call each count as
//!   almost nothing.
//! * Another compiler or architecture gives other counts, which are shown but not compared. Another
//!   C library or CPU can matter, too.
//! * The id index has keyed hashes, with another key in each run, so counts vary by a few
//!   thousandths.

#![allow(clippy::print_stdout, reason = "the result of a bench")]

use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use api::catalog::{BATCH_ORDERS_MAX, OrderLine};
use api::{
    BatchId, BatchNumber, LogPosition, OrderId, Price, Product, ProductName, ProductVersion, Quantity, Stock, Term,
};
use bytes::Bytes;
use frontend::cache::SharedCache;
use order::ledger::Ledger;
use order::orders::{DedupWindow, OrderCommand, Orders};
use prometheus::Registry;
use replication::{StateMachine, StateStore};
use tokio::time::Instant;
use uuid::Uuid;

/// Prepares a path and runs it [`RUNS`] times.
type Run = fn() -> Result<()>;

/// The instructions of one run of each path, with [`MEASURED_WITH`]. A commit that changes one by
/// more than [`TOLERANCE_PERCENT`] updates it, and says why.
const BASELINE: [(&str, Run, u64); 3] =
    [("cache-hit", cache_hit, 282), ("batch-apply", batch_apply, 1086), ("ledger-append", ledger_append, 1239)];

/// The architecture and the compiler of [`BASELINE`].
const MEASURED_WITH: [&str; 2] = ["x86_64", "rustc 1.95.0"];

const TOLERANCE_PERCENT: u64 = 5;

/// How often a path is run.
const RUNS: usize = 12_800;

fn main() -> Result<()> {
    // Cargo passes `--bench`, and valgrind the name of a path.
    let argument = std::env::args().nth(1).unwrap_or_default();
    if let Some((_, run, _)) = BASELINE.iter().find(|(path, ..)| *path == argument) {
        return run();
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("hotpaths: NOT CHECKED: valgrind is not installed (Debian: apt-get install valgrind libc6-dbg)");
        return Ok(());
    }
    let rustc = Command::new("rustc").arg("--version").output()?.stdout;
    let here = [std::env::consts::ARCH, &String::from_utf8(rustc)?];
    let comparable = here.iter().zip(MEASURED_WITH).all(|(here, measured)| here.starts_with(measured));
    let mut worse = 0;
    for (path, _, baseline) in BASELINE {
        let instructions = instructions(path)? / RUNS as u64;
        let verdict = if !comparable {
            "not compared"
        } else if 100 * instructions > (100 + TOLERANCE_PERCENT) * baseline {
            "WORSE"
        } else if 100 * instructions < (100 - TOLERANCE_PERCENT) * baseline {
            "better: lower the baseline"
        } else {
            "as it was"
        };
        println!("{path:<14} {instructions:5} instructions, baseline {baseline:5}: {verdict}");
        worse += u32::from(verdict == "WORSE");
    }
    if !comparable {
        println!("hotpaths: NOT CHECKED: the baseline is for {MEASURED_WITH:?}, and this is {here:?}");
    }
    ensure!(
        worse == 0,
        "{worse} hot paths take over {TOLERANCE_PERCENT} % more instructions. If that is meant, say why in the commit, \
         and update the baseline in {}",
        file!()
    );
    Ok(())
}

/// The instructions that [`count_instructions`] takes in all runs of a path.
fn instructions(path: &str) -> Result<u64> {
    let valgrind = Command::new("valgrind")
        // By the symbol as it is in the program: it contains the name in every mangling scheme.
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--demangle=no",
            "--toggle-collect=*count_instructions*",
        ])
        .arg(std::env::current_exe()?)
        .arg(path)
        .output()?;
    let log = String::from_utf8_lossy(&valgrind.stderr);
    let collected = log.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    match collected {
        Some(instructions @ 1..) if valgrind.status.success() => Ok(instructions),
        _ => bail!("valgrind counts no instructions of {path}:\n{log}"),
    }
}

/// Runs the part of a path that valgrind counts.
#[inline(never)]
fn count_instructions<T>(part: impl FnOnce() -> T) -> T {
    black_box(part())
}

/// As many products as the cache holds by default.
fn cache_hit() -> Result<()> {
    let names: Vec<_> = (1..=7).map(|n| format!("Toy {n}")).collect();
    let cache = SharedCache::new(names.len(), &Registry::new());
    // The lease is checked, and always valid.
    cache.grant(Term(1), Instant::now() + Duration::from_hours(1));
    for name in &names {
        let name = ProductName::new(name)?;
        let body = Bytes::from(format!(r#"{{"data":{{"name":"{name}","price":25.99,"quantity":100}}}}"#));
        let product = Product { name, price: Price::from_cents(2599)?, quantity: Stock(100) };
        cache.fill(cache.begin_fetch(), product, ProductVersion(1), body);
    }
    let is_hit = |name: &&String| black_box(cache.get(black_box(name))).is_some();
    let hits = count_instructions(|| names.iter().cycle().take(RUNS).filter(is_hit).count());
    ensure!(hits == RUNS, "{hits} hits of {RUNS}");
    Ok(())
}

fn batch_apply() -> Result<()> {
    let mut orders = filled()?;
    let batches = batches(RUNS)?;
    count_instructions(|| {
        for (position, command) in batches {
            black_box(orders.apply(position, black_box(command)));
        }
    });
    ensure!(orders.count() == 2 * RUNS as u64, "not every order has a number");
    Ok(())
}

fn ledger_append() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("log1.csv");
    let mut ledger = Ledger::open(&path, dir.path())?;
    ensure!(ledger.load()?.is_none(), "the directory is new");
    let mut orders = filled()?;
    ledger.record(&orders)?;
    for (position, command) in batches(RUNS)? {
        orders.apply(position, command);
        count_instructions(|| ledger.record(black_box(&orders)))?;
    }
    let lines = std::fs::read_to_string(&path)?.lines().count();
    ensure!(lines > 2 * RUNS, "the ledger has only {lines} lines");
    Ok(())
}

/// A state machine with [`RUNS`] orders. Its window is smaller, so that each further order makes it
/// forget another one.
fn filled() -> Result<Orders> {
    let mut orders = Orders::with_dedup_window(DedupWindow { orders: 5_000, refusals: 5_000 });
    orders.apply(LogPosition { term: Term(1), index: 1 }, OrderCommand::Begin { term: Term(1) });
    for (position, command) in batches(0)? {
        orders.apply(position, command);
    }
    Ok(orders)
}

/// [`RUNS`] orders in full batches, as in the log, after the first `first` ones.
fn batches(first: usize) -> Result<Vec<(LogPosition, OrderCommand)>> {
    // As many products as in the default catalog.
    let names = (1..=14).map(|n| ProductName::new(&format!("Toy {n}"))).collect::<Result<Vec<_>, _>>()?;
    let line = |n: usize| OrderLine {
        // The ids differ in all their bits, like random ones.
        order_id: OrderId(Uuid::from_u128((n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))),
        name: names[n % names.len()].clone(),
        quantity: Quantity::ONE,
    };
    let batch = |first: usize| {
        let number = first / BATCH_ORDERS_MAX + 1;
        let id = BatchId { term: Term(1), batch: BatchNumber(number as u64) };
        let orders = (first..first + BATCH_ORDERS_MAX).map(line).collect();
        (LogPosition { term: Term(1), index: number as u64 + 1 }, OrderCommand::Place { id, orders })
    };
    Ok((first..first + RUNS).step_by(BATCH_ORDERS_MAX).map(batch).collect())
}
