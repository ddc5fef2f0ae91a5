//! What is known of the log without asking the disk: its head, and its newest entries, which are the ones that
//! followers and the state machine are about to be given. Some of it is still on its way to the disk.

use std::collections::VecDeque;
use std::ops::Range;

use tokio::time::Instant;

use super::change::{Batch, Change, Head};
use crate::engine::{Entry, LogId, command_bytes};

/// The newest entries that are kept in memory, by the bytes of their commands.
const RECENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// … and by number, since an entry costs memory beyond its command.
const RECENT_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) head: Head,
    /// When the vote was last given to a candidate that has not won since.
    pub(crate) gave_vote_away: Option<Instant>,
    /// The log's last entries, without gaps. Those that are not on the disk yet are always among them.
    recent: VecDeque<Entry>,
    recent_bytes: usize,
    /// What is to be written next.
    queue: Vec<Change>,
    /// How many changes have been put there, ever.
    queued: u64,
    /// The last entry on the disk.
    durable: Option<LogId>,
}

impl Tail {
    pub(crate) fn new(head: Head) -> Self {
        Self { durable: head.last, head, ..Self::default() }
    }

    /// Takes a change over, and queues it for the disk: its number.
    pub(crate) fn push(&mut self, change: Change) -> u64 {
        self.follow(&change);
        self.queue.push(change);
        self.queued += 1;
        self.queued
    }

    /// What is to be written, and the number of the last change in it.
    pub(crate) fn take_queue(&mut self) -> Option<(Batch, u64)> {
        let changes = std::mem::take(&mut self.queue);
        // With these changes the log on the disk ends where it ends here.
        let committed = self.head.committed.min(self.head.last);
        (!changes.is_empty()).then_some((Batch { committed, changes }, self.queued))
    }

    /// The log on the disk ends there now.
    pub(crate) fn is_durable(&mut self, last: Option<LogId>) {
        self.durable = last;
        self.trim();
    }

    fn follow(&mut self, change: &Change) {
        if let Change::Append(entries) = change {
            return self.append(entries);
        }
        self.head.follow(change);
        match change {
            Change::Vote(vote) => {
                let given_away = !vote.committed && vote.leader_id.voted_for != self.head.node_id;
                self.gave_vote_away = given_away.then(Instant::now);
            }
            Change::Truncate { from, .. } => {
                while self.recent.back().is_some_and(|entry| entry.log_id.index >= *from) {
                    self.recent_bytes -= self.recent.pop_back().map_or(0, |entry| command_bytes(&entry));
                }
            }
            Change::Purge(upto) => {
                while self.recent.front().is_some_and(|entry| entry.log_id.index <= upto.index) {
                    self.forget_oldest();
                }
            }
            Change::Append(_) | Change::Own(_) | Change::Nothing => {}
        }
    }

    fn append(&mut self, entries: &[Entry]) {
        for entry in entries {
            if entry.log_id.index != self.next_index() {
                // The engine writes no gap (and opening the log finds one); its test suite does.
                self.recent.clear();
                self.recent_bytes = 0;
            }
            self.head.last = Some(entry.log_id);
            self.recent_bytes += command_bytes(entry);
            self.recent.push_back(entry.clone());
        }
        self.trim();
    }

    fn trim(&mut self) {
        let too_much = |tail: &Self| {
            tail.recent.len() > RECENT_MAX || (tail.recent_bytes > RECENT_BYTES_MAX && tail.recent.len() > 1)
        };
        while too_much(self) && self.recent.front().is_some_and(|entry| Some(entry.log_id) <= self.durable) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        self.recent_bytes -= self.recent.pop_front().map_or(0, |entry| command_bytes(&entry));
    }

    /// From this index on, entries are in memory.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.recent.front().map(|entry| entry.log_id.index)
    }

    /// The index that the next entry gets.
    pub(crate) fn next_index(&self) -> u64 {
        self.head.last.map_or(0, |last| last.index + 1)
    }

    /// `range` without what is not in the log (any more).
    pub(crate) fn clamp(&self, range: Range<u64>) -> Range<u64> {
        let first = self.head.purged.map_or(0, |purged| purged.index + 1);
        range.start.max(first)..range.end.min(self.next_index())
    }

    /// The entries of `range` (a clamped one) as far as `bytes_max` goes, one at least; `None` if the disk must be
    /// asked.
    pub(crate) fn read(&self, range: &Range<u64>, bytes_max: usize) -> Option<Vec<Entry>> {
        if range.is_empty() {
            return Some(Vec::new());
        }
        let oldest = self.oldest()?;
        let start = usize::try_from(range.start.checked_sub(oldest)?).ok()?;
        let mut bytes_left = Some(bytes_max);
        let entries = self.recent.iter().skip(start).take_while(|entry| {
            let wanted = entry.log_id.index < range.end && bytes_left.is_some();
            bytes_left = bytes_left.and_then(|left| left.checked_sub(command_bytes(entry)));
            wanted
        });
        Some(entries.cloned().collect())
    }
}
