//! `toystore simulate`: runs the simulation of a whole store.

use std::process::ExitCode as ProcessExitCode;

use clap::ArgMatches;
use service::lifecycle::ExitCode;
use service::settings::{ProcessEnvironment, Values};
use simulation::command::{Config, settings};
use tokio_util::sync::CancellationToken;

use crate::output::print;
use crate::subcommand::exit;

/// Runs the simulations. They need neither this process's runtime nor its logging: each simulated
/// process has its own. A signal therefore ends the process at once.
pub(crate) fn run(matches: &ArgMatches, stop: &CancellationToken) -> ProcessExitCode {
    let stop = stop.clone();
    std::thread::spawn(move || {
        futures::executor::block_on(stop.cancelled());
        eprintln!("toystore: stopped before all simulations were done");
        std::process::exit(ExitCode::Failure as i32);
    });
    let mut values = Values::read(&settings(), matches, &ProcessEnvironment);
    let config = Config::read(&mut values);
    match values.finish(config) {
        Ok(config) => match simulation::command::simulate(&config, &|line| print(line)).exit_code() {
            ExitCode::Ok => exit(Ok(())),
            code => code.into(),
        },
        Err(mistakes) => exit(Err(mistakes.into())),
    }
}
