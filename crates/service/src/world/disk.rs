//! Files: the part of `std::fs` that durable state needs, on the disk of the operating system or of
//! a world.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::boundary::current;
pub use super::file_system::{FileSystem, OpenMode, RawFile};

/// An open file.
#[derive(Debug)]
pub struct File(Handle);

#[derive(Debug)]
enum Handle {
    Os(fs::File),
    World { file: Box<dyn RawFile>, position: u64, append: bool },
}

impl File {
    /// Opens a file.
    pub fn open(path: &Path, mode: OpenMode) -> io::Result<Self> {
        if let Some(world) = current() {
            let file = world.disk().open(path, mode)?;
            return Ok(Self(Handle::World { file, position: 0, append: mode == OpenMode::Append }));
        }
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Create => options.write(true).create(true).truncate(true),
            OpenMode::Append => options.append(true).create(true),
            OpenMode::Update => options.write(true).create(true).truncate(false),
        };
        let file = options.open(path)?;
        Ok(Self(Handle::Os(file)))
    }

    /// Makes content and length durable.
    pub fn sync(&self) -> io::Result<()> {
        match &self.0 {
            Handle::Os(file) => file.sync_all(),
            Handle::World { file, .. } => file.sync(),
        }
    }

    /// Makes the content durable, and the metadata that is needed to read it.
    pub fn sync_data(&self) -> io::Result<()> {
        match &self.0 {
            Handle::Os(file) => file.sync_data(),
            Handle::World { file, .. } => file.sync(),
        }
    }

    /// Truncates the file, or extends it with zeroes.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        match &self.0 {
            Handle::Os(file) => file.set_len(len),
            Handle::World { file, .. } => file.set_len(len),
        }
    }

    /// The length of the file in bytes.
    pub fn length(&self) -> io::Result<u64> {
        match &self.0 {
            Handle::Os(file) => file.metadata().map(|metadata| metadata.len()),
            Handle::World { file, .. } => file.length(),
        }
    }

    /// Fills `buffer` with the bytes at `offset`.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.0 {
            Handle::Os(file) => file.read_exact_at(buffer, offset),
            Handle::World { file, .. } => {
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
            Handle::Os(file) => file.write_all_at(bytes, offset),
            Handle::World { file, .. } => file.write_at(bytes, offset),
        }
    }

    /// Takes the file's lock until the file is dropped; `false` if another process holds it.
    pub fn try_lock(&self) -> io::Result<bool> {
        match &self.0 {
            Handle::Os(file) => match file.try_lock() {
                Ok(()) => Ok(true),
                Err(fs::TryLockError::WouldBlock) => Ok(false),
                Err(fs::TryLockError::Error(error)) => Err(error),
            },
            Handle::World { file, .. } => file.try_lock(),
        }
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Handle::Os(file) => file.read(buffer),
            Handle::World { file, position, .. } => {
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
            Handle::Os(file) => file.write(bytes),
            Handle::World { file, position, append } => {
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
            Handle::Os(file) => file.seek(to),
            Handle::World { file, position, .. } => {
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

/// Reads a whole file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if current().is_none() {
        return fs::read(path);
    }
    let mut bytes = Vec::new();
    File::open(path, OpenMode::Read)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The paths of the files and directories in a directory.
pub fn read_dir(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match current() {
        Some(world) => world.disk().read_dir(dir),
        None => fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect(),
    }
}

/// Creates a directory and its missing parents.
pub fn create_dir_all(dir: &Path) -> io::Result<()> {
    match current() {
        Some(world) => world.disk().create_dir_all(dir),
        None => fs::create_dir_all(dir),
    }
}

/// Whether the file or directory exists.
pub fn exists(path: &Path) -> io::Result<bool> {
    match current() {
        Some(world) => world.disk().exists(path),
        None => fs::exists(path),
    }
}

/// Renames a file and replaces any file at `to`. Durable once the directory is
/// [synced](sync_dir_of).
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
