//! `toystore up`: the whole store on this machine, for people.
//!
//! ```text
//!   up ─┬─ catalog        started first, stopped last
//!       ├─ order-1 … 3
//!       └─ frontend       started last, stopped first
//! ```
//!
//! It checks the ports, starts the members as child processes, waits until all are ready, says what runs where, and from then on
//! restarts whoever dies. With `--shop` it lets shoppers in once. Ctrl-C or SIGTERM stops everyone, from the outside in.

mod banner;
mod config;
mod supervisor;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use service::lifecycle::ExitCode;
use tokio_util::sync::CancellationToken;

use crate::cli::{Failed, print};
use crate::local::{Layout, LogSink, PortBase, Store};
pub use config::{Config, settings};

/// From the start of the first process until all are ready: they found a group and elect a leader meanwhile, which takes about a
/// second; a loaded laptop gets its time too.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a store until `stop`, or with `--once` until the shoppers are done.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Failed> {
    let failure = |error: String| Failed::new(ExitCode::Failure, error);
    let ports = if config.ephemeral {
        PortBase::ephemeral().map_err(|error| failure(error.to_string()))?
    } else {
        PortBase::fixed(config.port_base)
    };
    let layout = Layout::new(&config.data_dir, ports).with_frontends(config.frontends);
    let taken = layout.ports_in_use();
    if !taken.is_empty() {
        return Err(failure(format!(
            "these ports are in use: {}; stop what listens there, or choose others with --port-base or --ephemeral",
            taken.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        )));
    }
    let binary = std::env::current_exe().map_err(|error| failure(format!("cannot find this program: {error}")))?;
    let mut store = Store::new(layout, binary, log_sink());
    let result = run_store(&config, &mut store, &stop).await;
    print("stopping: frontend, then orders, then catalog");
    store.stop().await;
    print("stopped; the data stays where it is");
    result
}

async fn run_store(config: &Config, store: &mut Store, stop: &CancellationToken) -> Result<(), Failed> {
    store.start_all().map_err(|error| Failed::new(ExitCode::Failure, format!("cannot start a process: {error}")))?;
    tokio::select! {
        ready = store.ready(READY_TIMEOUT) => if let Err(reason) = ready {
            return Err(supervisor::why_not_ready(store, reason).await);
        },
        () = stop.cancelled() => return Ok(()),
    }
    banner::show(store).await;
    let Some(shopping) = config.shopping.clone() else {
        return supervisor::supervise(store, config.restart, stop).await;
    };
    let shopping = client::Config { front: store.layout().public(1), ..shopping };
    let shopping = async {
        let outcome = crate::cli::shop(shopping, stop.clone()).await;
        if config.once {
            return outcome;
        }
        if let Err(failed) = outcome {
            print(&failed.message);
        }
        print("the shoppers are done; the store stays up until Ctrl-C");
        std::future::pending().await
    };
    tokio::select! {
        outcome = shopping => outcome,
        ended = supervisor::supervise(store, config.restart, stop) => ended,
    }
}

/// Children's lines go to standard error, with the child's name before them.
fn log_sink() -> LogSink {
    Arc::new(|member, line| {
        // A closed standard error is no reason to stop the store.
        let _ = writeln!(std::io::stderr().lock(), "{:>10} | {line}", member.to_string());
    })
}
