//! The disk of one process: the implementation of [`FileSystem`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use service::world::disk::{FileSystem, OpenMode, RawFile};

use super::state::{FileId, SimulatedDisk, not_found};

/// Whether a process is alive. The operations of a dead process, such as closing its files, have no
/// effect.
#[derive(Clone, Debug)]
pub(crate) struct ProcessLife {
    /// The id of the process.
    pub(crate) id: u64,
    dead: Arc<AtomicBool>,
}

impl ProcessLife {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, dead: Arc::default() }
    }

    pub(crate) fn end(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    fn check(&self) -> io::Result<()> {
        if self.is_over() { Err(io::Error::other("the process is dead")) } else { Ok(()) }
    }
}

/// A machine's disk, as mounted by one process.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    disk: SimulatedDisk,
    process: ProcessLife,
}

impl Mount {
    pub(crate) fn new(disk: SimulatedDisk, process: ProcessLife) -> Self {
        Self { disk, process }
    }
}

impl FileSystem for Mount {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn RawFile>> {
        self.process.check()?;
        let file = self.disk.state().open(path, mode)?;
        let writable = mode != OpenMode::Read;
        Ok(Box::new(OpenFile { mount: self.clone(), file, writable, path: path.to_owned() }))
    }

    fn read_dir(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.process.check()?;
        let state = self.disk.state();
        if !state.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        let all = state.names.keys().chain(&state.dirs);
        Ok(all.filter(|path| path.parent() == Some(dir)).cloned().collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.process.check()?;
        self.disk.state().dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.process.check()?;
        let state = self.disk.state();
        Ok(state.names.contains_key(path) || state.dirs.contains(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.process.check()?;
        let mut state = self.disk.state();
        let file = state.find(from)?;
        state.name(dir_of(to), &[(from, None), (to, Some(file))]);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.process.check()?;
        let mut state = self.disk.state();
        state.find(path)?;
        state.name(dir_of(path), &[(path, None)]);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.process.check()?;
        self.disk.state().sync_dir(dir)
    }

    fn free_bytes(&self) -> Option<u64> {
        self.disk.free_bytes()
    }
}

fn dir_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

struct OpenFile {
    mount: Mount,
    file: FileId,
    writable: bool,
    path: PathBuf,
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl OpenFile {
    fn check(&self, writes: bool) -> io::Result<()> {
        self.mount.process.check()?;
        if writes && !self.writable { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }
}

impl RawFile for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check(false)?;
        let mut state = self.mount.disk.state();
        let all = state.content(self.file).now();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(all.len());
        let length = buffer.len().min(all.len() - from);
        buffer[..length].copy_from_slice(&all[from..from + length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check(true)?;
        self.mount.disk.state().write(self.file, bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.check(false)?;
        Ok(self.mount.disk.state().content(self.file).len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check(true)?;
        self.mount.disk.state().set_len(self.file, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.check(false)?;
        self.mount.disk.state().sync(self.file)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.check(false)?;
        let owner = self.mount.process.id;
        Ok(*self.mount.disk.state().locks.entry(self.file).or_insert(owner) == owner)
    }
}
