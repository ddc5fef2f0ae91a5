//! What is known of the log without asking the disk: its head, and its newest entries, which are the ones that
//! followers and the state machine are about to be given.

use std::collections::VecDeque;
use std::ops::Range;

use openraft::EntryPayload;
use tokio::time::Instant;

use super::disk::{Change, Head};
use crate::engine::Entry;

/// The newest entries that are kept in memory, by the bytes of their commands.
const RECENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// … and by number, since an entry costs memory beyond its command.
const RECENT_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) head: Head,
    /// When the vote was last given to a candidate that has not won since.
    pub(crate) gave_vote_away: Option<Instant>,
    /// The log's last entries, without gaps.
    recent: VecDeque<Entry>,
    recent_bytes: usize,
}

impl Tail {
    pub(crate) fn new(head: Head) -> Self {
        Self { head, ..Self::default() }
    }

    /// Follows a change that is on the disk now.
    pub(crate) fn follow(&mut self, change: Change) {
        match change {
            Change::Own(node_id) => self.head.node_id = Some(node_id),
            Change::Vote(vote) => {
                let given_away = !vote.committed && vote.leader_id.voted_for != self.head.node_id;
                self.gave_vote_away = given_away.then(Instant::now);
                self.head.vote = Some(vote);
            }
            Change::Append(entries) => self.append(entries),
            Change::Truncate(from) => self.truncate(from),
            Change::Purge(upto) => {
                self.head.purged = Some(upto);
                self.head.last = self.head.last.max(Some(upto));
                while self.recent.front().is_some_and(|entry| entry.log_id.index <= upto.index) {
                    self.forget_oldest();
                }
            }
            Change::Nothing => {}
        }
    }

    fn append(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            if entry.log_id.index != self.next_index() {
                // The engine writes no gap (and opening the log finds one); its test suite does.
                self.recent.clear();
                self.recent_bytes = 0;
            }
            self.head.last = Some(entry.log_id);
            self.recent_bytes += weight(&entry);
            self.recent.push_back(entry);
        }
        while self.recent.len() > RECENT_MAX || (self.recent_bytes > RECENT_BYTES_MAX && self.recent.len() > 1) {
            self.forget_oldest();
        }
    }

    /// The caller sets the new last id, if it does not follow from what is in memory.
    fn truncate(&mut self, from: u64) {
        while self.recent.back().is_some_and(|entry| entry.log_id.index >= from) {
            self.recent_bytes -= self.recent.pop_back().map_or(0, |entry| weight(&entry));
        }
    }

    fn forget_oldest(&mut self) {
        self.recent_bytes -= self.recent.pop_front().map_or(0, |entry| weight(&entry));
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
        let oldest = self.recent.front()?.log_id.index;
        let start = usize::try_from(range.start.checked_sub(oldest)?).ok()?;
        let mut bytes_left = Some(bytes_max);
        let entries = self.recent.iter().skip(start).take_while(|entry| {
            let wanted = entry.log_id.index < range.end && bytes_left.is_some();
            bytes_left = bytes_left.and_then(|left| left.checked_sub(weight(entry)));
            wanted
        });
        Some(entries.cloned().collect())
    }
}

fn weight(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(command) => command.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}
