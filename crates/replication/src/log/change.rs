//! What changes in a log.

use api::NodeId;
use serde::{Deserialize, Serialize};

use crate::engine::{Entry, LogId, Vote};

/// What the log holds besides the entries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Whose log it is; `None` in a fresh one.
    pub(crate) node_id: Option<NodeId>,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    /// The last entry that was removed because a checkpoint has it.
    pub(crate) purged: Option<LogId>,
    /// The last entry, or `purged` if there is none after it.
    pub(crate) last: Option<LogId>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Change {
    Own(NodeId),
    Vote(Vote),
    Append(Vec<Entry>),
    /// Removes the entries from this index on; `last` is left.
    Truncate {
        from: u64,
        last: Option<LogId>,
    },
    /// Removes the entries up to this one, inclusive.
    Purge(LogId),
    /// Nothing but the committed position.
    Nothing,
}

impl Head {
    pub(super) fn follow(&mut self, change: &Change) {
        match change {
            Change::Own(node_id) => self.node_id = Some(*node_id),
            Change::Vote(vote) => self.vote = Some(*vote),
            Change::Append(entries) => self.last = entries.last().map(|entry| entry.log_id).or(self.last),
            Change::Truncate { last, .. } => self.last = *last,
            Change::Purge(upto) => {
                self.purged = Some(*upto);
                self.last = self.last.max(Some(*upto));
            }
            Change::Nothing => {}
        }
    }
}

/// Changes that become durable together.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// Up to where the log is known to be committed: it saves work after a restart, and nothing depends on it.
    pub(crate) committed: Option<LogId>,
    pub(crate) changes: Vec<Change>,
}

impl Batch {
    /// Whether there are entries less than before.
    pub(super) fn removes(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Truncate { .. } | Change::Purge(_)))
    }

    /// The entries that it adds, and has not removed itself again.
    pub(super) fn entries(self) -> Vec<Entry> {
        let mut all: Vec<Entry> = Vec::new();
        for change in self.changes {
            match change {
                Change::Append(entries) => all.extend(entries),
                Change::Truncate { from, .. } => all.retain(|entry| entry.log_id.index < from),
                Change::Own(_) | Change::Vote(_) | Change::Purge(_) | Change::Nothing => {}
            }
        }
        all
    }
}
