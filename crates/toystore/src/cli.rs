//! The command line: which subcommands there are, and how each begins.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode as ProcessExitCode;

use clap::{ArgMatches, Command};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use service::lifecycle::{ExitCode, abort_on_panic, stop_on_signal};
use service::logging::{self, LogConfig};
use service::settings::{self, ProcessEnvironment, Setting, Values};
use service::trace::TraceConfig;
use tokio_util::sync::CancellationToken;

use crate::{catalog_file, drill, experiment, health, local, scale, up};

/// More threads than any machine of today has processors for.
const WORKERS_MAX: usize = 512;

/// A subcommand as people see it.
pub struct Subcommand {
    /// Its word on the command line.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What it can be told.
    pub settings: Vec<Setting>,
}

/// All subcommands.
pub fn subcommands() -> Vec<Subcommand> {
    let plain = |name, about, settings| Subcommand { name, about, settings };
    let subcommand = |name, about, settings: Vec<Setting>| plain(name, about, [settings, vec![workers()]].concat());
    vec![
        subcommand("up", "Run a whole store on this machine", up::settings()),
        subcommand(
            "drill",
            "Break a store of real processes on purpose, and check that it keeps its word",
            drill::settings(),
        ),
        subcommand(
            "experiment",
            "Repeat the classic evaluation: latency with and without cache, what the cache holds, what a kill costs",
            experiment::settings(),
        ),
        plain(
            "simulate",
            "Run the whole store under virtual time and seeded faults, and check that it keeps its word",
            simulation::command::settings(),
        ),
        subcommand("catalog", "Run the catalog: stock, reservations, leases", catalog::settings()),
        subcommand("order", "Run one replica of the order log", order::settings()),
        subcommand("frontend", "Run the public REST API: cache, elections, routing", frontend::settings()),
        subcommand("client", "Send shoppers to a store, and check their orders", client::settings()),
        subcommand("health", "Ask a running process whether it is ready", health::settings()),
        subcommand("load", "Put load on a store, measure it, and judge it", client::loadtest::settings()),
        subcommand("scale", "Take the votes of replicas that are to be stopped for good", scale::settings()),
        subcommand("init-catalog", "Write a catalog file to begin with", catalog_file::init_settings()),
        subcommand("export-catalog", "Write the stock of a running store as CSV", catalog_file::export_settings()),
    ]
}

/// Threads of the runtime, for all that is [started](start).
///
/// Without a word it is what the standard library finds: the processors that the process may run on, or its CPU quota (cgroup v1 and v2)
/// rounded down, and at least one. Rounded down is right: with more threads than quota all of them are throttled for the rest of a period, with
/// the health check and the heartbeat among what waits. Blocking work has threads of its own.
fn workers() -> Setting {
    Setting::optional(
        "WORKER_THREADS",
        "Threads that serve, 1 to 512 [default: the processors, or the CPU quota, rounded down]",
    )
}

/// The whole command line.
pub fn command() -> Command {
    Command::new("toystore")
        .about("A toy store as a distributed system")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(subcommands().iter().map(|it| settings::command(it.name, it.about, &it.settings)))
}

/// How a subcommand that runs until it is done, or told to stop, ends badly.
#[derive(Debug)]
pub struct Failed {
    /// The process's exit code.
    pub code: ExitCode,
    /// For people, on standard error.
    pub message: String,
}

impl Failed {
    /// A failure with a message.
    pub fn new(code: ExitCode, message: impl Display) -> Self {
        Self { code, message: message.to_string() }
    }
}

/// Reads a subcommand's settings, starts logging and the runtime, and runs it to its end.
///
/// `read` takes the settings' values and notes every mistake; `run` gets a token that a signal cancels.
pub fn start<C, Run>(
    table: &[Setting],
    matches: &ArgMatches,
    read: impl FnOnce(&mut Values) -> Option<C>,
    run: impl FnOnce(C, CancellationToken) -> Run,
) -> ProcessExitCode
where
    Run: Future<Output = Result<(), Failed>>,
{
    abort_on_panic();
    let mut values = Values::read(&[table, &[workers()]].concat(), matches, &ProcessEnvironment);
    let log = LogConfig::read(&mut values);
    let workers = values.is_set("WORKER_THREADS").then(|| values.within("WORKER_THREADS", 1..=WORKERS_MAX)).flatten();
    let config = read(&mut values);
    let (log, config) = match values.finish(log.zip(config)) {
        Ok(read) => read,
        Err(mistakes) => return ended(Err(Failed::new(ExitCode::Usage, mistakes))),
    };
    logging::start(log);
    raise_open_files();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        runtime.worker_threads(workers);
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(Err(Failed::new(ExitCode::Failure, format!("no async runtime: {error}")))),
    };
    let result = runtime.block_on(async {
        let stop = stop_on_signal();
        local::stop_with_parent(&stop);
        run(config, stop).await
    });
    // What is left, such as a read of standard input, is not waited for.
    runtime.shutdown_background();
    ended(result)
}

/// The same for a service, which takes part in traces.
fn serve<C>(
    component: &str,
    table: &[Setting],
    matches: &ArgMatches,
    read: impl FnOnce(&mut Values) -> Option<C>,
    run: impl AsyncFnOnce(C, CancellationToken) -> Result<(), Failed>,
) -> ProcessExitCode {
    let read = |values: &mut Values| {
        let traces = TraceConfig::read(values);
        read(values).map(|config| (config, traces))
    };
    start(table, matches, read, async |(config, traces), stop| {
        let traces = traces.start(component);
        let result = run(config, stop).await;
        traces.stop().await;
        result
    })
}

/// Takes as many open files as the process may have. A busy leader has a connection per order under way; many systems allow 1024
/// unless asked, and a process that runs out of them cannot even open its own files.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, current = limit.current, "the limit of open files stays as it is");
    }
}

fn ended(result: Result<(), Failed>) -> ProcessExitCode {
    match result {
        Ok(()) => ExitCode::Ok.into(),
        Err(Failed { code, message }) => {
            eprintln!("toystore: {}", message.trim_end());
            code.into()
        }
    }
}

/// What `matches` asks for, done.
pub fn run(matches: &ArgMatches) -> ProcessExitCode {
    match matches.subcommand() {
        Some(("up", matches)) => start(&up::settings(), matches, up::Config::read, up::run),
        Some(("drill", matches)) => start(&drill::settings(), matches, drill::Config::read, drill::run),
        Some(("experiment", matches)) => {
            start(&experiment::settings(), matches, experiment::Config::read, experiment::run)
        }
        Some(("simulate", matches)) => simulate(matches),
        Some((component @ "catalog", matches)) => {
            serve(component, &catalog::settings(), matches, catalog::Config::read, async |config, stop| {
                catalog::run(config, stop).await.map_err(|error| Failed::new(error.exit_code(), error))
            })
        }
        Some((component @ "order", matches)) => {
            serve(component, &order::settings(), matches, order::Config::read, async |config, stop| {
                order::run(config, stop).await.map_err(|error| Failed::new(error.exit_code(), error))
            })
        }
        Some((component @ "frontend", matches)) => {
            serve(component, &frontend::settings(), matches, frontend::Config::read, async |config, stop| {
                frontend::run(config, stop).await.map_err(|error| Failed::new(error.exit_code(), error))
            })
        }
        Some(("client", matches)) => start(&client::settings(), matches, client::Config::read, shop),
        Some(("health", matches)) => start(&health::settings(), matches, health::Config::read, health::run),
        Some(("load", matches)) => start(&client::loadtest::settings(), matches, client::loadtest::Config::read, load),
        Some(("scale", matches)) => start(&scale::settings(), matches, scale::Config::read, scale::run),
        Some(("init-catalog", matches)) => {
            start(&catalog_file::init_settings(), matches, catalog_file::Init::read, catalog_file::init)
        }
        Some(("export-catalog", matches)) => {
            start(&catalog_file::export_settings(), matches, catalog_file::Export::read, catalog_file::export)
        }
        _ => unreachable!("clap knows the same subcommands"),
    }
}

/// Neither runtime nor logs are the process's own here: each simulated process has its own.
fn simulate(matches: &ArgMatches) -> ProcessExitCode {
    let mut values = Values::read(&simulation::command::settings(), matches, &ProcessEnvironment);
    let config = simulation::command::Config::read(&mut values);
    match values.finish(config) {
        Ok(config) => simulation::command::simulate(&config, &|line| print(line)).exit_code().into(),
        Err(mistakes) => ended(Err(Failed::new(ExitCode::Usage, mistakes))),
    }
}

/// Lets shoppers in and prints what they saw.
pub async fn shop(config: client::Config, stop: CancellationToken) -> Result<(), Failed> {
    let summary = client::run(config, stop).await.map_err(|error| Failed::new(error.exit_code(), error))?;
    print(&summary);
    match summary.exit_code() {
        ExitCode::Ok => Ok(()),
        code => Err(Failed::new(code, "the shoppers were not served as promised: see their summary")),
    }
}

/// Puts load on a store and prints what it came to.
async fn load(config: client::loadtest::Config, stop: CancellationToken) -> Result<(), Failed> {
    let report = client::loadtest::run(config, stop).await.map_err(|error| Failed::new(error.exit_code(), error))?;
    print(&report);
    match report.exit_code() {
        ExitCode::Ok => Ok(()),
        code => Err(Failed::new(code, report.verdict())),
    }
}

/// Writes to standard output; that it is closed is no failure of the work itself.
pub(crate) fn print(text: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
