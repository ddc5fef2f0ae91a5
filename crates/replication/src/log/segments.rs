//! The log's directory: a lock, and [segments](Segment) of [frames](super::frame). Each frame holds
//! one [batch](LogBatch) of changes.
//!
//! Segments are only extended at their end. When the active one exceeds its size
//! ([`SEGMENT_BYTES`]), a new one is started. Its first frame repeats the log's metadata, so the
//! oldest segments can be removed as soon as none of their entries is needed.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use service::mutation::{self, Mutation};
use service::world::disk::{self, File, OpenMode};

use serde::{Deserialize, Serialize};

use super::change::LogBatch;
use super::error::LogError;
use super::frame;
use super::high_water::{HighWaterFile, HighWaterMark, HighWaterPosition};
use super::index::{EntryIndex, FrameLocation};
use super::metadata::LogMetadata;
use super::segment::Segment;
use crate::error::StartError;

/// Incremented when an encoding changes.
pub(super) const FORMAT: u32 = 2;
/// When the active segment exceeds this size, a new one is started. All segments are read when a
/// log is opened.
pub(crate) const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

const LOCK_FILE: &str = "lock";

/// The first frame of each segment: the log's metadata at that point.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SegmentHeader {
    pub(super) format: u32,
    pub(super) metadata: LogMetadata,
}

/// All segments, as the writer has them.
pub(super) struct Segments {
    pub(super) dir: PathBuf,
    /// Locked until it is dropped.
    pub(super) _lock: File,
    pub(super) segment_bytes: u64,
    pub(super) index: EntryIndex,
    /// Oldest first; the last one is active.
    pub(super) files: VecDeque<Segment>,
    /// Where the next frame goes in the active segment.
    pub(super) position: u64,
    /// The length of the active segment's file.
    pub(super) length: u64,
    /// The checksum of all frames in the active segment.
    pub(super) crc: u32,
    /// The number of the next frame.
    pub(super) next: u64,
    /// The record of how much of the log is on disk.
    pub(super) high_water: HighWaterFile,
    /// A sync that is still to be done; only with the mutation.
    pub(super) owes_sync: bool,
}

/// A batch that is written but not synced.
#[derive(Debug)]
pub(super) struct UnsyncedBatch {
    batch: LogBatch,
    frame: FrameLocation,
    crc: u32,
}

impl Segments {
    /// Locks the log's directory, which is created if there is none.
    pub(super) fn lock(dir: &Path) -> Result<File, StartError> {
        disk::create_dir_all(dir).map_err(StartError::io("make", dir))?;
        disk::sync_dir_of(dir).map_err(StartError::io("sync the directory of", dir))?;
        let path = dir.join(LOCK_FILE);
        let lock = File::open(&path, OpenMode::Update).map_err(StartError::io("open", &path))?;
        let is_ours = lock.try_lock().map_err(StartError::io("lock", &path))?;
        is_ours.then_some(lock).ok_or_else(|| StartError::Locked(dir.to_owned()))
    }

    pub(super) fn index(&self) -> EntryIndex {
        self.index.clone()
    }

    fn active(&self) -> &Segment {
        self.files.back().expect("there is always an active segment")
    }

    /// Writes a batch. It does not count before [`Self::sync`].
    pub(super) fn write(&mut self, batch: LogBatch) -> Result<UnsyncedBatch, LogError> {
        if std::mem::take(&mut self.owes_sync) {
            self.active().sync()?;
        }
        if self.position >= self.segment_bytes {
            self.begin_segment()?;
        }
        let bytes = frame::encode(self.next, &batch, Vec::new()).map_err(|what| self.active().damaged(what))?;
        let frame = self.put(&bytes)?;
        Ok(UnsyncedBatch { batch, frame, crc: self.crc })
    }

    /// Makes a written batch durable, and its entries readable.
    pub(super) fn sync(&mut self, UnsyncedBatch { batch, frame, crc }: UnsyncedBatch) -> Result<(), LogError> {
        if mutation::active(Mutation::SyncAfterAcknowledgement) {
            self.owes_sync = true;
        } else {
            self.active().sync()?;
        }
        self.index.content_mut().follow(&batch, &frame);
        if !self.owes_sync {
            self.high_water.write(&self.reached(&frame, crc))?;
        }
        // Only these make a segment unneeded. Scanning all entries after each sync took a tenth of
        // the replicas' time.
        if batch.removes() || frame.begins_segment() { self.remove_unneeded() } else { Ok(()) }
    }

    fn remove_unneeded(&mut self) -> Result<(), LogError> {
        let oldest_needed = self.index.content().oldest_needed();
        while self.files.len() > 1 && oldest_needed.is_none_or(|needed| self.files[0].first < needed) {
            let unneeded = self.files.pop_front().expect("more than one");
            unneeded.remove()?;
        }
        Ok(())
    }

    /// Starts a segment. Its header and its name are durable before anything else is written to it.
    pub(super) fn begin_segment(&mut self) -> Result<(), LogError> {
        let metadata = self.index.content().metadata.clone();
        self.files.push_back(Segment::open(&self.dir, self.next)?);
        (self.position, self.length, self.crc) = (0, 0, 0);
        let header = SegmentHeader { format: FORMAT, metadata };
        let bytes = frame::encode(self.next, &header, Vec::new()).map_err(|what| self.active().damaged(what))?;
        let frame = self.put(&bytes)?;
        self.active().sync()?;
        self.active().sync_name()?;
        self.high_water.write(&self.reached(&frame, self.crc))?;
        self.high_water.sync()
    }

    /// The high-water mark once `frame` is on disk.
    fn reached(&self, frame: &FrameLocation, crc: u32) -> HighWaterMark {
        let (from, end) = (frame.at, frame.at + frame.bytes as u64);
        let last = self.index.content().metadata.last;
        HighWaterMark {
            frame: frame.number,
            at: HighWaterPosition { segment: frame.segment.first, from, end, crc, last },
        }
    }

    /// Syncs the high-water record; the log is about to be closed.
    pub(super) fn seal(&self) -> Result<(), LogError> {
        self.high_water.sync()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<FrameLocation, LogError> {
        let frame =
            FrameLocation { segment: self.active().clone(), number: self.next, at: self.position, bytes: bytes.len() };
        self.length = self.active().write(bytes, self.position, self.length, self.segment_bytes)?;
        self.position += bytes.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.next += 1;
        Ok(frame)
    }
}
