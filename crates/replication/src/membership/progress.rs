//! What replicas know of each other's disks.
//!
//! An answer that a replica gave is a promise: an entry that it acknowledged is on its disk, and so
//! is the vote by which it did. The replica that got the answer remembers that
//! ([`ReplicaProgress`]), and all replicas together are a memory that no single disk can lose:
//!
//! * a **leader** remembers what each follower acknowledged, and in which term,
//! * a **follower** remembers how far its leader had committed, since that was on the leader's own
//!   disk,
//! * **voter and candidate** remember each other's term.
//!
//! Followers fetch their leader's table every second and keep it, so it outlives a leader. Each
//! replica saves its own table beside the log, so it outlives a stop of the whole group.
//!
//! # What is proof
//! The log of a disk that never went back in time shows all of this ([`lost`]):
//!
//! * a vote in no lower term than the one that is known;
//! * every entry that it acknowledged and that is *committed*: no leader ever truncates such an
//!   entry;
//! * every entry that it acknowledged in a term, unless it has voted in a later one: only the
//!   leader of a later term may have truncated it.
//!
//! Late, repeated and reordered messages change nothing about it. What is remembered only grows,
//! and is compared with a log that was read after the table was.
//!
//! What follows from a loss is in [`rollback`](super::rollback).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{LogPosition, NodeId};
use serde::{Deserialize, Serialize};
use service::mutation::{self, Mutation};
use service::world::disk;

use crate::codec;
use crate::consensus::types::{LogId, position};
use crate::file_store::replace_file;
use crate::log::{LogMetadata, LogStore};
use crate::machine::StateStoreError;

/// The table's file in the data directory.
pub(crate) const FILE_NAME: &str = "progress";
/// Bound on the replicas that are remembered: more than a group has, including former ids. Those
/// with the lowest terms are forgotten first.
const REMEMBERED_MAX: usize = 64;
/// What is known to be on one replica's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplicaProgress {
    pub(crate) node_id: NodeId,
    /// The highest term in which it has voted, for itself or another, or has followed a leader.
    pub(crate) term: u64,
    /// The term in which it acknowledged `acknowledged`.
    pub(crate) acknowledged_in: u64,
    /// The last entry that it acknowledged in that term.
    pub(crate) acknowledged: Option<LogId>,
    /// The last entry that it has acknowledged and that is known to be committed.
    pub(crate) committed: Option<LogId>,
}

impl ReplicaProgress {
    /// It has voted in `term`; nothing else is known.
    pub(crate) fn voted(node_id: NodeId, term: u64) -> Self {
        Self { node_id, term, acknowledged_in: 0, acknowledged: None, committed: None }
    }

    /// `last` is on its disk: it has told the leader of `term` so, or it is that leader.
    pub(crate) fn acknowledged(node_id: NodeId, term: u64, last: Option<LogId>, committed: Option<LogId>) -> Self {
        Self { node_id, term, acknowledged_in: term, acknowledged: last, committed: committed.min(last) }
    }

    fn merge(&mut self, other: &Self) -> bool {
        let before = *self;
        self.term = self.term.max(other.term);
        self.committed = self.committed.max(other.committed);
        (self.acknowledged_in, self.acknowledged) =
            (self.acknowledged_in, self.acknowledged).max((other.acknowledged_in, other.acknowledged));
        *self != before
    }

    /// Whether an entry in the log of the leader of `term` is certainly on its disk.
    fn covers(&self, entry: LogId, term: u64) -> bool {
        self.committed >= Some(entry) || (self.acknowledged_in == term && self.acknowledged >= Some(entry))
    }
}

/// What a disk had and no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LostData {
    Vote { known: u64, found: u64 },
    Entries { known: LogPosition, found: Option<LogPosition> },
}

impl fmt::Display for LostData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vote { known, found } => {
                write!(f, "it had voted in term {known}, and its log knows of no term after {found}")
            }
            Self::Entries { known, found: Some(found) } => {
                write!(f, "it had acknowledged entry {known}, and its log ends at {found}")
            }
            Self::Entries { known, found: None } => {
                write!(f, "it had acknowledged entry {known}, and its log is empty")
            }
        }
    }
}

/// The entry that a log with a vote in `term` must have.
fn required_entry(known: &ReplicaProgress, term: u64) -> Option<LogId> {
    known.acknowledged.filter(|_| term <= known.acknowledged_in).max(known.committed)
}

/// What a log with this metadata has lost of what is known of it.
fn lost(known: &ReplicaProgress, metadata: &LogMetadata, applied: Option<LogId>) -> Option<LostData> {
    let term = vote_term(metadata);
    if term < known.term {
        return Some(LostData::Vote { known: known.term, found: term });
    }
    let last = metadata.last.max(applied);
    let is_there = |entry: &LogId| last >= Some(*entry) && last.is_some_and(|last| last.index >= entry.index);
    let gone = required_entry(known, term).filter(|entry| !is_there(entry));
    gone.map(|entry| LostData::Entries { known: position(&entry), found: last.as_ref().map(position) })
}

/// As [`lost`], but also checks that the entry at that index is the one that was acknowledged: an
/// old copy may end in entries that were replaced later.
pub(super) async fn lost_in(log: &LogStore, known: &ReplicaProgress, applied: Option<LogId>) -> Option<LostData> {
    if mutation::active(Mutation::TrustOldDisk) {
        return None;
    }
    let metadata = log.metadata();
    let entry = match lost(known, &metadata, applied) {
        Some(lost) => return Some(lost),
        None => required_entry(known, vote_term(&metadata)).filter(|entry| applied < Some(*entry))?,
    };
    let found = log.log_id_at(entry.index).await?;
    // A leader of a later term may have truncated it meanwhile.
    let still_required = required_entry(known, vote_term(&log.metadata())) == Some(entry);
    (still_required && found != entry)
        .then(|| LostData::Entries { known: position(&entry), found: Some(position(&found)) })
}

fn vote_term(metadata: &LogMetadata) -> u64 {
    metadata.vote.map_or(0, |vote| vote.leader_id.term)
}

/// What one replica remembers of all replicas. Clones share the same table.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProgressTable(Arc<Mutex<BTreeMap<NodeId, ReplicaProgress>>>);

impl ProgressTable {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, ReplicaProgress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if that was new.
    pub(crate) fn learn(&self, progress: &ReplicaProgress) -> bool {
        let mut all = self.lock();
        let is_new = match all.entry(progress.node_id) {
            Entry::Vacant(free) => {
                free.insert(*progress);
                true
            }
            Entry::Occupied(mut known) => known.get_mut().merge(progress),
        };
        while all.len() > REMEMBERED_MAX {
            let oldest = all.values().min_by_key(|known| known.term).map(|known| known.node_id);
            oldest.and_then(|oldest| all.remove(&oldest));
        }
        is_new
    }

    pub(crate) fn of(&self, node_id: NodeId) -> Option<ReplicaProgress> {
        self.lock().get(&node_id).copied()
    }

    pub(crate) fn all(&self) -> Vec<ReplicaProgress> {
        self.lock().values().copied().collect()
    }

    /// Whether `node_id` is known to have that entry in the log of the leader of `term`.
    pub(crate) fn has(&self, node_id: NodeId, entry: Option<LogId>, term: u64) -> bool {
        entry.is_some_and(|entry| self.of(node_id).is_some_and(|known| known.covers(entry, term)))
    }

    /// Loads what was saved. A file that cannot be read counts as empty: the other replicas have
    /// theirs.
    pub(crate) fn load(dir: &Path) -> Self {
        let table = Self::default();
        let path = dir.join(FILE_NAME);
        let known = match disk::read(&path) {
            Ok(bytes) => codec::decode::<Vec<ReplicaProgress>>(&bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return table,
            Err(error) => Err(error.to_string()),
        };
        match known {
            Ok(known) => known.iter().for_each(|progress| _ = table.learn(progress)),
            Err(error) => {
                tracing::warn!(path = %path.display(), error, "cannot read what was known of the other replicas; the table starts empty");
            }
        }
        table
    }

    pub(super) fn save(&self, dir: &Path) -> Result<(), StateStoreError> {
        let bytes = codec::encode(&self.all()).expect("the table can be encoded: it is plain data");
        replace_file(&dir.join(FILE_NAME), &bytes)
    }
}

#[cfg(test)]
mod tests {
    use api::Ordinal;
    use openraft::CommittedLeaderId;

    use super::*;
    use crate::consensus::types::Vote;

    fn node() -> NodeId {
        NodeId::new(Ordinal(2), 7)
    }

    fn entry(term: u64, index: u64) -> LogId {
        LogId { leader_id: CommittedLeaderId::new(term, node()), index }
    }

    fn metadata(vote: u64, last: Option<LogId>) -> LogMetadata {
        LogMetadata { vote: Some(Vote::new(vote, node())), last, ..LogMetadata::default() }
    }

    #[test]
    fn a_log_lacks_nothing_that_it_had_acknowledged() {
        let known = ReplicaProgress::acknowledged(node(), 3, Some(entry(3, 120)), Some(entry(3, 100)));
        // Vote and end of the log; whether it has gone back in time.
        let table = [
            ("all is there", 3, Some(entry(3, 120)), false),
            ("more is there", 3, Some(entry(3, 121)), false),
            ("it lacks one entry", 3, Some(entry(3, 119)), true),
            ("a later leader truncated what was not committed", 4, Some(entry(3, 100)), false),
            ("and wrote its own", 4, Some(entry(4, 101)), false),
            ("what was committed is gone", 4, Some(entry(3, 99)), true),
            ("an old end of an earlier term", 3, Some(entry(2, 500)), true),
            ("an end of a later term that is too short", 5, Some(entry(4, 80)), true),
            ("its vote is gone", 2, Some(entry(3, 120)), true),
            ("it is empty", 4, None, true),
        ];
        for (case, vote, last, went_back) in table {
            assert_eq!(lost(&known, &metadata(vote, last), None).is_some(), went_back, "{case}");
        }
        assert_eq!(lost(&known, &metadata(3, Some(entry(3, 90))), Some(entry(3, 120))), None, "its state has it");
    }

    #[test]
    fn what_is_remembered_only_grows() {
        let table = ProgressTable::default();
        assert!(table.learn(&ReplicaProgress::acknowledged(node(), 3, Some(entry(3, 120)), Some(entry(3, 100)))));
        // An answer that comes late, and one that only repeats.
        assert!(!table.learn(&ReplicaProgress::acknowledged(node(), 3, Some(entry(3, 90)), Some(entry(3, 90)))));
        assert!(!table.learn(&ReplicaProgress::voted(node(), 3)));
        assert!(table.has(node(), Some(entry(3, 120)), 3));
        assert!(!table.has(node(), Some(entry(3, 120)), 4), "it may have been truncated for another leader");
        assert!(table.has(node(), Some(entry(3, 100)), 4), "it was committed");
        // The leader of a later term, whose log is shorter.
        assert!(table.learn(&ReplicaProgress::acknowledged(node(), 4, Some(entry(3, 110)), None)));
        assert!(!table.has(node(), Some(entry(3, 120)), 4));
        assert!(table.has(node(), Some(entry(3, 110)), 4));
    }

    #[test]
    fn it_is_bounded_and_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let table = ProgressTable::default();
        for incarnation in 0..100 {
            table.learn(&ReplicaProgress::voted(NodeId::new(Ordinal(1), incarnation), incarnation));
        }
        assert_eq!(table.all().len(), REMEMBERED_MAX);
        table.save(dir.path()).unwrap();
        assert_eq!(ProgressTable::load(dir.path()).all(), table.all());
        assert!(table.of(NodeId::new(Ordinal(1), 99)).is_some());
        std::fs::write(dir.path().join(FILE_NAME), b"what").unwrap();
        assert_eq!(ProgressTable::load(dir.path()).all(), []);
    }
}
