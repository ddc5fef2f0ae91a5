//! `toystore drill` as a measuring instrument: faults on a store of its own, under load.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::context::BenchContext;

/// Concurrent writers of a drill.
pub(crate) const SHOPPERS: u32 = 16;

/// Orders per second of all writers together. Gaps are measured to within 2 ms.
pub(crate) const PER_S: u32 = 500;

/// The parts of the drill's report that are read.
#[derive(Deserialize)]
struct DrillReport {
    events: Vec<InjectedFault>,
    result: String,
    broken: Vec<String>,
    not_checked: Vec<String>,
}

/// One fault that was injected.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct InjectedFault {
    /// Its kind.
    pub(crate) fault: String,
    gap_us: u64,
    stages: Option<Stages>,
    seen: SeenErrors,
}

/// The stages of a failover, one after the other, in microseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Stages {
    #[serde(rename = "detection_us")]
    detection: u64,
    #[serde(rename = "election_us")]
    election: u64,
    #[serde(rename = "take_over_us")]
    take_over: u64,
    #[serde(rename = "first_order_us")]
    first_order: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct SeenErrors {
    errors: std::collections::BTreeMap<String, u64>,
}

impl InjectedFault {
    /// The longest time without an acknowledged order, from the fault until the store has
    /// recovered, in milliseconds.
    pub(crate) fn gap_ms(&self) -> f64 {
        ms(self.gap_us)
    }

    /// How many errors shoppers saw.
    pub(crate) fn errors(&self) -> u64 {
        self.seen.errors.values().sum()
    }

    /// Detection, election, takeover and first order in milliseconds, if a new leader was elected
    /// and every stage was seen.
    pub(crate) fn stages_ms(&self) -> Option<[f64; 4]> {
        let Stages { detection, election, take_over, first_order } = self.stages?;
        Some([detection, election, take_over, first_order].map(ms))
    }
}

fn ms(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1e3
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
) -> Result<Vec<InjectedFault>> {
    let json = dir.join("drill.json");
    let mut command = Command::new(&context.binary);
    command.args(["drill", "--faults", &faults.join(","), "--rounds", &rounds.to_string()]);
    command.args(["--shoppers", &SHOPPERS.to_string(), "--orders-per-s", &PER_S.to_string()]);
    command.args(hold.map(|hold| format!("--hold-ms={}", hold.as_millis())));
    command.arg("--data-dir").arg(dir.join("ours")).arg("--json").arg(&json);
    let output = command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).output().await?;
    let failed = || format!("the drill failed:\n{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read(&json).with_context(failed)?;
    let report = serde_json::from_slice(&text).context("cannot parse the drill's report")?;
    let DrillReport { events, result, broken, not_checked } = report;
    let findings = [broken, not_checked].concat().join("; ");
    ensure!(output.status.success() && result == "passed", "the drill {result}: {findings}");
    let wanted = faults.len() * usize::try_from(rounds)?;
    ensure!(events.len() == wanted, "the drill injected {} faults instead of {wanted}", events.len());
    Ok(events)
}
