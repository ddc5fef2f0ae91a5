//! openraft's types, as this crate uses them. None of them is public.
//!
//! A command travels as the bytes of its encoding, and a reply as `dyn Any`. So log, network and
//! membership know nothing of the machine; only [`state_machine`](super::state_machine) and
//! [`Replica`](crate::Replica) are generic over it.

use std::any::Any;
use std::fmt;

use api::{LogPosition, NodeId, Term};
use bytes::Bytes;
use openraft::{EmptyNode, EntryPayload, TokioRuntime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::checkpoint::CheckpointData;

openraft::declare_raft_types!(
    pub(crate) Types:
        D            = EncodedCommand,
        R            = AnyReply,
        NodeId       = NodeId,
        Node         = EmptyNode,
        Entry        = openraft::Entry<Types>,
        SnapshotData = CheckpointData,
        Responder    = openraft::impls::OneshotResponder<Types>,
        AsyncRuntime = TokioRuntime,
);

pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<NodeId>;
pub(crate) type Vote = openraft::Vote<NodeId>;
pub(crate) type Membership = openraft::StoredMembership<NodeId, EmptyNode>;
pub(crate) type CheckpointMeta = openraft::SnapshotMeta<NodeId, EmptyNode>;
pub(crate) type StorageError = openraft::StorageError<NodeId>;
pub(crate) type Fatal = openraft::error::Fatal<NodeId>;
pub(crate) type RaftDataMetrics = openraft::metrics::RaftDataMetrics<NodeId>;
pub(crate) type RaftServerMetrics = openraft::metrics::RaftServerMetrics<NodeId, EmptyNode>;

/// A machine's command, encoded with postcard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct EncodedCommand(pub(crate) Bytes);

/// The result of applying an entry: the machine's reply, or nothing for openraft's own entries.
pub(crate) struct AnyReply(pub(crate) Option<Box<dyn Any + Send + Sync>>);

impl fmt::Debug for AnyReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "AnyReply(reply)" } else { "AnyReply(none)" })
    }
}

// openraft requires serde for replies, because an application may forward them to another process.
// Here no reply leaves its process.
impl Serialize for AnyReply {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a reply does not leave its replica"))
    }
}

impl<'de> Deserialize<'de> for AnyReply {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("a reply does not leave its replica"))
    }
}

pub(crate) fn position(log_id: &LogId) -> LogPosition {
    LogPosition { term: Term(log_id.leader_id.term), index: log_id.index }
}

/// The length of an entry's command; openraft's own entries have none.
pub(crate) fn command_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(command) => command.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}
