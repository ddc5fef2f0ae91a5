//! The high-water record: how much of the log has reached the disk, in a file beside the segments.
//!
//! The frames cannot tell that the last of them are gone. A log that was cut between two frames, or
//! whose newest segment was deleted, looks like a shorter log, and a replica that accepted it would
//! vote as if it had never acknowledged the rest. So this record says which frame was synced last,
//! where it ended, and the checksum of its segment up to there. A log that lacks that frame at that
//! position, after the same frames, is damaged. (Single frames of two replicas can be alike; whole
//! segments cannot.)
//!
//! # What it costs and what it promises
//! The record is overwritten after each sync of the log, without a sync of its own: one write to
//! the operating system's cache, some microseconds where a sync takes some hundred.
//!
//! * It never runs ahead of the log, since it is written after the sync that it reports.
//! * It is exact after a process exits: the operating system has the write.
//! * After a power failure it may be an older version, which promises less but nothing wrong. It is
//!   synced when a segment is started and when the log is opened or closed, so it is never older
//!   than one segment.
//! * It never moves back. Frames are only added (a truncation of the log is a frame, too), and the
//!   writer does not start a frame before the previous one is synced.
//! * It fits one sector, so it is never torn.
//!
//! A log of an earlier release has no record until it is opened. From then on `identity.json` says
//! that there is one, so that its loss is noticed.
//!
//! ```text
//! a frame (see frame.rs), whose number is that of the log's frame, and whose body is a
//!     HighWaterPosition │ zeros up to 512 bytes
//! ```

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use service::world::disk::{self, File, OpenMode};

use super::error::LogError;
use super::frame;
use crate::consensus::types::LogId;

pub(crate) const FILE_NAME: &str = "high-water";
/// One sector.
const RECORD_BYTES: usize = 512;

/// The last frame that was synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HighWaterMark {
    /// The frame's number; 0 before the first one.
    pub(super) frame: u64,
    pub(super) at: HighWaterPosition,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HighWaterPosition {
    /// The number of the first frame in its segment, which is the segment's name.
    pub(super) segment: u64,
    /// The byte in that segment at which the frame starts.
    pub(super) from: u64,
    /// The byte after it.
    pub(super) end: u64,
    /// CRC32C of all frames in that segment, from its first byte to the last byte of this frame.
    pub(super) crc: u32,
    /// The log's last entry at that point.
    pub(super) last: Option<LogId>,
}

/// The record's file.
#[derive(Debug)]
pub(super) struct HighWaterFile {
    path: PathBuf,
    file: File,
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

/// The record in the log's directory; `None` if there is none, or if it was being created when the
/// power failed.
pub(super) fn load(dir: &Path) -> Result<Option<HighWaterMark>, LogError> {
    let path = path(dir);
    match disk::read(&path) {
        Ok(bytes) if bytes.iter().all(|byte| *byte == 0) => Ok(None),
        Ok(bytes) => parse(&bytes).map(Some).map_err(|what| LogError::Damaged { path, what }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LogError::Io { path, source }),
    }
}

fn parse(bytes: &[u8]) -> Result<HighWaterMark, String> {
    if bytes.len() != RECORD_BYTES {
        return Err(format!("byte {}: a high-water record has {RECORD_BYTES} bytes", bytes.len()));
    }
    let (frame, at, length) = frame::decode_first(bytes).map_err(|what| format!("byte 0: {what}"))?;
    match bytes[length..].iter().position(|byte| *byte != 0) {
        Some(garbage) => Err(format!("byte {}: data follows the record", length + garbage)),
        None => Ok(HighWaterMark { frame, at }),
    }
}

impl HighWaterFile {
    /// Opens or creates the record, and syncs `reached` to it.
    pub(super) fn open(dir: &Path, reached: &HighWaterMark) -> Result<Self, LogError> {
        let path = path(dir);
        let file = File::open(&path, OpenMode::Update).map_err(|source| LogError::Io { path: path.clone(), source })?;
        let record = Self { path, file };
        record.write(reached)?;
        record.sync()?;
        disk::sync_dir_of(&record.path).map_err(|source| record.error(source))?;
        Ok(record)
    }

    /// Overwrites the record without a sync.
    pub(super) fn write(&self, HighWaterMark { frame, at }: &HighWaterMark) -> Result<(), LogError> {
        let damaged = |what| LogError::Damaged { path: self.path.clone(), what };
        let mut bytes = frame::encode(*frame, at, Vec::with_capacity(RECORD_BYTES)).map_err(damaged)?;
        bytes.resize(RECORD_BYTES, 0);
        self.file.write_all_at(&bytes, 0).map_err(|source| self.error(source))
    }

    pub(super) fn sync(&self) -> Result<(), LogError> {
        self.file.sync_data().map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> LogError {
        LogError::Io { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::id;
    use super::*;

    fn reached(frame: u64) -> HighWaterMark {
        let at = HighWaterPosition {
            segment: 4,
            from: 600 * frame,
            end: 600 * frame + 500,
            crc: 77,
            last: Some(id(3, frame)),
        };
        HighWaterMark { frame, at }
    }

    #[test]
    fn a_record_is_read_back_and_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()).unwrap(), None);
        let record = HighWaterFile::open(dir.path(), &HighWaterMark::default()).unwrap();
        assert_eq!(load(dir.path()).unwrap(), Some(HighWaterMark::default()));
        for frame in [7, u64::MAX / 1000, 9] {
            record.write(&reached(frame)).unwrap();
            assert_eq!(load(dir.path()).unwrap(), Some(reached(frame)));
        }
        assert_eq!(fs::read(path(dir.path())).unwrap().len(), RECORD_BYTES);
    }

    #[test]
    fn any_flipped_byte_and_any_cut_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(HighWaterFile::open(dir.path(), &reached(7)).unwrap());
        let whole = fs::read(path(dir.path())).unwrap();
        for at in 0..RECORD_BYTES {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(path(dir.path()), &damaged).unwrap();
            assert!(matches!(load(dir.path()), Err(LogError::Damaged { .. })), "byte {at}");
        }
        for length in 1..RECORD_BYTES {
            fs::write(path(dir.path()), &whole[..length]).unwrap();
            assert!(matches!(load(dir.path()), Err(LogError::Damaged { .. })), "cut to {length}");
        }
    }

    #[test]
    fn a_record_that_was_being_created_when_the_power_failed_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        for length in [0, 1, RECORD_BYTES] {
            fs::write(path(dir.path()), vec![0; length]).unwrap();
            assert_eq!(load(dir.path()).unwrap(), None, "{length} bytes");
        }
    }
}
