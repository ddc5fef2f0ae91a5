//! The handle: one replica of a group, as a service holds it.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use api::event::Event;
use api::replica::ReplicaStatus;
use api::{ApiError, LogPosition, NodeId, Ordinal, Term};
use axum::Router;
use openraft::error::{ClientWriteError, RaftError};
use openraft::{Config, SnapshotPolicy};
use service::events::emit;
use service::health::Readiness;
use tokio::sync::{RwLock, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ReplicaConfig;
use crate::consensus::checkpoint::ReceivedFile;
use crate::consensus::state_machine::MachineStore;
use crate::consensus::types::{self, EncodedCommand, Raft, position};
use crate::consistency::DataDirectory;
use crate::core::{Core, Leadership};
use crate::disk_space::DiskSpace;
use crate::error::{ProposeError, StartError};
use crate::instruments::Instruments;
use crate::leadership::campaign_limit::CampaignLimit;
use crate::leadership::read_index::ReadIndex;
use crate::log::{LogOptions, LogStore};
use crate::machine::{COMMAND_BYTES_MAX, StateMachine, StateStore};
use crate::membership::identity::Identity;
use crate::membership::start_identity::establish;
use crate::peer::client::PeerClient;
use crate::status_metrics::StatusMetrics;
use crate::{peer, status_routes};

/// The log's directory in the data directory.
const LOG_DIR: &str = "log";
/// Entries per append. Few, so that a new leader finds out quickly where its followers' logs end.
/// An entry is a whole batch of commands.
const APPEND_ENTRIES_MAX: u64 = 16;

/// One replica of a replicated state machine. Clones are the same replica.
pub struct Replica<M: StateMachine> {
    core: Arc<Core>,
    machine: MachineStore<M>,
}

impl<M: StateMachine> Clone for Replica<M> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), machine: self.machine.clone() }
    }
}

impl<M: StateMachine> Replica<M> {
    /// Opens the data directory, or creates it, and takes part in the group from then on. `genesis`
    /// is the machine's state before the first entry, the same on every replica.
    ///
    /// Serve [`peer_routes`](Self::peer_routes) at the replication address at once: bootstrapping
    /// and elections need them. Returns when everything that is known to be committed is applied,
    /// whether there is a leader or not.
    ///
    /// # Errors
    /// Damage is refused with the file, the position in it, and what an operator can do. So is a
    /// directory whose parts contradict each other.
    pub async fn start(config: ReplicaConfig, genesis: M, store: impl StateStore<M>) -> Result<Self, StartError> {
        config.check()?;
        Self::open(config.clone(), genesis, store).await.map_err(|error| config.advise(error))
    }

    async fn open(config: ReplicaConfig, genesis: M, store: impl StateStore<M>) -> Result<Self, StartError> {
        let dir = config.data_dir.clone();
        let log_dir = dir.join(LOG_DIR);
        service::world::disk::create_dir_all(&dir).map_err(StartError::io("create", &dir))?;
        let instruments = Instruments::register(&config.registry, &config.group)?;
        let checkpointed = watch::Sender::new(None);

        let disk_space = DiskSpace::new(&config.storage, config.state_paths.iter().chain([&dir]).cloned().collect());
        // The log's lock comes before anything else in the directory is touched.
        let known = Identity::load(&dir)?;
        let options = LogOptions {
            segment_bytes: config.storage.log_segment_bytes,
            faults: disk_space.faults(),
            has_high_water: known.as_ref().is_some_and(|known| known.has_high_water),
        };
        let synced = instruments.log_sync_seconds.clone();
        let log = LogStore::open(&log_dir, options, checkpointed.subscribe(), synced)?;
        let metrics = instruments.checkpoints.clone();
        let machine = MachineStore::load(Box::new(store), genesis, log.flushed(), checkpointed, metrics)?;
        let parts = DataDirectory { log_dir: &log_dir, log: &log, machine: &machine };
        let peers = PeerClient::new(&config, log.flushed(), instruments.appends)?;
        let identity = establish(known, &config, &parts, &peers).await?;
        ReceivedFile::clean(&dir).map_err(StartError::io("clean", &dir))?;
        log.resign(identity.node_id);

        let raft =
            Raft::new(identity.node_id, Arc::new(raft_config(&config)), peers.clone(), log.clone(), machine.clone())
                .await
                .map_err(|error| StartError::Engine(error.to_string()))?;
        peers.contact.watch(raft.data_metrics());
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let core = Arc::new(Core {
            read_index: ReadIndex::start(raft.clone(), machine.applied(), stopping.clone(), &tasks),
            node_id: identity.node_id,
            lost_a_log: identity.lost_a_log,
            raft,
            log,
            peers,
            applied: machine.applied(),
            leadership: watch::Sender::new(Leadership::Following { leader: None }),
            proposals: RwLock::default(),
            disk_space,
            receiving: tokio::sync::Semaphore::new(1),
            membership_change: tokio::sync::Mutex::new(()),
            majority_lost: AtomicBool::new(false),
            campaign_limit: CampaignLimit::default(),
            campaign_start: tokio::sync::Mutex::default(),
            log_conflict: tokio::sync::Notify::new(),
            log_confirmed: AtomicBool::new(false),
            last_answers: tokio::sync::Mutex::default(),
            longer_log_since: OnceLock::new(),
            no_vote_reason: Mutex::default(),
            campaign: Mutex::new(None),
            stopping,
            tasks,
            config,
        });
        StatusMetrics::register(&core.config.registry, &core)?;
        let watching = Arc::clone(&core);
        core.tasks.spawn(async move { watching.watch_raft().await });
        core.tasks.spawn(Arc::clone(&core).keep_membership());
        core.tasks.spawn(Arc::clone(&core).watch_disk_space());
        core.tasks.spawn(Arc::clone(&core).finish_abandoned_changes());
        core.tasks.spawn(Arc::clone(&core).watch_for_rollback());
        emit(Event::ReplicaStarted { group: core.config.group.clone().into(), node_id: core.node_id });
        Ok(Self { core, machine })
    }

    /// This replica's status, from memory; the [`status_routes`](Self::status_routes) also ask
    /// openraft.
    pub fn status(&self) -> ReplicaStatus {
        self.core.status()
    }

    /// This replica's id: its ordinal, and which disk of that ordinal it has.
    pub fn node_id(&self) -> NodeId {
        self.core.node_id
    }

    /// Whether this replica leads; changes as soon as the replica knows.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.core.leadership.subscribe()
    }

    /// Commits a command, applies it here, and returns its log position and the machine's reply.
    ///
    /// There is no timeout: a leader that is cut off from its majority cannot know whether the
    /// command will commit. Callers set one. Dropping the future is safe, but the command may still
    /// commit.
    pub async fn propose(&self, command: M::Command) -> Result<(LogPosition, M::Reply), ProposeError> {
        let bytes = postcard::to_stdvec(&command).expect("a command can be encoded: the trait's contract");
        if bytes.len() > COMMAND_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes: bytes.len() });
        }
        let _guard = self.core.proposals.read().await;
        let written = self.core.raft.client_write(EncodedCommand(bytes.into())).await.map_err(|error| match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => self.core.not_leader(forward.leader_id),
            RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
                unreachable!("a command changes no membership: {error}")
            }
            RaftError::Fatal(_) => ProposeError::Stopped,
        })?;
        let reply = written.data.0.expect("a command's entry has a reply");
        let reply = reply.downcast::<M::Reply>().expect("the reply is the machine's");
        Ok((position(&written.log_id), *reply))
    }

    /// Whether something new may be started: a majority's disks have enough space, and this
    /// replica's has some. What was started should be finished even without:
    /// [`propose`](Self::propose) does not check. Only a leader ever returns `false`.
    pub fn has_disk_space(&self) -> bool {
        self.core.has_disk_space()
    }

    /// Reads the machine as this replica has it. It may be behind, unless
    /// [`confirm_leadership`](Self::confirm_leadership) came before. The closure delays the next
    /// command, so it should only look and copy.
    pub fn read<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        self.machine.read(look)
    }

    /// The barrier of a linearizable read: after it, [`read`](Self::read) shows everything that any
    /// leader had committed before the call.
    ///
    /// This replica leads in the returned term: a majority has just said so (one round trip, never
    /// a lease). Its machine has applied the first entry of that term, hence all of earlier terms.
    /// (The Raft thesis, §6.4: `ReadIndex`.) Calls that wait share one round trip.
    pub async fn confirm_leadership(&self) -> Result<Term, ProposeError> {
        self.core.read_index.confirm().await
    }

    /// Keeps `readiness` up to date while it is polled. A replica is ready if it has a vote and has
    /// applied what its leader had committed a second ago. Neither a missing leader nor other
    /// replicas that are down change it.
    pub async fn keep_ready(&self, readiness: &Readiness) {
        self.core.keep_ready(readiness).await;
    }

    /// Waits until this replica's machine has applied the log up to `position`.
    pub async fn applied(&self, position: LogPosition) -> Result<(), ProposeError> {
        let mut applied = self.core.applied.clone();
        tokio::select! {
            done = applied.wait_for(|applied| applied.as_ref().map(types::position) >= Some(position)) => {
                done.map(drop).map_err(|_| ProposeError::Stopped)
            }
            () = self.core.stopping.cancelled() => Err(ProposeError::Stopped),
        }
    }

    /// Stands for election, unless this replica leads already, has no vote, or voted for another
    /// candidate a moment ago (half a heartbeat), which may be winning. Returns when the campaign
    /// has started; [`leadership`](Self::leadership) shows how it ends.
    pub async fn stand_for_election(&self) {
        if let Err(error) = self.core.stand_for_election(None).await {
            tracing::debug!(%error, "a replica that is stopping does not stand for election");
        }
    }

    /// Transfers leadership: the leader accepts no more commands, waits for those in flight, and
    /// has a voter with the whole log elected. Commands that arrive meanwhile wait.
    ///
    /// Returns the new leader, or `None` if there was none `within` that time; then this replica
    /// continues. Returns at once if this replica does not lead, or is its group's only voter.
    pub async fn transfer_leadership(&self, within: Duration) -> Option<NodeId> {
        self.core.transfer_leadership(within).await
    }

    /// As [`transfer_leadership`](Self::transfer_leadership), but only to an `eligible` voter.
    pub async fn transfer_leadership_to(&self, within: Duration, eligible: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        self.core.transfer_leadership_to(within, eligible).await
    }

    /// Removes the replica with that ordinal from the voters; it should then be stopped. Leader
    /// only. A leader that is itself to be removed transfers leadership first, and returns an
    /// error.
    pub async fn remove_member(&self, ordinal: Ordinal) -> Result<(), ApiError> {
        self.core.remove_member(ordinal).await.map_err(ApiError::from)
    }

    /// Stops openraft and closes all files. Other clones of the handle are of no more use.
    pub async fn shutdown(self) {
        self.core.stopping.cancel();
        self.core.tasks.close();
        self.core.tasks.wait().await;
        if let Err(error) = self.core.raft.shutdown().await {
            tracing::warn!(%error, "the consensus engine did not stop cleanly");
        }
        self.machine.close().await;
        self.core.log.close().await;
    }

    /// The routes of the replication port, guarded by the token, if there is one.
    pub fn peer_routes(&self) -> Router {
        peer::routes::routes(Arc::clone(&self.core))
    }

    /// Routes of the service's internal port, whose guard they share: `GET /status`,
    /// `POST /election`, `DELETE /members/{ordinal}`.
    pub fn status_routes(&self) -> Router {
        status_routes::routes(Arc::clone(&self.core))
    }
}

/// Whether a replica has run in that data directory. If so, its state is there or with its group,
/// and a service must not start from an initial state.
pub fn is_initialized(data_dir: &Path) -> bool {
    data_dir.join(LOG_DIR).exists()
}

fn raft_config(config: &ReplicaConfig) -> Config {
    let timing = &config.timing;
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Config {
        cluster_name: config.group.clone(),
        heartbeat_interval: millis(timing.heartbeat),
        election_timeout_min: millis(timing.election_timeout_min),
        election_timeout_max: millis(timing.election_timeout_max),
        max_payload_entries: APPEND_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.storage.checkpoint_every),
        max_in_snapshot_log_to_keep: config.storage.log_kept,
        // Elections are started from outside: by a frontend, or by `membership::bootstrap`.
        enable_elect: false,
        ..Config::default()
    }
}
