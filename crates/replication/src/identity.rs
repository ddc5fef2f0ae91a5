//! Who this replica is, and how it notices that its log is not the one that it had.
//!
//! The identity lies in `identity.json`, beside the log and outside of it; the log notes whose it is. If the two
//! disagree, the log was lost: then everything that this replica had acknowledged is gone from this disk, and it must
//! never vote under its old id again, for others count on what that id promised. It takes a fresh id and rejoins like a
//! newcomer.

use std::io;
use std::path::Path;

use api::{NodeId, Ordinal};
use serde::{Deserialize, Serialize};
use service::world::{self, disk};

use crate::StartError;
use crate::file_store::replace_file;

pub(crate) const FILE_NAME: &str = "identity.json";

/// What `identity.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) group: String,
    pub(crate) ordinal: Ordinal,
    pub(crate) node_id: NodeId,
    /// An earlier log of this seat was lost, or its earlier id removed. Such a replica may join a group but never take part in founding one: the
    /// history that it had belonged to must not be begun anew.
    #[serde(default)]
    pub(crate) lost_a_log: bool,
}

impl Identity {
    /// The identity for a log that says it belongs to `log_owner` (`None`: a fresh log). If it differs from the log's
    /// owner, the caller notes it in the log, and only then [saves](Self::save) it: a crash in between is noticed as a
    /// lost log again.
    pub(crate) fn establish(
        dir: &Path,
        group: &str,
        ordinal: Ordinal,
        log_owner: Option<NodeId>,
    ) -> Result<Self, StartError> {
        let fresh = |lost_a_log| Self { group: group.to_owned(), ordinal, node_id: mint(ordinal), lost_a_log };
        match (Self::load(dir)?, log_owner) {
            (None, None) => Ok(fresh(false)),
            // The file alone was lost, or never written: the log has all that was promised.
            (None, Some(owner)) if owner.ordinal() == ordinal => Ok(Self { node_id: owner, ..fresh(false) }),
            (None, Some(owner)) => Err(wrong(dir, group, ordinal, &format!("{group}-{}", owner.ordinal()))),
            (Some(known), _) if known.group != group || known.ordinal != ordinal => {
                Err(wrong(dir, group, ordinal, &format!("{}-{}", known.group, known.ordinal)))
            }
            (Some(known), Some(owner)) if known.node_id == owner => Ok(known),
            (Some(known), _) => {
                let identity = fresh(true);
                tracing::warn!(
                    old_id = %known.node_id, new_id = %identity.node_id,
                    "the log of this replica was lost: it rejoins its group under a new id"
                );
                Ok(identity)
            }
        }
    }

    /// The same seat under a fresh id, for a replica whose old id the group has removed.
    pub(crate) fn renewed(&self) -> Self {
        let renewed = Self { node_id: mint(self.ordinal), lost_a_log: true, ..self.clone() };
        tracing::warn!(
            old_id = %self.node_id, new_id = %renewed.node_id,
            "the seat of this replica was removed while it was away: it rejoins its group under a new id"
        );
        renewed
    }

    fn load(dir: &Path) -> Result<Option<Self>, StartError> {
        let path = dir.join(FILE_NAME);
        match disk::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| StartError::damaged(path, format!("it is not an identity: {error}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StartError::io("read", path)(error)),
        }
    }

    /// Durable when it returns.
    pub(crate) fn save(&self, dir: &Path) -> Result<(), StartError> {
        if Self::load(dir)?.as_ref() == Some(self) {
            return Ok(());
        }
        let mut text = serde_json::to_vec_pretty(self).expect("an identity can be encoded: it is plain data");
        text.push(b'\n');
        Ok(replace_file(&dir.join(FILE_NAME), &text)?)
    }
}

fn mint(ordinal: Ordinal) -> NodeId {
    // 39 random bits: that a seat draws one of its old ids again has odds of one to 2^39 per wiped disk. 0 is the
    // engine's "nobody".
    NodeId::new(ordinal, world::random() | 1)
}

fn wrong(dir: &Path, group: &str, ordinal: Ordinal, theirs: &str) -> StartError {
    StartError::WrongIdentity {
        path: dir.join(FILE_NAME),
        ours: format!("{group}-{ordinal}"),
        theirs: theirs.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn establish(dir: &Path, log_owner: Option<NodeId>) -> Result<Identity, StartError> {
        Identity::establish(dir, "order", Ordinal(2), log_owner)
    }

    #[test]
    fn it_stays_the_same_while_log_and_file_agree() {
        let dir = tempfile::tempdir().unwrap();
        let first = establish(dir.path(), None).unwrap();
        assert_eq!((first.node_id.ordinal(), first.lost_a_log), (Ordinal(2), false));
        first.save(dir.path()).unwrap();
        assert_eq!(establish(dir.path(), Some(first.node_id)).unwrap(), first);
    }

    #[test]
    fn a_lost_log_costs_the_id() {
        let dir = tempfile::tempdir().unwrap();
        let first = establish(dir.path(), None).unwrap();
        first.save(dir.path()).unwrap();
        let foreign = NodeId::new(Ordinal(2), 77);
        for log_owner in [None, Some(foreign)] {
            let second = establish(dir.path(), log_owner).unwrap();
            assert!(second.lost_a_log && second.node_id != first.node_id && second.node_id != foreign);
        }
    }

    #[test]
    fn a_lost_file_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let owner = NodeId::new(Ordinal(2), 77);
        assert_eq!(establish(dir.path(), Some(owner)).unwrap().node_id, owner);
    }

    #[test]
    fn the_directory_of_another_replica_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = establish(dir.path(), None).unwrap();
        first.save(dir.path()).unwrap();
        for (group, ordinal) in [("catalog", Ordinal(2)), ("order", Ordinal(1))] {
            let refused = Identity::establish(dir.path(), group, ordinal, Some(first.node_id));
            assert!(matches!(refused, Err(StartError::WrongIdentity { .. })), "{refused:?}");
        }
        let log_only = tempfile::tempdir().unwrap();
        let refused = establish(log_only.path(), Some(NodeId::new(Ordinal(3), 1)));
        assert!(matches!(refused, Err(StartError::WrongIdentity { .. })), "{refused:?}");
    }
}
