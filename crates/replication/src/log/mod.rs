//! The durable log: entries, vote, and what goes with them, on disk before anyone is told.
//!
//! All writes go through one thread of their own, one at a time and in order, votes and entries alike; a failed one
//! ends the process, because after a failed sync nobody knows what the disk holds. Reads are served from memory for the
//! newest entries and from a blocking thread for older ones.
//!
//! Entries are only purged when the checkpoint that replaces them is durable. The engine purges as soon as it has
//! *begun* to install a state that it received; a crash in between would leave a log that begins after the state ends,
//! on a disk whose copy had been counted in a majority. So [`LogStore::purge`] waits.

mod backend;
mod disk;
#[cfg(test)]
mod suite;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt::Debug;
use std::ops::{Bound, Range, RangeBounds};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use api::NodeId;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, LogState, RaftLogReader, StorageIOError};
use prometheus::Histogram;
use service::lifecycle::{ExitCode, fatal};
use service::world;
use tokio::sync::watch;

pub(crate) use disk::{Change, Head, LogError};

use crate::StartError;
use crate::disk_faults::DiskFaults;
use crate::engine::{Entry, LogId, StorageError, Types, Vote};
use disk::Disk;
use tail::Tail;
use writer::Writer;

/// What one append to a follower carries at most, in bytes of commands, unless a single entry is longer.
pub(crate) const APPEND_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The log of one replica. Clones are the same log.
#[derive(Clone)]
pub(crate) struct LogStore {
    shared: Arc<Shared>,
    writer: Writer,
    faults: DiskFaults,
    /// The last durable checkpoint.
    checkpointed: watch::Receiver<Option<LogId>>,
}

pub(crate) struct Shared {
    /// `None` once it is closed.
    disk: RwLock<Option<Disk>>,
    tail: RwLock<Tail>,
}

impl LogStore {
    /// Opens the log and checks all of it. `synced` observes how long each write took, in seconds.
    pub(crate) fn open(
        path: &Path,
        checkpointed: watch::Receiver<Option<LogId>>,
        synced: Histogram,
    ) -> Result<Self, StartError> {
        let (disk, head) = Disk::open(path)?;
        let shared = Arc::new(Shared { disk: RwLock::new(Some(disk)), tail: RwLock::new(Tail::new(head)) });
        let writer = Writer::spawn(Arc::clone(&shared), synced).map_err(StartError::io("start a thread for", path))?;
        Ok(Self { shared, writer, faults: DiskFaults::default(), checkpointed })
    }

    /// The same log on a disk that can be made slow.
    pub(crate) fn with_faults(self, faults: DiskFaults) -> Self {
        Self { faults, ..self }
    }

    /// What the log holds besides its entries.
    pub(crate) fn head(&self) -> Head {
        self.shared.tail().head.clone()
    }

    /// How long ago this replica last gave its vote to another one; `None` if never since it started.
    pub(crate) fn gave_vote_away(&self) -> Option<Duration> {
        self.shared.tail().gave_vote_away.map(|at| at.elapsed())
    }

    /// Notes whose log this is.
    pub(crate) async fn own(&self, node_id: NodeId) -> Result<(), LogError> {
        self.writer.write(Change::Own(node_id)).await
    }

    /// Makes a replica that led when it stopped a follower of its own term.
    ///
    /// The engine would go on to lead in that term without an election. But a term must stand for one reign of one
    /// process: `(term, batch)` names a batch, and the counter of batches begins anew. "Voted for myself" is all that
    /// the disk has promised to others, and that stays.
    pub(crate) fn resign(&self, node_id: NodeId) {
        if let Some(vote) = &mut self.shared.tail_mut().head.vote
            && vote.leader_id.voted_for == Some(node_id)
        {
            vote.committed = false;
        }
    }

    /// Saves the committed position, and closes the file.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.writer.write(Change::Nothing).await {
            tracing::debug!(%error, "log was closed already");
        }
        drop(self.shared.disk.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    async fn write(&self, change: Change) {
        self.faults.before_sync().await;
        match self.writer.write(change).await {
            // Closed: the engine is being stopped too. It must never be told that the write was done.
            Err(LogError::Closed) => std::future::pending().await,
            Err(error) => fatal(ExitCode::Io, error),
            Ok(()) => {}
        }
    }

    async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        let range = {
            let tail = self.shared.tail();
            let range = tail.clamp(range);
            if let Some(entries) = tail.read(&range, bytes_max) {
                return Ok(entries);
            }
            range
        };
        let shared = Arc::clone(&self.shared);
        let start = range.start;
        match world::blocking("reading the log", move || shared.disk_read(range, bytes_max)).await {
            Ok(entries) => Ok(entries),
            Err(LogError::Closed) => {
                Err(StorageIOError::read_log_at_index(start, AnyError::error(LogError::Closed)).into())
            }
            Err(error) => fatal(ExitCode::Io, error),
        }
    }
}

impl Shared {
    fn tail(&self) -> RwLockReadGuard<'_, Tail> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tail_mut(&self) -> RwLockWriteGuard<'_, Tail> {
        self.tail.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk_read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, LogError> {
        let disk = self.disk.read().unwrap_or_else(PoisonError::into_inner);
        disk.as_ref().ok_or(LogError::Closed)?.read(range, bytes_max)
    }

    /// Makes `change` durable, then visible.
    fn write(&self, change: Change) -> Result<(), LogError> {
        let committed = self.tail().head.committed;
        let mut last = None;
        {
            let disk = self.disk.read().unwrap_or_else(PoisonError::into_inner);
            let disk = disk.as_ref().ok_or(LogError::Closed)?;
            disk.write(&change, committed)?;
            if let Change::Truncate(from) = change {
                last = Some(self.last_before(disk, from)?);
            }
        }
        let mut tail = self.tail_mut();
        tail.follow(change);
        if let Some(last) = last {
            tail.head.last = last;
        }
        Ok(())
    }

    /// The last log id of a log that ends before `from`.
    fn last_before(&self, disk: &Disk, from: u64) -> Result<Option<LogId>, LogError> {
        let purged = self.tail().head.purged;
        match from.checked_sub(1) {
            Some(index) if purged.is_none_or(|purged| purged.index < index) => {
                Ok(disk.read(index..from, 0)?.first().map(|entry| entry.log_id))
            }
            _ => Ok(purged),
        }
    }
}

/// `[start, end)` of a range of indices.
fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        self.read(half_open(&range), usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        self.read(start..end, APPEND_BYTES_MAX).await
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let head = self.head();
        Ok(LogState { last_purged_log_id: head.purged, last_log_id: head.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        self.write(Change::Vote(*vote)).await;
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.head().vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.shared.tail_mut().head.committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.head().committed)
    }

    async fn append<I>(&mut self, entries: I, flushed: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        self.write(Change::Append(entries.into_iter().collect())).await;
        flushed.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId) -> Result<(), StorageError> {
        self.write(Change::Truncate(from.index)).await;
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        let durable = self.checkpointed.wait_for(|checkpoint| checkpoint.is_some_and(|at| at.index >= upto.index));
        if durable.await.is_err() {
            // The state's store is gone: the replica is being stopped.
            return std::future::pending().await;
        }
        self.write(Change::Purge(upto)).await;
        Ok(())
    }
}
