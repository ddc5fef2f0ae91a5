//! Metrics that are read from a replica at each scrape, so they cost nothing in between.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use api::replica::Role;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use crate::core::Core;
use crate::error::StartError;
use crate::instruments::broken;

const ROLES: [(Role, &str); 5] = [
    (Role::Empty, "empty"),
    (Role::Learner, "learner"),
    (Role::Follower, "follower"),
    (Role::Candidate, "candidate"),
    (Role::Leader, "leader"),
];

/// Reads a replica's status at each scrape; reports nothing once the replica is gone.
pub(crate) struct StatusMetrics {
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

impl StatusMetrics {
    pub(crate) fn register(registry: &Registry, core: &Arc<Core>) -> Result<(), StartError> {
        let options = |name, help| Opts::new(name, help).const_label("group", &core.config.group);
        let gauge = |name, help| IntGauge::with_opts(options(name, help)).map_err(|e| broken(&e));
        let gauges = |name, help, label| IntGaugeVec::new(options(name, help), &[label]).map_err(|e| broken(&e));
        let metrics = Self {
            core: Arc::downgrade(core),
            role: gauges(
                "toystore_replication_role",
                "1 for the role that this replica has, 0 for the others",
                "role",
            )?,
            lag: gauges(
                "toystore_replication_lag_entries",
                "Entries that a follower is known to lack, by ordinal; from the leader only",
                "ordinal",
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
                "Replicas with a vote, by the newest membership that this replica knows",
            )?,
        };
        registry.register(Box::new(metrics)).map_err(|e| broken(&e))
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
        self.free.set(count(core.disk_space.free_bytes()));
        self.full.set(status.disk_full.into());
        self.voters.set(i64::try_from(status.voters.len()).unwrap_or(i64::MAX));
        self.lag.reset();
        for (ordinal, lag) in lags(core) {
            self.lag.with_label_values(&[&ordinal]).set(lag);
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

impl Collector for StatusMetrics {
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
