//! How fast the store is, each time beside something that people know, in one go.
//!
//! ```text
//!   bench run P1 P3 ──► ours, theirs, ours, theirs …  (medians)  ──► one line per goal, a page, raw figures
//! ```
//!
//! Both sides of a comparison run on the same machine, over the same loopback, on the same disk, and take turns; while one is measured,
//! the other one is frozen or has nothing to do. Each is measured several times, and medians are compared: a disturbance from outside hits
//! both, or is outvoted.
//!
//! # Caveats
//! * Whoever asks runs on the same processors as whoever answers, so rates are those of both together. That holds for both sides alike, and
//!   what the asker used is told beside each rate.
//! * One machine, one disk: three replicas share what three machines would each have.

mod benchmark;
mod cached;
mod cost;
mod etcd;
mod extent;
mod failover;
mod finding;
mod growth;
mod http;
mod hyper_server;
mod mixed;
mod options;
mod orders;
mod outcome;
mod page;
mod process;
mod progress;
mod rounds;
mod shop;
mod suite;
mod uncached;
mod wrk;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use options::{Command, Options};

fn main() -> ExitCode {
    let done = match Options::parse().command {
        Command::Run(run) => runtime(None).and_then(|runtime| runtime.block_on(suite::run(run))),
        Command::BareHyper(server) => {
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

/// With so many threads; as many as there are processors if nothing is said.
fn runtime(workers: Option<usize>) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    Ok(builder.enable_all().build()?)
}
