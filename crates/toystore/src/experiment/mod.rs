//! `toystore experiment`: runs an evaluation of the store and its cache on this machine.
//!
//! 1. **Latency.** Five shoppers read products and buy them with a probability of 0, 20, 40, 60, 80
//!    and 100 %. Each probability is measured several times, with the frontend's cache on and off.
//! 2. **Cache trace.** One shopper, and the contents of the cache after each request: which
//!    products are evicted, and which are invalidated?
//! 3. **Kills.** A follower is killed, and then the leader, while shoppers place orders: what do
//!    the shoppers notice, and are the ledgers of all replicas identical at the end?
//!
//! The first two parts use one store with two frontends, one of them without a cache, so that
//! catalog, order replicas, disks and their age are the same for both. The third part is a
//! [drill](crate::drill) with a separate store. Nothing in the report is fixed: it is written from
//! the measurements.
//!
//! A store that is already running is only used as a client uses it: no process is killed.
//!
//! Reading order: `target.rs`, then `latency.rs`, `cache_trace.rs` and `kills.rs`, which fill an
//! `outcome.rs`; then `document.rs`, `plots.rs` and `files.rs`, which write the report.
//!
//! # Exit code
//! 70 if the store broke a promise: an acknowledged order is lost, duplicated or changed, the
//! ledgers differ, stock is leaked, a read is stale, or the cache has the wrong contents. 69 if
//! something could not be checked. The report is written in any case.

mod cache_trace;
mod config;
mod document;
mod files;
mod kills;
mod latency;
mod machine;
mod outcome;
mod plots;
mod progress;
mod stats;
mod target;

use std::io;
use std::path::Path;
use std::time::Duration;

use report::CheckResult;
use service::lifecycle::{ExitCode, ExitError};
use tokio_util::sync::CancellationToken;

use crate::output::print;
use crate::subcommand::exit_by_check;
use cache_trace::CacheTrace;
pub use config::{Config, ExistingStore, ExperimentSize, settings};
use kills::Kills;
use latency::{Combination, LatencyMeasurement};
pub use machine::MachineInfo;
use outcome::ExperimentOutcome;
use progress::ExperimentProgress;
use target::{CacheMode, Target};

/// Measured time to start or stop a store; only used to estimate the time left.
const OPENING: Duration = Duration::from_secs(3);

/// Estimated time for one request of the trace and the inspection of the cache that follows.
const ONE_STEP: Duration = Duration::from_micros(700);

/// A measurement takes this much longer than its shopping, because the orders are looked up at the
/// end.
const WITH_CHECK: f64 = 1.1;

/// Runs an experiment and writes its report.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), ExitError> {
    let io = |error: io::Error| ExitError::new(ExitCode::Io, error);
    let failure = |error: String| ExitError::new(ExitCode::Failure, error);
    std::fs::create_dir_all(&config.report_dir).map_err(io)?;
    let work = work_dir(&config).map_err(io)?;
    let outcome = stop.run_until_cancelled(Box::pin(experiment(&config, work.path(), &stop))).await;
    let outcome =
        outcome.unwrap_or_else(|| Err("stopped before the end; no report was written".into())).map_err(failure)?;
    print(&outcome);
    let document = document::document(&outcome);
    let written = files::write(&config.report_dir, &outcome, &document)
        .and_then(|()| config.document.as_ref().map_or(Ok(()), |path| files::write_into(path, &document)));
    match &written {
        Ok(()) => print(format_args!("report.html and report.md are in {}", config.report_dir.display())),
        Err(error) => eprintln!("cannot write the report: {error}"),
    }
    let kept = match outcome.check_result() {
        CheckResult::Passed => String::new(),
        _ => format!("; all files are kept in {}", work.keep().display()),
    };
    exit_by_check(outcome.check_result(), written, format!("{}{kept}", outcome.verdict()))
}

/// The directory for the stores' files while the experiment runs.
fn work_dir(config: &Config) -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("toystore-experiment-");
    match &config.data_dir {
        Some(dir) => {
            std::fs::create_dir_all(dir)?;
            builder.tempdir_in(dir)
        }
        None => builder.tempdir(),
    }
}

async fn experiment(config: &Config, work: &Path, stop: &CancellationToken) -> Result<ExperimentOutcome, String> {
    let machine = MachineInfo::inspect(work).map_err(|error| error.to_string())?;
    let seed = config.seed.unwrap_or_else(rand::random);
    let caches = caches(config);
    let mut progress = ExperimentProgress::new(planned(config, &caches));
    progress.now("starting the store");
    let target = match &config.existing {
        Some(existing) => Target::existing(existing.clone()),
        None => Target::start(&work.join("store")).await?,
    };
    progress.done(OPENING);
    let (measurements, mut broken) = latencies(&target, &caches, config.size, seed, work, &mut progress).await?;
    let trace = trace(&target, config.size, seed, &mut progress).await?;
    let traced_orders = trace.as_ref().map_or(0, |trace| trace.acknowledged);
    let acknowledged: u64 = measurements.iter().map(|measurement| measurement.acknowledged).sum();
    let failed = measurements.iter().map(|measurement| measurement.failed).sum();
    broken.extend(target.audit(acknowledged + traced_orders, failed).await);
    if let Some(trace) = trace.as_ref().filter(|_| target.is_own()) {
        broken.extend(trace.described.iter().cloned());
    }
    target.stop().await;
    let kills = kills(config, seed, work, stop, &mut progress).await?;
    broken.extend(kills.iter().flat_map(|kills| kills.report.broken.iter().cloned()));
    Ok(ExperimentOutcome {
        machine,
        size: config.size,
        seed,
        existing: config.existing.clone(),
        elapsed: progress.elapsed(),
        // The warm-up only counts in the audit.
        measurements: measurements.into_iter().skip(warm_up(config.size, &caches).len()).collect(),
        trace,
        kills,
        broken,
    })
}

/// The estimated duration of all measurements.
fn planned(config: &Config, caches: &[CacheMode]) -> Duration {
    let ExperimentSize { repetitions, length, rounds, steps } = config.size;
    let measurements = warm_up(config.size, caches).len() + latency::combinations(repetitions, caches, 0).len();
    let shopping = length.mul_f64(WITH_CHECK) * u32::try_from(measurements).unwrap_or(u32::MAX);
    let kills = OPENING + kills::ONE_KILL * rounds * 2;
    OPENING + shopping + ONE_STEP * steps + if config.existing.is_none() { kills } else { Duration::ZERO }
}

/// The cache settings that can be measured.
fn caches(config: &Config) -> Vec<CacheMode> {
    let has_uncached = config.existing.as_ref().is_none_or(|existing| existing.uncached.is_some());
    CacheMode::ALL.into_iter().filter(|cache| *cache == CacheMode::On || has_uncached).collect()
}

/// Measurements that come first and are not reported, while connections are opened and processors
/// reach their speed.
fn warm_up(size: ExperimentSize, caches: &[CacheMode]) -> Vec<Combination> {
    caches.iter().map(|cache| Combination { repetition: size.repetitions, probability: 60, cache: *cache }).collect()
}

/// Runs all latency measurements, the warm-up first. Returns them and all violations.
async fn latencies(
    target: &Target,
    caches: &[CacheMode],
    size: ExperimentSize,
    seed: u64,
    work: &Path,
    progress: &mut ExperimentProgress,
) -> Result<(Vec<LatencyMeasurement>, Vec<String>), String> {
    let measured = latency::combinations(size.repetitions, caches, seed);
    let (mut measurements, mut broken) = (Vec::new(), Vec::new());
    for combination in warm_up(size, caches).into_iter().chain(measured) {
        let Combination { repetition, probability, cache } = combination;
        progress.now(&match repetition {
            warm_up if warm_up == size.repetitions => "latency: warm-up".to_owned(),
            _ => format!(
                "latency: repetition {} of {}, {probability} % buy, {}",
                repetition + 1,
                size.repetitions,
                cache.name()
            ),
        });
        let measurement = latency::measure(target, combination, size.length, seed, work).await?;
        let context = format!("{probability} % buy, {}, repetition {}", cache.name(), repetition + 1);
        broken.extend(measurement.broken.iter().map(|what| format!("{context}: {what}")));
        measurements.push(measurement);
        progress.done(size.length.mul_f64(WITH_CHECK));
    }
    Ok((measurements, broken))
}

async fn trace(
    target: &Target,
    size: ExperimentSize,
    seed: u64,
    progress: &mut ExperimentProgress,
) -> Result<Option<CacheTrace>, String> {
    progress.now("cache trace");
    let trace = cache_trace::trace(target, size.steps, seed).await?;
    progress.done(ONE_STEP * size.steps);
    Ok(trace)
}

async fn kills(
    config: &Config,
    seed: u64,
    work: &Path,
    stop: &CancellationToken,
    progress: &mut ExperimentProgress,
) -> Result<Option<Kills>, String> {
    if config.existing.is_some() {
        return Ok(None);
    }
    progress.now("killing followers and leaders");
    let kills = kills::kill(config.size.rounds, seed, &work.join("kills"), stop).await?;
    for kill in &kills.kills {
        progress.line(&format!("round {:>3}: {}", kill.round, kill.event));
    }
    Ok(Some(kills))
}
