//! Who this replica is, and how it notices that its log is not the one that it had.
//!
//! The identity is stored in `identity.json`, beside the log and outside of it, and the log records
//! its owner. If the two disagree, the log was lost. Then everything that this replica had
//! acknowledged is gone from this disk, and it must never vote under its old id again, since others
//! count on what that id had promised. It takes a new id and joins as a new member.

use std::io;
use std::path::Path;

use api::{NodeId, Ordinal};
use serde::{Deserialize, Serialize};
use service::world::{self, disk};

use super::progress::LostData;
use crate::error::StartError;
use crate::file_store::replace_file;

pub(crate) const FILE_NAME: &str = "identity.json";

/// The content of `identity.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) group: String,
    pub(crate) ordinal: Ordinal,
    pub(crate) node_id: NodeId,
    /// An earlier log of this replica was lost, or its earlier id was removed. It may join a group
    /// but not bootstrap one, since the history that it belonged to must not be started again.
    #[serde(default)]
    pub(crate) lost_a_log: bool,
    /// The log has its [high-water record](crate::log::high_water). False if an earlier release
    /// wrote this.
    #[serde(default)]
    pub(crate) has_high_water: bool,
    /// The state's store may be ahead of the log: it lay beside a log that was lost, or a state was
    /// being installed. This ends with the first start that finds the state in the log.
    #[serde(default)]
    pub(crate) state_may_be_ahead: Option<bool>,
}

/// What a replica finds in its data directory besides the identity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirectoryContents {
    /// The log's owner, as the log says; `None` for a new log.
    pub(crate) log_owner: Option<NodeId>,
    /// The log has entries, or had some.
    pub(crate) log_has_entries: bool,
    /// There is a checkpoint, or a state beyond the log.
    pub(crate) has_state: bool,
}

impl Identity {
    /// Whether `known` and what was found do not belong together because the log was lost or is a
    /// new one.
    pub(crate) fn has_no_log(known: Option<&Self>, found: DirectoryContents) -> bool {
        match (known, found.log_owner) {
            (Some(known), owner) => owner != Some(known.node_id),
            (None, Some(_)) => !found.log_has_entries,
            (None, None) => true,
        }
    }

    /// The identity for what was found, where `known` is the content of the file. If the log's
    /// owner is another, the caller records the new one in the log first, and then
    /// [saves](Self::save) the identity: a crash in between looks like a lost log again.
    pub(crate) fn establish(
        known: Option<Self>,
        dir: &Path,
        group: &str,
        ordinal: Ordinal,
        found: DirectoryContents,
    ) -> Result<Self, StartError> {
        let fresh = |lost_a_log| Self {
            group: group.to_owned(),
            ordinal,
            node_id: new_node_id(ordinal),
            lost_a_log,
            has_high_water: true,
            state_may_be_ahead: Some(false),
        };
        let lost = Self::has_no_log(known.as_ref(), found) && found.has_state;
        match (known, found.log_owner) {
            (Some(known), _) if known.group != group || known.ordinal != ordinal => {
                Err(wrong_identity(dir, group, ordinal, &format!("{}-{}", known.group, known.ordinal)))
            }
            (None, Some(owner)) if owner.ordinal() != ordinal => {
                Err(wrong_identity(dir, group, ordinal, &format!("{group}-{}", owner.ordinal())))
            }
            (Some(known), Some(owner)) if owner.ordinal() != known.ordinal => {
                let what = format!(
                    "it says that this is {}, but the log beside it belongs to {group}-{}: files of two replicas are mixed",
                    known.node_id,
                    owner.ordinal()
                );
                Err(StartError::damaged(dir.join(FILE_NAME), what))
            }
            (Some(known), Some(owner)) if known.node_id == owner => Ok(known),
            (Some(known), _) => {
                let identity = fresh(true);
                tracing::warn!(
                    old_id = %known.node_id, new_id = %identity.node_id,
                    "this replica has lost its log or given up its id; it rejoins its group under a new id"
                );
                Ok(identity)
            }
            // Only the file was lost, or never written: the log has everything that was promised.
            (None, Some(owner)) => {
                tracing::info!(id = %owner, "there is no {FILE_NAME}; it is created again from the log");
                Ok(Self { node_id: owner, ..fresh(lost) })
            }
            (None, None) if lost => {
                let identity = fresh(true);
                tracing::warn!(
                    new_id = %identity.node_id,
                    "there is a state but no log: the log was lost, and this replica rejoins its group under a new id"
                );
                Ok(identity)
            }
            (None, None) => Ok(fresh(false)),
        }
    }

    /// Whether the state may be ahead of the log. Earlier releases did not record this for replicas
    /// that had lost a log.
    pub(crate) fn state_may_be_ahead(&self) -> bool {
        self.state_may_be_ahead.unwrap_or(self.lost_a_log)
    }

    /// A new id for a replica that was removed from its group.
    pub(crate) fn renewed(&self) -> Self {
        let renewed = Self { node_id: new_node_id(self.ordinal), lost_a_log: true, ..self.clone() };
        tracing::warn!(
            old_id = %self.node_id, new_id = %renewed.node_id,
            "this replica was removed while it was away; it rejoins its group under a new id"
        );
        renewed
    }

    /// A new id for a replica whose disk lacks what the old id had promised.
    pub(crate) fn rolled_back(&self, lost: LostData) -> Self {
        let renewed = Self { node_id: new_node_id(self.ordinal), lost_a_log: true, ..self.clone() };
        tracing::error!(
            old_id = %self.node_id, new_id = %renewed.node_id,
            "the disk of this replica went back in time: {lost}. An older copy of its directory was restored, or the end of its log is \
             lost. It gives up its id and its vote, and rejoins its group as a new member by itself. No action is needed"
        );
        renewed
    }

    pub(crate) fn load(dir: &Path) -> Result<Option<Self>, StartError> {
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

fn new_node_id(ordinal: Ordinal) -> NodeId {
    // 39 random bits: the odds of drawing an earlier id again are 1 to 2^39 per wiped disk.
    // openraft uses 0 for "no node".
    NodeId::new(ordinal, world::random() | 1)
}

fn wrong_identity(dir: &Path, group: &str, ordinal: Ordinal, theirs: &str) -> StartError {
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
        establish_as(dir, "order", Ordinal(2), log_owner)
    }

    fn establish_as(
        dir: &Path,
        group: &str,
        ordinal: Ordinal,
        log_owner: Option<NodeId>,
    ) -> Result<Identity, StartError> {
        let found = DirectoryContents { log_owner, log_has_entries: log_owner.is_some(), has_state: false };
        Identity::establish(Identity::load(dir)?, dir, group, ordinal, found)
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
    fn a_replica_that_lost_its_log_takes_a_new_id() {
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
    fn a_state_without_a_log_means_that_the_log_was_lost() {
        let dir = tempfile::tempdir().unwrap();
        for (has_state, log_has_entries, log_owner) in
            [(true, false, None), (true, false, Some(NodeId::new(Ordinal(2), 7))), (false, false, None)]
        {
            let found = DirectoryContents { log_owner, log_has_entries, has_state };
            let identity = Identity::establish(None, dir.path(), "order", Ordinal(2), found).unwrap();
            assert_eq!(identity.lost_a_log, has_state, "{found:?}");
        }
    }

    #[test]
    fn the_log_of_another_replica_beside_an_identity_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        establish(dir.path(), None).unwrap().save(dir.path()).unwrap();
        let refused = establish(dir.path(), Some(NodeId::new(Ordinal(3), 1)));
        assert!(matches!(&refused, Err(StartError::Damaged { what, .. }) if what.contains("are mixed")), "{refused:?}");
    }

    /// What the release before the high-water record wrote.
    #[test]
    fn an_identity_of_an_earlier_release_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for lost_a_log in [false, true] {
            let text = format!(
                r#"{{"group":"order","ordinal":2,"node_id":{},"lost_a_log":{lost_a_log}}}"#,
                NodeId::new(Ordinal(2), 7).0
            );
            std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
            let known = Identity::load(dir.path()).unwrap().unwrap();
            assert_eq!((known.has_high_water, known.state_may_be_ahead()), (false, lost_a_log));
        }
    }

    #[test]
    fn a_lost_file_is_created_again_with_the_same_id() {
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
            let refused = establish_as(dir.path(), group, ordinal, Some(first.node_id));
            assert!(matches!(refused, Err(StartError::WrongIdentity { .. })), "{refused:?}");
        }
        let log_only = tempfile::tempdir().unwrap();
        let refused = establish(log_only.path(), Some(NodeId::new(Ordinal(3), 1)));
        assert!(matches!(refused, Err(StartError::WrongIdentity { .. })), "{refused:?}");
    }
}
