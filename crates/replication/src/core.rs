//! The parts of a replica that do not depend on its state machine, shared by its handles, routes
//! and tasks.
//!
//! Everything else is implemented on [`Core`] in the file of its subject, for example
//! [`leadership::campaign`](crate::leadership::campaign). No file that this one imports, imports it
//! in turn.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use api::event::Event;
use api::replica::{ReplicaStatus, Role};
use api::{NodeId, Ordinal, Term};
use openraft::ServerState;
use service::events::emit;
use service::lifecycle::{ExitCode, fatal};
use tokio::sync::{Notify, RwLock, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ReplicaConfig;
use crate::consensus::types::{Fatal, LogId, Membership, Raft, RaftServerMetrics, Vote, position};
use crate::disk_space::{DiskSpace, SpaceLevel};
use crate::error::ProposeError;
use crate::leadership::campaign_limit::CampaignLimit;
use crate::leadership::leader_contact::ReportedAges;
use crate::leadership::read_index::ReadIndex;
use crate::log::LogStore;
use crate::peer::client::PeerClient;
use crate::peer::messages::PeerStatus;

/// Whether this replica leads, and if not, who does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// A majority has elected this replica in that term. It may have elected a newer leader since;
    /// [`confirm_leadership`](crate::Replica::confirm_leadership) tells, and also waits until the
    /// machine has applied everything that earlier leaders committed.
    Leading(Term),
    /// It does not lead.
    Following {
        /// The leader that it knows; `None` during an election.
        leader: Option<NodeId>,
    },
}

impl Leadership {
    /// The leader, if it is another replica and known.
    pub fn other_leader(self) -> Option<Ordinal> {
        match self {
            Self::Following { leader } => leader.map(NodeId::ordinal),
            Self::Leading(_) => None,
        }
    }
}

/// Shared by the handles, the routes, and the tasks of one replica.
pub(crate) struct Core {
    pub(crate) config: ReplicaConfig,
    pub(crate) node_id: NodeId,
    /// An earlier log of this replica was lost: it may join a group, but not bootstrap one.
    pub(crate) lost_a_log: bool,
    pub(crate) raft: Raft,
    pub(crate) log: LogStore,
    pub(crate) peers: PeerClient,
    pub(crate) applied: watch::Receiver<Option<LogId>>,
    pub(crate) leadership: watch::Sender<Leadership>,
    /// Read-locked by each proposal in flight, write-locked while leadership is transferred. The
    /// lock is fair, so a transfer waits for the proposals in flight only.
    pub(crate) proposals: RwLock<()>,
    pub(crate) read_index: ReadIndex,
    pub(crate) disk_space: DiskSpace,
    /// One permit, held while a state is received.
    pub(crate) receiving: Semaphore,
    /// Held by the leader while it changes the membership.
    pub(crate) membership_change: tokio::sync::Mutex<()>,
    /// It has been logged that a majority of the voters is gone for good.
    pub(crate) majority_lost: AtomicBool,
    /// Bounds how often others can make this replica stand for election.
    pub(crate) campaign_limit: CampaignLimit,
    /// Held while a campaign is being started.
    pub(crate) campaign_start: tokio::sync::Mutex<()>,
    /// Notified when the leader's entries conflict with this log.
    pub(crate) log_conflict: Notify,
    /// A leader has confirmed this replica's log since it started; until then its disk may be an
    /// older copy ([`rollback`](crate::membership::rollback)).
    pub(crate) log_confirmed: AtomicBool,
    /// What the other replicas last answered while this one's log was not confirmed, and when they
    /// were asked.
    pub(crate) last_answers: tokio::sync::Mutex<Option<(Instant, Vec<ReplicaStatus>)>>,
    /// When this replica first refused to elect a candidate because another replica has a longer
    /// log.
    pub(crate) longer_log_since: OnceLock<Instant>,
    /// Why this replica has no vote yet, as far as it knows.
    pub(crate) no_vote_reason: Mutex<Option<String>>,
    /// The task that follows up this replica's last campaign.
    pub(crate) campaign: Mutex<Option<AbortHandle>>,
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Core {
    pub(crate) fn ordinal(&self) -> Ordinal {
        self.config.ordinal
    }

    pub(crate) fn status(&self) -> ReplicaStatus {
        let metadata = self.log.metadata();
        // Borrow each watch once and release it at once: a second borrow in the same expression
        // would wait for a writer that waits for the first.
        let metrics = self.raft.server_metrics().borrow().clone();
        let applied = *self.applied.borrow();
        let voters: Vec<NodeId> = metrics.membership_config.voter_ids().collect();
        let leader_contact = if metrics.state == ServerState::Leader {
            self.peers.contact.own()
        } else {
            self.peers.contact.of(metrics.vote)
        };
        ReplicaStatus {
            group: self.config.group.clone(),
            node_id: self.node_id,
            ordinal: self.ordinal(),
            role: role(&metrics, metadata.last.is_none() && voters.is_empty()),
            term: Term(metrics.vote.leader_id.term),
            last_log: metadata.last.as_ref().map(position),
            committed: metadata.committed.min(self.log.flushed().last()).max(applied).as_ref().map(position),
            applied: applied.as_ref().map(position),
            leader: metrics.current_leader.filter(|leader| *leader != self.node_id || self.is_followed()),
            joint: joint(&metrics),
            voters,
            disk_full: self.disk_space.level() < SpaceLevel::Ample,
            leader_contact,
        }
    }

    /// The status with what only peers are told.
    pub(crate) fn peer_status(&self) -> PeerStatus {
        let membership = self.membership();
        let learners = membership.membership().learner_ids().collect();
        let receiving = self.receiving.available_permits() == 0;
        PeerStatus { status: self.status(), lost_a_log: self.lost_a_log, learners, receiving }
    }

    /// Whether a majority has answered this leader recently. openraft remains leader of its term
    /// until it hears of a later one, however long it has heard nothing at all, and its followers
    /// keep naming it.
    fn is_followed(&self) -> bool {
        self.peers.contact.quorum().is_some_and(|silent| silent <= self.config.timing.no_quorum_after())
    }

    /// Notes that a message from the leader that was elected with `vote` has arrived. This comes
    /// before anything that waits for the disk: a slow disk is no sign of a missing leader.
    pub(crate) fn note_leader_message(&self, vote: Vote, reported: ReportedAges) {
        if self.log.metadata().vote.is_none_or(|own| own <= vote) {
            self.peers.contact.heard(vote, reported);
        }
    }

    /// The newest membership in the log, committed or not.
    pub(crate) fn membership(&self) -> Arc<Membership> {
        Arc::clone(&self.raft.server_metrics().borrow().membership_config)
    }

    /// The leader that this replica knows.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        match *self.leadership.borrow() {
            Leadership::Leading(_) => Some(self.node_id),
            Leadership::Following { leader } => leader,
        }
    }

    /// Whether this replica leads, as far as it knows.
    pub(crate) fn is_leading(&self) -> bool {
        matches!(*self.leadership.borrow(), Leadership::Leading(_))
    }

    /// The error of a replica that does not lead.
    pub(crate) fn not_leader(&self, leader: Option<NodeId>) -> ProposeError {
        if self.stopping.is_cancelled() { ProposeError::Stopped } else { ProposeError::NotLeader { leader } }
    }

    /// The highest term that it has durably voted in.
    pub(crate) fn term(&self) -> Term {
        self.log.metadata().vote.map(|vote| Term(vote.leader_id.term)).unwrap_or_default()
    }

    /// One round trip through openraft's loop, which shows that it is alive.
    pub(crate) async fn probe(&self) -> Result<(), Fatal> {
        self.raft.with_raft_state(|_| ()).await
    }

    fn report_leadership(&self, now: Leadership) {
        let group = self.config.group.clone().into();
        emit(match now {
            Leadership::Leading(term) => Event::Leads { group, term },
            Leadership::Following { leader: Some(leader) } => Event::Follows { group, leader },
            Leadership::Following { leader: None } => Event::FollowsNobody { group },
        });
    }

    /// Keeps [`Core::leadership`] up to date until the replica stops. Ends the process if openraft
    /// ends: a panic or a failed disk ends its task, and the last state that it published would
    /// remain "leader".
    pub(crate) async fn watch_raft(&self) {
        let mut metrics = self.raft.server_metrics();
        loop {
            let now = leadership(&metrics.borrow_and_update());
            self.leadership.send_if_modified(|old| {
                let changed = *old != now;
                if changed {
                    self.report_leadership(now);
                    *old = now;
                }
                changed
            });
            let changed = tokio::select! {
                () = self.stopping.cancelled() => return,
                changed = metrics.changed() => changed,
            };
            // If the whole runtime is being stopped, this task ends here.
            tokio::task::yield_now().await;
            if changed.is_err() && !self.stopping.is_cancelled() {
                let state = self.raft.metrics().borrow().running_state.clone();
                fatal(ExitCode::Software, format!("the consensus engine has stopped: {state:?}"));
            }
        }
    }
}

fn role(metrics: &RaftServerMetrics, empty: bool) -> Role {
    match metrics.state {
        ServerState::Leader => Role::Leader,
        ServerState::Candidate => Role::Candidate,
        ServerState::Follower => Role::Follower,
        ServerState::Learner | ServerState::Shutdown if empty => Role::Empty,
        ServerState::Learner | ServerState::Shutdown => Role::Learner,
    }
}

/// Both sets of voters in a joint membership, else empty.
fn joint(metrics: &RaftServerMetrics) -> Vec<Vec<NodeId>> {
    let configs = metrics.membership_config.membership().get_joint_config();
    if configs.len() < 2 { Vec::new() } else { configs.iter().map(|set| set.iter().copied().collect()).collect() }
}

fn leadership(metrics: &RaftServerMetrics) -> Leadership {
    if metrics.state == ServerState::Leader {
        Leadership::Leading(Term(metrics.vote.leader_id.term))
    } else {
        Leadership::Following { leader: metrics.current_leader.filter(|leader| *leader != metrics.id) }
    }
}
