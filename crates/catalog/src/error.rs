//! Why a catalog does not start, and with what code its process ends.

use service::lifecycle::ExitCode;

use crate::seed::SeedError;

/// Why a catalog could not start; each tells a person what to look at.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be had.
    #[error("{0}")]
    Bind(std::io::Error),
    /// The seed file, which another replica made meanwhile, cannot be read.
    #[error("{0}")]
    Seed(#[from] SeedError),
    /// The replica did not start.
    #[error(transparent)]
    Replica(#[from] replication::StartError),
}

impl StartError {
    /// What the process should exit with.
    pub fn exit_code(&self) -> ExitCode {
        use replication::StartError as Replica;
        match self {
            Self::Bind(_) => ExitCode::Failure,
            Self::Seed(_) | Self::Replica(Replica::Config(_) | Replica::Locked(_) | Replica::WrongIdentity { .. }) => {
                ExitCode::Usage
            }
            Self::Replica(Replica::Io { .. } | Replica::Damaged { .. } | Replica::Store(_)) => ExitCode::Io,
            Self::Replica(Replica::Engine(_)) => ExitCode::Software,
        }
    }
}
