//! The handle: one replica of a group, as a service holds it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::replica::ReplicaStatus;
use api::{ApiError, LogPosition, NodeId, Ordinal, Term};
use axum::Router;
use openraft::error::{CheckIsLeaderError, ClientWriteError, RaftError};
use openraft::{Config, SnapshotPolicy};
use service::health::Readiness;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::checkpoint::ReceivedFile;
use crate::core::{Core, Leadership};
use crate::engine::{self, Command, LogId, Raft, position};
use crate::handover::Gate;
use crate::identity::Identity;
use crate::log::{Head, LogOptions, LogStore};
use crate::machine_store::MachineStore;
use crate::metrics::{Instruments, Positions};
use crate::removal::was_removed;
use crate::room::Room;
use crate::transport::Peers;
use crate::{
    COMMAND_BYTES_MAX, ProposeError, ReplicaConfig, StartError, StateMachine, StateStore, peer_routes, status_routes,
};

/// The log's file in the data directory.
const LOG_DIR: &str = "log";
/// Entries per append. Few, so that a new leader's probing of its followers is short; an entry is a whole batch of
/// commands.
const APPEND_ENTRIES_MAX: u64 = 16;

/// How often a leader asks its majority to confirm it, a heartbeat's time each: one stalled sync at a follower is no
/// reason to send readers away.
const CONFIRM_TRIES_MAX: usize = 3;

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
    /// Opens what lies in the data directory (or begins there), and takes part in the group from then on. `genesis` is
    /// the machine's state before the first entry, the same on every replica.
    ///
    /// Serve [`peer_routes`](Self::peer_routes) at the replication address at once: founding and elections need them.
    /// Returns when what is known to be committed is applied; whether there is a leader is another matter.
    pub async fn start(config: ReplicaConfig, genesis: M, store: impl StateStore<M>) -> Result<Self, StartError> {
        config.check()?;
        let dir = config.data_dir.clone();
        service::world::disk::create_dir_all(&dir).map_err(StartError::io("make", &dir))?;
        let instruments = Instruments::register(&config.registry, &config.group)?;
        let checkpointed = watch::Sender::new(None);

        let room = Room::new(&config.storage, config.state_places.iter().chain([&dir]).cloned().collect());
        // The log's lock comes before anything else in the directory is touched.
        let options = LogOptions { segment_bytes: config.storage.log_segment_bytes, faults: room.faults() };
        let synced = instruments.log_sync_seconds.clone();
        let log = LogStore::open(&dir.join(LOG_DIR), options, checkpointed.subscribe(), synced)?;
        ReceivedFile::clean(&dir).map_err(StartError::io("clean", &dir))?;
        let peers = Peers::new(&config, log.durable(), instruments.appends)?;
        let identity = establish(&dir, &config, &log, &peers).await?;
        log.resign(identity.node_id);
        let counters = instruments.checkpoints.clone();
        let machine = MachineStore::load(Box::new(store), genesis, log.durable(), checkpointed, counters)?;
        check_together(&dir, &log.head(), *machine.applied().borrow())?;

        let raft =
            Raft::new(identity.node_id, Arc::new(engine_config(&config)), peers.clone(), log.clone(), machine.clone())
                .await
                .map_err(|error| StartError::Engine(error.to_string()))?;
        let core = Arc::new(Core {
            node_id: identity.node_id,
            lost_a_log: identity.lost_a_log,
            raft,
            log,
            peers,
            applied: machine.applied(),
            leadership: watch::Sender::new(Leadership::Following { leader: None }),
            gate: Gate::open(),
            room,
            receiving: tokio::sync::Semaphore::new(1),
            seating: tokio::sync::Mutex::new(()),
            standing: tokio::sync::Mutex::default(),
            campaign: Mutex::new(None),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            config,
        });
        Positions::register(&core.config.registry, &core)?;
        let watching = Arc::clone(&core);
        core.tasks.spawn(async move { watching.watch_engine().await });
        core.tasks.spawn(Arc::clone(&core).keep_seat());
        core.tasks.spawn(Arc::clone(&core).keep_room());
        core.tasks.spawn(Arc::clone(&core).finish_changes());
        tracing::info!(group = core.config.group, node_id = %core.node_id, dir = %dir.display(), "replica started");
        Ok(Self { core, machine })
    }

    /// What this replica tells about itself. From memory; the [`status_routes`](Self::status_routes) also ask the
    /// engine.
    pub fn status(&self) -> ReplicaStatus {
        self.core.status()
    }

    /// This replica's id: its seat, and which of the seat's disks it has.
    pub fn node_id(&self) -> NodeId {
        self.core.node_id
    }

    /// Whether this replica leads; changes as soon as it learns of it.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.core.leadership.subscribe()
    }

    /// Commits a command, applies it here, and gives its place and the machine's reply.
    ///
    /// Takes as long as it takes: a leader that is cut off from its majority cannot know whether the command will
    /// commit. Callers bound it, and dropping the future is safe; the command may then still commit.
    pub async fn propose(&self, command: M::Command) -> Result<(LogPosition, M::Reply), ProposeError> {
        let bytes = postcard::to_stdvec(&command).expect("a command can be encoded: the trait's contract");
        if bytes.len() > COMMAND_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes: bytes.len() });
        }
        let _pass = self.core.gate.enter().await;
        let written = self.core.raft.client_write(Command(bytes.into())).await.map_err(|error| match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => self.not_leader(forward.leader_id),
            RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
                unreachable!("a command changes no membership: {error}")
            }
            RaftError::Fatal(_) => ProposeError::Stopped,
        })?;
        let reply = written.data.0.expect("a command's entry has a reply");
        let reply = reply.downcast::<M::Reply>().expect("the reply is the machine's");
        Ok((position(&written.log_id), *reply))
    }

    /// Whether something new may be begun: there is room on a majority's disks, and some on this replica's. What is begun is to be
    /// finished although there is none; [`propose`](Self::propose) does not ask. Only a leader can say no.
    pub fn has_room(&self) -> bool {
        self.core.has_room()
    }

    /// Reads the machine as this replica has it: possibly behind, unless [`confirm`](Self::confirm) came before. The
    /// closure holds up the next command, so it should only look and copy.
    pub fn read<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        self.machine.read(look)
    }

    /// The barrier of a linearizable read: after it, [`read`](Self::read) shows everything that any leader had
    /// committed before the call.
    ///
    /// This replica leads in the returned term, as a majority has just said (one round trip to them, never by a lease),
    /// and its machine has applied the first entry of the term, hence all of earlier terms. (The Raft thesis, §6.4:
    /// `ReadIndex`.)
    pub async fn confirm(&self) -> Result<Term, ProposeError> {
        let mut tries = CONFIRM_TRIES_MAX;
        let read_log_id = loop {
            tries -= 1;
            match self.core.raft.get_read_log_id().await {
                Ok((read_log_id, _)) => break read_log_id.expect("a leader has written its first entry"),
                Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward))) => {
                    return Err(self.not_leader(forward.leader_id));
                }
                // No majority answered in time. Perhaps it leads and they are slow, perhaps it is cut off.
                Err(RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_))) if tries > 0 => {}
                Err(RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_))) => return Err(self.not_leader(None)),
                Err(RaftError::Fatal(_)) => return Err(ProposeError::Stopped),
            }
        };
        let mut applied = self.core.applied.clone();
        let caught_up = applied.wait_for(|applied| *applied >= Some(read_log_id));
        tokio::select! {
            // The first entry of the term or a later one of the same: both carry the term.
            done = caught_up => done.map(|_| Term(read_log_id.leader_id.term)).map_err(|_| ProposeError::Stopped),
            () = self.core.stopping.cancelled() => Err(ProposeError::Stopped),
        }
    }

    /// Keeps `readiness` right, as long as it is polled: ready is a replica that has a vote, and has applied what its leader had committed a
    /// second ago. That there is no leader just now, or that others are down, changes nothing about it.
    pub async fn keep_ready(&self, readiness: &Readiness) {
        self.core.keep_ready(readiness).await;
    }

    /// Waits until this replica's machine has applied the log up to `position`.
    pub async fn applied(&self, position: LogPosition) -> Result<(), ProposeError> {
        let mut applied = self.core.applied.clone();
        tokio::select! {
            done = applied.wait_for(|applied| applied.as_ref().map(engine::position) >= Some(position)) => {
                done.map(drop).map_err(|_| ProposeError::Stopped)
            }
            () = self.core.stopping.cancelled() => Err(ProposeError::Stopped),
        }
    }

    /// Stands for election, unless this replica leads already, has no vote, or gave it to another candidate a moment ago
    /// (half a heartbeat): that one may be winning. Returns when it has begun;
    /// [`leadership`](Self::leadership) tells how it ends.
    pub async fn stand(&self) {
        if let Err(error) = self.core.stand(None).await {
            tracing::debug!(%error, "a replica that stops does not stand");
        }
    }

    /// A leader's last act: it takes no more commands, waits for those in flight, and has the voter with the whole log
    /// elected. Commands that come meanwhile wait. Gives the new leader, or `None` if there was none `within`
    /// that time (then this replica goes on). At once if this replica does not lead, or is its group's only voter.
    pub async fn hand_over(&self, within: Duration) -> Option<NodeId> {
        self.core.hand_over(within).await
    }

    /// The same, to one of those who are `fit`.
    pub async fn hand_over_to(&self, within: Duration, fit: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        self.core.hand_over_to(within, fit).await
    }

    /// Takes the vote of the replica in `seat`, which is to be stopped then. Leader only; one that is to go itself hands over
    /// first, and refuses.
    pub async fn remove_seat(&self, seat: Ordinal) -> Result<(), ApiError> {
        self.core.remove_seat(seat).await.map_err(ApiError::from)
    }

    /// Stops the engine and closes all files. Other clones of the handle are of no more use.
    pub async fn shutdown(self) {
        self.core.stopping.cancel();
        self.core.tasks.close();
        self.core.tasks.wait().await;
        if let Err(error) = self.core.raft.shutdown().await {
            tracing::warn!(%error, "the consensus engine did not stop in order");
        }
        self.machine.close().await;
        self.core.log.close().await;
    }

    /// For the replication port; guarded by the token, if there is one.
    pub fn peer_routes(&self) -> Router {
        peer_routes::routes(Arc::clone(&self.core))
    }

    /// For the service's internal port, whose guard they share: `GET /status`, `POST /election`,
    /// `DELETE /seats/{seat}`.
    pub fn status_routes(&self) -> Router {
        status_routes::routes(Arc::clone(&self.core))
    }

    fn not_leader(&self, leader: Option<NodeId>) -> ProposeError {
        if self.core.stopping.is_cancelled() { ProposeError::Stopped } else { ProposeError::NotLeader { leader } }
    }
}

async fn establish(dir: &Path, config: &ReplicaConfig, log: &LogStore, peers: &Peers) -> Result<Identity, StartError> {
    let Head { node_id: owner, last, .. } = log.head();
    let mut identity = Identity::establish(dir, &config.group, config.ordinal, owner)?;
    if let Some(last) = last
        && owner == Some(identity.node_id)
        && was_removed(peers, identity.node_id, position(&last).term).await
    {
        identity = identity.renewed();
    }
    if owner != Some(identity.node_id) {
        log.own(identity.node_id).await;
    }
    identity.save(dir)?;
    Ok(identity)
}

/// The log begins where the last checkpoint can take over; else entries are missing in between.
fn check_together(dir: &Path, head: &Head, checkpoint: Option<LogId>) -> Result<(), StartError> {
    if head.purged > checkpoint {
        let (purged, checkpoint) = (head.purged.as_ref().map(position), checkpoint.as_ref().map(position));
        let what = format!("it begins after {purged:?}, but the last checkpoint of the state is {checkpoint:?}");
        return Err(StartError::damaged(dir.join(LOG_DIR), what));
    }
    Ok(())
}

fn engine_config(config: &ReplicaConfig) -> Config {
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
        // Elections are conducted from outside: by the frontend, or by `founding` where there is nobody else.
        enable_elect: false,
        ..Config::default()
    }
}
