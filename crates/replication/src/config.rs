//! The configuration of a replica.

use std::path::PathBuf;
use std::time::Duration;

use api::Ordinal;
use api::replica::Replicas;
use service::Token;
use service::http::ClientMetrics;
use tokio::sync::watch;

use crate::error::StartError;
use crate::storage_config::StorageConfig;

/// How one replica takes part in its group.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// The group's name: `order`, `catalog`. Replicas of other groups are refused.
    pub group: String,
    /// This replica's ordinal, from 1.
    pub ordinal: Ordinal,
    /// The directory of log and identity. Created if it does not exist. Used by one process at a
    /// time.
    pub data_dir: PathBuf,
    /// How many replicas bootstrap the group: the ordinals 1 to this. A later replica (or a wiped
    /// one) joins instead.
    pub bootstrap_size: usize,
    /// The replication addresses of all replicas, including this one. May change while the replica
    /// runs.
    pub peers: watch::Receiver<Replicas>,
    /// The secret of the internal ports, if there is one.
    pub token: Option<Token>,
    /// Intervals and timeouts.
    pub timing: ReplicaTiming,
    /// Checkpoints, and disk space.
    pub storage: StorageConfig,
    /// Files of the [`StateStore`](crate::StateStore) that may lie on another file system than
    /// `data_dir`. Each, or its directory, exists when the replica starts.
    pub state_paths: Vec<PathBuf>,
    /// Where the replica's metrics are registered. At most one replica of a group per registry.
    pub registry: prometheus::Registry,
    /// The metrics of its requests to the other replicas, if they are measured.
    pub client_metrics: Option<ClientMetrics>,
}

impl ReplicaConfig {
    /// A configuration with the defaults.
    pub fn new(
        group: &str,
        ordinal: Ordinal,
        data_dir: PathBuf,
        bootstrap_size: usize,
        peers: watch::Receiver<Replicas>,
    ) -> Self {
        Self {
            group: group.to_owned(),
            ordinal,
            data_dir,
            bootstrap_size,
            peers,
            token: None,
            timing: ReplicaTiming::default(),
            storage: StorageConfig::default(),
            state_paths: Vec::new(),
            registry: prometheus::Registry::new(),
            client_metrics: None,
        }
    }

    /// Adds advice on how to repair the directory to an error about damage.
    pub fn advise(&self, error: impl Into<StartError>) -> StartError {
        error.into().with(&self.repair_advice())
    }

    /// Whether this is the only replica of its group, as far as the configuration says.
    pub(crate) fn is_alone(&self) -> bool {
        self.bootstrap_size == 1 && self.peers.borrow().keys().all(|ordinal| *ordinal == self.ordinal)
    }

    /// What an operator can do about damage.
    fn repair_advice(&self) -> String {
        let dir = self.data_dir.display();
        if self.is_alone() {
            format!(
                "Nothing was changed. No other replica has what is lost. Restore a copy of all of {dir} (and of the named file, \
                 if it lies elsewhere) from one moment, or move {dir} aside to start again without it; see \
                 docs/runbooks.md, DataDirectoryRefused"
            )
        } else {
            format!(
                "Nothing was changed, and this replica does not vote. Move {dir} aside (and the named file, if it lies \
                 elsewhere) and start again: the replica rejoins its group as a new member and fetches everything. Do this \
                 for one replica at a time, while the others are ready; see docs/runbooks.md, DataDirectoryRefused"
            )
        }
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        let timing = &self.timing;
        let complaint = if self.ordinal.0 == 0 {
            "a replica's ordinal must be 1 or more".to_owned()
        } else if self.bootstrap_size == 0 {
            "a group must have at least one bootstrap member".to_owned()
        } else if self.storage.checkpoint_every == 0 {
            "checkpoint_every must be 1 or more".to_owned()
        } else if !(timing.heartbeat < timing.election_timeout_min
            && timing.election_timeout_min < timing.election_timeout_max)
        {
            format!("heartbeat < election_timeout_min < election_timeout_max must hold, not {timing:?}")
        } else {
            return Ok(());
        };
        Err(StartError::Config(complaint))
    }
}

/// Intervals and timeouts of one group; the same for all of its replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaTiming {
    /// The interval of a leader's heartbeats, and the timeout of one append. A follower's disk may
    /// take up to 1.5 times this for one sync before appends to it never succeed.
    pub heartbeat: Duration,
    /// The timeout of a vote, whose answer has to wait for two syncs: the candidate's and the
    /// voter's.
    pub election_timeout_min: Duration,
    /// For this long after it has heard from a leader, a follower refuses its vote to others, so a
    /// replica that was cut off cannot depose a working leader. Never used to *trust* a leader.
    pub election_timeout_max: Duration,
    /// The timeout of a TCP connection to a peer.
    pub connect: Duration,
    /// How long to leave a peer alone that could not be reached.
    pub back_off: Duration,
    /// The timeout of the requests around bootstrapping and joining. They read memory, but the peer
    /// may have to sync a vote first. A starting replica waits twice as long for what the others
    /// know of its disk.
    pub question: Duration,
    /// How long a state transfer may make no progress before it is given up.
    pub transfer_idle: Duration,
}

impl ReplicaTiming {
    /// How long a replica that voted for another candidate does not stand itself: half a heartbeat,
    /// after which a candidate with a majority has told all replicas.
    pub(crate) fn campaign_delay(&self) -> Duration {
        self.heartbeat / 2
    }

    /// After this long without an answer from a majority, a leader no longer names itself as the
    /// leader. Four times what a follower waits, since the slowest disk that can follow at all
    /// answers every 400 ms. Half of the time that a request can wait remains for an election.
    pub(crate) fn no_quorum_after(&self) -> Duration {
        4 * self.election_timeout_max
    }
}

impl Default for ReplicaTiming {
    /// Measured with a 0.2 ms disk and a 150 ms disk: 20/40–60 ms fails on a 50 ms disk, these work
    /// up to 150 ms.
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election_timeout_min: Duration::from_millis(200),
            election_timeout_max: Duration::from_millis(250),
            connect: Duration::from_millis(500),
            back_off: Duration::from_millis(50),
            question: Duration::from_secs(1),
            transfer_idle: Duration::from_secs(10),
        }
    }
}
