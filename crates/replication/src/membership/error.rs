//! Why a change of membership was not made.

use std::collections::BTreeSet;

use api::{ApiError, ErrorCode, LogPosition, NodeId};

/// Why a replica has no vote yet. It asks again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error("this replica does not lead its group")]
    NotLeader { leader: Option<NodeId> },
    #[error("another change of membership is in progress")]
    Busy,
    #[error("replica {owner}, which has the same ordinal, is alive")]
    OrdinalTaken { owner: NodeId },
    #[error("the joining replica {0} does not answer at its address")]
    Absent(NodeId),
    #[error("the joining replica has the log up to {matched:?} so far")]
    Behind { matched: Option<LogPosition> },
    #[error(
        "the replicas {ordinals:?} came back without the log that they had acknowledged, and they were a majority of the voters: the group \
         stops rather than lose what it has acknowledged. Put back the newest copies of their directories (docs/operations.md)"
    )]
    MajorityLost { ordinals: BTreeSet<u8> },
    #[error("of the {voters} voters that there would be, only {alive} answer, or the joining replica does not")]
    NoLivingMajority { alive: usize, voters: usize },
    #[error("the membership did not change: {0}")]
    Engine(String),
}

/// Why a replica was not removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoveError {
    #[error("this replica does not lead its group")]
    NotLeader { leader: Option<NodeId> },
    #[error("the only voter cannot be removed")]
    LastVoter,
    #[error("of the {remaining} voters that would remain only {alive} answer: they could not go on without the others")]
    NoLivingMajority { alive: usize, remaining: usize },
    #[error(transparent)]
    Change(#[from] JoinError),
}

impl From<RemoveError> for ApiError {
    fn from(error: RemoveError) -> Self {
        let code = match &error {
            RemoveError::NotLeader { leader } | RemoveError::Change(JoinError::NotLeader { leader }) => {
                return Self::not_leader(leader.map(NodeId::ordinal));
            }
            RemoveError::LastVoter => ErrorCode::BadRequest,
            RemoveError::NoLivingMajority { .. } | RemoveError::Change(_) => ErrorCode::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}
