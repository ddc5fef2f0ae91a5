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
//! something could not be measured or checked: the store died, or the experiment was stopped. The
//! report is written in any case. 1 if the store could not be started.

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
mod target;

use std::io;
use std::path::Path;
use std::time::Duration;

use report::{CheckResult, Checks};
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
    let outcome = Box::pin(experiment(&config, work.path(), &stop)).await.map_err(failure)?;
    let document = document::document(&outcome);
    print(&document);
    let written = files::write(&config.report_dir, &outcome, &document)
        .and_then(|()| config.document.as_ref().map_or(Ok(()), |path| files::write_into(path, &document)));
    match &written {
        Ok(()) => print(format_args!("report.html and report.md are in {}", config.report_dir.display())),
        Err(error) => eprintln!("cannot write the report: {error}"),
    }
    let kept = match outcome.checks.result() {
        CheckResult::Passed => String::new(),
        _ => format!("; all files are kept in {}", work.keep().display()),
    };
    exit_by_check(outcome.checks.result(), written, format!("{}{kept}", outcome.verdict()))
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
    let mut target = if let Some(existing) = &config.existing {
        Target::existing(existing.clone())
    } else {
        let started = stop.run_until_cancelled(Target::start(&work.join("store"))).await;
        started.unwrap_or_else(|| Err("stopped before the store was ready".into()))?
    };
    progress.done(OPENING);
    let mut checks = Checks::default();
    let mut run = PartRun { config, seed, work, stop, progress: &mut progress, checks: &mut checks };
    let measurements = run.latencies(&mut target, &caches).await;
    let trace = run.trace(&target).await;
    let acknowledged = measurements.iter().map(|measurement| measurement.acknowledged).sum::<u64>()
        + trace.as_ref().map_or(0, |trace| trace.acknowledged);
    let failed = measurements.iter().map(|measurement| measurement.failed).sum::<u64>()
        + trace.as_ref().map_or(0, |trace| u64::from(trace.ended_early.is_some()));
    run.checks.add("the store", &target.audit(acknowledged, failed).await);
    target.stop().await;
    let kills = run.kills().await;
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
        checks,
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

/// What the parts of a running experiment share. A part that cannot be completed says why in
/// `checks`, and keeps what it has measured.
struct PartRun<'a> {
    config: &'a Config,
    seed: u64,
    work: &'a Path,
    stop: &'a CancellationToken,
    progress: &'a mut ExperimentProgress,
    checks: &'a mut Checks,
}

impl PartRun<'_> {
    /// Runs all latency measurements, the warm-up first, until the store fails.
    async fn latencies(&mut self, target: &mut Target, caches: &[CacheMode]) -> Vec<LatencyMeasurement> {
        let size = self.config.size;
        let measured = latency::combinations(size.repetitions, caches, self.seed);
        let planned: Vec<_> = warm_up(size, caches).into_iter().chain(measured).collect();
        let (mut measurements, of) = (Vec::new(), planned.len() as u64);
        for combination in planned {
            if self.stop.is_cancelled() {
                break;
            }
            let Combination { repetition, probability, cache } = combination;
            self.progress.now(&match repetition {
                warm_up if warm_up == size.repetitions => "latency: warm-up".to_owned(),
                _ => format!(
                    "latency: repetition {} of {}, {probability} % buy, {}",
                    repetition + 1,
                    size.repetitions,
                    cache.name()
                ),
            });
            let context = format!("{probability} % buy, {}, repetition {}", cache.name(), repetition + 1);
            match latency::measure(target, combination, size.length, self.seed, self.work, self.stop).await {
                Ok(measurement) => {
                    self.checks.add(&context, &measurement.checks);
                    measurements.push(measurement);
                }
                Err(error) => {
                    self.checks.not_checked(format!("{context}: {error}"));
                    break;
                }
            }
            self.progress.done(size.length.mul_f64(WITH_CHECK));
        }
        self.checks.counted(measurements.len() as u64, of, "latency measurements were made");
        measurements
    }

    async fn trace(&mut self, target: &Target) -> Option<CacheTrace> {
        let steps = self.config.size.steps;
        self.progress.now("cache trace");
        let trace = cache_trace::trace(target, steps, self.seed, self.stop).await.unwrap_or_else(|error| {
            self.checks.not_checked(format!("cache trace: {error}"));
            None
        });
        if let Some(CacheTrace { described, differences, steps: sent, ended_early, .. }) = &trace {
            if target.is_own() {
                self.checks.violations(described, *differences);
            }
            if let Some(error) = ended_early {
                let sent = sent.len();
                self.checks.not_checked(format!("cache trace: it ended after {sent} of {steps} requests: {error}"));
            }
        }
        self.progress.done(ONE_STEP * steps);
        trace
    }

    async fn kills(&mut self) -> Option<Kills> {
        if self.config.existing.is_some() {
            return None;
        }
        self.progress.now("killing followers and leaders");
        let killed = if self.stop.is_cancelled() {
            Err("the experiment was stopped".into())
        } else {
            kills::kill(self.config.size.rounds, self.seed, &self.work.join("kills"), self.stop).await
        };
        match killed {
            Ok(kills) => {
                for kill in &kills.kills {
                    self.progress.line(&format!("round {:>3}: {}", kill.round, kill.event));
                }
                self.checks.add("kills", &kills.report.checks);
                Some(kills)
            }
            Err(error) => {
                self.checks.not_checked(format!("kills: {error}"));
                None
            }
        }
    }
}
