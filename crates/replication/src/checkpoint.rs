//! A checkpoint as the engine passes it around: on its way out, or received and not yet installed.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use service::world::disk;

/// The state of a machine at one position, as a stream of the [`StateStore`](crate::StateStore)'s own making.
pub(crate) enum Checkpoint {
    /// To be sent to a replica that is far behind.
    Export(Box<dyn Read + Send>),
    /// Received, to be installed.
    Received(ReceivedFile),
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Export(_) => f.write_str("Export"),
            Self::Received(file) => write!(f, "Received({})", file.path().display()),
        }
    }
}

/// Received files are named so; what a crash left of them is removed at the next start.
const SUFFIX: &str = ".received";

/// A file that is removed when it is dropped.
pub(crate) struct ReceivedFile(PathBuf);

impl ReceivedFile {
    /// The name of the `number`-th file in `dir`. The file is the caller's to make.
    pub(crate) fn new(dir: &Path, number: u64) -> Self {
        Self(dir.join(format!("state-{number}{SUFFIX}")))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
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

impl Drop for ReceivedFile {
    fn drop(&mut self) {
        if let Err(error) = disk::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.0.display(), "a received file stays behind until the next start");
        }
    }
}
