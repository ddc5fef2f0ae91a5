//! What the log's handles and its writer thread share.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use super::flushed::FlushState;
use super::index::EntryIndex;
use super::recent_entries::RecentEntries;
use super::segments::Segments;

pub(super) struct Shared {
    /// `None` once the log is closed.
    pub(super) segments: Mutex<Option<Segments>>,
    pub(super) index: EntryIndex,
    pub(super) recent: RwLock<RecentEntries>,
    pub(super) flush_state: watch::Sender<FlushState>,
}

impl Shared {
    pub(super) fn recent(&self) -> RwLockReadGuard<'_, RecentEntries> {
        self.recent.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn recent_mut(&self) -> RwLockWriteGuard<'_, RecentEntries> {
        self.recent.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn segments(&self) -> MutexGuard<'_, Option<Segments>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes that the first `changes` changes are on disk.
    pub(super) fn note_flushed(&self, changes: u64) {
        let last = self.index.content().metadata.last;
        self.recent_mut().note_flushed(last);
        self.flush_state.send_modify(|state| (state.last, state.changes) = (last, changes));
    }
}
