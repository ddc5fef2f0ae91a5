//! The consensus engine's types, as this crate uses them. Nothing of it is public.
//!
//! A command travels as the bytes of its encoding, and a reply as `dyn Any`. So log, transport and membership know
//! nothing of the machine; only [`machine_store`](crate::machine_store) and [`Replica`](crate::Replica) are generic
//! over it.

use std::any::Any;
use std::fmt;

use api::{LogPosition, NodeId, Term};
use bytes::Bytes;
use openraft::{EmptyNode, EntryPayload, TokioRuntime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::checkpoint::Checkpoint;

openraft::declare_raft_types!(
    pub(crate) Types:
        D            = Command,
        R            = Outcome,
        NodeId       = NodeId,
        Node         = EmptyNode,
        Entry        = openraft::Entry<Types>,
        SnapshotData = Checkpoint,
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
pub(crate) type ServerMetrics = openraft::metrics::RaftServerMetrics<NodeId, EmptyNode>;

/// A machine's command, encoded with postcard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Command(pub(crate) Bytes);

/// What applying an entry gave: the machine's reply, or nothing for the engine's own entries.
pub(crate) struct Outcome(pub(crate) Option<Box<dyn Any + Send + Sync>>);

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Outcome(reply)" } else { "Outcome(none)" })
    }
}

// The engine asks for serde on replies, for those who forward them between processes. Here none leaves its process.
impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a reply does not leave its replica"))
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("a reply does not leave its replica"))
    }
}

pub(crate) fn position(log_id: &LogId) -> LogPosition {
    LogPosition { term: Term(log_id.leader_id.term), index: log_id.index }
}

/// How long the command of an entry is; the engine's own entries have none.
pub(crate) fn command_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(command) => command.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}
