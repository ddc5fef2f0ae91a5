//! openraft's [`RaftStateMachine`] and [`RaftSnapshotBuilder`]: applies entries that are committed
//! and on this disk, and makes and installs checkpoints.
//!
//! There are two locks. `store` is held while the state is changed or written: applying,
//! checkpointing and installing take turns, the long ones on a blocking thread. `state` is locked
//! for writing only while commands are applied, so readers never wait for a disk.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use api::NodeId;
use api::event::{Event, Text};
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{AnyError, EntryPayload, RaftSnapshotBuilder, StorageIOError};
use service::events::emit;
use service::lifecycle::{ExitCode, fatal};
use service::world::{self, disk};
use tokio::sync::watch;
use tokio::time::Instant;

use super::checkpoint::{CheckpointData, ReceivedFile};
use super::types::{AnyReply, CheckpointMeta, EncodedCommand, Entry, LogId, Membership, StorageError, Types, position};
use crate::error::StartError;
use crate::instruments::CheckpointMetrics;
use crate::log::Flushed;
use crate::machine::{StateMachine, StateStore, StateStoreError};

/// More entries than this are applied on a blocking thread. Switching to one costs more than
/// applying a few entries, which is work in memory and an unsynced write to a file.
const APPLIED_INLINE_MAX: usize = 16;

/// The replicated state machine with its store. Clones share them.
pub(crate) struct MachineStore<M> {
    inner: Arc<Inner<M>>,
}

struct Inner<M> {
    state: RwLock<State<M>>,
    /// `None` once it is closed.
    store: Arc<tokio::sync::Mutex<Option<Box<dyn StateStore<M>>>>>,
    /// The header of the last durable checkpoint.
    meta: Mutex<Option<CheckpointMeta>>,
    checkpointed: watch::Sender<Option<LogId>>,
    applied: watch::Sender<Option<LogId>>,
    metrics: CheckpointMetrics,
    /// How much of the log is on disk.
    flushed: Flushed,
}

struct State<M> {
    machine: M,
    applied: Option<LogId>,
    membership: Membership,
}

impl<M> Clone for MachineStore<M> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<M: StateMachine> MachineStore<M> {
    /// Loads the machine from the last checkpoint; without one it is `genesis`.
    pub(crate) fn load(
        mut store: Box<dyn StateStore<M>>,
        genesis: M,
        flushed: Flushed,
        checkpointed: watch::Sender<Option<LogId>>,
        metrics: CheckpointMetrics,
    ) -> Result<Self, StartError> {
        let (machine, meta) = match store.load()? {
            None => (genesis, None),
            Some((machine, header)) => {
                let meta: CheckpointMeta = postcard::from_bytes(&header)
                    .map_err(|error| StartError::damaged("the checkpoint's header", error.to_string()))?;
                (machine, Some(meta))
            }
        };
        let applied = meta.as_ref().and_then(|meta| meta.last_log_id);
        let membership = meta.as_ref().map(|meta| meta.last_membership.clone()).unwrap_or_default();
        checkpointed.send_replace(applied);
        let inner = Inner {
            state: RwLock::new(State { machine, applied, membership }),
            store: Arc::new(tokio::sync::Mutex::new(Some(store))),
            meta: Mutex::new(meta),
            checkpointed,
            applied: watch::Sender::new(applied),
            metrics,
            flushed,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Reads the machine. The closure should be short, since it delays the next command.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        look(&self.inner.state().machine)
    }

    /// The last entry contained in the last checkpoint.
    pub(crate) fn checkpoint(&self) -> Option<LogId> {
        self.inner.meta().and_then(|meta| meta.last_log_id)
    }

    /// The file of the last checkpoint.
    pub(crate) fn checkpoint_file(&self) -> PathBuf {
        let store = self.inner.store.try_lock();
        store.ok().and_then(|store| store.as_ref().map(|store| store.checkpoint_file())).unwrap_or_default()
    }

    /// The voters of the last membership that was applied.
    pub(crate) fn voters(&self) -> Vec<NodeId> {
        self.inner.state().membership.voter_ids().collect()
    }

    /// Whether `entries`, which are all entries of the log after the checkpoint, restore what the
    /// store has written beyond the checkpoint; the inner error says why not. Call it before
    /// anything is applied.
    pub(crate) fn check_log(
        &self,
        entries: impl Iterator<Item = Result<Entry, StartError>>,
    ) -> Result<Result<(), StateStoreError>, StartError> {
        let mut store = self.inner.store.try_lock().expect("a starting replica has exclusive access to the store");
        let Some(store) = store.as_deref_mut() else { return Ok(Ok(())) };
        let mut unreadable = None;
        let mut commands = entries.map_while(|entry| match entry.and_then(|entry| command::<M>(&entry)) {
            Ok(command) => Some(command),
            Err(error) => {
                unreadable = Some(error);
                None
            }
        });
        let checked = store.check_log(&mut commands.by_ref().flatten());
        drop(commands);
        unreadable.map_or(Ok(checked), Err)
    }

    /// How far the machine has applied the log.
    pub(crate) fn applied(&self) -> watch::Receiver<Option<LogId>> {
        self.inner.applied.subscribe()
    }

    /// Waits for its turn and drops the store. Whatever comes later fails.
    pub(crate) async fn close(&self) {
        drop(self.inner.store.lock().await.take());
    }

    /// Runs `work` on a blocking thread with exclusive access to the store.
    async fn in_turn<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner<M>, &mut dyn StateStore<M>) -> Result<R, StateStoreError> + Send + 'static,
    ) -> Result<R, StorageError> {
        let mut store = Arc::clone(&self.inner.store).lock_owned().await;
        let inner = Arc::clone(&self.inner);
        let work = move || store.as_deref_mut().map(|store| work(&inner, store));
        match world::blocking("the state machine", work).await {
            Some(Ok(result)) => Ok(result),
            Some(Err(error)) => fatal(ExitCode::Io, error),
            None => Err(closed()),
        }
    }
}

impl<M: StateMachine> Inner<M> {
    fn state(&self) -> RwLockReadGuard<'_, State<M>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State<M>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn meta(&self) -> Option<CheckpointMeta> {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn apply(&self, entries: Vec<Entry>, store: &mut dyn StateStore<M>) -> Result<Vec<AnyReply>, StateStoreError> {
        let outcomes = {
            let mut state = self.state_mut();
            entries.into_iter().map(|entry| state.apply(entry)).collect()
        };
        let state = self.state();
        store.record(&state.machine)?;
        self.applied.send_replace(state.applied);
        Ok(outcomes)
    }

    fn checkpoint(&self, store: &mut dyn StateStore<M>) -> Result<CheckpointMeta, StateStoreError> {
        let state = self.state();
        let meta = CheckpointMeta {
            last_log_id: state.applied,
            last_membership: state.membership.clone(),
            snapshot_id: state.applied.map_or_else(String::new, |applied| position(&applied).to_string()),
        };
        let begun = Instant::now();
        store.checkpoint(&state.machine, &header(&meta))?;
        self.metrics.made_seconds.observe(begun.elapsed().as_secs_f64());
        self.note_checkpoint(meta.clone());
        Ok(meta)
    }

    fn install(
        &self,
        meta: CheckpointMeta,
        received: CheckpointData,
        store: &mut dyn StateStore<M>,
    ) -> Result<ReceivedFile, StateStoreError> {
        let CheckpointData::Received(file) = received else {
            unreachable!("only received states are installed");
        };
        // If the process crashes from here on, the next start finds the file and knows why the
        // state may be ahead of the log.
        disk::sync_dir_of(file.path()).map_err(StateStoreError::io("sync the directory of", file.path()))?;
        let machine = store.install(file.path(), &header(&meta))?;
        let applied = meta.last_log_id;
        *self.state_mut() = State { machine, applied, membership: meta.last_membership.clone() };
        self.metrics.installed.inc();
        self.note_checkpoint(meta);
        self.applied.send_replace(applied);
        Ok(file)
    }

    fn note_checkpoint(&self, meta: CheckpointMeta) {
        let last = meta.last_log_id;
        *self.meta.lock().unwrap_or_else(PoisonError::into_inner) = Some(meta);
        self.checkpointed.send_replace(last);
    }
}

impl<M: StateMachine> State<M> {
    fn apply(&mut self, entry: Entry) -> AnyReply {
        let reply = match entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Normal(EncodedCommand(bytes)) => {
                let at = position(&entry.log_id);
                let command = postcard::from_bytes(&bytes).unwrap_or_else(|error| {
                    fatal(ExitCode::Io, format!("entry {at}: its command cannot be decoded: {error}"))
                });
                let reply = self.machine.apply(at, command);
                Some(Box::new(reply) as Box<dyn std::any::Any + Send + Sync>)
            }
            EntryPayload::Membership(membership) => {
                self.membership = Membership::new(Some(entry.log_id), membership);
                None
            }
        };
        self.applied = Some(entry.log_id);
        AnyReply(reply)
    }
}

/// The machine's command in an entry, if it has one.
fn command<M: StateMachine>(entry: &Entry) -> Result<Option<M::Command>, StartError> {
    let EntryPayload::Normal(EncodedCommand(bytes)) = &entry.payload else { return Ok(None) };
    let undecodable = |error| {
        StartError::damaged(
            "the log",
            format!("entry {}: its command cannot be decoded: {error}", position(&entry.log_id)),
        )
    };
    postcard::from_bytes(bytes).map(Some).map_err(undecodable)
}

fn closed() -> StorageError {
    StorageIOError::write_state_machine(AnyError::error("the state's store is closed")).into()
}

fn header(meta: &CheckpointMeta) -> Vec<u8> {
    postcard::to_stdvec(meta).expect("a checkpoint's header can be encoded: it is plain data")
}

impl<M: StateMachine> RaftSnapshotBuilder<Types> for MachineStore<M> {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        self.in_turn(|inner, store| {
            let meta = inner.checkpoint(store)?;
            emit(Event::CheckpointMade { position: Text::of(&meta.snapshot_id) });
            Ok(Snapshot { meta, snapshot: Box::new(CheckpointData::Export(store.export()?)) })
        })
        .await
    }
}

impl<M: StateMachine> RaftStateMachine<Types> for MachineStore<M> {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        let state = self.inner.state();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<AnyReply>, StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        // openraft counts entries as flushed when they are queued: see
        // [`engine_contract`](super::engine_contract).
        if self.inner.flushed.wait_for_entry(entries.last().map(|entry| entry.log_id)).await.is_err() {
            return Err(closed());
        }
        if entries.len() > APPLIED_INLINE_MAX {
            return self.in_turn(move |inner, store| inner.apply(entries, store)).await;
        }
        match self.inner.store.lock().await.as_deref_mut().map(|store| self.inner.apply(entries, store)) {
            Some(Ok(outcomes)) => Ok(outcomes),
            Some(Err(error)) => fatal(ExitCode::Io, error),
            None => Err(closed()),
        }
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<CheckpointData>, StorageError> {
        let what = AnyError::error("states are received on the replication port, not by openraft");
        Err(StorageIOError::write_snapshot(None, what).into())
    }

    async fn install_snapshot(
        &mut self,
        meta: &CheckpointMeta,
        received: Box<CheckpointData>,
    ) -> Result<(), StorageError> {
        let meta = meta.clone();
        emit(Event::StateReceived { position: Text::of(&meta.snapshot_id) });
        let last = meta.last_log_id;
        let received = self.in_turn(move |inner, store| inner.install(meta, *received, store)).await?.keep();
        let flushed = self.inner.flushed.clone();
        tokio::spawn(async move {
            // Until then the state is ahead of the log on disk.
            if flushed.wait_for_entry(last).await.is_ok() {
                received.remove();
            }
        });
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        self.in_turn(|inner, store| {
            let Some(meta) = inner.meta() else { return Ok(None) };
            Ok(Some(Snapshot { meta, snapshot: Box::new(CheckpointData::Export(store.export()?)) }))
        })
        .await
    }
}
