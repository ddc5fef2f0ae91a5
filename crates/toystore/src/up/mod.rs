//! `toystore up`: the whole store on this machine.
//!
//! ```text
//!   up ─┬─ catalog        started first, stopped last
//!       ├─ order-1 … 3
//!       └─ frontend       started last, stopped first
//! ```
//!
//! It prints where its console is, checks that the ports are free, starts the members as child
//! processes, waits until all are ready, and prints what runs where. From then on it restarts every
//! member that exits. With `--shop` it runs shoppers once. Ctrl-C or SIGTERM stops the members in
//! the reverse order of their start.

mod banner;
mod config;
mod console;
mod supervisor;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use service::lifecycle::{ExitCode, ExitError};
use tokio_util::sync::CancellationToken;

use crate::local::{LocalStore, LogSink, PortBase, StoreLayout, run_file, token};
use crate::output::print;
use crate::shoppers;
pub use config::{Config, settings};

/// Time from the start of the first process until all are ready. They bootstrap their groups and
/// elect leaders, which takes about a second; the rest is for loaded machines.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a store until `stop`, or with `--once` until the shoppers are done.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), ExitError> {
    let failure = |error: String| ExitError::new(ExitCode::Failure, error);
    let ports = if config.ephemeral {
        PortBase::ephemeral().map_err(|error| failure(error.to_string()))?
    } else {
        PortBase::fixed(config.port_base)
    };
    let layout = StoreLayout::new(&config.data_dir, ports).with_frontends(config.frontends);
    let layout = config.variables.iter().fold(layout, |layout, (name, value)| layout.with_variable(name, value));
    let layout = match &config.catalog_file {
        Some(path) => layout.with_catalog_file(path.clone()),
        None => layout,
    };
    let layout = match &config.token {
        Some(token) => layout.with_token(token.clone()),
        None => layout.with_token(token::load_or_create(&config.data_dir).map_err(failure)?),
    };
    let taken = layout.ports_in_use();
    if !taken.is_empty() {
        return Err(failure(format!(
            "these ports are in use: {}; stop the processes that use them, or choose other ports with --port-base or --ephemeral",
            taken.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        )));
    }
    let binary =
        std::env::current_exe().map_err(|error| failure(format!("cannot find the path of this program: {error}")))?;
    let console = console::start(&config, &layout)?;
    let mut store = LocalStore::new(layout, binary, log_sink());
    let result = run_store(&config, &mut store, &stop).await;
    print("stopping the frontends, then the order replicas, then the catalog");
    store.stop().await;
    if let Some(console) = console {
        console.stop().await;
    }
    // All processes have stopped. The file may be missing if the store never started.
    let _ = std::fs::remove_file(run_file::path(&config.data_dir));
    print("stopped; the data is kept");
    result
}

async fn run_store(config: &Config, store: &mut LocalStore, stop: &CancellationToken) -> Result<(), ExitError> {
    print("starting a catalog, three order replicas and a frontend …");
    store.start_all().map_err(|error| ExitError::new(ExitCode::Failure, format!("cannot start a process: {error}")))?;
    supervisor::write_run_file(store);
    tokio::select! {
        ready = store.ready(READY_TIMEOUT) => if let Err(reason) = ready {
            return Err(supervisor::startup_failure(store, reason).await);
        },
        () = stop.cancelled() => return Ok(()),
    }
    banner::show(store, config.token.is_none()).await;
    let (layout, client) = (store.layout().clone(), store.json_client().clone());
    let leaders = banner::report_leaders(&layout, &client);
    let Some(shopping) = config.shopping.clone() else {
        return tokio::select! {
            ended = supervisor::supervise(store, config.restart, stop) => ended,
            () = leaders => Ok(()),
        };
    };
    let shopping = client::Config { front: store.layout().public(1), ..shopping };
    let shopping = async {
        let outcome = shoppers::run(shopping, stop.clone()).await;
        if config.once {
            return outcome;
        }
        if let Err(failed) = outcome {
            print(&failed.message);
        }
        print("the shoppers are done; the store keeps running until Ctrl-C");
        std::future::pending().await
    };
    tokio::select! {
        outcome = shopping => outcome,
        ended = supervisor::supervise(store, config.restart, stop) => ended,
        () = leaders => Ok(()),
    }
}

/// Forwards the members' log lines to standard error, prefixed with the member's name; in JSON the
/// name is a field.
fn log_sink() -> LogSink {
    Arc::new(|member, line| {
        let mut out = std::io::stderr().lock();
        let member = member.to_string();
        // The store keeps running if standard error is closed.
        let _ = match line.strip_prefix('{') {
            Some(fields) => writeln!(out, "{{\"process\":\"{member}\",{fields}"),
            None => writeln!(out, "{:>10} | {line}", ::console::style(member).for_stderr().cyan()),
        };
    })
}
