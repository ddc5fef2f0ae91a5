//! What a log holds besides its entries.

use api::NodeId;
use serde::{Deserialize, Serialize};

use super::change::LogChange;
use crate::consensus::types::{LogId, Vote};

/// What a log holds besides its entries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LogMetadata {
    /// The replica that owns the log; `None` in a new one.
    pub(crate) node_id: Option<NodeId>,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    /// The last entry that was removed because a checkpoint contains it.
    pub(crate) purged: Option<LogId>,
    /// The last entry, or `purged` if no entry comes after it.
    pub(crate) last: Option<LogId>,
}

impl LogMetadata {
    /// Applies one change.
    pub(super) fn follow(&mut self, change: &LogChange) {
        match change {
            LogChange::Owner(node_id) => self.node_id = Some(*node_id),
            LogChange::Vote(vote) => self.vote = Some(*vote),
            LogChange::Append(entries) => self.last = entries.last().map(|entry| entry.log_id).or(self.last),
            LogChange::Truncate { last, .. } => self.last = *last,
            LogChange::Purge(upto) => {
                self.purged = Some(*upto);
                self.last = self.last.max(Some(*upto));
            }
            LogChange::Nothing => {}
        }
    }
}

/// A log id as error messages show it.
pub(crate) fn describe_log_id(entry: Option<LogId>) -> String {
    entry.map_or_else(
        || "the beginning".to_owned(),
        |LogId { leader_id, index }| format!("entry {index} of term {}", leader_id.term),
    )
}
