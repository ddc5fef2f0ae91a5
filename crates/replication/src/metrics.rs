//! What a replica tells Prometheus. Positions are read when they are asked for, so they cost nothing in between.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use api::replica::Role;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

use crate::StartError;
use crate::core::Core;
use crate::machine_store::CheckpointCounters;

/// 50 µs to 1.6 s: from a sync on a fast disk to a disk that is about to fail.
const SECONDS: (f64, f64, usize) = (0.000_05, 2.0, 16);

/// Entries in one append; the engine's `max_payload_entries` is its bound.
const ENTRIES: [f64; 5] = [1.0, 2.0, 4.0, 8.0, 16.0];

/// What the way to the followers takes.
#[derive(Clone, Debug)]
pub(crate) struct AppendMetrics {
    pub(crate) seconds: Histogram,
    pub(crate) entries: Histogram,
}

/// What is measured as it happens.
#[derive(Clone, Debug)]
pub(crate) struct Instruments {
    pub(crate) log_sync_seconds: Histogram,
    pub(crate) appends: AppendMetrics,
    pub(crate) checkpoints: CheckpointCounters,
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
                    "Round trip of an append or a heartbeat to a follower that was answered, its sync included",
                    &seconds,
                )?,
                entries: histogram(
                    "toystore_replication_append_entries",
                    "Entries in one append to a follower, heartbeats left out",
                    &ENTRIES,
                )?,
            },
            checkpoints: CheckpointCounters {
                made_seconds: histogram(
                    "toystore_replication_checkpoint_seconds",
                    "Time to write a checkpoint of the state, in which no entry is applied",
                    &seconds,
                )?,
                installed: counter(
                    "toystore_replication_checkpoints_installed_total",
                    "States received from a leader and installed, since the log was too far behind",
                )?,
            },
        })
    }
}

const ROLES: [(Role, &str); 5] = [
    (Role::Empty, "empty"),
    (Role::Learner, "learner"),
    (Role::Follower, "follower"),
    (Role::Candidate, "candidate"),
    (Role::Leader, "leader"),
];

/// Reads a replica's positions at each scrape; nothing once the replica is gone.
pub(crate) struct Positions {
    core: Weak<Core>,
    role: IntGaugeVec,
    lag: IntGaugeVec,
    term: IntGauge,
    last: IntGauge,
    committed: IntGauge,
    applied: IntGauge,
    free: IntGauge,
    full: IntGauge,
    voters: IntGauge,
}

impl Positions {
    pub(crate) fn register(registry: &Registry, core: &Arc<Core>) -> Result<(), StartError> {
        let options = |name, help| Opts::new(name, help).const_label("group", &core.config.group);
        let gauge = |name, help| IntGauge::with_opts(options(name, help)).map_err(|e| broken(&e));
        let gauges = |name, help, label| IntGaugeVec::new(options(name, help), &[label]).map_err(|e| broken(&e));
        let positions = Self {
            core: Arc::downgrade(core),
            role: gauges(
                "toystore_replication_role",
                "1 for the role that this replica has, 0 for the others",
                "role",
            )?,
            lag: gauges(
                "toystore_replication_lag_entries",
                "Entries that a follower is known to lack, by its seat; from the leader only",
                "seat",
            )?,
            term: gauge("toystore_replication_term", "Highest term that this replica has seen")?,
            last: gauge("toystore_replication_last_index", "Index of the last entry in the log")?,
            committed: gauge(
                "toystore_replication_committed_index",
                "Index up to which the log is known to be committed",
            )?,
            applied: gauge("toystore_replication_applied_index", "Index up to which entries are applied")?,
            free: gauge("toystore_replication_disk_free_bytes", "Free space on the fullest of the replica's disks")?,
            full: gauge("toystore_replication_disk_full", "1 while the free space is below the reserve")?,
            voters: gauge(
                "toystore_replication_voters",
                "Replicas with a vote, by the newest membership that this one knows",
            )?,
        };
        registry.register(Box::new(positions)).map_err(|e| broken(&e))
    }

    fn parts(&self) -> [&dyn Collector; 9] {
        [
            &self.role,
            &self.lag,
            &self.term,
            &self.last,
            &self.committed,
            &self.applied,
            &self.free,
            &self.full,
            &self.voters,
        ]
    }

    fn update(&self, core: &Core) {
        let status = core.status();
        for (role, label) in ROLES {
            self.role.with_label_values(&[label]).set((role == status.role).into());
        }
        let index = |position: Option<api::LogPosition>| position.map_or(-1, |at| count(at.index));
        self.term.set(count(status.term.0));
        self.last.set(index(status.last_log));
        self.committed.set(index(status.committed));
        self.applied.set(index(status.applied));
        self.free.set(count(core.room.free_bytes()));
        self.full.set(status.disk_full.into());
        self.voters.set(i64::try_from(status.voters.len()).unwrap_or(i64::MAX));
        self.lag.reset();
        for (seat, lag) in lags(core) {
            self.lag.with_label_values(&[&seat]).set(lag);
        }
    }
}

fn lags(core: &Core) -> BTreeMap<String, i64> {
    let metrics = core.raft.metrics();
    let metrics = metrics.borrow();
    let next = metrics.last_log_index.map_or(0, |last| last + 1);
    let followers = metrics.replication.iter().flatten().filter(|(id, _)| **id != core.node_id);
    followers
        .map(|(id, matched)| {
            let has = matched.map_or(0, |matched| matched.index + 1);
            (id.ordinal().to_string(), count(next.saturating_sub(has)))
        })
        .collect()
}

impl Collector for Positions {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(core) = self.core.upgrade() else {
            return Vec::new();
        };
        self.update(&core);
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: prometheus::Result<C>,
) -> Result<C, StartError> {
    let collector = collector.map_err(|e| broken(&e))?;
    registry.register(Box::new(collector.clone())).map_err(|e| broken(&e))?;
    Ok(collector)
}

fn broken(error: &prometheus::Error) -> StartError {
    StartError::Config(format!("metrics: {error}"))
}
