//! Between the engine and the machine: applies what is committed and on this disk, makes and installs checkpoints.
//!
//! Two locks. `store` is held by whoever changes the state or writes it down: applying, checkpointing, installing take
//! turns, the long ones on a blocking thread. `state` is held for writing only while commands are applied, so readers never wait
//! for a disk.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{AnyError, EntryPayload, RaftSnapshotBuilder, StorageIOError};
use prometheus::{Histogram, IntCounter};
use service::lifecycle::{ExitCode, fatal};
use service::world;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::checkpoint::Checkpoint;
use crate::engine::{CheckpointMeta, Command, Entry, LogId, Membership, Outcome, StorageError, Types, position};
use crate::log::Durable;
use crate::{StartError, StateMachine, StateStore, StoreError};

/// More entries than these are applied on a blocking thread. Handing over to one costs more than to apply a few entries, which is some
/// work in memory and a write to a file that nobody syncs.
const APPLIED_AT_ONCE_MAX: usize = 16;

/// What checkpoints take, and how many come from elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointCounters {
    pub(crate) made_seconds: Histogram,
    pub(crate) installed: IntCounter,
}

pub(crate) struct MachineStore<M> {
    inner: Arc<Inner<M>>,
}

struct Inner<M> {
    state: RwLock<State<M>>,
    /// `None` once it is closed.
    store: Arc<tokio::sync::Mutex<Option<Box<dyn StateStore<M>>>>>,
    /// What the last durable checkpoint holds.
    meta: Mutex<Option<CheckpointMeta>>,
    checkpointed: watch::Sender<Option<LogId>>,
    applied: watch::Sender<Option<LogId>>,
    counters: CheckpointCounters,
    /// How much of the log is on the disk.
    durable: Durable,
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
    /// The machine as the last checkpoint has it, or `genesis`.
    pub(crate) fn load(
        mut store: Box<dyn StateStore<M>>,
        genesis: M,
        durable: Durable,
        checkpointed: watch::Sender<Option<LogId>>,
        counters: CheckpointCounters,
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
            counters,
            durable,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Reads the machine; the closure should be short, since it holds up the next command.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        look(&self.inner.state().machine)
    }

    /// How far the machine is.
    pub(crate) fn applied(&self) -> watch::Receiver<Option<LogId>> {
        self.inner.applied.subscribe()
    }

    /// Waits for the turn and drops the store. What comes after fails.
    pub(crate) async fn close(&self) {
        drop(self.inner.store.lock().await.take());
    }

    /// Runs `work` on a blocking thread while nobody else has the store.
    async fn in_turn<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner<M>, &mut dyn StateStore<M>) -> Result<R, StoreError> + Send + 'static,
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

    fn apply(&self, entries: Vec<Entry>, store: &mut dyn StateStore<M>) -> Result<Vec<Outcome>, StoreError> {
        let outcomes = {
            let mut state = self.state_mut();
            entries.into_iter().map(|entry| state.apply(entry)).collect()
        };
        let state = self.state();
        store.record(&state.machine)?;
        self.applied.send_replace(state.applied);
        Ok(outcomes)
    }

    fn checkpoint(&self, store: &mut dyn StateStore<M>) -> Result<CheckpointMeta, StoreError> {
        let state = self.state();
        let meta = CheckpointMeta {
            last_log_id: state.applied,
            last_membership: state.membership.clone(),
            snapshot_id: state.applied.map_or_else(String::new, |applied| position(&applied).to_string()),
        };
        let begun = Instant::now();
        store.checkpoint(&state.machine, &header(&meta))?;
        self.counters.made_seconds.observe(begun.elapsed().as_secs_f64());
        self.is_durable(meta.clone());
        Ok(meta)
    }

    fn install(
        &self,
        meta: CheckpointMeta,
        received: &Checkpoint,
        store: &mut dyn StateStore<M>,
    ) -> Result<(), StoreError> {
        let Checkpoint::Received(file) = received else {
            unreachable!("the engine installs what was received");
        };
        let machine = store.install(file.path(), &header(&meta))?;
        let applied = meta.last_log_id;
        *self.state_mut() = State { machine, applied, membership: meta.last_membership.clone() };
        self.counters.installed.inc();
        self.is_durable(meta);
        self.applied.send_replace(applied);
        Ok(())
    }

    fn is_durable(&self, meta: CheckpointMeta) {
        let last = meta.last_log_id;
        *self.meta.lock().unwrap_or_else(PoisonError::into_inner) = Some(meta);
        self.checkpointed.send_replace(last);
    }
}

impl<M: StateMachine> State<M> {
    fn apply(&mut self, entry: Entry) -> Outcome {
        let reply = match entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Normal(Command(bytes)) => {
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
        Outcome(reply)
    }
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
            tracing::info!(position = meta.snapshot_id, "checkpoint made");
            Ok(Snapshot { meta, snapshot: Box::new(Checkpoint::Export(store.export()?)) })
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

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcome>, StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        // The engine takes entries for written as soon as they are queued.
        if self.inner.durable.reached(entries.last().map(|entry| entry.log_id)).await.is_err() {
            return Err(closed());
        }
        if entries.len() > APPLIED_AT_ONCE_MAX {
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

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Checkpoint>, StorageError> {
        let what = AnyError::error("states are received by the replication port, not by the engine");
        Err(StorageIOError::write_snapshot(None, what).into())
    }

    async fn install_snapshot(&mut self, meta: &CheckpointMeta, received: Box<Checkpoint>) -> Result<(), StorageError> {
        let meta = meta.clone();
        tracing::info!(position = meta.snapshot_id, "installing a received state");
        self.in_turn(move |inner, store| inner.install(meta, &received, store)).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        self.in_turn(|inner, store| {
            let Some(meta) = inner.meta() else { return Ok(None) };
            Ok(Some(Snapshot { meta, snapshot: Box::new(Checkpoint::Export(store.export()?)) }))
        })
        .await
    }
}
