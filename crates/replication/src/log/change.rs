//! Changes to a log.

use api::NodeId;
use serde::{Deserialize, Serialize};

use crate::consensus::types::{Entry, LogId, Vote};

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum LogChange {
    Owner(NodeId),
    Vote(Vote),
    Append(Vec<Entry>),
    /// Removes the entries from this index on; `last` is the last one that remains.
    Truncate {
        from: u64,
        last: Option<LogId>,
    },
    /// Removes the entries up to this one, inclusive.
    Purge(LogId),
    /// Nothing but the committed position.
    Nothing,
}

/// Changes that become durable together.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LogBatch {
    /// How far the log is known to be committed. It saves work after a restart; nothing depends on
    /// it.
    pub(crate) committed: Option<LogId>,
    pub(crate) changes: Vec<LogChange>,
}

impl LogBatch {
    /// Whether it removes entries.
    pub(super) fn removes(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, LogChange::Truncate { .. } | LogChange::Purge(_)))
    }

    /// The entries that it adds and does not remove again itself.
    pub(super) fn entries(self) -> Vec<Entry> {
        let mut all: Vec<Entry> = Vec::new();
        for change in self.changes {
            match change {
                LogChange::Append(entries) => all.extend(entries),
                LogChange::Truncate { from, .. } => all.retain(|entry| entry.log_id.index < from),
                LogChange::Owner(_) | LogChange::Vote(_) | LogChange::Purge(_) | LogChange::Nothing => {}
            }
        }
        all
    }
}
