//! The pure hot paths, to have their instructions counted: `hotpaths PATH COUNT` goes that path so many times.
//!
//! | path | once is |
//! |---|---|
//! | `cache-hit` | a cached product's answer: lock, clock, lease, lookup, count |
//! | `batch-apply` | one order of a full batch is applied to the state machine: number, record, index of ids |
//! | `ledger-append` | one order of a full batch becomes a line of the ledger: text, chained checksum, write |
//!
//! `.ci/hotpaths` runs each path under valgrind with two counts and divides the difference in instructions by the difference in counts. Whatever is
//! the same in both runs (start, preparation) falls out, so preparation never depends on `COUNT`. What is left does not depend on how fast
//! the machine is or what else it does, and can be compared with what it was (`baseline`).
//!
//! # Caveats
//! * Instructions are no time: a cache miss of the processor, a lock that is fought for and a system call each count as next to nothing.
//! * Another compiler, C library or kind of processor gives other counts. The baseline is renewed with the compiler.
//! * The index of ids has keyed hashes, with another key in each run: counts vary by some thousandths.

mod cache;
mod orders;

use std::fmt;

use anyhow::{Context, Result, bail, ensure};

/// A count: how many times a path is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Times(usize);

impl Times {
    /// What is prepared is enough for so many.
    const MAX: Self = Self(25_600);
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (path, times) = (arguments.next(), arguments.next());
    let path = path.context("usage: hotpaths PATH COUNT")?;
    let times = Times(times.context("usage: hotpaths PATH COUNT")?.parse().context("COUNT is a number")?);
    ensure!(times <= Times::MAX, "COUNT is at most {}", Times::MAX);
    match &*path {
        "cache-hit" => cache::hit(times),
        "batch-apply" => orders::apply(times),
        "ledger-append" => orders::append(times),
        other => bail!("there is no path {other}"),
    }
}
