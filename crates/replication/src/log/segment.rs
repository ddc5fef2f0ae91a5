//! One file of the log: frames, and zeros behind them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use service::world::disk::{self, File, OpenMode};

use super::error::LogError;

/// How much a file grows at a time. A sync that also has to persist a new length takes half as long
/// again.
const GROWTH_BYTES: u64 = 256 * 1024;

/// The path of the segment whose first frame has the number `first`.
pub(super) fn name(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.log"))
}

/// A segment. Readers keep reading from it after it has been removed.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// The number of its first frame, which is also its name.
    pub(super) first: u64,
    pub(super) path: Arc<Path>,
    file: Arc<File>,
}

impl Segment {
    /// The numbers and paths of all segments, oldest first.
    pub(super) fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
        let number = |path: &Path| path.file_stem()?.to_str()?.parse().ok();
        let numbered = disk::read_dir(dir)?.into_iter().filter_map(|path| Some((number(&path)?, path)));
        let mut names: Vec<_> = numbered.filter(|(first, path)| *path == name(dir, *first)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Opens the segment whose first frame has the number `first`, or creates it.
    pub(super) fn open(dir: &Path, first: u64) -> Result<Self, LogError> {
        let path = name(dir, first);
        match File::open(&path, OpenMode::Update) {
            Ok(file) => Ok(Self { first, path: path.into(), file: Arc::new(file) }),
            Err(source) => Err(LogError::Io { path, source }),
        }
    }

    pub(super) fn bytes(&self) -> Result<u64, LogError> {
        self.file.length().map_err(|source| self.error(source))
    }

    pub(super) fn read(&self, at: u64, bytes: usize) -> Result<Vec<u8>, LogError> {
        let mut buffer = vec![0; bytes];
        self.file.read_exact_at(&mut buffer, at).map_err(|source| self.error(source))?;
        Ok(buffer)
    }

    /// Writes a frame at `at`. If it ends beyond `length`, the length of the file, the file is
    /// extended with zeros, towards `full_bytes`. Returns the new length.
    pub(super) fn write(&self, frame: &[u8], at: u64, length: u64, full_bytes: u64) -> Result<u64, LogError> {
        self.file.write_all_at(frame, at).map_err(|source| self.error(source))?;
        let end = at + frame.len() as u64;
        if end < length {
            return Ok(length);
        }
        // Written, not only reserved: this allocates the blocks, so the next syncs have no metadata
        // to write.
        let room = (end + 1).next_multiple_of(GROWTH_BYTES.min(full_bytes)) - end;
        let zeros = vec![0; usize::try_from(room).expect("a quarter of a MiB")];
        self.file.write_all_at(&zeros, end).map_err(|source| self.error(source))?;
        Ok(end + room)
    }

    pub(super) fn cut(&self, at: u64) -> Result<(), LogError> {
        self.file.set_len(at).map_err(|source| self.error(source))
    }

    pub(super) fn sync(&self) -> Result<(), LogError> {
        self.file.sync_data().map_err(|source| self.error(source))
    }

    /// Makes its name durable.
    pub(super) fn sync_name(&self) -> Result<(), LogError> {
        disk::sync_dir_of(&self.path).map_err(|source| self.error(source))
    }

    pub(super) fn remove(&self) -> Result<(), LogError> {
        disk::remove_file(&self.path).map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> LogError {
        LogError::Io { path: self.path.to_path_buf(), source }
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> LogError {
        LogError::Damaged { path: self.path.to_path_buf(), what: what.into() }
    }
}
