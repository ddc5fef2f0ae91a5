//! `toystore drill` as a measuring instrument: faults on a store of its own, under load.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use workload::Latency;

use crate::context::BenchContext;

/// Concurrent writers of a drill.
pub(crate) const SHOPPERS: u32 = 16;

/// Orders per second of all writers together. Gaps are measured to within 2 ms.
pub(crate) const PER_S: u32 = 500;

/// The parts of the drill's report that are read.
#[derive(Deserialize, Serialize)]
pub(crate) struct DrillReport {
    /// All faults.
    pub(crate) events: Vec<InjectedFault>,
    /// One summary per kind of fault.
    pub(crate) faults: Vec<FaultSummary>,
    result: String,
    broken: Vec<String>,
    not_checked: Vec<String>,
}

/// One fault that was injected.
#[derive(Deserialize, Serialize)]
pub(crate) struct InjectedFault {
    fault: String,
    gap_us: u64,
}

/// All faults of one kind.
#[derive(Deserialize, Serialize)]
pub(crate) struct FaultSummary {
    /// The kind.
    pub(crate) fault: String,
    /// Their number.
    pub(crate) times: usize,
    /// The longest time without an acknowledged order, from the fault until the store has
    /// recovered.
    pub(crate) gap: Latency,
    /// The stages of the failovers by their names, if new leaders were elected and every stage was
    /// seen.
    pub(crate) stages: Option<BTreeMap<String, Latency>>,
    seen: SeenErrors,
}

#[derive(Deserialize, Serialize)]
struct SeenErrors {
    errors: BTreeMap<String, u64>,
}

impl InjectedFault {
    /// The longest time without an acknowledged order, from the fault until the store has
    /// recovered, in milliseconds.
    pub(crate) fn gap_ms(&self) -> f64 {
        Duration::from_micros(self.gap_us).as_secs_f64() * 1e3
    }
}

impl FaultSummary {
    /// How many errors shoppers saw.
    pub(crate) fn errors(&self) -> u64 {
        self.seen.errors.values().sum()
    }
}

/// Injects each of `faults` that many times. A fault that lasts is healed after `hold`, or after a
/// time that suits it.
///
/// # Errors
/// If the drill found a broken promise, or could not check all of them.
pub(crate) async fn inject(
    context: &BenchContext,
    dir: &Path,
    faults: &[&str],
    rounds: u32,
    hold: Option<Duration>,
) -> Result<DrillReport> {
    let json = dir.join("drill.json");
    let mut command = Command::new(&context.binary);
    command.args(["drill", "--faults", &faults.join(","), "--rounds", &rounds.to_string()]);
    command.args(["--shoppers", &SHOPPERS.to_string(), "--orders-per-s", &PER_S.to_string()]);
    command.args(hold.map(|hold| format!("--hold-ms={}", hold.as_millis())));
    command.arg("--data-dir").arg(dir.join("ours")).arg("--json").arg(&json);
    let output = command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).output().await?;
    let failed = || format!("the drill failed:\n{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read(&json).with_context(failed)?;
    let report: DrillReport = serde_json::from_slice(&text).context("cannot parse the drill's report")?;
    let findings = [&*report.broken, &*report.not_checked].concat().join("; ");
    ensure!(output.status.success() && report.result == "passed", "the drill {}: {findings}", report.result);
    let (injected, wanted) = (report.events.len(), faults.len() * usize::try_from(rounds)?);
    ensure!(injected == wanted, "the drill injected {injected} faults instead of {wanted}");
    Ok(report)
}
