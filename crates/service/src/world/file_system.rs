//! The disk of a simulated world, as traits.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A world's disk. Only what was synced survives a crash.
pub trait FileSystem: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn RawFile>>;
    /// Lists the files and directories in a directory.
    fn read_dir(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Creates a directory and its missing parents.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Whether the file or directory exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Renames a file and replaces any file at `to`. Durable once the directory is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Durable once the directory is synced.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// The free space in bytes; `None` if the disk has no limit.
    fn free_bytes(&self) -> Option<u64>;
}

/// An open file of a world's disk.
pub trait RawFile: fmt::Debug + Send + Sync {
    /// Reads up to `buffer.len()` bytes; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes`. A hole before them reads as zeroes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// The length of the file in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Truncates the file, or extends it with zeroes.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;
    /// Takes the file's lock until the file is dropped; `false` if another handle holds it.
    fn try_lock(&self) -> io::Result<bool>;
}

/// How a file is opened. Reading is always allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading only.
    Read,
    /// For writing; the file is created or truncated.
    Create,
    /// For appending; the file is created if it does not exist.
    Append,
    /// For writing anywhere; the file is created if it does not exist.
    Update,
}
