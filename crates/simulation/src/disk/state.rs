//! The files of a disk, and its faults.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use service::world::disk::OpenMode;

use super::content::Content;
use crate::random::Random;

/// The error number of a full disk on Linux; its kind is `StorageFull`.
const ENOSPC: i32 = 28;
/// The error number of a failed operation.
const EIO: i32 = 5;

/// The free space of a disk with a limit, unless a script sets it: more than any reserve.
pub(crate) const AMPLE_BYTES: u64 = 1 << 40;

/// Identifies a file's content, independently of its name.
pub(super) type FileId = u64;

/// A disk. Clones refer to the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimulatedDisk(Arc<Mutex<DiskState>>);

/// What a machine crash did to a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct CrashDamage {
    /// Writes that never reached the platter.
    pub(crate) lost_writes: usize,
    /// Writes that reached it in part.
    pub(crate) torn_writes: usize,
    /// Changes of directories that were undone.
    pub(crate) undone_names: usize,
}

/// A copy of all files of a disk.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    files: BTreeMap<PathBuf, Vec<u8>>,
    dirs: BTreeSet<PathBuf>,
}

/// One change of a directory, which is done or undone as a whole.
#[derive(Clone, Debug)]
struct NameChange {
    dir: PathBuf,
    /// The files that the names referred to before.
    before: Vec<(PathBuf, Option<FileId>)>,
}

#[derive(Debug, Default)]
pub(super) struct DiskState {
    files: BTreeMap<FileId, Content>,
    pub(super) names: BTreeMap<PathBuf, FileId>,
    /// Changes since the last sync of their directories, oldest first.
    unsynced_names: Vec<NameChange>,
    pub(super) dirs: BTreeSet<PathBuf>,
    next_file: FileId,
    /// The processes that have locked a file.
    pub(super) locks: BTreeMap<FileId, u64>,
    /// How many of the next syncs fail.
    failing_syncs: u32,
    /// How many of the next writes fail.
    failing_writes: u32,
    full: bool,
    /// The free space that the disk reports, if it has a limit.
    free_bytes: Option<u64>,
}

impl SimulatedDisk {
    pub(super) fn state(&self) -> MutexGuard<'_, DiskState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine loses power: only the platter is left, with the changes that `random` lets reach
    /// it.
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

    /// A copy of all files, like a snapshot of the volume.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.state();
        let files = state.names.iter().map(|(path, file)| (path.clone(), state.files[file].now().to_vec()));
        Snapshot { files: files.collect(), dirs: state.dirs.clone() }
    }

    /// Replaces all files by an earlier copy.
    pub(crate) fn restore(&self, snapshot: Snapshot) {
        let free_bytes = self.state().free_bytes;
        let mut old = DiskState { dirs: snapshot.dirs, free_bytes, ..DiskState::default() };
        for (file, (path, bytes)) in (1..).zip(snapshot.files) {
            let mut content = Content::default();
            content.write(&bytes, 0);
            content.sync();
            old.files.insert(file, content);
            old.names.insert(path, file);
            old.next_file = file;
        }
        *self.state() = old;
    }

    /// Replaces the disk by an empty one.
    pub(crate) fn wipe(&self) {
        let mut state = self.state();
        *state = DiskState { free_bytes: state.free_bytes, ..DiskState::default() };
    }

    /// Makes the next `times` syncs fail.
    pub(crate) fn fail_syncs(&self, times: u32) {
        self.state().failing_syncs = times;
    }

    /// Makes the next `times` writes fail.
    pub(crate) fn fail_writes(&self, times: u32) {
        self.state().failing_writes = times;
    }

    /// Sets whether the disk is full: it then takes no more bytes.
    pub(crate) fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// Sets the free space that the disk reports.
    pub(crate) fn set_free_bytes(&self, free: u64) {
        self.state().free_bytes = Some(free);
    }

    pub(super) fn free_bytes(&self) -> Option<u64> {
        let state = self.state();
        state.free_bytes.map(|free| if state.full { 0 } else { free })
    }

    /// Whether the disk is full, or one of the next operations fails.
    pub(crate) fn is_failing(&self) -> bool {
        let state = self.state();
        state.full || state.failing_syncs > 0 || state.failing_writes > 0
    }

    /// Ends all faults.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.failing_syncs = 0;
        state.failing_writes = 0;
        state.full = false;
        state.free_bytes = state.free_bytes.map(|_| AMPLE_BYTES);
    }

    /// The content of a file that readers see now.
    pub(crate) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.names.get(path)?;
        Some(state.files[file].now().to_vec())
    }

    /// Releases all locks of the process `owner`.
    pub(crate) fn unlock_all(&self, owner: u64) {
        self.state().locks.retain(|_, holder| *holder != owner);
    }
}

impl DiskState {
    pub(super) fn find(&self, path: &Path) -> io::Result<FileId> {
        self.names.get(path).copied().ok_or_else(|| not_found(path))
    }

    /// Changes names in a directory; `None` removes a name.
    pub(super) fn name(&mut self, dir: &Path, names: &[(&Path, Option<FileId>)]) {
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

    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<FileId> {
        let found = self.names.get(path).copied();
        match (mode, found) {
            (OpenMode::Read | OpenMode::Append | OpenMode::Update, Some(file)) => Ok(file),
            (OpenMode::Read, None) => Err(not_found(path)),
            (OpenMode::Create, Some(file)) => {
                self.content(file).set_len(0);
                Ok(file)
            }
            (OpenMode::Create | OpenMode::Append | OpenMode::Update, None) => {
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

    pub(super) fn content(&mut self, file: FileId) -> &mut Content {
        self.files.get_mut(&file).expect("a file that is open or has a name has content")
    }

    pub(super) fn write(&mut self, file: FileId, bytes: &[u8], at: u64) -> io::Result<()> {
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

    pub(super) fn set_len(&mut self, file: FileId, len: u64) -> io::Result<()> {
        if self.full && len > self.content(file).len() {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        self.content(file).set_len(len);
        Ok(())
    }

    pub(super) fn sync(&mut self, file: FileId) -> io::Result<()> {
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.content(file).sync();
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.unsynced_names.retain(|change| change.dir != dir);
        Ok(())
    }

    /// Removes files without a name: after a crash, no process has them open.
    fn forget_nameless(&mut self) {
        let named: BTreeSet<FileId> = self.names.values().copied().collect();
        self.files.retain(|file, _| named.contains(file));
    }
}

pub(super) fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{}: no such file or directory", path.display()))
}
