//! How much of the log is on disk.

use tokio::sync::watch;

use super::error::LogError;
use crate::consensus::types::LogId;

/// How much of the log is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct FlushState {
    /// The last entry on disk. Since log ids only grow along a log, all entries before it are on
    /// disk, too.
    pub(super) last: Option<LogId>,
    /// How many changes have ever been written.
    pub(super) changes: u64,
    pub(super) closed: bool,
}

/// Watches how much of the log is on disk. Clones watch the same log.
#[derive(Clone, Debug)]
pub(crate) struct Flushed(watch::Receiver<FlushState>);

impl Flushed {
    pub(super) fn new(state: watch::Receiver<FlushState>) -> Self {
        Self(state)
    }

    /// For tests of something else, which have no log to wait for.
    #[cfg(test)]
    pub(crate) fn everything() -> Self {
        let last = Some(LogId {
            index: u64::MAX,
            leader_id: openraft::CommittedLeaderId::new(u64::MAX, api::NodeId::default()),
        });
        Self(watch::channel(FlushState { last, ..FlushState::default() }).1)
    }

    /// The last entry on disk.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.0.borrow().last
    }

    /// Returns when that entry, and so all before it, are on disk.
    pub(crate) async fn wait_for_entry(&self, entry: Option<LogId>) -> Result<(), LogError> {
        self.wait_until(|state| state.last >= entry).await
    }

    /// Returns when that many changes are on disk.
    pub(super) async fn wait_for_changes(&self, changes: u64) -> Result<(), LogError> {
        self.wait_until(|state| state.changes >= changes).await
    }

    async fn wait_until(&self, is_enough: impl Fn(&FlushState) -> bool) -> Result<(), LogError> {
        if is_enough(&self.0.borrow()) {
            return Ok(());
        }
        let mut state = self.0.clone();
        let seen = state.wait_for(|state| is_enough(state) || state.closed).await;
        seen.is_ok_and(|state| is_enough(&state)).then_some(()).ok_or(LogError::Closed)
    }
}
