//! Why a replica does not start, and why it does not commit a command.

use std::io::ErrorKind;
use std::path::PathBuf;

use api::NodeId;
use service::lifecycle::{ExitCode, ExitError};

use crate::machine::{COMMAND_BYTES_MAX, StateStoreError};

/// Why a replica could not start. None of these heals by itself: each tells an operator where to
/// look.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process uses the data directory.
    #[error("{} is in use by another process: one data directory per replica; is a COMPONENT_ID used twice?", .0.display())]
    Locked(PathBuf),
    /// The operating system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// The operation.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file does not hold what was written.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, and what is wrong.
        what: String,
    },
    /// The data directory belongs to another replica.
    #[error("{} belongs to replica {theirs}, not to {ours}: look at the component id and the data directory", path.display())]
    WrongIdentity {
        /// The identity file.
        path: PathBuf,
        /// This replica, as group and ordinal.
        ours: String,
        /// The replica that the directory belongs to.
        theirs: String,
    },
    /// The state's store failed.
    #[error(transparent)]
    Store(#[from] StateStoreError),
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// openraft did not start.
    #[error("the consensus engine did not start: {0}")]
    Engine(String),
}

impl StartError {
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }

    /// Adds text to the description of damage.
    pub(crate) fn with(self, more: &str) -> Self {
        match self {
            Self::Damaged { path, what } => Self::Damaged { path, what: format!("{what}. {more}") },
            Self::Store(StateStoreError::Damaged { path, what }) => {
                Self::Store(StateStoreError::Damaged { path, what: format!("{what}. {more}") })
            }
            other => other,
        }
    }

    pub(crate) fn damaged(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), what: what.into() }
    }
}

impl From<StartError> for ExitError {
    fn from(error: StartError) -> Self {
        let code = match &error {
            StartError::Config(_) | StartError::Locked(_) | StartError::WrongIdentity { .. } => ExitCode::Usage,
            // Another process has locked a file of the store.
            StartError::Store(StateStoreError::Io { source, .. }) if source.kind() == ErrorKind::ResourceBusy => {
                ExitCode::Usage
            }
            StartError::Io { .. } | StartError::Damaged { .. } | StartError::Store(_) => ExitCode::Io,
            StartError::Engine(_) => ExitCode::Software,
        };
        Self::new(code, error)
    }
}

/// Why a command was not committed, or leadership not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This replica does not lead, stopped leading while it waited, or (for
    /// [`confirm_leadership`](crate::Replica::confirm_leadership)) no majority confirmed that it
    /// leads. Almost always the command is in no log. But one that had been sent to a follower
    /// before leadership was lost may still commit under a later leader. So repeat it only if
    /// applying it twice does no harm.
    #[error("this replica does not lead its group")]
    NotLeader {
        /// The leader, as far as this replica knows.
        leader: Option<NodeId>,
    },
    /// The command's encoding is longer than [`COMMAND_BYTES_MAX`](crate::COMMAND_BYTES_MAX).
    /// Nothing was written.
    #[error("the command is {bytes} bytes long; the limit is {max}", max = COMMAND_BYTES_MAX)]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The replica is shutting down. The command may or may not commit, as with
    /// [`NotLeader`](Self::NotLeader).
    #[error("this replica is shutting down")]
    Stopped,
}
