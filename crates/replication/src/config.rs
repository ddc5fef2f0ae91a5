//! What a replica is told at its start.

use std::path::PathBuf;
use std::time::Duration;

use api::Ordinal;
use api::replica::Replicas;
use service::Token;
use service::http::CallMetrics;
use tokio::sync::watch;

use crate::{StartError, StorageConfig};

/// One replica's place in its group, and its habits.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// The group's name: `order`, `catalog`. Replicas of other groups are refused.
    pub group: String,
    /// This replica's seat.
    pub ordinal: Ordinal,
    /// Where log and identity lie. Made if it is not there. One process at a time.
    pub data_dir: PathBuf,
    /// How many replicas found the group: the seats 1 to this. A later replica (or a wiped one) joins instead.
    pub founders: usize,
    /// The replication addresses of all seats, this one's included. May change while the replica runs.
    pub peers: watch::Receiver<Replicas>,
    /// The secret of the internal ports, if there is one.
    pub token: Option<Token>,
    /// Intervals and time-outs.
    pub timing: Timing,
    /// Checkpoints, and the room on the disks.
    pub storage: StorageConfig,
    /// Files of the [`StateStore`](crate::StateStore) that may lie on another file system than `data_dir`; each, or its
    /// directory, is there when the replica starts.
    pub state_places: Vec<PathBuf>,
    /// Where the replica's metrics go. At most one replica of a group per registry.
    pub registry: prometheus::Registry,
    /// Where its requests to the other replicas are counted, if they are.
    pub calls: Option<CallMetrics>,
}

impl ReplicaConfig {
    /// A config with the defaults.
    pub fn new(
        group: &str,
        ordinal: Ordinal,
        data_dir: PathBuf,
        founders: usize,
        peers: watch::Receiver<Replicas>,
    ) -> Self {
        Self {
            group: group.to_owned(),
            ordinal,
            data_dir,
            founders,
            peers,
            token: None,
            timing: Timing::default(),
            storage: StorageConfig::default(),
            state_places: Vec::new(),
            registry: prometheus::Registry::new(),
            calls: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        let timing = &self.timing;
        let complaint = if self.ordinal.0 == 0 {
            "a replica's seat is 1 or more".to_owned()
        } else if self.founders == 0 {
            "a group has at least one founder".to_owned()
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

/// Intervals and time-outs of one group; the same for all of its replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader tells its followers that it is there; also the time-out of one append. A follower's disk may
    /// take up to 1.5 times this for one sync before appends to it never get through.
    pub heartbeat: Duration,
    /// The time-out of a vote, whose answer has to wait for two syncs: the candidate's and the voter's.
    pub election_timeout_min: Duration,
    /// For so long after it heard a leader a follower refuses its vote to others: a replica that was cut off cannot
    /// depose a leader that works. Never used to *trust* a leader.
    pub election_timeout_max: Duration,
    /// Until a TCP connection to a peer stands.
    pub connect: Duration,
    /// How long to leave a peer alone that could not be reached.
    pub back_off: Duration,
    /// For the questions around founding and joining; they read memory, the peer may have to sync a vote before.
    pub question: Duration,
    /// How long a state transfer may stand still before it is given up.
    pub transfer_idle: Duration,
}

impl Timing {
    /// For how long a replica that gave its vote away does not stand itself: half a heartbeat, in which a candidate that
    /// gets its majority has long told everyone.
    pub(crate) fn yielding(&self) -> Duration {
        self.heartbeat / 2
    }

    /// A leader that no majority has answered for so long names itself as the leader no more. Four times what a follower waits,
    /// since the slowest disk that can follow at all answers every 400 ms; half of what a request can wait is left for an election.
    pub(crate) fn forsaken(&self) -> Duration {
        4 * self.election_timeout_max
    }
}

impl Default for Timing {
    /// Measured with a 0.2 ms disk and a 150 ms disk: 20/40–60 ms fails on a 50 ms disk, these work up to 150 ms.
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
