//! What the files of a data directory prove about each other when a replica starts.
//!
//! A replica votes with what is on its disk, and others count on what it has acknowledged. So a
//! part that was lost, or that is older than the rest, must be noticed. The log checks itself
//! ([`crate::log`]). Here it is compared with the checkpoint, the vote, and what the state's store
//! has written beyond the checkpoint.
//!
//! A state consists only of entries that are on this disk, so it is never ahead of its log. There
//! are two exceptions, which can be told apart. A state that came from another replica ends beyond
//! the log until the log has caught up; the received file still exists then. And beside a log that
//! was lost, only the state is left; the identity says so.

use std::path::Path;

use service::world::disk;

use crate::config::ReplicaConfig;
use crate::consensus::state_machine::MachineStore;
use crate::consensus::types::LogId;
use crate::error::StartError;
use crate::log::{LogMetadata, LogStore, describe_log_id};
use crate::machine::StateMachine;

/// The parts of a data directory, as they were read.
pub(crate) struct DataDirectory<'a, M> {
    pub(crate) log_dir: &'a Path,
    pub(crate) log: &'a LogStore,
    pub(crate) machine: &'a MachineStore<M>,
}

impl<M: StateMachine> DataDirectory<'_, M> {
    /// Checks what holds at any time, also while a state is being installed.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let LogMetadata { vote, purged, last, .. } = self.log.metadata();
        let checkpoint = self.machine.checkpoint();
        if purged > checkpoint {
            let (purged, checkpoint) = (describe_log_id(purged), describe_log_id(checkpoint));
            let file = self.machine.checkpoint_file();
            if !disk::exists(&file).map_err(StartError::io("look for", &file))? {
                let what = format!("it is missing, but the log in {} starts after {purged}", self.log_dir.display());
                return Err(StartError::damaged(file, what));
            }
            let what = format!(
                "it holds the state up to {checkpoint}, but the log in {} starts after {purged}: it is an older copy, or \
                 another replica's",
                self.log_dir.display()
            );
            return Err(StartError::damaged(file, what));
        }
        let voted = vote.map_or(0, |vote| vote.leader_id.term);
        if let Some(LogId { leader_id, .. }) = last
            && last > purged
            && leader_id.term > voted
        {
            let what = format!("it ends with {}, but its vote is of term {voted}", describe_log_id(last));
            return Err(StartError::damaged(self.log_dir, what));
        }
        Ok(())
    }

    /// Whether the state has something that the log lacks: an error that says what and where.
    pub(crate) fn state_ahead_of_log(&self) -> Result<Option<StartError>, StartError> {
        let LogMetadata { purged, last, .. } = self.log.metadata();
        let checkpoint = self.machine.checkpoint();
        let log_ends = || format!("the log in {} ends at {}", self.log_dir.display(), describe_log_id(last));
        let index = |entry: Option<LogId>| entry.map(|entry| entry.index);
        if index(checkpoint) > index(last) {
            let file = self.machine.checkpoint_file().display().to_string();
            let what = format!(
                "it ends at {}, but {file} holds the state up to {}",
                describe_log_id(last),
                describe_log_id(checkpoint)
            );
            return Ok(Some(StartError::damaged(self.log_dir, what)));
        }
        if let Some(at) = checkpoint
            && let Some(here) = self.log.log_id_on_disk(at.index)?.or(purged.filter(|purged| purged.index == at.index))
            && here != at
        {
            let file = self.machine.checkpoint_file();
            let what = format!(
                "it ends with {}, but there the log in {} has {}",
                describe_log_id(checkpoint),
                self.log_dir.display(),
                describe_log_id(Some(here))
            );
            return Ok(Some(StartError::damaged(file, what)));
        }
        let checked = self.machine.check_log(self.log.entries_after(checkpoint))?;
        Ok(checked.err().map(|error| StartError::from(error).with(&log_ends())))
    }
}

/// Whether no other replica could bring back what this one has lost.
pub(crate) fn is_alone<M: StateMachine>(config: &ReplicaConfig, machine: &MachineStore<M>) -> bool {
    config.is_alone() && machine.voters().iter().all(|voter| voter.ordinal() == config.ordinal)
}
