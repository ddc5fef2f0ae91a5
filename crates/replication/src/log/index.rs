//! What lies in the log's files, and where.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::{Deserialize, Serialize};

use super::change::{Batch, Change, Head};
use super::disk::LogError;
use super::frame;
use super::segment::Segment;
use crate::engine::{Entry, LogId, command_bytes};

/// Shared between who writes and who reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Index(Arc<RwLock<Content>>);

#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) head: Head,
    /// By the first index of what is to be taken from there.
    places: BTreeMap<u64, Place>,
}

/// Entries that lie in one frame.
#[derive(Clone, Debug)]
struct Place {
    /// The index after the last of them.
    end: u64,
    frame: FrameAt,
}

/// Where a frame lies.
#[derive(Clone, Debug)]
pub(super) struct FrameAt {
    pub(super) segment: Segment,
    pub(super) number: u64,
    pub(super) at: u64,
    pub(super) bytes: usize,
}

impl FrameAt {
    /// Whether only the file's opening comes before it.
    pub(super) fn begins_segment(&self) -> bool {
        self.number == self.segment.first + 1
    }
}

/// The first frame of each file: where the log stands there.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Opening {
    pub(super) format: u32,
    pub(super) head: Head,
}

impl Index {
    pub(super) fn content(&self) -> RwLockReadGuard<'_, Content> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn content_mut(&self) -> RwLockWriteGuard<'_, Content> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entries of `range` that are there, until they have `bytes_max` bytes of commands; one at least.
    pub(super) fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, LogError> {
        let (mut entries, mut next, mut bytes_left) = (Vec::new(), range.start, Some(bytes_max));
        while next < range.end {
            let Some((wanted, place)) = self.content().at_or_after(next) else { break };
            for entry in entries_in(&place.frame)? {
                let index = entry.log_id.index;
                let Some(left) = bytes_left else { return Ok(entries) };
                if (wanted..place.end.min(range.end)).contains(&index) {
                    bytes_left = left.checked_sub(command_bytes(&entry));
                    entries.push(entry);
                }
            }
            next = place.end;
        }
        Ok(entries)
    }
}

fn entries_in(frame: &FrameAt) -> Result<Vec<Entry>, LogError> {
    let bytes = frame.segment.read(frame.at, frame.bytes)?;
    let batch: Batch = frame::decode(frame.number, &bytes).map_err(|what| {
        frame.segment.damaged(format!("frame {} at byte {} has changed: {what}", frame.number, frame.at))
    })?;
    Ok(batch.entries())
}

impl Content {
    /// The entries from `index` on, or from the next one that is there.
    fn at_or_after(&self, index: u64) -> Option<(u64, Place)> {
        let around = self.places.range(..=index).next_back().filter(|(_, place)| place.end > index);
        let found = around.or_else(|| self.places.range(index..).next())?;
        Some((index.max(*found.0), found.1.clone()))
    }

    /// Takes over what a frame has changed.
    pub(super) fn follow(&mut self, batch: &Batch, frame: &FrameAt) {
        self.head.committed = self.head.committed.max(batch.committed);
        for change in &batch.changes {
            self.head.follow(change);
            match change {
                Change::Append(entries) => {
                    if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
                        let place = Place { end: last.log_id.index + 1, frame: frame.clone() };
                        self.places.insert(first.log_id.index, place);
                    }
                }
                Change::Truncate { from, .. } => {
                    self.places.split_off(from);
                    if let Some(mut last) = self.places.last_entry() {
                        last.get_mut().end = last.get().end.min(*from);
                    }
                }
                Change::Purge(upto) => self.purge(upto.index + 1),
                Change::Own(_) | Change::Vote(_) | Change::Nothing => {}
            }
        }
    }

    fn purge(&mut self, first_kept: u64) {
        let kept = self.places.split_off(&first_kept);
        let before = std::mem::replace(&mut self.places, kept);
        if let Some((_, place)) = before.into_iter().next_back()
            && place.end > first_kept
        {
            self.places.insert(first_kept, place);
        }
    }

    /// The oldest file that still has something. Looks at every frame.
    pub(super) fn oldest_needed(&self) -> Option<u64> {
        self.places.values().map(|place| place.frame.segment.first).min()
    }
}

/// Checks that what a frame brings follows `last`.
pub(super) fn check_order(batch: &Batch, mut last: Option<LogId>) -> Result<(), String> {
    for change in &batch.changes {
        match change {
            Change::Append(entries) => entries.iter().try_for_each(|entry| {
                let before = last.replace(entry.log_id);
                follows(before, entry.log_id)
            })?,
            Change::Truncate { last: new, .. } => last = *new,
            Change::Purge(upto) => last = last.max(Some(*upto)),
            Change::Own(_) | Change::Vote(_) | Change::Nothing => {}
        }
    }
    Ok(())
}

fn follows(last: Option<LogId>, next: LogId) -> Result<(), String> {
    let (index, expected) = (next.index, last.map_or(0, |last| last.index + 1));
    if index != expected {
        return Err(format!("entry {expected} is missing: {index} comes instead"));
    }
    match last {
        Some(last) if next.leader_id < last.leader_id => {
            let (term, before) = (next.leader_id.term, last.leader_id.term);
            Err(format!("entry {index} is of term {term}, the one before it of term {before}"))
        }
        _ => Ok(()),
    }
}
