//! [`LogStore`]: the handle of the log.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use api::NodeId;
use openraft::{AnyError, StorageIOError};
use prometheus::Histogram;
use service::lifecycle::{ExitCode, fatal};
use service::world::{self, BlockingWorker};
use tokio::sync::watch;

use super::change::LogChange;
use super::error::LogError;
use super::flushed::{FlushState, Flushed};
use super::metadata::LogMetadata;
use super::recent_entries::RecentEntries;
use super::segments::Segments;
use super::shared::Shared;
use super::writer;
use crate::consensus::types::{Entry, LogId, StorageError, command_bytes};
use crate::disk_space::faults::DiskFaults;
use crate::error::StartError;

/// The most that one append to a follower carries, in bytes of commands, unless a single entry is
/// longer.
pub(crate) const APPEND_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How a log is kept.
#[derive(Clone, Debug)]
pub(crate) struct LogOptions {
    /// When the active segment exceeds this size in bytes, a new segment is started.
    pub(crate) segment_bytes: u64,
    /// A disk that can be made slow, for drills.
    pub(crate) faults: DiskFaults,
    /// Whether this log has had a [high-water record](super::high_water). If so, its files are not
    /// accepted without one.
    pub(crate) has_high_water: bool,
}

/// The log of one replica. Clones share the same log.
#[derive(Clone)]
pub(crate) struct LogStore {
    pub(super) shared: Arc<Shared>,
    writer: BlockingWorker,
    /// The last entry in the last durable checkpoint.
    pub(crate) checkpointed: watch::Receiver<Option<LogId>>,
}

impl LogStore {
    /// Opens the log in the directory `dir` and checks all of it. `synced` observes how long each
    /// write took, in seconds.
    pub(crate) fn open(
        dir: &Path,
        options: LogOptions,
        checkpointed: watch::Receiver<Option<LogId>>,
        synced: Histogram,
    ) -> Result<Self, StartError> {
        let segments = Segments::open(dir, options.segment_bytes, options.has_high_water)?;
        let index = segments.index();
        let metadata = index.content().metadata.clone();
        let flush_state = FlushState { last: metadata.last, ..FlushState::default() };
        let shared = Arc::new(Shared {
            segments: Mutex::new(Some(segments)),
            index,
            recent: RwLock::new(RecentEntries::new(metadata)),
            flush_state: watch::Sender::new(flush_state),
        });
        let writer = writer::spawn(Arc::clone(&shared), options.faults, synced);
        Ok(Self { shared, writer: writer.map_err(StartError::io("start a thread for", dir))?, checkpointed })
    }

    /// The log's metadata, including changes that are not on disk yet.
    pub(crate) fn metadata(&self) -> LogMetadata {
        self.shared.recent().metadata.clone()
    }

    /// How much of the log is on disk.
    pub(crate) fn flushed(&self) -> Flushed {
        Flushed::new(self.shared.flush_state.subscribe())
    }

    /// How long ago this replica last voted for another candidate; `None` if it has not since it
    /// started, or that candidate has won.
    pub(crate) fn voted_for_other(&self) -> Option<Duration> {
        self.shared.recent().voted_for_other.map(|at| at.elapsed())
    }

    /// Records which replica owns this log.
    pub(crate) async fn set_owner(&self, node_id: NodeId) {
        self.write(LogChange::Owner(node_id)).await;
    }

    /// Turns a replica that led when it stopped into a follower of its own term.
    ///
    /// openraft would let it remain leader of that term without an election. But a term must stand
    /// for one leadership of one process: `(term, batch)` identifies a batch, and the counter of
    /// batches starts again at 1. Only "voted for myself" was promised to others, and that stays.
    pub(crate) fn resign(&self, node_id: NodeId) {
        if let Some(vote) = &mut self.shared.recent_mut().metadata.vote
            && vote.leader_id.voted_for == Some(node_id)
        {
            vote.committed = false;
        }
    }

    /// Notes how far the log is committed. It reaches the disk with the next change.
    pub(crate) fn set_committed(&self, committed: Option<LogId>) {
        self.shared.recent_mut().metadata.committed = committed;
    }

    /// Saves the committed position, and closes the files.
    pub(crate) async fn close(&self) {
        if self.is_closed() {
            return;
        }
        self.write(LogChange::Nothing).await;
        self.shared.flush_state.send_modify(|state| state.closed = true);
        if let Some(segments) = self.shared.segments().take()
            && let Err(error) = segments.seal()
        {
            tracing::warn!(
                %error,
                "cannot sync the log's high-water record; after a power failure it may be older than the log"
            );
        }
    }

    fn is_closed(&self) -> bool {
        self.shared.flush_state.borrow().closed
    }

    /// The id of the entry at `index`, read from disk.
    pub(crate) fn log_id_on_disk(&self, index: u64) -> Result<Option<LogId>, StartError> {
        Ok(self.shared.index.read(index..index.saturating_add(1), 0)?.first().map(|entry| entry.log_id))
    }

    /// The entries after `after`, read from disk. For the start of a replica: it blocks the thread.
    pub(crate) fn entries_after(&self, after: Option<LogId>) -> impl Iterator<Item = Result<Entry, StartError>> {
        let index = self.shared.index.clone();
        let mut next = after.map_or(0, |after| after.index.saturating_add(1));
        let mut ahead = Vec::new().into_iter();
        std::iter::from_fn(move || {
            if ahead.len() == 0 {
                match index.read(next..u64::MAX, APPEND_BYTES_MAX) {
                    Ok(entries) => ahead = entries.into_iter(),
                    Err(error) => return Some(Err(error.into())),
                }
            }
            let entry: Entry = ahead.next()?;
            next = entry.log_id.index.saturating_add(1);
            Some(Ok(entry))
        })
    }

    /// Queues a change. It is visible at once, and on disk when its number is flushed.
    pub(crate) fn queue(&self, change: LogChange) -> u64 {
        let number = self.shared.recent_mut().push(change);
        self.writer.wake();
        number
    }

    /// Makes a change and returns when it is on disk.
    pub(crate) async fn write(&self, change: LogChange) {
        let number = self.queue(change);
        if self.flushed().wait_for_changes(number).await.is_err() {
            // The log is closed because openraft is being stopped. openraft must never hear that
            // the write was made.
            std::future::pending::<()>().await;
        }
    }

    /// The entries in `range`, up to `bytes_max` bytes of commands, but at least one if there is
    /// one.
    pub(crate) async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        let (mut entries, mut next, mut bytes_left) = (Vec::new(), range.start, bytes_max);
        loop {
            let on_disk = {
                let recent = self.shared.recent();
                let rest = recent.clamp(next..range.end);
                if let Some(newest) = recent.read(&rest, bytes_left) {
                    entries.extend(newest);
                    return Ok(entries);
                }
                rest.start..recent.oldest().map_or(rest.end, |oldest| rest.end.min(oldest))
            };
            next = on_disk.end;
            let older = self.read_disk(on_disk, bytes_left).await?;
            let bytes: usize = older.iter().map(command_bytes).sum();
            entries.extend(older);
            match bytes_left.checked_sub(bytes) {
                Some(left) => bytes_left = left,
                None => return Ok(entries),
            }
        }
    }

    async fn read_disk(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        let (index, start) = (self.shared.index.clone(), range.start);
        match world::blocking("reading the log", move || index.read(range, bytes_max)).await {
            Ok(entries) => Ok(entries),
            Err(_) if self.is_closed() => {
                Err(StorageIOError::read_log_at_index(start, AnyError::error(LogError::Closed)).into())
            }
            Err(error) => fatal(ExitCode::Io, error),
        }
    }

    /// The id of the entry at `index`; `None` if there is none or it cannot be read.
    pub(crate) async fn log_id_at(&self, index: u64) -> Option<LogId> {
        let entries = self.read(index..index.checked_add(1)?, 0).await.ok()?;
        entries.first().map(|entry| entry.log_id).filter(|id| id.index == index)
    }

    /// The last log id of a log that ends before `from`.
    pub(crate) async fn last_before(&self, from: u64) -> Result<Option<LogId>, StorageError> {
        let purged = self.metadata().purged;
        match from.checked_sub(1) {
            Some(index) if purged.is_none_or(|purged| purged.index < index) => {
                Ok(self.read(index..from, 0).await?.first().map(|entry| entry.log_id))
            }
            _ => Ok(purged),
        }
    }
}
