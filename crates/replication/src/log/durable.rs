//! How much of the log is on the disk.

use tokio::sync::watch;

use super::disk::LogError;
use crate::engine::LogId;

/// What is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct OnDisk {
    /// The last entry there. Since log ids grow along a log, all up to it are there.
    pub(super) last: Option<LogId>,
    /// How many changes were written, ever.
    pub(super) changes: u64,
    pub(super) closed: bool,
}

/// Tells what is on the disk. Clones tell of the same log.
#[derive(Clone, Debug)]
pub(crate) struct Durable(watch::Receiver<OnDisk>);

impl Durable {
    pub(super) fn new(on_disk: watch::Receiver<OnDisk>) -> Self {
        Self(on_disk)
    }

    /// Whoever tests something else has no log to wait for.
    #[cfg(test)]
    pub(crate) fn of_everything() -> Self {
        let last = Some(LogId {
            index: u64::MAX,
            leader_id: openraft::CommittedLeaderId::new(u64::MAX, api::NodeId::default()),
        });
        Self(watch::channel(OnDisk { last, ..OnDisk::default() }).1)
    }

    /// The last entry on the disk, now.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.0.borrow().last
    }

    /// Returns when that entry, and so all before it, are on the disk.
    pub(crate) async fn reached(&self, entry: Option<LogId>) -> Result<(), LogError> {
        self.wait_for(|on_disk| on_disk.last >= entry).await
    }

    /// Returns when so many changes are on the disk.
    pub(super) async fn changes(&self, changes: u64) -> Result<(), LogError> {
        self.wait_for(|on_disk| on_disk.changes >= changes).await
    }

    async fn wait_for(&self, is_enough: impl Fn(&OnDisk) -> bool) -> Result<(), LogError> {
        if is_enough(&self.0.borrow()) {
            return Ok(());
        }
        let mut on_disk = self.0.clone();
        let seen = on_disk.wait_for(|on_disk| is_enough(on_disk) || on_disk.closed).await;
        seen.is_ok_and(|on_disk| is_enough(&on_disk)).then_some(()).ok_or(LogError::Closed)
    }
}
