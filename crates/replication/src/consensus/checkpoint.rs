//! A checkpoint as openraft passes it around: to be sent, or received and not yet installed.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use service::world::disk;

/// The state of a machine at one log position, as a stream in a format of its
/// [`StateStore`](crate::StateStore)'s choice.
pub(crate) enum CheckpointData {
    /// To be sent to a replica that is too far behind for the log.
    Export(Box<dyn Read + Send>),
    /// Received, and to be installed.
    Received(ReceivedFile),
}

impl fmt::Debug for CheckpointData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Export(_) => f.write_str("Export"),
            Self::Received(file) => write!(f, "Received({})", file.path().display()),
        }
    }
}

/// The suffix of received files. What a crash leaves of them is removed at the next start.
const SUFFIX: &str = ".received";

/// A received file, which is removed when this is dropped.
pub(crate) struct ReceivedFile(PathBuf);

impl ReceivedFile {
    /// Names the `number`-th file in `dir`; the caller creates it.
    pub(crate) fn new(dir: &Path, number: u64) -> Self {
        Self(dir.join(format!("state-{number}{SUFFIX}")))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Keeps the file until the next start, or until it is [removed](KeptFile::remove).
    pub(crate) fn keep(self) -> KeptFile {
        KeptFile(std::mem::ManuallyDrop::new(self))
    }

    /// Whether an earlier process has left a file behind: it was receiving or installing a state.
    pub(crate) fn exists_in(dir: &Path) -> std::io::Result<bool> {
        Ok(disk::read_dir(dir)?.iter().any(|path| path.as_os_str().to_string_lossy().ends_with(SUFFIX)))
    }

    /// Removes what an earlier process left behind.
    pub(crate) fn clean(dir: &Path) -> std::io::Result<()> {
        for path in disk::read_dir(dir)? {
            if path.as_os_str().to_string_lossy().ends_with(SUFFIX) {
                disk::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// A received file that stays if the process exits.
pub(crate) struct KeptFile(std::mem::ManuallyDrop<ReceivedFile>);

impl KeptFile {
    pub(crate) fn remove(self) {
        drop(std::mem::ManuallyDrop::into_inner(self.0));
    }
}

impl Drop for ReceivedFile {
    fn drop(&mut self) {
        if let Err(error) = disk::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.0.display(), "cannot remove a received state file; it is removed at the next start");
        }
    }
}
