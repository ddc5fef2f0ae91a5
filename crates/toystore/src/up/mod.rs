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
//!
//! With a console, there is a proxy on every link between the members, and people can break the
//! store through its [`Controls`].
//!
//! Reading order: `supervisor.rs` and `restarts.rs`; `console.rs`, `controls.rs`, `action.rs`,
//! `control_worker.rs`, `cache_setting.rs` and `shopping.rs`; `banner.rs`.

mod action;
mod banner;
mod cache_setting;
mod config;
mod console;
mod control_worker;
mod controls;
mod restarts;
mod shopping;
mod supervisor;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use service::lifecycle::{ExitCode, ExitError};
use store_console::{Control, StoreControls};
use tokio_util::sync::CancellationToken;

use crate::local::{DiskFaults, LocalStore, LogSink, PortBase, ProxyNetwork, StoreLayout, run_file, token};
use crate::output::print;
use crate::shoppers;
pub use config::{Config, settings};
pub use control_worker::ControlWorker;
pub use controls::Controls;
pub use shopping::ShopRun;
pub use supervisor::supervise;

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
    let shop_run = config.shopping.as_ref().map(|shopping| ShopRun::new(shopping, config.once, &stop));
    let port = console::bind(&config)?;
    let (layout, controlled) = match port {
        Some(port) => {
            let (layout, controls, worker) = controlled(layout, shop_run.clone()).map_err(failure)?;
            let console = console::start(port, &layout, controls.clone());
            (layout, Some(((console, controls), worker)))
        }
        None => (layout, None),
    };
    let (console, worker) = controlled.unzip();
    let (console, controls) = console.unzip();
    let mut running = RunningStore { store: LocalStore::new(layout, binary, log_sink()), worker };
    let result = running.run(&config, shop_run, controls.as_ref(), &stop).await;
    print("stopping the frontends, then the order replicas, then the catalog");
    running.stop().await;
    if let Some(console) = console {
        console.stop().await;
    }
    // All processes have stopped. The file may be missing if the store never started.
    let _ = std::fs::remove_file(run_file::path(&config.data_dir));
    print("stopped; the data is kept");
    result
}

/// Makes a store controllable: puts a proxy on every link, and gives each disk a file for its
/// faults.
fn controlled(
    layout: StoreLayout,
    shop_run: Option<ShopRun>,
) -> Result<(StoreLayout, Controls, ControlWorker), String> {
    // A store that was killed may have left faults behind.
    for member in layout.members() {
        let healed = layout.set_disk_faults(member, DiskFaults::default());
        healed.map_err(|error| format!("cannot heal the disk of {member}: {error}"))?;
    }
    let proxied = ProxyNetwork::proxying(layout.with_disk_fault_files());
    let (layout, network) = proxied.map_err(|error| format!("cannot open the ports of the proxies: {error}"))?;
    let (controls, worker) = ControlWorker::new(&layout, network, shop_run);
    Ok((layout, controls, worker))
}

/// A store, and what carries out the requests of its console, if there is one.
struct RunningStore {
    store: LocalStore,
    worker: Option<ControlWorker>,
}

impl RunningStore {
    async fn run(
        &mut self,
        config: &Config,
        shop_run: Option<ShopRun>,
        controls: Option<&Controls>,
        stop: &CancellationToken,
    ) -> Result<(), ExitError> {
        let Self { store, worker } = self;
        print("starting a catalog, three order replicas and a frontend …");
        let started = store.start_all();
        started.map_err(|error| ExitError::new(ExitCode::Failure, format!("cannot start a process: {error}")))?;
        supervisor::write_run_file(store);
        if let Some(worker) = worker {
            worker.publish(store);
        }
        tokio::select! {
            ready = store.ready(READY_TIMEOUT) => if let Err(reason) = ready {
                return Err(supervisor::startup_failure(store, reason).await);
            },
            () = stop.cancelled() => return Ok(()),
        }
        banner::show(store, config.token.is_none()).await;
        let (layout, client) = (store.layout().clone(), store.json_client().clone());
        let shopping = async {
            match (&config.shopping, shop_run) {
                (Some(shopping), Some(run)) => shop(shopping, &layout, &run, controls, config.once).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            outcome = shopping => outcome,
            ended = supervise(store, config.restart, worker.as_mut(), stop) => ended,
            () = banner::report_leaders(&layout, &client) => Ok(()),
        }
    }

    /// The proxies run until the last process has stopped: processes finish their work together.
    async fn stop(&mut self) {
        if let Some(worker) = &mut self.worker {
            worker.end(&self.store);
        }
        self.store.stop().await;
    }
}

/// Runs the shoppers of `--shop`. Returns only with `--once`; otherwise, with a console, as many
/// shoppers go on afterwards, so that there is something to see.
async fn shop(
    shopping: &client::Config,
    layout: &StoreLayout,
    run: &ShopRun,
    controls: Option<&Controls>,
    once: bool,
) -> Result<(), ExitError> {
    let shopping = client::Config { front: layout.public(1), ..shopping.clone() };
    let outcome = shoppers::run(shopping, run.stop().clone()).await;
    let was_replaced = run.stop().is_cancelled();
    run.ended();
    if once {
        return outcome;
    }
    if let Err(failed) = outcome {
        print(&failed.message);
    }
    let shoppers = run.shoppers();
    let go_on = match controls {
        Some(controls) if !was_replaced => controls.perform(Control::Shoppers(shoppers.clone())).await.is_ok(),
        _ => false,
    };
    if go_on {
        print(format_args!(
            "{} shoppers go on until Ctrl-C; the console changes how many, and what they want",
            shoppers.count
        ));
    } else {
        print("the shoppers are done; the store keeps running until Ctrl-C");
    }
    std::future::pending().await
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
