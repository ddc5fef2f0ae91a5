//! Why the service does not start.

use api::{Address, NodeId, Ordinal};
use replication::StoreError;
use service::lifecycle::ExitCode;

/// Why an order replica could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be bound.
    #[error(transparent)]
    Port(#[from] std::io::Error),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] StoreError),
    /// The replica cannot run.
    #[error(transparent)]
    Replica(#[from] replication::StartError),
    /// Another process runs under the same component id.
    #[error(
        "replica {ordinal} runs already: {address} answers as replica {ordinal} with the id {theirs}, ours is {ours}; \
         COMPONENT_ID must differ between the replicas"
    )]
    Twin {
        /// The seat that both claim.
        ordinal: Ordinal,
        /// Where the other one answers.
        address: Address,
        /// Its id.
        theirs: NodeId,
        /// Ours.
        ours: NodeId,
    },
}

impl StartError {
    /// What the process exits with.
    pub fn exit_code(&self) -> ExitCode {
        use replication::StartError as Replica;
        match self {
            Self::Port(_) => ExitCode::Failure,
            Self::Twin { .. }
            | Self::Replica(Replica::Config(_) | Replica::Locked(_) | Replica::WrongIdentity { .. }) => ExitCode::Usage,
            Self::Ledger(error) | Self::Replica(Replica::Store(error)) => store_exit_code(error),
            Self::Replica(Replica::Io { .. } | Replica::Damaged { .. }) => ExitCode::Io,
            Self::Replica(Replica::Engine(_)) => ExitCode::Software,
        }
    }
}

fn store_exit_code(error: &StoreError) -> ExitCode {
    match error {
        StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::ResourceBusy => ExitCode::Usage,
        StoreError::Io { .. } | StoreError::Damaged { .. } => ExitCode::Io,
    }
}
