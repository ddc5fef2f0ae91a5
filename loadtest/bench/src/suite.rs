//! One benchmark after the other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use toystore::experiment::Machine;

use crate::benchmark::Benchmark;
use crate::extent::Extent;
use crate::options::Run;
use crate::outcome::Outcome;
use crate::page::Page;
use crate::progress::Progress;
use crate::{cached, cost, failover, growth, mixed, orders, shop, uncached};

/// Killed processes may still be writing for a moment.
const REMOVAL_TRIES: usize = 50;
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);

/// File systems that have no disk.
const MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// What all benchmarks are given.
pub(crate) struct Field {
    /// The store's program.
    pub(crate) binary: PathBuf,
    /// How much is measured.
    pub(crate) extent: Extent,
    /// For people who wait.
    pub(crate) progress: Progress,
    root: PathBuf,
}

impl Field {
    /// A new directory for one benchmark's files.
    pub(crate) fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.root.join(name);
        std::fs::create_dir(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        Ok(dir)
    }
}

/// Runs the benchmarks that are asked for. Whatever they start ends with them, and their files are removed.
pub(crate) async fn run(options: Run) -> Result<()> {
    shop::check_binary(&options.toystore)?;
    let dir = options.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    let root = tempfile::Builder::new().prefix("toystore-bench-").tempdir_in(&dir);
    let root = root.with_context(|| format!("there can be no files in {}", dir.display()))?;
    let extent = if options.quick { Extent::quick() } else { Extent::full() };
    let field = Field {
        // It is started from other directories than this one.
        binary: std::path::absolute(&options.toystore)?,
        extent,
        progress: Progress::begin(),
        root: root.path().to_owned(),
    };
    let done = tokio::select! {
        done = all(&options, &field) => done,
        stopped = told_to_stop() => stopped,
    };
    // By now everything that was started has been dropped, and so killed.
    remove(root).await?;
    done
}

async fn all(options: &Run, field: &Field) -> Result<()> {
    let mut benchmarks = options.benchmarks.clone();
    if benchmarks.is_empty() {
        benchmarks = Benchmark::value_variants().to_vec();
    }
    benchmarks.sort_unstable();
    benchmarks.dedup();
    let machine = Machine::look(&field.root).context("the disk cannot be timed")?;
    if MEMORY.contains(&&*machine.file_system) {
        let here = field.root.display();
        field.progress.line(format!("{here} is memory: syncs cost nothing there, and all figures of orders are wrong"));
    }
    let mut page = options.document.as_deref().map(|path| Page::read(path, &options.label)).transpose()?;
    let mut raw = Map::new();
    let (mut missed, mut failed) = (Vec::new(), Vec::new());
    for benchmark in benchmarks {
        field.progress.line(format!("{benchmark} begins"));
        let outcome = match measure(benchmark, field).await {
            Ok(outcome) => outcome,
            // The others may well be measured; half an hour is not to be lost.
            Err(error) => {
                field.progress.line(format!("{benchmark} failed: {error:#}"));
                failed.push(benchmark.to_string());
                continue;
            }
        };
        for finding in &outcome.findings {
            println!("{finding}");
            if finding.verdict() == "missed" {
                missed.push(finding.name());
            }
        }
        if let Some(page) = &mut page {
            page.put(benchmark, &outcome)?;
        }
        raw.insert(benchmark.to_string(), serde_json::json!({ "findings": outcome.findings, "raw": outcome.raw }));
    }
    if let Some(page) = page {
        page.write(&machine)?;
    }
    if let Some(path) = &options.json {
        write_json(path, &options.label, &machine, &raw)?;
    }
    field.progress.line(match &*missed {
        [] => "no goal was missed".to_owned(),
        missed => format!("missed: {}", missed.join(", ")),
    });
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

async fn measure(benchmark: Benchmark, field: &Field) -> Result<Outcome> {
    match benchmark {
        Benchmark::P1 => cached::measure(field).await,
        Benchmark::P2 => uncached::measure(field).await,
        Benchmark::P3 => orders::measure(field).await,
        Benchmark::P4 => failover::measure(field).await,
        Benchmark::P5 => growth::measure(field).await,
        Benchmark::P6 => mixed::measure(field).await,
        Benchmark::P7 => cost::measure(field).await,
    }
}

fn write_json(path: &Path, label: &str, machine: &Machine, benchmarks: &Map<String, Value>) -> Result<()> {
    let machine: Map<_, _> = machine.rows().into_iter().map(|[name, value]| (name, Value::from(value))).collect();
    let all = serde_json::json!({ "label": label, "machine": machine, "benchmarks": benchmarks });
    let text = serde_json::to_string_pretty(&all)?;
    std::fs::write(path, text + "\n").with_context(|| format!("{} cannot be written", path.display()))
}

/// Ends with an error, at Ctrl-C or SIGTERM.
async fn told_to_stop() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    bail!("told to stop")
}

async fn remove(root: TempDir) -> Result<()> {
    let path = root.keep();
    for _ in 1..REMOVAL_TRIES {
        if std::fs::remove_dir_all(&path).is_ok() {
            return Ok(());
        }
        sleep(REMOVAL_PAUSE).await;
    }
    std::fs::remove_dir_all(&path).with_context(|| format!("{} cannot be removed", path.display()))
}
