//! Why a replica does not start, and why it does not take a command.

use std::path::PathBuf;

use api::NodeId;

use crate::StoreError;

/// Why a replica could not start. None of them heals by itself: each tells a person what to look at.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process uses the data directory.
    #[error("{} is in use by another process: one data directory per replica; is a COMPONENT_ID used twice?", .0.display())]
    Locked(PathBuf),
    /// The operating system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// What lies on the disk is not what was written.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where in it, and what is wrong.
        what: String,
    },
    /// The data directory belongs to another replica.
    #[error("{} belongs to replica {theirs}, not to {ours}: look at the component id and the data directory", path.display())]
    WrongIdentity {
        /// The identity file.
        path: PathBuf,
        /// Who we are, as group and seat.
        ours: String,
        /// Whose directory it is.
        theirs: String,
    },
    /// The state's store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// The engine did not start.
    #[error("the consensus engine did not start: {0}")]
    Engine(String),
}

impl StartError {
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }

    pub(crate) fn damaged(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), what: what.into() }
    }
}

/// Why a command was not committed, or leadership not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This replica does not lead, stopped leading while it waited, or (for [`confirm`](crate::Replica::confirm)) no
    /// majority would say that it leads. Almost always the command is in no log; but one that had been sent to some
    /// follower before leadership was lost may still commit under a later leader. So repeat it only if applying it
    /// twice does no harm.
    #[error("this replica does not lead its group")]
    NotLeader {
        /// Who does, as far as this replica knows.
        leader: Option<NodeId>,
    },
    /// The command's encoding is longer than [`COMMAND_BYTES_MAX`](crate::COMMAND_BYTES_MAX); nothing was written.
    #[error("the command is {bytes} bytes long, {max} are the most", max = crate::COMMAND_BYTES_MAX)]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The replica is shutting down. The command's fate is as with [`NotLeader`](Self::NotLeader).
    #[error("this replica is shutting down")]
    Stopped,
}
