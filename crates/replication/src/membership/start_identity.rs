//! Which identity a replica starts with: from its data directory, and from what its peers say.

use std::path::Path;

use super::identity::{DirectoryContents, Identity};
use super::remove::was_removed;
use super::rollback::lost_since_last_start;
use crate::config::ReplicaConfig;
use crate::consensus::checkpoint::ReceivedFile;
use crate::consensus::types::position;
use crate::consistency::{DataDirectory, is_alone};
use crate::error::StartError;
use crate::log::{LogMetadata, describe_log_id};
use crate::machine::StateMachine;
use crate::peer::client::PeerClient;

/// Establishes and saves this replica's identity, if the parts of its directory belong together.
pub(crate) async fn establish<M: StateMachine>(
    known: Option<Identity>,
    config: &ReplicaConfig,
    parts: &DataDirectory<'_, M>,
    peers: &PeerClient,
) -> Result<Identity, StartError> {
    let DataDirectory { log, machine, .. } = *parts;
    let dir: &Path = &config.data_dir;
    let ahead = parts.state_ahead_of_log()?;
    let LogMetadata { node_id: owner, last, .. } = log.metadata();
    let found = DirectoryContents {
        log_owner: owner,
        log_has_entries: last.is_some(),
        has_state: ahead.is_some() || machine.checkpoint().is_some(),
    };
    let has_no_log = Identity::has_no_log(known.as_ref(), found);
    let installing = ReceivedFile::exists_in(dir).map_err(StartError::io("list", dir))?;
    let may_be_ahead = has_no_log || installing || known.as_ref().is_some_and(Identity::state_may_be_ahead);
    let has_known = known.is_some();
    let mut identity = Identity::establish(known, dir, &config.group, config.ordinal, found)?;
    // If the log is another replica's, that says more than where it begins.
    parts.check()?;
    if has_no_log && (has_known || found.has_state) && is_alone(config, machine) {
        return Err(lost_log(parts, ahead, has_known));
    }
    match &ahead {
        Some(_) if !may_be_ahead => return Err(ahead.expect("it is there")),
        Some(error) => {
            tracing::warn!(%error, "the state is ahead of the log; the group has to send the missing entries");
        }
        None => {}
    }
    identity.has_high_water = true;
    identity.state_may_be_ahead = Some(ahead.is_some() || installing);
    if owner == Some(identity.node_id) {
        let own = identity.node_id;
        let applied = *machine.applied().borrow();
        let removed = async {
            match last {
                Some(last) => was_removed(peers, own, position(&last).term).await,
                None => false,
            }
        };
        identity = match tokio::join!(lost_since_last_start(peers, own, log, applied), removed) {
            (Some(lost), _) => identity.rolled_back(lost),
            (None, true) => identity.renewed(),
            (None, false) => identity,
        };
    }
    if owner != Some(identity.node_id) {
        log.set_owner(identity.node_id).await;
    }
    identity.save(dir)?;
    Ok(identity)
}

/// Why the only replica of a group does not start again from nothing.
fn lost_log<M: StateMachine>(
    parts: &DataDirectory<'_, M>,
    ahead: Option<StartError>,
    has_identity: bool,
) -> StartError {
    let checkpoint = parts.machine.checkpoint();
    let evidence = match (ahead, checkpoint) {
        (_, Some(_)) => {
            format!(
                "{} holds the state up to {}",
                parts.machine.checkpoint_file().display(),
                describe_log_id(checkpoint)
            )
        }
        (Some(ahead), None) => ahead.to_string(),
        (None, None) if has_identity => "identity.json says that it had one".to_owned(),
        (None, None) => "there is more than a new replica has".to_owned(),
    };
    let what = format!("the log in it was lost, or is another replica's: {evidence}");
    StartError::damaged(parts.log_dir, what)
}
