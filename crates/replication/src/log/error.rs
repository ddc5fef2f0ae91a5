//! Why the log could not be read or written.

use std::path::PathBuf;

use crate::error::StartError;

/// Why a file of the log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the log is closed")]
    Closed,
}

impl From<LogError> for StartError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io { path, source } => Self::Io { operation: "use", path, source },
            LogError::Damaged { path, what } => Self::Damaged { path, what },
            LogError::Closed => unreachable!("a log that is being opened is not closed"),
        }
    }
}
