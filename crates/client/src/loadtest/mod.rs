//! `toystore load`: a load test with a verdict.
//!
//! A [`Scenario`], from a file or from flags, has the stages of the load. [`run`] waits until the
//! store is ready, [loads](workload::load) it, [verifies](workload::verification) the orders, and
//! compares the measured values with the scenario's [thresholds](Threshold).
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | the store kept its promises, and every threshold was met |
//! | 1 | the store could not be loaded at all, or the test was stopped |
//! | 64 | the settings or the scenario are invalid |
//! | 69 | not everything could be checked, see [`LoadReport::checks`] |
//! | 70 | the store broke a promise |
//! | 74 | a report could not be written |
//! | 99 | a threshold was missed |
//!
//! If several of them apply, a broken promise takes precedence, then a check that was not
//! possible, then a report that could not be written, then a stopped test, then a missed threshold.
//! The figures and the verdict are always printed.
//!
//! `REPORT_DIR` is the directory for `report.html` (a single self-contained page), `report.json`,
//! `seconds.csv`, and `latency.hlog`: the interval log of HdrHistogram, with an interval for each
//! second and kind of request, in microseconds. With `PRINT_REPORTS`, the first two are also
//! printed, for pods whose files are not accessible after they have ended.

mod config;
mod cpu;
mod files;
mod metrics;
mod page;
mod progress;
mod report;
mod scenario;
#[cfg(test)]
mod testing;
mod threshold;

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use api::Address;
use service::lifecycle::{ExitCode, ExitError};
use tokio_util::sync::CancellationToken;
use workload::RetryPolicy;
use workload::load::{self, ConnectError, LoadInterval, LoadPlan};

use crate::RunError;
use crate::run::wait_until_open;

pub use config::{Config, settings};
pub use cpu::cpu_time;
pub use report::LoadReport;
pub use scenario::Scenario;
pub use threshold::{Threshold, ThresholdResult};

use files::LatencyLog;
use metrics::LoadMetrics;
use progress::LoadProgress;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LoadTestError {
    /// The store did not become ready, or sent an invalid response.
    #[error(transparent)]
    Store(#[from] RunError),
    /// The store did not accept the connections.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The port for metrics cannot be opened.
    #[error("cannot serve metrics: {0}")]
    Metrics(io::Error),
    /// The report's files cannot be created. Detected before the load begins.
    #[error("cannot write the report: {0}")]
    Files(io::Error),
}

impl From<LoadTestError> for ExitError {
    fn from(error: LoadTestError) -> Self {
        let code = match error {
            LoadTestError::Store(error) => return error.into(),
            LoadTestError::Connect(_) | LoadTestError::Metrics(_) => ExitCode::Failure,
            LoadTestError::Files(_) => ExitCode::Io,
        };
        Self::new(code, error)
    }
}

/// Runs a load test. After `stop` is cancelled, it still verifies the orders and returns a report.
pub async fn run(config: Config, stop: CancellationToken) -> Result<LoadReport, LoadTestError> {
    let front = &config.targets[0];
    let base = workload::base_url(front).map_err(RunError::BadAddress)?;
    let metrics = LoadMetrics::new();
    let served = config.metrics_port.map(|port| metrics.serve(port)).transpose();
    let _served = served.map_err(LoadTestError::Metrics)?;
    let before = wait_until_open(front, &base, RetryPolicy::default(), &stop).await?;
    let plan = plan(&config, before.iter().map(|product| product.name.clone()).collect());
    tracing::info!(store = %front, targets = plan.targets.len(), products = before.len(), seed = plan.seed, "loading");

    // The wall clock is only for readers of the report: nothing is measured with it.
    let begun = UNIX_EPOCH.elapsed().unwrap_or_default();
    let cpu_before = cpu_time(std::process::id());
    let mut progress = LoadProgress::new(&plan);
    let mut log = LatencyLog::create(config.report_dir.as_deref(), begun).map_err(LoadTestError::Files)?;
    let mut intervals: Vec<LoadInterval> = Vec::new();
    let result = load::run(&plan, &stop, |interval| {
        progress.record(interval);
        metrics.record(interval);
        log.record(interval);
        intervals.push(interval.clone());
    });
    let result = result.await?;
    drop(progress);
    let cpu = cpu_before.zip(cpu_time(std::process::id())).map(|(before, after)| after.saturating_sub(before));
    let mut report = LoadReport::new(&config, plan, &result, intervals, begun, cpu);
    report.stopped = stop.is_cancelled();
    // The checks are not stopped together with the load. A second signal ends the process.
    let (timeout, never) = (config.check_timeout, CancellationToken::new());
    let verify = async {
        if !config.check {
            return None;
        }
        tracing::info!("verifying the orders");
        let sole_buyer = config.sole_buyer.then_some((before, config.restock_level));
        Some(load::verify(&report.plan, result, sole_buyer, timeout, &never).await)
    };
    let (verification, gone) = tokio::join!(verify, gone(&config.targets, timeout, &never));
    report.verification = verification;
    report.conclude(gone);
    // The figures are worth more than their files: the report is returned in any case.
    let written = log.finish().and_then(|()| match &config.report_dir {
        Some(dir) => files::write(dir, &report),
        None => Ok(()),
    });
    let written = written
        .and_then(|()| if config.print_reports { files::print(&mut io::stdout().lock(), &report) } else { Ok(()) });
    report.unwritten = written.err().map(|error| error.to_string());
    Ok(report)
}

/// Why targets do not answer at the end, after `timeout`: a load without orders, or without their
/// verification, would otherwise not notice that the store is gone.
async fn gone(targets: &[Address], timeout: Duration, stop: &CancellationToken) -> Vec<String> {
    let policy = RetryPolicy { startup_timeout: timeout, ..RetryPolicy::default() };
    let answers = targets.iter().map(async |target| {
        let base = workload::base_url(target)?;
        wait_until_open(target, &base, policy, stop).await.map_err(|error| error.to_string())
    });
    let answers = futures::future::join_all(answers).await;
    answers.into_iter().filter_map(Result::err).map(|error| format!("{error} at the end of the load")).collect()
}

fn plan(config: &Config, products: Vec<api::ProductName>) -> LoadPlan {
    let Scenario { stages, visit, connections, keep_alive, popularity, request_timeout, .. } = config.scenario.clone();
    LoadPlan {
        targets: config.targets.clone(),
        connections,
        keep_alive,
        stages,
        visit,
        products,
        popularity,
        request_timeout,
        seed: config.seed.unwrap_or_else(rand::random),
    }
}
