//! The open connections of one port, and which of them has to go when there are too many.
//!
//! A kept-alive connection without a request is a courtesy: HTTP lets either side close it at any time, and clients know how to go on. So when
//! the bound is reached, those that have been quiet for longest make room for new ones. The other ways are worse. If new connections waited for old
//! ones to close, whoever opens enough of them, and is silent, shuts out everyone. If new ones were refused with 503, the same, only faster.
//!
//! *Quiet* is a connection with no request in a handler: it waits for a head (or for the rest of one that comes slowly), or writes an answer that is not
//! read. A request in a handler is never interrupted; if all are busy, new connections wait in the kernel's backlog for the first that is not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// Instead of the time since when it is quiet.
const BUSY: u64 = u64::MAX;

/// One in so many goes at a time, at least one: finding the quietest means looking at all of them, which 16,384 connections
/// should not cost each new one.
const SHARE_CLOSED: usize = 64;

/// The table. Clones are the same table.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connections_max: usize,
    begun: Instant,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next_id: u64,
    open: HashMap<u64, Arc<Activity>>,
}

/// What one connection is doing.
#[derive(Debug)]
struct Activity {
    /// Microseconds since the table's beginning, or [`BUSY`].
    quiet_since: AtomicU64,
    dismissed: Notify,
}

impl Activity {
    fn is_quiet(&self) -> bool {
        self.quiet_since.load(Ordering::Relaxed) != BUSY
    }
}

impl Connections {
    /// For so many, at least one.
    pub(super) fn new(connections_max: usize) -> Self {
        let connections_max = connections_max.max(1);
        Self(Arc::new(Shared { connections_max, begun: Instant::now(), table: Mutex::default() }))
    }

    /// Enters a new connection, for which others may have to go. `None` if all are busy.
    pub(super) fn enter(&self) -> Option<Entry> {
        let mut table = self.0.table();
        if table.open.len() >= self.0.connections_max {
            let share = (self.0.connections_max / SHARE_CLOSED).max(1);
            let dismissed = table.dismiss_quietest(share);
            tracing::debug!(dismissed, "too many connections: those that were quiet for longest are closed");
            if dismissed == 0 {
                return None;
            }
        }
        let id = table.next_id;
        table.next_id += 1;
        let activity = Activity { quiet_since: AtomicU64::new(self.0.now_us()), dismissed: Notify::new() };
        let activity = Arc::new(activity);
        table.open.insert(id, Arc::clone(&activity));
        Some(Entry { id, activity, shared: Arc::clone(&self.0) })
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.table().open.len()
    }
}

impl Shared {
    fn now_us(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(BUSY - 1)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Gives how many had to go; fewer than `count` if the others are busy.
    fn dismiss_quietest(&mut self, count: usize) -> usize {
        let quiet_since = |(id, activity): (&u64, &Arc<Activity>)| (activity.quiet_since.load(Ordering::Relaxed), *id);
        let mut quiet: Vec<_> = self.open.iter().map(quiet_since).filter(|(since, _)| *since != BUSY).collect();
        if quiet.len() > count {
            quiet.select_nth_unstable(count);
            quiet.truncate(count);
        }
        for (_, id) in &quiet {
            let activity = self.open.remove(id).expect("it was just found there");
            activity.dismissed.notify_one();
        }
        quiet.len()
    }
}

/// A connection's entry, as long as it is open.
#[derive(Debug)]
pub(super) struct Entry {
    id: u64,
    activity: Arc<Activity>,
    shared: Arc<Shared>,
}

impl Entry {
    /// What tells of the connection's requests.
    pub(super) fn pulse(&self) -> Pulse {
        Pulse { activity: Arc::clone(&self.activity), shared: Arc::clone(&self.shared) }
    }

    /// Completes when the connection has to go. A request that has just come is still answered: then it may stay.
    pub(super) async fn dismissed(&self) {
        self.activity.dismissed.notified().await;
        if !self.activity.is_quiet() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.table().open.remove(&self.id);
    }
}

/// Tells whether a request is in a handler.
#[derive(Clone, Debug)]
pub(super) struct Pulse {
    activity: Arc<Activity>,
    shared: Arc<Shared>,
}

impl Pulse {
    /// One has come.
    pub(super) fn busy(&self) {
        self.activity.quiet_since.store(BUSY, Ordering::Relaxed);
    }

    /// It is answered.
    pub(super) fn quiet(&self) {
        self.activity.quiet_since.store(self.shared.now_us(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    async fn later() {
        tokio::time::advance(Duration::from_millis(1)).await;
    }

    fn has_to_go(entry: &Entry) -> bool {
        entry.dismissed().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_was_quiet_for_longest_makes_room() {
        let connections = Connections::new(3);
        let mut entries = Vec::new();
        for _ in 0..3 {
            entries.push(connections.enter().unwrap());
            later().await;
        }
        // The first has a request and the second had one: the third is the quietest.
        entries[0].pulse().busy();
        entries[1].pulse().busy();
        entries[1].pulse().quiet();
        later().await;
        entries.push(connections.enter().unwrap());
        assert_eq!(entries.iter().map(has_to_go).collect::<Vec<_>>(), [false, false, true, false]);
        assert_eq!(connections.len(), 3, "it counts no more, although it is still closing");
        drop(entries.remove(2));
        assert_eq!(connections.len(), 3);
        drop(entries);
        assert_eq!(connections.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_not_interrupted() {
        let connections = Connections::new(1);
        let first = connections.enter().unwrap();
        first.pulse().busy();
        assert!(connections.enter().is_none(), "all are busy");
        first.pulse().quiet();
        let second = connections.enter().unwrap();
        // A request has come before it could close.
        first.pulse().busy();
        assert!(!has_to_go(&first) && !has_to_go(&second));
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_a_share_goes_at_a_time() {
        let connections = Connections::new(640);
        let entries: Vec<_> = (0..640).map(|_| connections.enter().unwrap()).collect();
        let new = connections.enter().unwrap();
        assert_eq!(connections.len(), 631);
        assert_eq!(entries.iter().filter(|entry| has_to_go(entry)).count(), 10);
        assert!(!has_to_go(&new));
    }
}
