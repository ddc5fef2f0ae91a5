//! Paths, headers and wire types between replicas. Every body is encoded by the
//! [`codec`](crate::codec).
//!
//! | call | body → answer |
//! |---|---|
//! | `POST /replication/append` | entries or a heartbeat → success, conflict, or a higher vote |
//! | `POST /replication/vote` | a candidate's vote → granted or not |
//! | `POST /replication/state` | a [state transfer](super::state_transfer) → this replica's vote, once the state is installed |
//! | `POST /replication/join` | a node id → nothing, once it has a vote. Leader only, else 421; 409 if another replica with its ordinal is alive |
//! | `POST /replication/stand` | nothing → nothing, once this replica has started to stand for election |
//! | `GET /replication/status` | [`PeerStatus`] |
//! | `GET /replication/progress` | [`ReplicaProgress`](crate::membership::progress::ReplicaProgress) of each replica that this one knows |

use api::NodeId;
use api::replica::ReplicaStatus;
use serde::{Deserialize, Serialize};

pub(crate) const APPEND_PATH: &str = "/replication/append";
pub(crate) const VOTE_PATH: &str = "/replication/vote";
pub(crate) const STATE_PATH: &str = "/replication/state";
pub(crate) const JOIN_PATH: &str = "/replication/join";
pub(crate) const STAND_PATH: &str = "/replication/stand";
pub(crate) const STATUS_PATH: &str = "/replication/status";
pub(crate) const PROGRESS_PATH: &str = "/replication/progress";

/// The group that a request is meant for.
pub(crate) const GROUP_HEADER: &str = "x-replication-group";
/// The node that a request is meant for, if only one may answer it.
pub(crate) const TARGET_HEADER: &str = "x-replication-target";

/// What a replica tells its peers about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerStatus {
    pub(crate) status: ReplicaStatus,
    /// It had a log and lost it: it may join a group, but not bootstrap one.
    pub(crate) lost_a_log: bool,
    /// The members without a vote. At a leader: those that are joining.
    pub(crate) learners: Vec<NodeId>,
    /// It is receiving or installing a state.
    pub(crate) receiving: bool,
}
