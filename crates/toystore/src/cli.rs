//! The command line: the one list of all subcommands.

use std::process::ExitCode as ProcessExitCode;

use clap::{ArgMatches, Command};
use service::settings;
use tokio_util::sync::CancellationToken;

use crate::subcommand::Subcommand;
use crate::{catalog_file, drill, experiment, health, import, scale, shoppers, simulate, status, up};

/// All subcommands, in the order in which `toystore --help` lists them.
pub fn subcommands() -> Vec<Subcommand> {
    [whole_stores(), services(), clients(), administration()].into_iter().flatten().collect()
}

/// Subcommands that run a whole store, and experiments with one.
fn whole_stores() -> Vec<Subcommand> {
    vec![
        Subcommand::new("up", "Run a whole store on this machine", up::settings(), up::Config::read, up::run),
        Subcommand::new(
            "drill",
            "Inject faults into a store of real processes, and check that it keeps its promises",
            drill::settings(),
            drill::Config::read,
            drill::run,
        ),
        Subcommand::new(
            "experiment",
            "Measure latency with and without the cache, trace the cache, and time the recovery from kills",
            experiment::settings(),
            experiment::Config::read,
            experiment::run,
        ),
        Subcommand::without_runtime(
            "simulate",
            "Run a whole store under virtual time and seeded faults, and check that it keeps its promises",
            simulation::command::settings(),
            simulate::run,
        ),
    ]
}

/// Subcommands that run one process of a store.
fn services() -> Vec<Subcommand> {
    vec![
        Subcommand::service::<catalog::Server>(
            "catalog",
            "Run the catalog: stock, reservations, cache leases",
            catalog::settings(),
            catalog::Config::read,
        ),
        Subcommand::service::<order::Server>(
            "order",
            "Run one replica of the order log",
            order::settings(),
            order::Config::read,
        ),
        Subcommand::service::<frontend::Server>(
            "frontend",
            "Run the public REST API: cache, leader election, request routing",
            frontend::settings(),
            frontend::Config::read,
        ),
    ]
}

/// Subcommands that use or inspect a running store.
fn clients() -> Vec<Subcommand> {
    vec![
        Subcommand::new(
            "client",
            "Run shoppers against a store, and verify their orders",
            client::settings(),
            client::Config::read,
            shoppers::run,
        ),
        Subcommand::new(
            "health",
            "Check whether a running process is ready",
            health::settings(),
            health::Config::read,
            health::run,
        ),
        Subcommand::new(
            "status",
            "Show the processes of `up`: the leader, log positions, cache contents",
            status::settings(),
            status::Config::read,
            status::run,
        ),
        Subcommand::new(
            "console",
            "Show a running store on a live page",
            store_console::settings(),
            store_console::Config::read,
            store_console::serve_console,
        ),
        Subcommand::new(
            "load",
            "Run a load test against a store: generate load, measure, verify the orders",
            client::loadtest::settings(),
            client::loadtest::Config::read,
            shoppers::load_test,
        ),
    ]
}

/// Subcommands that change the size of a store or move its data.
fn administration() -> Vec<Subcommand> {
    vec![
        Subcommand::new(
            "scale",
            "Remove replicas from their group before they are stopped for good",
            scale::settings(),
            scale::Config::read,
            scale::run,
        ),
        Subcommand::new(
            "import",
            "Create a store from the stock and the past orders of another one",
            import::settings(),
            import::Config::read,
            import::run,
        ),
        Subcommand::new(
            "init-catalog",
            "Write an initial catalog file",
            catalog_file::init_settings(),
            catalog_file::InitConfig::read,
            catalog_file::init,
        ),
        Subcommand::new(
            "export-catalog",
            "Write the stock of a running store as CSV",
            catalog_file::export_settings(),
            catalog_file::ExportConfig::read,
            catalog_file::export,
        ),
    ]
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

/// Runs the subcommand that `matches` names.
pub fn run(matches: &ArgMatches, stop: &CancellationToken) -> ProcessExitCode {
    let (name, matches) = matches.subcommand().expect("clap requires a subcommand");
    let subcommand = subcommands().into_iter().find(|it| it.name == name).expect("clap has the same list");
    subcommand.run(matches, stop)
}
