//! What is known of the log without reading the disk: its metadata, and its newest entries, which
//! followers and the state machine need next. Some of it is not on disk yet.

use std::collections::VecDeque;
use std::ops::Range;

use tokio::time::Instant;

use super::change::{LogBatch, LogChange};
use super::metadata::LogMetadata;
use crate::consensus::types::{Entry, LogId, command_bytes};

/// Bound on the newest entries that are kept in memory, in bytes of their commands.
const RECENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bound on their number, since an entry costs memory beyond its command.
const RECENT_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct RecentEntries {
    pub(crate) metadata: LogMetadata,
    /// When this replica last voted for another candidate, if that one has not won since.
    pub(crate) voted_for_other: Option<Instant>,
    /// The log's last entries, without gaps. Entries that are not on disk yet are always among
    /// them.
    entries: VecDeque<Entry>,
    bytes: usize,
    /// What is written next.
    queue: Vec<LogChange>,
    /// How many changes have ever been queued.
    queued: u64,
    /// The last entry on disk.
    flushed: Option<LogId>,
}

impl RecentEntries {
    pub(crate) fn new(metadata: LogMetadata) -> Self {
        Self { flushed: metadata.last, metadata, ..Self::default() }
    }

    /// Applies a change and queues it for the disk. Returns its number.
    pub(crate) fn push(&mut self, change: LogChange) -> u64 {
        self.follow(&change);
        self.queue.push(change);
        self.queued += 1;
        self.queued
    }

    /// The changes to write, and the number of the last one.
    pub(crate) fn take_queue(&mut self) -> Option<(LogBatch, u64)> {
        let changes = std::mem::take(&mut self.queue);
        // With these changes the log on disk ends where it ends here.
        let committed = self.metadata.committed.min(self.metadata.last);
        (!changes.is_empty()).then_some((LogBatch { committed, changes }, self.queued))
    }

    /// Notes that the log on disk ends at `last`.
    pub(crate) fn note_flushed(&mut self, last: Option<LogId>) {
        self.flushed = last;
        self.trim();
    }

    fn follow(&mut self, change: &LogChange) {
        if let LogChange::Append(entries) = change {
            return self.append(entries);
        }
        self.metadata.follow(change);
        match change {
            LogChange::Vote(vote) => {
                let for_other = !vote.committed && vote.leader_id.voted_for != self.metadata.node_id;
                self.voted_for_other = for_other.then(Instant::now);
            }
            LogChange::Truncate { from, .. } => {
                while self.entries.back().is_some_and(|entry| entry.log_id.index >= *from) {
                    self.bytes -= self.entries.pop_back().map_or(0, |entry| command_bytes(&entry));
                }
            }
            LogChange::Purge(upto) => {
                while self.entries.front().is_some_and(|entry| entry.log_id.index <= upto.index) {
                    self.forget_oldest();
                }
            }
            LogChange::Append(_) | LogChange::Owner(_) | LogChange::Nothing => {}
        }
    }

    fn append(&mut self, entries: &[Entry]) {
        for entry in entries {
            if entry.log_id.index != self.next_index() {
                // openraft writes no gaps, and recovery refuses them; openraft's test suite makes
                // some.
                self.entries.clear();
                self.bytes = 0;
            }
            self.metadata.last = Some(entry.log_id);
            self.bytes += command_bytes(entry);
            self.entries.push_back(entry.clone());
        }
        self.trim();
    }

    fn trim(&mut self) {
        let too_much = |recent: &Self| {
            recent.entries.len() > RECENT_MAX || (recent.bytes > RECENT_BYTES_MAX && recent.entries.len() > 1)
        };
        while too_much(self) && self.entries.front().is_some_and(|entry| Some(entry.log_id) <= self.flushed) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        self.bytes -= self.entries.pop_front().map_or(0, |entry| command_bytes(&entry));
    }

    /// The index from which on entries are in memory.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.log_id.index)
    }

    /// The index of the next entry.
    pub(crate) fn next_index(&self) -> u64 {
        self.metadata.last.map_or(0, |last| last.index + 1)
    }

    /// The part of `range` that is in the log.
    pub(crate) fn clamp(&self, range: Range<u64>) -> Range<u64> {
        let first = self.metadata.purged.map_or(0, |purged| purged.index + 1);
        range.start.max(first)..range.end.min(self.next_index())
    }

    /// The entries in `range`, which must be clamped, up to `bytes_max` bytes, but at least one;
    /// `None` if some have to be read from disk.
    pub(crate) fn read(&self, range: &Range<u64>, bytes_max: usize) -> Option<Vec<Entry>> {
        if range.is_empty() {
            return Some(Vec::new());
        }
        let oldest = self.oldest()?;
        let start = usize::try_from(range.start.checked_sub(oldest)?).ok()?;
        let mut bytes_left = Some(bytes_max);
        let entries = self.entries.iter().skip(start).take_while(|entry| {
            let wanted = entry.log_id.index < range.end && bytes_left.is_some();
            bytes_left = bytes_left.and_then(|left| left.checked_sub(command_bytes(entry)));
            wanted
        });
        Some(entries.cloned().collect())
    }
}
