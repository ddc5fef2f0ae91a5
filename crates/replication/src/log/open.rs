//! Opening the log: every frame is read and checked.

use std::collections::VecDeque;
use std::path::Path;

use service::world::disk::File;

use super::change::{Batch, Change};
use super::disk::{Disk, FORMAT, LogError};
use super::frame::{self, Found};
use super::index::{FrameAt, Index, Opening, check_order};
use super::segment::Segment;
use crate::StartError;
use crate::engine::LogId;

/// What is known after some of the files.
struct Reading {
    index: Index,
    segments: VecDeque<Segment>,
    /// The number of the next frame; of the first one if none was read.
    next: u64,
    /// Where the frames of the last file end.
    position: u64,
    /// The last frame.
    last_frame: Vec<u8>,
    /// The last entry that came before the oldest file, of those that were not replaced since.
    before: Option<LogId>,
}

impl Disk {
    /// Opens or makes the log and checks all of it. Holds its lock until dropped.
    pub(super) fn open(dir: &Path, segment_bytes: u64) -> Result<Self, StartError> {
        let lock = Self::lock(dir)?;
        let files = Segment::list(dir).map_err(StartError::io("list", dir))?;
        let mut reading = Reading {
            index: Index::default(),
            segments: VecDeque::new(),
            next: files.first().map_or(1, |(first, _)| *first),
            position: 0,
            last_frame: Vec::new(),
            before: None,
        };
        for (n, (first, _)) in files.iter().enumerate() {
            reading.read(Segment::open(dir, *first)?, n + 1 == files.len())?;
        }
        let mut disk = reading.finish(dir, lock, segment_bytes)?;
        if disk.segments.is_empty() {
            disk.begin_segment()?;
        }
        Ok(disk)
    }
}

impl Reading {
    fn read(&mut self, segment: Segment, is_newest: bool) -> Result<(), LogError> {
        let length = segment.bytes()?;
        let file = segment.read(0, usize::try_from(length).map_err(|_| segment.damaged("it is too long"))?)?;
        let what_is_wrong = |what| segment.damaged(what);
        if segment.first != self.next {
            return Err(segment.damaged(format!("frame {} is missing", self.next)));
        }
        let mut at = match frame::find::<Opening>(self.next, &file, 0).map_err(what_is_wrong)? {
            Found::Frame { body, bytes } => {
                self.open(&body).map_err(what_is_wrong)?;
                bytes
            }
            // It was being begun when the power failed, and nothing was written to it.
            Found::End | Found::Torn if is_newest => return segment.remove(),
            Found::End | Found::Torn => return Err(segment.damaged("it has no beginning")),
        };
        self.last_frame = file[..at].to_vec();
        self.next += 1;
        loop {
            match frame::find::<Batch>(self.next, &file, at).map_err(what_is_wrong)? {
                Found::Frame { body, bytes } => {
                    let frame = FrameAt { segment: segment.clone(), number: self.next, at: at as u64, bytes };
                    let mut content = self.index.content_mut();
                    check_order(&body, content.head.last).map_err(what_is_wrong)?;
                    content.follow(&body, &frame);
                    self.before = body.changes.iter().fold(self.before, still_before);
                    self.last_frame = file[at..at + bytes].to_vec();
                    self.next += 1;
                    at += bytes;
                }
                Found::Torn if is_newest => {
                    tracing::warn!(path = %segment.path.display(), at, "the log's last write was not finished: it is dropped");
                    break;
                }
                Found::Torn => return Err(segment.damaged("its last frame is not whole, and yet another file follows")),
                Found::End => break,
            }
        }
        self.position = at as u64;
        self.segments.push_back(segment);
        Ok(())
    }

    fn open(&mut self, opening: &Opening) -> Result<(), String> {
        if opening.format != FORMAT {
            return Err(format!("its format is {}; this program reads {FORMAT}", opening.format));
        }
        let mut content = self.index.content_mut();
        if self.segments.is_empty() {
            content.head = opening.head.clone();
            self.before = opening.head.last;
        } else if content.head != opening.head {
            return Err(format!(
                "it opens with {:?}, but the file before it ends with {:?}",
                opening.head, content.head
            ));
        }
        Ok(())
    }

    fn finish(self, dir: &Path, lock: File, segment_bytes: u64) -> Result<Disk, StartError> {
        let head = self.index.content().head.clone();
        let damaged = |what: String| Err(StartError::damaged(dir, what));
        if index_of(self.before) > index_of(head.purged) {
            let (purged, before) = (named(head.purged), named(self.before));
            return damaged(format!("the entries after {purged} up to {before} are missing"));
        }
        if head.committed > head.last {
            let (last, committed) = (named(head.last), named(head.committed));
            return damaged(format!("the log ends at {last}, but was committed up to {committed}"));
        }
        let mut length = 0;
        if let Some(last) = self.segments.back() {
            // After a sync that failed, what is read need not be on the platter: it is written and named again. And what a torn write has
            // left behind the end must not be taken for a part of the next one.
            last.cut(self.position)?;
            length = last.write(
                &self.last_frame,
                self.position - self.last_frame.len() as u64,
                self.position,
                segment_bytes,
            )?;
            last.sync()?;
            last.sync_name()?;
        }
        Ok(Disk {
            dir: dir.to_owned(),
            _lock: lock,
            segment_bytes,
            index: self.index,
            segments: self.segments,
            position: self.position,
            length,
            next: self.next,
            owes_sync: false,
        })
    }
}

/// What is left of the entries up to `before`.
fn still_before(before: Option<LogId>, change: &Change) -> Option<LogId> {
    match (before, change) {
        (Some(before), Change::Truncate { from, last }) if *from <= before.index => *last,
        (before, _) => before,
    }
}

fn index_of(entry: Option<LogId>) -> Option<u64> {
    entry.map(|entry| entry.index)
}

fn named(entry: Option<LogId>) -> String {
    entry.map_or_else(
        || "the beginning".to_owned(),
        |LogId { leader_id, index }| format!("entry {index} of term {}", leader_id.term),
    )
}
