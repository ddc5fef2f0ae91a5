//! Files: the part of `std::fs` that the store's durable parts use, on the operating system's disk or a world's.

use std::fmt;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::current;

/// A world's disk: what is promised to survive a crash is what was synced, and not one byte more.
pub trait FileSystem: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn RawFile>>;
    /// The files and directories in a directory.
    fn read_dir(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Makes a directory and those above it.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Whether there is such a file or directory.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Gives a file another name, in place of the file that had it. Durable once the directory is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Durable once the directory is synced.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file of a world's disk.
pub trait RawFile: fmt::Debug + Send + Sync {
    /// Reads up to `buffer.len()` bytes; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes`; a hole before them reads as zeroes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Bytes in the file.
    fn length(&self) -> io::Result<u64>;
    /// Cuts or extends with zeroes.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;
    /// Takes the file's lock until it is dropped; `false` if another handle has it.
    fn try_lock(&self) -> io::Result<bool>;
}

/// How a file is opened. It may be read in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading alone.
    Read,
    /// For writing; made anew, or emptied.
    Create,
    /// For writing at its end, wherever that is; made if it is not there.
    Append,
    /// For writing anywhere; made if it is not there.
    Update,
}

/// An open file.
#[derive(Debug)]
pub struct File(Kind);

#[derive(Debug)]
enum Kind {
    Os(fs::File),
    World { file: Box<dyn RawFile>, position: u64, append: bool },
}

impl File {
    /// Opens a file.
    pub fn open(path: &Path, access: Access) -> io::Result<Self> {
        if let Some(world) = current() {
            let file = world.disk().open(path, access)?;
            return Ok(Self(Kind::World { file, position: 0, append: access == Access::Append }));
        }
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match access {
            Access::Read => &mut options,
            Access::Create => options.write(true).create(true).truncate(true),
            Access::Append => options.append(true).create(true),
            Access::Update => options.write(true).create(true).truncate(false),
        };
        let file = options.open(path)?;
        Ok(Self(Kind::Os(file)))
    }

    /// Makes content and length durable.
    pub fn sync(&self) -> io::Result<()> {
        match &self.0 {
            Kind::Os(file) => file.sync_all(),
            Kind::World { file, .. } => file.sync(),
        }
    }

    /// Makes content, and what is needed to read it back, durable.
    pub fn sync_data(&self) -> io::Result<()> {
        match &self.0 {
            Kind::Os(file) => file.sync_data(),
            Kind::World { file, .. } => file.sync(),
        }
    }

    /// Cuts or extends with zeroes.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        match &self.0 {
            Kind::Os(file) => file.set_len(len),
            Kind::World { file, .. } => file.set_len(len),
        }
    }

    /// Bytes in the file.
    pub fn length(&self) -> io::Result<u64> {
        match &self.0 {
            Kind::Os(file) => file.metadata().map(|metadata| metadata.len()),
            Kind::World { file, .. } => file.length(),
        }
    }

    /// Fills `buffer` from the bytes at `offset`.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.0 {
            Kind::Os(file) => file.read_exact_at(buffer, offset),
            Kind::World { file, .. } => {
                let mut read = 0;
                while read < buffer.len() {
                    match file.read_at(&mut buffer[read..], offset + read as u64)? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        more => read += more,
                    }
                }
                Ok(())
            }
        }
    }

    /// Writes all of `bytes` at `offset`.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match &self.0 {
            Kind::Os(file) => file.write_all_at(bytes, offset),
            Kind::World { file, .. } => file.write_at(bytes, offset),
        }
    }

    /// Takes the file's lock until it is dropped; `false` if another process has it.
    pub fn try_lock(&self) -> io::Result<bool> {
        match &self.0 {
            Kind::Os(file) => match file.try_lock() {
                Ok(()) => Ok(true),
                Err(fs::TryLockError::WouldBlock) => Ok(false),
                Err(fs::TryLockError::Error(error)) => Err(error),
            },
            Kind::World { file, .. } => file.try_lock(),
        }
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Os(file) => file.read(buffer),
            Kind::World { file, position, .. } => {
                let read = file.read_at(buffer, *position)?;
                *position += read as u64;
                Ok(read)
            }
        }
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Os(file) => file.write(bytes),
            Kind::World { file, position, append } => {
                if *append {
                    *position = file.length()?;
                }
                file.write_at(bytes, *position)?;
                *position += bytes.len() as u64;
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.0 {
            Kind::Os(file) => file.seek(to),
            Kind::World { file, position, .. } => {
                let sought = match to {
                    SeekFrom::Start(offset) => Some(offset),
                    SeekFrom::Current(by) => position.checked_add_signed(by),
                    SeekFrom::End(by) => file.length()?.checked_add_signed(by),
                };
                *position = sought.ok_or(io::ErrorKind::InvalidInput)?;
                Ok(*position)
            }
        }
    }
}

/// A file's whole content.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if current().is_none() {
        return fs::read(path);
    }
    let mut bytes = Vec::new();
    File::open(path, Access::Read)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The files and directories in a directory, by their paths.
pub fn read_dir(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match current() {
        Some(world) => world.disk().read_dir(dir),
        None => fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect(),
    }
}

/// Makes a directory and those above it.
pub fn create_dir_all(dir: &Path) -> io::Result<()> {
    match current() {
        Some(world) => world.disk().create_dir_all(dir),
        None => fs::create_dir_all(dir),
    }
}

/// Whether there is such a file or directory.
pub fn exists(path: &Path) -> io::Result<bool> {
    match current() {
        Some(world) => world.disk().exists(path),
        None => fs::exists(path),
    }
}

/// Gives a file another name, in place of the file that had it. Durable once the directory is [synced](sync_dir_of).
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match current() {
        Some(world) => world.disk().rename(from, to),
        None => fs::rename(from, to),
    }
}

/// Removes a file.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match current() {
        Some(world) => world.disk().remove_file(path),
        None => fs::remove_file(path),
    }
}

/// Makes the name of the file `path` durable.
pub fn sync_dir_of(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match current() {
        Some(world) => world.disk().sync_dir(dir),
        None => fs::File::open(dir)?.sync_all(),
    }
}
