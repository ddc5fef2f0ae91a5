//! openraft's [`RaftLogStorage`] and [`RaftLogReader`], implemented by the [log](crate::log).

use std::fmt::Debug;
use std::ops::{Bound, Range, RangeBounds};

use api::Term;
use api::event::Event;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{LogState, RaftLogReader};
use service::events::emit;

use super::types::{Entry, LogId, StorageError, Types, Vote};
use crate::log::change::LogChange;
use crate::log::{APPEND_BYTES_MAX, LogStore};

/// A range of indices as `[start, end)`.
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
        let metadata = self.metadata();
        Ok(LogState { last_purged_log_id: metadata.purged, last_log_id: metadata.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        self.write(LogChange::Vote(*vote)).await;
        let (term, candidate) = (Term(vote.leader_id.term), vote.leader_id.voted_for);
        if let Some(candidate) = candidate.filter(|_| !vote.committed) {
            emit(Event::Voted { term, candidate });
        }
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.metadata().vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.set_committed(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.metadata().committed)
    }

    /// Tells openraft at once that the entries are flushed. They are only queued: see
    /// [`engine_contract`](super::engine_contract).
    async fn append<I>(&mut self, entries: I, flushed: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        self.queue(LogChange::Append(entries.into_iter().collect()));
        flushed.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId) -> Result<(), StorageError> {
        let last = self.last_before(from.index).await?;
        self.write(LogChange::Truncate { from: from.index, last }).await;
        Ok(())
    }

    /// Waits for the checkpoint that replaces the entries: see
    /// [`engine_contract`](super::engine_contract).
    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        let durable = self.checkpointed.wait_for(|checkpoint| checkpoint.is_some_and(|at| at.index >= upto.index));
        if durable.await.is_err() {
            // The state's store is gone because the replica is being stopped.
            return std::future::pending().await;
        }
        self.write(LogChange::Purge(upto)).await;
        Ok(())
    }
}
