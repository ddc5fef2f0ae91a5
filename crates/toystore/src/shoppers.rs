//! `toystore client` and `toystore load`: shoppers for a store, and their report.

use service::lifecycle::{ExitCode, ExitError};
use tokio_util::sync::CancellationToken;

use crate::output::print;

/// Runs shoppers against a store and prints a summary of what they saw.
pub(crate) async fn run(config: client::Config, stop: CancellationToken) -> Result<(), ExitError> {
    let summary = client::run(config, stop).await?;
    print(&summary);
    match summary.exit_code() {
        ExitCode::Ok => Ok(()),
        code => Err(ExitError::new(code, format_args!("{}: see the summary", summary.verdict()))),
    }
}

/// Runs a load test against a store and prints its report.
pub(crate) async fn load_test(config: client::loadtest::Config, stop: CancellationToken) -> Result<(), ExitError> {
    let report = client::loadtest::run(config, stop).await?;
    print(&report);
    match report.exit_code() {
        ExitCode::Ok => Ok(()),
        code => Err(ExitError::new(code, report.verdict())),
    }
}
