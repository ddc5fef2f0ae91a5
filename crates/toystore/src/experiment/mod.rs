//! `toystore experiment`: the classic evaluation of a replicated store with a cache, repeated on this machine.
//!
//! 1. **Latency.** Five shoppers look at products and buy them, with a probability of 0, 20, 40, 60, 80 and 100 %. Each probability is measured several
//!    times with the frontend's cache on, and off.
//! 2. **The cache's content.** One shopper, and a look into the cache after each request: who gives way, and what is invalidated?
//! 3. **Kills.** A replica that does not lead, and then the leader, while shoppers order: what do they notice, and have all replicas
//!    the same ledger in the end?
//!
//! The first two have one store with two frontends, of which one has no cache: catalog, orders, disks and their age are the same for both. The
//! third is a [drill](crate::drill) with a store of its own. Nothing of the report is known beforehand: it is written from what was measured.
//!
//! Of a store that somebody else runs only what a client may do is done: it is shopped in and looked at.
//!
//! # How it ends
//! With 1 if the store broke a promise: an acknowledged order that is not there, is there twice or is another one; ledgers that differ; stock that is
//! missing; a stale read; a cache that holds what it should not. The report is written in any case.

mod config;
mod contents;
mod files;
mod kills;
mod latency;
mod machine;
mod outcome;
mod page;
mod plots;
mod progress;
mod repeated;
mod shop;

use std::io;
use std::path::Path;
use std::time::Duration;

use service::lifecycle::ExitCode;
use tokio_util::sync::CancellationToken;

use crate::cli::{Failed, print};
pub use config::{Config, Given, Size, settings};
use contents::Trace;
use kills::Kills;
use latency::{Cell, Setup};
pub use machine::Machine;
use outcome::Outcome;
use progress::Progress;
use shop::{Cache, Shop};

/// Until a store is open, or closed. Measured; for the time left only.
const OPENING: Duration = Duration::from_secs(3);

/// For each request of the trace, and the look that follows.
const ONE_STEP: Duration = Duration::from_micros(700);

/// Orders are looked up after shopping: that much longer does a measurement take than its shopping.
const WITH_CHECK: f64 = 1.1;

/// Runs an experiment and writes its report.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Failed> {
    let io = |error: io::Error| Failed::new(ExitCode::Io, error);
    let failure = |error: String| Failed::new(ExitCode::Failure, error);
    std::fs::create_dir_all(&config.report_dir).map_err(io)?;
    let work = work_dir(&config).map_err(io)?;
    let outcome = stop.run_until_cancelled(experiment(&config, work.path(), &stop)).await;
    let outcome = outcome.unwrap_or_else(|| Err("stopped; there is no report".into())).map_err(failure)?;
    print(&outcome);
    let document = page::document(&outcome);
    files::write(&config.report_dir, &outcome, &document).map_err(io)?;
    if let Some(path) = &config.document {
        files::write_into(path, &document).map_err(io)?;
    }
    print(format_args!("the report is in {}: report.html, report.md", config.report_dir.display()));
    if outcome.is_clean() {
        return Ok(());
    }
    Err(failure(format!("a promise was broken: see the report; all files are kept in {}", work.keep().display())))
}

/// Where the stores' files go, until the end.
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

async fn experiment(config: &Config, work: &Path, stop: &CancellationToken) -> Result<Outcome, String> {
    let machine = Machine::look(work).map_err(|error| error.to_string())?;
    let seed = config.seed.unwrap_or_else(rand::random);
    let caches = caches(config);
    let mut progress = Progress::new(planned(config, &caches));
    progress.now("opening the store");
    let open = match &config.given {
        Some(given) => Shop::given(given.clone()),
        None => Shop::start(&work.join("store")).await?,
    };
    progress.done(OPENING);
    let (cells, mut broken) = latencies(&open, &caches, config.size, seed, work, &mut progress).await?;
    let trace = trace(&open, config.size, seed, &mut progress).await?;
    let looker = trace.as_ref().map_or(0, |trace| trace.acknowledged);
    let acknowledged: u64 = cells.iter().map(|cell| cell.acknowledged).sum();
    let failed = cells.iter().map(|cell| cell.failed).sum();
    broken.extend(open.audit(acknowledged + looker, failed).await);
    if let Some(trace) = trace.as_ref().filter(|_| open.is_own()) {
        broken.extend(trace.wrong.iter().cloned());
    }
    open.close().await;
    let kills = kills(config, seed, work, stop, &mut progress).await?;
    broken.extend(kills.iter().flat_map(|kills| kills.report.broken.iter().cloned()));
    Ok(Outcome {
        machine,
        size: config.size,
        seed,
        given: config.given.clone(),
        elapsed: progress.elapsed(),
        // Those that warm up count in the audit alone.
        cells: cells.into_iter().skip(warm_up(config.size, &caches).len()).collect(),
        trace,
        kills,
        broken,
    })
}

/// What is to be measured, in time.
fn planned(config: &Config, caches: &[Cache]) -> Duration {
    let Size { repetitions, length, rounds, steps } = config.size;
    let cells = warm_up(config.size, caches).len() + latency::setups(repetitions, caches, 0).len();
    let shopping = length.mul_f64(WITH_CHECK) * u32::try_from(cells).unwrap_or(u32::MAX);
    let kills = OPENING + kills::ONE_KILL * rounds * 2;
    OPENING + shopping + ONE_STEP * steps + if config.given.is_none() { kills } else { Duration::ZERO }
}

/// The settings of the cache that can be had.
fn caches(config: &Config) -> Vec<Cache> {
    let has_uncached = config.given.as_ref().is_none_or(|given| given.uncached.is_some());
    Cache::ALL.into_iter().filter(|cache| *cache == Cache::On || has_uncached).collect()
}

/// What comes first and does not count: connections are opened, files grow, processors wake up.
fn warm_up(size: Size, caches: &[Cache]) -> Vec<Setup> {
    caches.iter().map(|cache| Setup { repetition: size.repetitions, probability: 60, cache: *cache }).collect()
}

/// All measurements, those that warm up first; and the promises that were broken.
async fn latencies(
    shop: &Shop,
    caches: &[Cache],
    size: Size,
    seed: u64,
    work: &Path,
    progress: &mut Progress,
) -> Result<(Vec<Cell>, Vec<String>), String> {
    let measured = latency::setups(size.repetitions, caches, seed);
    let (mut cells, mut broken) = (Vec::new(), Vec::new());
    for setup in warm_up(size, caches).into_iter().chain(measured) {
        let Setup { repetition, probability, cache } = setup;
        progress.now(&match repetition {
            warm_up if warm_up == size.repetitions => "latency: warming up".to_owned(),
            _ => format!(
                "latency: repetition {} of {}, {probability} % buy, {}",
                repetition + 1,
                size.repetitions,
                cache.name()
            ),
        });
        let cell = latency::measure(shop, setup, size.length, seed, work).await?;
        let where_ = format!("{probability} % buy, {}, repetition {}", cache.name(), repetition + 1);
        broken.extend(cell.broken.iter().map(|what| format!("{where_}: {what}")));
        cells.push(cell);
        progress.done(size.length.mul_f64(WITH_CHECK));
    }
    Ok((cells, broken))
}

async fn trace(shop: &Shop, size: Size, seed: u64, progress: &mut Progress) -> Result<Option<Trace>, String> {
    progress.now("the cache's content");
    let trace = contents::trace(shop, size.steps, seed).await?;
    progress.done(ONE_STEP * size.steps);
    Ok(trace)
}

async fn kills(
    config: &Config,
    seed: u64,
    work: &Path,
    stop: &CancellationToken,
    progress: &mut Progress,
) -> Result<Option<Kills>, String> {
    if config.given.is_some() {
        return Ok(None);
    }
    progress.now("killing replicas, and leaders");
    let kills = kills::kill(config.size.rounds, seed, &work.join("kills"), stop).await?;
    for kill in &kills.kills {
        progress.line(&format!("round {:>3}: {}", kill.round, kill.event));
    }
    Ok(Some(kills))
}
