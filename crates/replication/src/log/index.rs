//! Where each entry lies in the log's segments.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::change::{LogBatch, LogChange};
use super::error::LogError;
use super::frame;
use super::metadata::LogMetadata;
use super::segment::Segment;
use crate::consensus::types::{Entry, LogId, command_bytes};

/// Shared between the writer and the readers.
#[derive(Clone, Debug, Default)]
pub(super) struct EntryIndex(Arc<RwLock<IndexContent>>);

#[derive(Debug, Default)]
pub(super) struct IndexContent {
    pub(super) metadata: LogMetadata,
    /// Keyed by the index of the first entry that is read from that location.
    locations: BTreeMap<u64, EntryLocation>,
}

/// The entries that lie in one frame.
#[derive(Clone, Debug)]
struct EntryLocation {
    /// The index after the last of them.
    end: u64,
    frame: FrameLocation,
}

/// Where a frame lies.
#[derive(Clone, Debug)]
pub(super) struct FrameLocation {
    pub(super) segment: Segment,
    pub(super) number: u64,
    pub(super) at: u64,
    pub(super) bytes: usize,
}

impl FrameLocation {
    /// Whether it is the first frame after the segment's header.
    pub(super) fn begins_segment(&self) -> bool {
        self.number == self.segment.first + 1
    }
}

impl EntryIndex {
    pub(super) fn content(&self) -> RwLockReadGuard<'_, IndexContent> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn content_mut(&self) -> RwLockWriteGuard<'_, IndexContent> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entries in `range`, up to `bytes_max` bytes of commands, but at least one if there is
    /// one.
    pub(super) fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, LogError> {
        let (mut entries, mut next, mut bytes_left) = (Vec::new(), range.start, Some(bytes_max));
        while next < range.end {
            let Some((wanted, location)) = self.content().at_or_after(next) else { break };
            for entry in entries_in(&location.frame)? {
                let index = entry.log_id.index;
                let Some(left) = bytes_left else { return Ok(entries) };
                if (wanted..location.end.min(range.end)).contains(&index) {
                    bytes_left = left.checked_sub(command_bytes(&entry));
                    entries.push(entry);
                }
            }
            next = location.end;
        }
        Ok(entries)
    }
}

fn entries_in(frame: &FrameLocation) -> Result<Vec<Entry>, LogError> {
    let bytes = frame.segment.read(frame.at, frame.bytes)?;
    let batch: LogBatch = frame::decode(frame.number, &bytes).map_err(|what| {
        frame.segment.damaged(format!("frame {} at byte {} has changed: {what}", frame.number, frame.at))
    })?;
    Ok(batch.entries())
}

impl IndexContent {
    /// The location of the entry at `index`, or of the next one that exists.
    fn at_or_after(&self, index: u64) -> Option<(u64, EntryLocation)> {
        let around = self.locations.range(..=index).next_back().filter(|(_, location)| location.end > index);
        let found = around.or_else(|| self.locations.range(index..).next())?;
        Some((index.max(*found.0), found.1.clone()))
    }

    /// Applies the changes of a frame.
    pub(super) fn follow(&mut self, batch: &LogBatch, frame: &FrameLocation) {
        self.metadata.committed = self.metadata.committed.max(batch.committed);
        for change in &batch.changes {
            self.metadata.follow(change);
            match change {
                LogChange::Append(entries) => {
                    if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
                        let location = EntryLocation { end: last.log_id.index + 1, frame: frame.clone() };
                        self.locations.insert(first.log_id.index, location);
                    }
                }
                LogChange::Truncate { from, .. } => {
                    self.locations.split_off(from);
                    if let Some(mut last) = self.locations.last_entry() {
                        last.get_mut().end = last.get().end.min(*from);
                    }
                }
                LogChange::Purge(upto) => self.purge(upto.index + 1),
                LogChange::Owner(_) | LogChange::Vote(_) | LogChange::Nothing => {}
            }
        }
    }

    fn purge(&mut self, first_kept: u64) {
        let kept = self.locations.split_off(&first_kept);
        let before = std::mem::replace(&mut self.locations, kept);
        if let Some((_, location)) = before.into_iter().next_back()
            && location.end > first_kept
        {
            self.locations.insert(first_kept, location);
        }
    }

    /// The oldest segment that holds an entry which is still needed. Scans all locations.
    pub(super) fn oldest_needed(&self) -> Option<u64> {
        self.locations.values().map(|location| location.frame.segment.first).min()
    }
}

/// Checks that the entries of a batch follow `last`.
pub(super) fn check_order(batch: &LogBatch, mut last: Option<LogId>) -> Result<(), String> {
    for change in &batch.changes {
        match change {
            LogChange::Append(entries) => entries.iter().try_for_each(|entry| {
                let before = last.replace(entry.log_id);
                follows(before, entry.log_id)
            })?,
            LogChange::Truncate { last: new, .. } => last = *new,
            LogChange::Purge(upto) => last = last.max(Some(*upto)),
            LogChange::Owner(_) | LogChange::Vote(_) | LogChange::Nothing => {}
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
