//! Runs the benchmarks, one after the other.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use toystore::experiment::MachineInfo;

use crate::benchmark::Benchmark;
use crate::context::BenchContext;
use crate::options::RunOptions;
use crate::outcome::BenchOutcome;
use crate::page::Page;
use crate::profile::Profile;
use crate::progress::BenchProgress;
use crate::{availability, cached, cost, failover, growth, mixed, orders, store, uncached};

/// Killed processes may still write files for a moment.
const REMOVAL_TRIES: usize = 50;
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);

/// File systems without a disk.
const MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// Runs the selected benchmarks. Their processes are stopped and their files are removed at the
/// end.
pub(crate) async fn run(options: RunOptions) -> Result<()> {
    store::check_binary(&options.toystore)?;
    let dir = options.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    // PostgreSQL runs as another user than root, and must reach its directory.
    let root =
        tempfile::Builder::new().prefix("toystore-bench-").permissions(Permissions::from_mode(0o711)).tempdir_in(&dir);
    let root = root.with_context(|| format!("cannot create files in {}", dir.display()))?;
    let profile = if options.quick { Profile::quick() } else { Profile::full() };
    let context = BenchContext {
        // The binary is started in other working directories.
        binary: std::path::absolute(&options.toystore)?,
        profile,
        progress: BenchProgress::begin(),
        root: root.path().to_owned(),
    };
    let done = tokio::select! {
        done = all(&options, &context) => done,
        stopped = stopped() => stopped,
    };
    // All processes have been dropped by now, and so killed.
    remove(root).await?;
    done
}

async fn all(options: &RunOptions, context: &BenchContext) -> Result<()> {
    let mut benchmarks = options.benchmarks.clone();
    if benchmarks.is_empty() {
        benchmarks = Benchmark::value_variants().to_vec();
    }
    benchmarks.sort_unstable();
    benchmarks.dedup();
    let machine = MachineInfo::inspect(&context.root).context("cannot measure the disk")?;
    if MEMORY.contains(&&*machine.file_system) {
        let here = context.root.display();
        context
            .progress
            .line(format!("{here} is in memory: syncs cost nothing there, so all results for orders are wrong"));
    }
    let mut page = options.document.as_deref().map(|path| Page::read(path, &options.label)).transpose()?;
    let mut raw = Map::new();
    let (mut missed, mut failed) = (Vec::new(), Vec::new());
    for benchmark in benchmarks {
        context.progress.line(format!("{benchmark} begins"));
        let outcome = match measure(benchmark, context).await {
            Ok(outcome) => outcome,
            // The other benchmarks still run: half an hour of results must not be lost.
            Err(error) => {
                context.progress.line(format!("{benchmark} failed: {error:#}"));
                failed.push(benchmark.to_string());
                continue;
            }
        };
        for result in &outcome.results {
            println!("{result}");
            if result.verdict() == "missed" {
                missed.push(result.name());
            }
        }
        if let Some(page) = &mut page {
            page.update(benchmark, &outcome)?;
        }
        raw.insert(benchmark.to_string(), serde_json::json!({ "results": outcome.results, "raw": outcome.raw }));
    }
    if let Some(page) = page {
        page.write(&machine)?;
    }
    if let Some(path) = &options.json {
        write_json(path, &options.label, &machine, &raw)?;
    }
    context.progress.line(match &*missed {
        [] => "no goal was missed".to_owned(),
        missed => format!("missed: {}", missed.join(", ")),
    });
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

async fn measure(benchmark: Benchmark, context: &BenchContext) -> Result<BenchOutcome> {
    match benchmark {
        Benchmark::P1 => cached::measure(context).await,
        Benchmark::P2 => uncached::measure(context).await,
        Benchmark::P3 => orders::measure(context).await,
        Benchmark::P4 => failover::measure(context).await,
        Benchmark::P5 => growth::measure(context).await,
        Benchmark::P6 => mixed::measure(context).await,
        Benchmark::P7 => cost::measure(context).await,
        Benchmark::P8 => availability::measure(context).await,
    }
}

fn write_json(path: &Path, label: &str, machine: &MachineInfo, benchmarks: &Map<String, Value>) -> Result<()> {
    let machine: Map<_, _> =
        machine.facts().map(|(name, value)| (name.to_owned(), Value::from(value))).into_iter().collect();
    let all = serde_json::json!({ "label": label, "machine": machine, "benchmarks": benchmarks });
    let text = serde_json::to_string_pretty(&all)?;
    std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

/// Returns an error when the process receives SIGINT or SIGTERM.
async fn stopped() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    bail!("stopped by a signal")
}

async fn remove(root: TempDir) -> Result<()> {
    let path = root.keep();
    for _ in 1..REMOVAL_TRIES {
        if std::fs::remove_dir_all(&path).is_ok() {
            return Ok(());
        }
        sleep(REMOVAL_PAUSE).await;
    }
    std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))
}
