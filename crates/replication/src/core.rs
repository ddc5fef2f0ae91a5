//! All of a replica that does not depend on its machine.

use std::sync::Mutex;
use std::time::Duration;

use api::replica::{ReplicaStatus, Role};
use api::{NodeId, Ordinal, Term};
use openraft::ServerState;
use openraft::error::RaftError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use service::lifecycle::{ExitCode, fatal};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ReplicaConfig;
use crate::engine::{Fatal, LogId, Raft, ServerMetrics, Types, position};
use crate::handover::Gate;
use crate::log::LogStore;
use crate::peer_routes::PeerStatus;
use crate::room::{Level, Room};
use crate::transport::Peers;

/// Whether this replica leads, and if not, who does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// A majority has elected this replica in that term. That says nothing about now: a newer leader may have been
    /// elected meanwhile. [`confirm`](crate::Replica::confirm) tells, and also waits until the machine has all that
    /// earlier leaders committed.
    Leading(Term),
    /// It does not lead.
    Following {
        /// The leader that it knows; `None` during an election.
        leader: Option<NodeId>,
    },
}

/// Shared by the handles, the routes, and the tasks of one replica.
pub(crate) struct Core {
    pub(crate) config: ReplicaConfig,
    pub(crate) node_id: NodeId,
    /// An earlier log of this seat was lost: join, never found.
    pub(crate) lost_a_log: bool,
    pub(crate) raft: Raft,
    pub(crate) log: LogStore,
    pub(crate) peers: Peers,
    pub(crate) applied: watch::Receiver<Option<LogId>>,
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) gate: Gate,
    pub(crate) room: Room,
    /// One permit, taken while a state is received.
    pub(crate) receiving: Semaphore,
    /// Held by the leader while it changes who sits where.
    pub(crate) seating: tokio::sync::Mutex<()>,
    /// Held while it begins to stand for election.
    pub(crate) standing: tokio::sync::Mutex<()>,
    /// What follows this replica's last standing for election.
    pub(crate) campaign: Mutex<Option<AbortHandle>>,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Core {
    pub(crate) fn ordinal(&self) -> Ordinal {
        self.config.ordinal
    }

    pub(crate) fn status(&self) -> ReplicaStatus {
        let head = self.log.head();
        // One look at each, let go at once: a second look in the same breath waits for a writer that waits for the first.
        let metrics = self.raft.server_metrics().borrow().clone();
        let applied = *self.applied.borrow();
        let voters: Vec<NodeId> = metrics.membership_config.voter_ids().collect();
        ReplicaStatus {
            group: self.config.group.clone(),
            node_id: self.node_id,
            ordinal: self.ordinal(),
            role: role(&metrics, head.last.is_none() && voters.is_empty()),
            term: Term(metrics.vote.leader_id.term),
            last_log: head.last.as_ref().map(position),
            committed: head.committed.min(self.log.durable().last()).max(applied).as_ref().map(position),
            applied: applied.as_ref().map(position),
            leader: metrics.current_leader.filter(|leader| *leader != self.node_id || self.is_followed()),
            joint: joint(&metrics),
            voters,
            disk_full: self.room.level() < Level::Ample,
        }
    }

    /// What it tells its peers alone, too.
    pub(crate) fn peer_status(&self) -> PeerStatus {
        let membership = self.membership();
        let learners = membership.membership().learner_ids().collect();
        let receiving = self.receiving.available_permits() == 0;
        PeerStatus { status: self.status(), lost_a_log: self.lost_a_log, learners, receiving }
    }

    /// Whether a majority has answered this leader lately. The engine leads on in its term for as long as it hears of no
    /// later one, however long it has heard nothing at all; and its followers go on to name it.
    fn is_followed(&self) -> bool {
        let silent_ms = self.raft.data_metrics().borrow().millis_since_quorum_ack;
        silent_ms.is_some_and(|silent_ms| Duration::from_millis(silent_ms) <= self.config.timing.forsaken())
    }

    /// Appends what a leader sends. The engine takes entries for written as soon as they are queued; the leader is told so when
    /// they are on the disk.
    pub(crate) async fn append_durably(
        &self,
        request: AppendEntriesRequest<Types>,
    ) -> Result<AppendEntriesResponse<NodeId>, RaftError<NodeId>> {
        let sent = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        let answer = self.raft.append_entries(request).await?;
        let matching = match &answer {
            AppendEntriesResponse::Success => sent,
            AppendEntriesResponse::PartialSuccess(matching) => *matching,
            AppendEntriesResponse::Conflict | AppendEntriesResponse::HigherVote(_) => None,
        };
        self.log.durable().reached(matching).await.map_err(|_| RaftError::Fatal(Fatal::Stopped))?;
        Ok(answer)
    }

    /// One round trip through the engine, which shows that it lives.
    pub(crate) async fn probe(&self) -> Result<(), Fatal> {
        self.raft.with_raft_state(|_| ()).await
    }

    /// Keeps [`Core::leadership`] right until the replica stops, and the process from outliving its engine: a panic or
    /// a failed disk ends the engine's task, and what it last published would go on saying "leader".
    pub(crate) async fn watch_engine(&self) {
        let mut metrics = self.raft.server_metrics();
        loop {
            let now = leadership(&metrics.borrow_and_update());
            self.leadership.send_if_modified(|old| {
                let changed = *old != now;
                if changed {
                    tracing::info!(node_id = %self.node_id, leadership = ?now, "leadership");
                    *old = now;
                }
                changed
            });
            let changed = tokio::select! {
                () = self.stopping.cancelled() => return,
                changed = metrics.changed() => changed,
            };
            // Where the whole runtime is being stopped, this task goes no further than here.
            tokio::task::yield_now().await;
            if changed.is_err() && !self.stopping.is_cancelled() {
                let state = self.raft.metrics().borrow().running_state.clone();
                fatal(ExitCode::Software, format!("the consensus engine is gone: {state:?}"));
            }
        }
    }
}

fn role(metrics: &ServerMetrics, empty: bool) -> Role {
    match metrics.state {
        ServerState::Leader => Role::Leader,
        ServerState::Candidate => Role::Candidate,
        ServerState::Follower => Role::Follower,
        ServerState::Learner | ServerState::Shutdown if empty => Role::Empty,
        ServerState::Learner | ServerState::Shutdown => Role::Learner,
    }
}

/// Both sets of voters while there are two.
fn joint(metrics: &ServerMetrics) -> Vec<Vec<NodeId>> {
    let configs = metrics.membership_config.membership().get_joint_config();
    if configs.len() < 2 { Vec::new() } else { configs.iter().map(|set| set.iter().copied().collect()).collect() }
}

fn leadership(metrics: &ServerMetrics) -> Leadership {
    if metrics.state == ServerState::Leader {
        Leadership::Leading(Term(metrics.vote.leader_id.term))
    } else {
        Leadership::Following { leader: metrics.current_leader.filter(|leader| *leader != metrics.id) }
    }
}
