//! `toystore load`: a load test with a verdict.
//!
//! A [`Scenario`], from a file or from flags, says what is to come when. [`run`] waits until the store is open, puts the [`load`] on
//! it, [reckons up](crate::load::reckoning), and judges what was measured by the scenario's [thresholds](Threshold).
//!
//! | it ends with | if |
//! |---|---|
//! | 0 | the store kept its word and every threshold |
//! | 1 | the store could not be loaded at all, or somebody stopped the test |
//! | 64 | the settings or the scenario are wrong |
//! | 70 | the store broke its word |
//! | 74 | a report could not be written |
//! | 99 | a threshold was missed |
//!
//! A broken promise weighs more than a missed threshold.
//!
//! With `REPORT_DIR` it leaves there `report.html` (one page, nothing to load), `report.json`, `seconds.csv`, and `latency.hlog`: HdrHistogram's
//! interval log, an interval per second and kind of request, in microseconds.

mod config;
mod cpu;
mod files;
mod metrics;
mod page;
mod report;
mod scenario;
mod show;
mod threshold;

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use service::lifecycle::ExitCode;
use tokio_util::sync::CancellationToken;

use crate::load::{self, ConnectError, Plan, Second, reckoning};
use crate::run::opening;
use crate::{Patience, RunError};

pub use config::{Config, settings};
pub use cpu::cpu_time;
pub use report::Report;
pub use scenario::Scenario;
pub use threshold::{Judged, Threshold};

use files::LatencyLog;
use metrics::LoadMetrics;
use show::Show;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LoadTestError {
    /// The store did not open, or tells nonsense.
    #[error(transparent)]
    Store(#[from] RunError),
    /// It did not take the connections.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The port for metrics cannot be had.
    #[error("metrics: {0}")]
    Metrics(io::Error),
    /// A report cannot be written.
    #[error("the report cannot be written: {0}")]
    Files(io::Error),
}

impl LoadTestError {
    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Store(error) => error.exit_code(),
            Self::Connect(_) | Self::Metrics(_) => ExitCode::Failure,
            Self::Files(_) => ExitCode::Io,
        }
    }
}

/// Runs a load test. After `stop` is cancelled it still reckons up and reports.
pub async fn run(config: Config, stop: CancellationToken) -> Result<Report, LoadTestError> {
    let front = &config.targets[0];
    let base = crate::base_url(front).map_err(RunError::BadAddress)?;
    let metrics = LoadMetrics::new();
    let served = CancellationToken::new();
    let _serving = served.clone().drop_guard();
    if let Some(port) = config.metrics_port {
        metrics.serve(port, served).map_err(LoadTestError::Metrics)?;
    }
    let before = opening(front, &base, Patience::default(), &stop).await?;
    let plan = plan(&config, before.iter().map(|product| product.name.clone()).collect());
    tracing::info!(store = %front, targets = plan.targets.len(), products = before.len(), seed = plan.seed, "loading");

    // For people who read the report: nothing is measured with it.
    let begun = UNIX_EPOCH.elapsed().unwrap_or_default();
    let cpu_before = cpu_time(std::process::id());
    let mut show = Show::new(&plan);
    let mut log = LatencyLog::create(config.report_dir.as_deref(), begun).map_err(LoadTestError::Files)?;
    let mut seconds: Vec<Second> = Vec::new();
    let loaded = load::run(&plan, &stop, |second| {
        show.second(second);
        metrics.second(second);
        log.second(second);
        seconds.push(second.clone());
    });
    let loaded = loaded.await?;
    drop(show);
    let cpu = cpu_before.zip(cpu_time(std::process::id())).map(|(before, after)| after.saturating_sub(before));
    let lasted = seconds.iter().map(|second| second.outcome.measured).sum::<Duration>();
    let mut report = Report::new(&config, &plan, &loaded, begun, lasted, cpu);
    report.stopped = stop.is_cancelled();
    if config.check {
        tracing::info!("reckoning up");
        let sole_buyer = config.sole_buyer.then_some((before, config.restock_level));
        // Whoever stopped the load once wants to know; who stops twice is heard by the process itself.
        report.reckoning = Some(reckoning::reckon(&plan, loaded, sole_buyer, &CancellationToken::new()).await);
    }
    log.finish().map_err(LoadTestError::Files)?;
    if let Some(dir) = &config.report_dir {
        files::write(dir, &report, &plan, &seconds).map_err(LoadTestError::Files)?;
    }
    Ok(report)
}

fn plan(config: &Config, products: Vec<api::ProductName>) -> Plan {
    let Scenario { stages, visit, connections, keep_alive, popularity, answer_timeout, .. } = config.scenario.clone();
    Plan {
        targets: config.targets.clone(),
        connections,
        keep_alive,
        stages,
        visit,
        products,
        popularity,
        answer_timeout,
        seed: config.seed.unwrap_or_else(rand::random),
    }
}
