//! What all changes of membership share.

use std::collections::BTreeSet;
use std::time::Duration;

use api::NodeId;
use openraft::error::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, EmptyNode};

use super::error::JoinError;
use crate::consensus::types::Membership;
use crate::core::Core;

/// How long one request waits for a majority. By then its entry is in the log and may commit at any
/// later time.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(3);

impl Core {
    pub(super) async fn change_membership(&self, change: ChangeMembers<NodeId, EmptyNode>) -> Result<(), JoinError> {
        match tokio::time::timeout(COMMIT_TIMEOUT, self.raft.change_membership(change, false)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Err(JoinError::NotLeader { leader: forward.leader_id })
            }
            Ok(Err(error)) => Err(JoinError::Engine(error.to_string())),
            Err(_) => Err(JoinError::Engine("no majority has agreed yet".to_owned())),
        }
    }

    /// Whether the replica answers under this id at its address.
    pub(super) async fn is_alive(&self, id: NodeId) -> bool {
        id == self.node_id || self.peers.status(id.ordinal()).await.is_ok_and(|peer| peer.status.node_id == id)
    }

    /// How many of these voters answer, this replica included.
    pub(super) async fn count_alive(&self, voters: &BTreeSet<NodeId>) -> usize {
        let asked = voters.iter().map(async |id| self.is_alive(*id).await);
        futures::future::join_all(asked).await.into_iter().filter(|alive| *alive).count()
    }
}

/// Whether `node` has a vote, and no change is in progress.
pub(crate) fn has_vote(membership: &Membership, node: NodeId) -> bool {
    let configs = membership.membership().get_joint_config();
    matches!(configs.as_slice(), [voters] if voters.contains(&node))
}

/// Whether a change of membership is in progress: two sets of voters are needed.
pub(super) fn is_joint(membership: &Membership) -> bool {
    membership.membership().get_joint_config().len() > 1
}
