//! Metrics that are recorded as things happen: syncs, appends, checkpoints. Those that are read at
//! each scrape are in [`status_metrics`](crate::status_metrics).

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, Opts, Registry};

use crate::error::StartError;

/// 50 µs to 1.6 s: from a sync on a fast disk to a disk that is about to fail.
const SECONDS: (f64, f64, usize) = (0.000_05, 2.0, 16);

/// Entries in one append, which openraft's `max_payload_entries` bounds.
const ENTRIES: [f64; 5] = [1.0, 2.0, 4.0, 8.0, 16.0];

/// Appends to the followers.
#[derive(Clone, Debug)]
pub(crate) struct AppendMetrics {
    pub(crate) seconds: Histogram,
    pub(crate) entries: Histogram,
}

/// Checkpoints that were made, and states that came from a leader.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointMetrics {
    pub(crate) made_seconds: Histogram,
    pub(crate) installed: IntCounter,
}

/// All metrics that are recorded as things happen.
#[derive(Clone, Debug)]
pub(crate) struct Instruments {
    pub(crate) log_sync_seconds: Histogram,
    pub(crate) appends: AppendMetrics,
    pub(crate) checkpoints: CheckpointMetrics,
}

impl Instruments {
    pub(crate) fn register(registry: &Registry, group: &str) -> Result<Self, StartError> {
        let histogram = |name, help, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).const_label("group", group).buckets(buckets.to_vec());
            registered(registry, Histogram::with_opts(options))
        };
        let (start, factor, count) = SECONDS;
        let seconds = prometheus::exponential_buckets(start, factor, count).map_err(|e| broken(&e))?;
        let counter =
            |name, help| registered(registry, IntCounter::with_opts(Opts::new(name, help).const_label("group", group)));
        Ok(Self {
            log_sync_seconds: histogram(
                "toystore_replication_log_sync_seconds",
                "Time to make entries or a vote durable in the log",
                &seconds,
            )?,
            appends: AppendMetrics {
                seconds: histogram(
                    "toystore_replication_append_seconds",
                    "Round trip of an append or a heartbeat to a follower that answered, including its sync",
                    &seconds,
                )?,
                entries: histogram(
                    "toystore_replication_append_entries",
                    "Entries in one append to a follower, without heartbeats",
                    &ENTRIES,
                )?,
            },
            checkpoints: CheckpointMetrics {
                made_seconds: histogram(
                    "toystore_replication_checkpoint_seconds",
                    "Time to write a checkpoint of the state, during which no entry is applied",
                    &seconds,
                )?,
                installed: counter(
                    "toystore_replication_checkpoints_installed_total",
                    "States received from a leader and installed, because the log was too far behind",
                )?,
            },
        })
    }
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: prometheus::Result<C>,
) -> Result<C, StartError> {
    let collector = collector.map_err(|e| broken(&e))?;
    registry.register(Box::new(collector.clone())).map_err(|e| broken(&e))?;
    Ok(collector)
}

pub(crate) fn broken(error: &prometheus::Error) -> StartError {
    StartError::Config(format!("metrics: {error}"))
}
