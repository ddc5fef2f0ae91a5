//! The log's directory: a lock, and files of [frames](super::frame), one [batch](Batch) of changes in each frame.
//!
//! Files are only written at their end, and the next one is begun when one is long enough ([`SEGMENT_BYTES`]). It opens with what the
//! log is there besides its entries; so the oldest ones can go as soon as no entry in them is needed.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use service::mutation::{self, Mutation};
use service::world::disk::{self, Access, File};

use super::change::Batch;
use super::frame;
use super::index::{FrameAt, Index, Opening};
use super::segment::Segment;
use crate::StartError;

/// Raised when an encoding changes.
pub(super) const FORMAT: u32 = 2;
/// A file that is longer is the last one no more. A log is read as a whole when it is opened.
pub(crate) const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

const LOCK_FILE: &str = "lock";

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the log is closed")]
    Closed,
}

impl From<LogError> for StartError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io { path, source } => Self::Io { operation: "use", path, source },
            LogError::Damaged { path, what } => Self::Damaged { path, what },
            LogError::Closed => unreachable!("a log that is being opened is not closed"),
        }
    }
}

/// The files, in the hands of the one who writes.
pub(super) struct Disk {
    pub(super) dir: PathBuf,
    /// Locked until it is dropped.
    pub(super) _lock: File,
    pub(super) segment_bytes: u64,
    pub(super) index: Index,
    /// Oldest first; the last is written to.
    pub(super) segments: VecDeque<Segment>,
    /// Where the next frame goes in the last file.
    pub(super) position: u64,
    /// How long the last file is.
    pub(super) length: u64,
    /// The number of the next frame.
    pub(super) next: u64,
    /// A sync that is still to be done; only with the mutation.
    pub(super) owes_sync: bool,
}

/// A batch that is written and not yet durable.
#[derive(Debug)]
pub(super) struct Written {
    batch: Batch,
    frame: FrameAt,
}

impl Disk {
    /// Takes the directory, which is made where there is none.
    pub(super) fn lock(dir: &Path) -> Result<File, StartError> {
        disk::create_dir_all(dir).map_err(StartError::io("make", dir))?;
        disk::sync_dir_of(dir).map_err(StartError::io("sync the directory of", dir))?;
        let path = dir.join(LOCK_FILE);
        let lock = File::open(&path, Access::Update).map_err(StartError::io("open", &path))?;
        let is_ours = lock.try_lock().map_err(StartError::io("lock", &path))?;
        is_ours.then_some(lock).ok_or_else(|| StartError::Locked(dir.to_owned()))
    }

    pub(super) fn index(&self) -> Index {
        self.index.clone()
    }

    fn last(&self) -> &Segment {
        self.segments.back().expect("there is always one that is written to")
    }

    /// Writes a batch; it counts for nothing before [`Self::sync`].
    pub(super) fn write(&mut self, batch: Batch) -> Result<Written, LogError> {
        if std::mem::take(&mut self.owes_sync) {
            self.last().sync()?;
        }
        if self.position >= self.segment_bytes {
            self.begin_segment()?;
        }
        let bytes = frame::encode(self.next, &batch, Vec::new()).map_err(|what| self.last().damaged(what))?;
        let frame = self.put(&bytes)?;
        Ok(Written { batch, frame })
    }

    /// Makes what was written durable, and lets it be read.
    pub(super) fn sync(&mut self, Written { batch, frame }: Written) -> Result<(), LogError> {
        if mutation::active(Mutation::SyncAfterAcknowledgement) {
            self.owes_sync = true;
        } else {
            self.last().sync()?;
        }
        self.index.content_mut().follow(&batch, &frame);
        // Nothing else makes a file unneeded; and to look through all entries at each sync took a tenth of the replicas' time.
        if batch.removes() || frame.begins_segment() { self.remove_unneeded() } else { Ok(()) }
    }

    fn remove_unneeded(&mut self) -> Result<(), LogError> {
        let oldest_needed = self.index.content().oldest_needed();
        while self.segments.len() > 1 && oldest_needed.is_none_or(|needed| self.segments[0].first < needed) {
            let unneeded = self.segments.pop_front().expect("more than one");
            unneeded.remove()?;
        }
        Ok(())
    }

    /// Begins a file. It is whole, by its name too, before anything else is written to it.
    pub(super) fn begin_segment(&mut self) -> Result<(), LogError> {
        let head = self.index.content().head.clone();
        self.segments.push_back(Segment::open(&self.dir, self.next)?);
        (self.position, self.length) = (0, 0);
        let opening = Opening { format: FORMAT, head };
        let bytes = frame::encode(self.next, &opening, Vec::new()).map_err(|what| self.last().damaged(what))?;
        self.put(&bytes)?;
        self.last().sync()?;
        self.last().sync_name()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<FrameAt, LogError> {
        let frame = FrameAt { segment: self.last().clone(), number: self.next, at: self.position, bytes: bytes.len() };
        self.length = self.last().write(bytes, self.position, self.length, self.segment_bytes)?;
        self.position += bytes.len() as u64;
        self.next += 1;
        Ok(frame)
    }
}
