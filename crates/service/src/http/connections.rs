//! The open connections of one port, and which of them are closed when there are too many.
//!
//! HTTP lets either side close a keep-alive connection at any time while no request is in flight,
//! and clients know how to go on. So when the bound is reached, the connections that have been idle
//! for longest are closed to make room for new ones. The alternatives are worse. If new connections
//! waited for old ones to close, a client that opens enough connections and stays silent would shut
//! out everyone. If new connections were refused with 503, the same would happen, only faster.
//!
//! An *idle* connection has no request in a handler: it waits for a request head, or for the rest
//! of one that arrives slowly, or it writes a response that its client does not read. A request in
//! a handler is never interrupted. If all connections are busy, new ones wait in the kernel's
//! backlog for the first that becomes idle.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// The value of `idle_since` while a request is in a handler.
const BUSY: u64 = u64::MAX;

/// One in this many connections is closed at a time, and at least one. Finding the connections that
/// have been idle for longest means looking at all of them, which with 16,384 connections is too
/// expensive for each new one.
const EVICTED_FRACTION: usize = 64;

/// The table of open connections. Clones share the table.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connections_max: usize,
    started: Instant,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next_id: u64,
    open: HashMap<u64, Arc<Activity>>,
}

/// The activity of one connection.
#[derive(Debug)]
struct Activity {
    /// Microseconds since the table was created, or [`BUSY`].
    idle_since: AtomicU64,
    close: Arc<CloseSignal>,
}

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// It was idle, and a new connection needs the room.
    Evicted,
    /// Its client does not read a response, which was dropped.
    ResponseDropped,
}

/// Tells a connection's task to close it. One signal for both reasons, because the task polls each
/// signal for every request.
#[derive(Debug, Default)]
pub(super) struct CloseSignal {
    notify: Notify,
    response_dropped: AtomicBool,
}

impl CloseSignal {
    /// Closes the connection, because a response that its client does not read was dropped.
    pub(super) fn drop_response(&self) {
        self.response_dropped.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Completes when a response was dropped, or when the connection shall be closed and is idle.
    async fn closed(&self, is_idle: impl Fn() -> bool) -> CloseReason {
        loop {
            self.notify.notified().await;
            if self.response_dropped.load(Ordering::Acquire) {
                return CloseReason::ResponseDropped;
            }
            // A request that has begun in the meantime is not interrupted.
            if is_idle() {
                return CloseReason::Evicted;
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_response_dropped(&self) -> bool {
        self.response_dropped.load(Ordering::Acquire)
    }
}

impl Activity {
    fn is_idle(&self) -> bool {
        self.idle_since.load(Ordering::Relaxed) != BUSY
    }
}

impl Connections {
    /// A table for `connections_max` connections, at least one.
    pub(super) fn new(connections_max: usize) -> Self {
        let connections_max = connections_max.max(1);
        Self(Arc::new(Shared { connections_max, started: Instant::now(), table: Mutex::default() }))
    }

    /// Registers a new connection, and evicts idle ones if there are too many. `None` if all
    /// connections are busy.
    pub(super) fn register(&self) -> Option<Registration> {
        let mut table = self.0.table();
        if table.open.len() >= self.0.connections_max {
            let share = (self.0.connections_max / EVICTED_FRACTION).max(1);
            let evicted = table.evict_idle(share);
            tracing::debug!(evicted, "too many connections: closed those that were idle for longest");
            if evicted == 0 {
                return None;
            }
        }
        let id = table.next_id;
        table.next_id += 1;
        let activity = Activity { idle_since: AtomicU64::new(self.0.now_us()), close: Arc::default() };
        let activity = Arc::new(activity);
        table.open.insert(id, Arc::clone(&activity));
        Some(Registration { id, activity, shared: Arc::clone(&self.0) })
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.table().open.len()
    }
}

impl Shared {
    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(BUSY - 1)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Evicts up to `count` connections and returns how many; fewer than `count` if the others are
    /// busy.
    fn evict_idle(&mut self, count: usize) -> usize {
        let idle_since = |(id, activity): (&u64, &Arc<Activity>)| (activity.idle_since.load(Ordering::Relaxed), *id);
        let mut idle: Vec<_> = self.open.iter().map(idle_since).filter(|(since, _)| *since != BUSY).collect();
        if idle.len() > count {
            idle.select_nth_unstable(count);
            idle.truncate(count);
        }
        for (_, id) in &idle {
            let activity = self.open.remove(id).expect("the connection was just found in the table");
            activity.close.notify.notify_one();
        }
        idle.len()
    }
}

/// A connection's registration. Dropping it removes the connection from the table.
#[derive(Debug)]
pub(super) struct Registration {
    id: u64,
    activity: Arc<Activity>,
    shared: Arc<Shared>,
}

impl Registration {
    /// A handle that records the connection's requests.
    pub(super) fn activity(&self) -> ActivityHandle {
        ActivityHandle { activity: Arc::clone(&self.activity), shared: Arc::clone(&self.shared) }
    }

    /// Completes when the connection must be closed. If it is evicted while a request has just
    /// arrived, the request is still answered and the connection stays.
    pub(super) async fn closed(&self) -> CloseReason {
        self.activity.close.closed(|| self.activity.is_idle()).await
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.table().open.remove(&self.id);
    }
}

/// Records whether a request is in a handler.
#[derive(Clone, Debug)]
pub(super) struct ActivityHandle {
    activity: Arc<Activity>,
    shared: Arc<Shared>,
}

impl ActivityHandle {
    /// A request has arrived.
    pub(super) fn busy(&self) {
        self.activity.idle_since.store(BUSY, Ordering::Relaxed);
    }

    /// Closes the connection when a response is dropped because the client does not read it.
    pub(super) fn close_signal(&self) -> &Arc<CloseSignal> {
        &self.activity.close
    }

    /// The request is answered.
    pub(super) fn idle(&self) {
        self.activity.idle_since.store(self.shared.now_us(), Ordering::Relaxed);
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

    fn is_evicted(registration: &Registration) -> bool {
        registration.closed().now_or_never() == Some(CloseReason::Evicted)
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_was_idle_for_longest_is_evicted() {
        let connections = Connections::new(3);
        let mut registrations = Vec::new();
        for _ in 0..3 {
            registrations.push(connections.register().unwrap());
            later().await;
        }
        // The first has a request and the second had one, so the third has been idle for longest.
        registrations[0].activity().busy();
        registrations[1].activity().busy();
        registrations[1].activity().idle();
        later().await;
        registrations.push(connections.register().unwrap());
        assert_eq!(registrations.iter().map(is_evicted).collect::<Vec<_>>(), [false, false, true, false]);
        assert_eq!(connections.len(), 3, "an evicted connection does not count while it closes");
        drop(registrations.remove(2));
        assert_eq!(connections.len(), 3);
        drop(registrations);
        assert_eq!(connections.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_not_interrupted() {
        let connections = Connections::new(1);
        let first = connections.register().unwrap();
        first.activity().busy();
        assert!(connections.register().is_none(), "all are busy");
        first.activity().idle();
        let second = connections.register().unwrap();
        // A request arrives before the connection is closed.
        first.activity().busy();
        assert!(!is_evicted(&first) && !is_evicted(&second));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fraction_of_many_connections_is_evicted_at_a_time() {
        let connections = Connections::new(640);
        let registrations: Vec<_> = (0..640).map(|_| connections.register().unwrap()).collect();
        let new = connections.register().unwrap();
        assert_eq!(connections.len(), 631);
        assert_eq!(registrations.iter().filter(|registration| is_evicted(registration)).count(), 10);
        assert!(!is_evicted(&new));
    }
}
