//! Benchmarks of the store, each compared with a well-known reference.
//!
//! ```text
//!   bench run P1 P3 ──► ours, theirs, ours, theirs …  (medians)  ──► results, a page, raw figures
//! ```
//!
//! Both sides of a comparison run on the same machine, over the same loopback interface, on the
//! same disk, and take turns. While one side is measured, the other is paused or idle. Each side is
//! measured several times, and the medians are compared: an external disturbance affects both
//! sides, or does not affect the median.
//!
//! # Caveats
//! * The load generator runs on the same CPUs as the measured server, so a rate is that of both
//!   together. This is the same for both sides, and the load generator's CPU usage is shown next to
//!   each rate.
//! * There is one machine with one disk: three replicas share what three machines would each have.
//!
//! # Reading order
//!
//! `suite` (runs the benchmarks), `store` and `drill` (our side), one file for each benchmark
//! (`cached`, `uncached`, `orders`, `failover`, `growth`, `mixed`, `cost`, `availability`),
//! `result` and `page`.

mod availability;
mod benchmark;
mod cached;
mod context;
mod cost;
mod drill;
mod etcd;
mod failover;
mod growth;
mod http;
mod hyper_server;
mod mixed;
mod nginx;
mod options;
mod orders;
mod outcome;
mod page;
mod postgres;
mod process;
mod profile;
mod progress;
mod result;
mod rounds;
mod store;
mod suite;
mod uncached;
mod wrk;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use options::{BenchCommand, BenchOptions};

fn main() -> ExitCode {
    let done = match BenchOptions::parse().command {
        BenchCommand::Run(run) => runtime(None).and_then(|runtime| runtime.block_on(suite::run(run))),
        BenchCommand::BareHyper(server) => {
            runtime(Some(hyper_server::WORKERS)).and_then(|runtime| runtime.block_on(hyper_server::serve(&server)))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A runtime with that number of worker threads; by default one per CPU.
fn runtime(workers: Option<usize>) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    Ok(builder.enable_all().build()?)
}
