//! A machine's disk. It outlives the processes that use it, and forgets in a crash what was not synced.
//!
//! # The model
//! * A file has what a reader sees and what is on the platter. A write changes the first; a sync brings the second up to it.
//! * When the *process* dies, nothing is lost: the operating system still has it. When the *machine* crashes, each write since the
//!   file's last sync is on the platter or is not, as drawn, and the last one may be torn between two sectors.
//! * A directory's names are journalled: in a crash a drawn number of the last changes that were not synced is undone, newest
//!   first, as a journal would. A file whose name was undone is gone. That a directory itself exists is durable at once.
//! * A sync or a write may fail, once, and the disk may be full. What a failed sync was to bring to the platter is still not there.
//!
//! Bits do not rot, and a sync that succeeded is never forgotten: no replica could survive that on its own (see `replication`'s caveats).

mod content;
mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use service::world::disk::Access;

use crate::random::Random;
use content::Content;

pub(crate) use file::{Mount, ProcessLife};

/// What `io::Error`s of a full disk carry on Linux; their kind is `StorageFull`.
const ENOSPC: i32 = 28;
/// `EIO`.
const EIO: i32 = 5;

/// A file's content, whatever its name.
type FileId = u64;

/// A disk. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

/// What a machine crash did to a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct CrashDamage {
    /// Writes that never reached the platter.
    pub(crate) lost_writes: usize,
    /// Writes of which a part did.
    pub(crate) torn_writes: usize,
    /// Changes of names that were undone.
    pub(crate) undone_names: usize,
}

/// One change in a directory, done or undone as a whole.
#[derive(Clone, Debug)]
struct NameChange {
    dir: PathBuf,
    /// What the names concerned stood for before.
    before: Vec<(PathBuf, Option<FileId>)>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<FileId, Content>,
    names: BTreeMap<PathBuf, FileId>,
    /// Since the last sync of their directories, oldest first.
    unsynced_names: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
    next_file: FileId,
    /// Who has locked a file.
    locks: BTreeMap<FileId, u64>,
    /// So many of the next syncs fail.
    failing_syncs: u32,
    /// So many of the next writes fail.
    failing_writes: u32,
    full: bool,
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine loses power: only the platter is left, with what `random` lets reach it.
    pub(crate) fn crash(&self, random: &mut Random) -> CrashDamage {
        let mut state = self.state();
        let mut damage = CrashDamage::default();
        let undone = match random.below(3) {
            0 => 0,
            1 => state.unsynced_names.len(),
            _ => random.below(state.unsynced_names.len() + 1),
        };
        for _ in 0..undone {
            let change = state.unsynced_names.pop().expect("as many as were counted");
            for (path, file) in change.before {
                match file {
                    Some(file) => state.names.insert(path, file),
                    None => state.names.remove(&path),
                };
            }
            damage.undone_names += 1;
        }
        state.unsynced_names.clear();
        for content in state.files.values_mut() {
            let (lost, torn) = content.crash(random);
            damage.lost_writes += lost;
            damage.torn_writes += torn;
        }
        state.locks.clear();
        state.forget_nameless();
        damage
    }

    /// A new disk in the old one's place.
    pub(crate) fn wipe(&self) {
        *self.state() = State::default();
    }

    /// The next so many syncs fail.
    pub(crate) fn fail_syncs(&self, times: u32) {
        self.state().failing_syncs = times;
    }

    /// The next so many writes fail.
    pub(crate) fn fail_writes(&self, times: u32) {
        self.state().failing_writes = times;
    }

    /// Whether there is no room for one byte more.
    pub(crate) fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// Whether it is full, or a fault waits to happen.
    pub(crate) fn is_failing(&self) -> bool {
        let state = self.state();
        state.full || state.failing_syncs > 0 || state.failing_writes > 0
    }

    /// No fault waits to happen any more.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.failing_syncs = 0;
        state.failing_writes = 0;
        state.full = false;
    }

    /// A file's bytes as a reader sees them now.
    pub(crate) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.names.get(path)?;
        Some(state.files[file].now().to_vec())
    }

    /// What the process `owner` had locked is free again.
    pub(crate) fn unlock_all(&self, owner: u64) {
        self.state().locks.retain(|_, holder| *holder != owner);
    }
}

impl State {
    fn find(&self, path: &Path) -> io::Result<FileId> {
        self.names.get(path).copied().ok_or_else(|| not_found(path))
    }

    fn name(&mut self, dir: &Path, names: &[(&Path, Option<FileId>)]) {
        let before = names.iter().map(|(path, file)| {
            let before = match file {
                Some(file) => self.names.insert((*path).to_owned(), *file),
                None => self.names.remove(*path),
            };
            ((*path).to_owned(), before)
        });
        let change = NameChange { dir: dir.to_owned(), before: before.collect() };
        self.unsynced_names.push(change);
    }

    fn open(&mut self, path: &Path, access: Access) -> io::Result<FileId> {
        let found = self.names.get(path).copied();
        match (access, found) {
            (Access::Read | Access::Append | Access::Update, Some(file)) => Ok(file),
            (Access::Read, None) => Err(not_found(path)),
            (Access::Create, Some(file)) => {
                self.content(file).set_len(0);
                Ok(file)
            }
            (Access::Create | Access::Append | Access::Update, None) => {
                let dir = path.parent().unwrap_or(Path::new(""));
                if !self.dirs.contains(dir) {
                    return Err(not_found(dir));
                }
                if self.full {
                    return Err(io::Error::from_raw_os_error(ENOSPC));
                }
                self.next_file += 1;
                let file = self.next_file;
                self.files.insert(file, Content::default());
                self.name(dir, &[(path, Some(file))]);
                Ok(file)
            }
        }
    }

    fn content(&mut self, file: FileId) -> &mut Content {
        self.files.get_mut(&file).expect("a file that is open, or has a name, has content")
    }

    fn write(&mut self, file: FileId, bytes: &[u8], at: u64) -> io::Result<()> {
        let end = at + bytes.len() as u64;
        if self.failing_writes > 0 {
            self.failing_writes -= 1;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        if self.full && end > self.content(file).len() {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        self.content(file).write(bytes, at);
        Ok(())
    }

    fn set_len(&mut self, file: FileId, len: u64) -> io::Result<()> {
        if self.full && len > self.content(file).len() {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        self.content(file).set_len(len);
        Ok(())
    }

    fn sync(&mut self, file: FileId) -> io::Result<()> {
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.content(file).sync();
        Ok(())
    }

    fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.unsynced_names.retain(|change| change.dir != dir);
        Ok(())
    }

    /// After a crash no process has a file open that has no name.
    fn forget_nameless(&mut self) {
        let named: BTreeSet<FileId> = self.names.values().copied().collect();
        self.files.retain(|file, _| named.contains(file));
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{}: no such file or directory", path.display()))
}

#[cfg(test)]
mod tests;
