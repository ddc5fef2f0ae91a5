//! Begins visits when they are due, to within a tenth of a millisecond.
//!
//! The runtime's timers have a resolution of 1 ms. That is many times the latency of a cached
//! response, and would be counted as latency. Therefore a dedicated thread sleeps until the next
//! visit is due (the system's sleep is about 60 µs late) and releases it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::schedule::Stage;

/// A stop is noticed within this time.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// How long the pacer sleeps while due visits wait for a free connection. They are late anyway.
/// Releasing the next ones exactly on time would only take CPU time from the measured store. (At
/// 280,000 visits per second, the pacer read the clock without a pause.)
const SLEEP_WHILE_BEHIND: Duration = Duration::from_millis(1);

/// The visits of an open stage, taken one by one as they become due.
#[derive(Debug)]
pub(super) struct ArrivalQueue {
    total: u64,
    /// Visits that a connection has asked for.
    requested: AtomicU64,
    /// Visits that have begun.
    begun: AtomicU64,
    /// One permit per visit that is due.
    due: Semaphore,
}

impl ArrivalQueue {
    /// For a stage with an open loop; `None` for a closed loop.
    pub(super) fn new(stage: &Stage) -> Option<Self> {
        let total = stage.arrivals()?;
        Some(Self { total, requested: AtomicU64::new(0), begun: AtomicU64::new(0), due: Semaphore::new(0) })
    }

    /// Waits for the next visit and returns its number; `None` when the stage has no more visits.
    pub(super) async fn next(&self) -> Option<u64> {
        if self.requested.fetch_add(1, Ordering::Relaxed) >= self.total {
            return None;
        }
        self.due.acquire().await.expect("the semaphore is never closed").forget();
        // Numbered only now: the visit with this number is already due.
        Some(self.begun.fetch_add(1, Ordering::Relaxed))
    }

    /// The number of visits that are due within `elapsed` of the stage's begin.
    pub(super) fn due_until(&self, stage: &Stage, elapsed: Duration) -> u64 {
        if elapsed >= stage.length {
            return self.total;
        }
        // Due times never decrease, so a binary search finds it.
        let (mut low, mut high) = (0, self.total);
        while low < high {
            let middle = u64::midpoint(low, high);
            if stage.due(middle) <= elapsed { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Whether visits are due that no connection has taken.
    fn is_behind(&self) -> bool {
        self.due.available_permits() > 0
    }

    fn release(&self, visits: usize) {
        self.due.add_permits(visits);
    }
}

/// The thread that releases visits; it ends with the load.
#[derive(Debug)]
pub(super) struct Pacer {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Pacer {
    /// At most `workers` tasks wait for a visit. When `stop` is set, all of them are released, so
    /// that they notice it.
    pub(super) fn start(
        begin: Instant,
        stages: Vec<Stage>,
        arrivals: Arc<Vec<Option<ArrivalQueue>>>,
        stop: Arc<AtomicBool>,
        workers: usize,
    ) -> Self {
        let stopped = Arc::clone(&stop);
        let pace = move || {
            let mut stage_begin = begin;
            for (stage, queue) in stages.iter().zip(arrivals.iter()) {
                if let Some(queue) = queue {
                    release_when_due(queue, stage, stage_begin, &stopped);
                }
                stage_begin += stage.length;
            }
            if stopped.load(Ordering::Relaxed) {
                arrivals.iter().flatten().for_each(|queue| queue.release(workers));
            }
        };
        let thread = thread::Builder::new().name("pacer".into()).spawn(pace).expect("a thread can be started");
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a dedicated thread, which is not a worker of the runtime")]
fn release_when_due(queue: &ArrivalQueue, stage: &Stage, begin: Instant, stop: &AtomicBool) {
    let mut next = 0;
    while next < queue.total && !stop.load(Ordering::Relaxed) {
        let elapsed = Instant::now().saturating_duration_since(begin);
        let mut due = 0;
        while next < queue.total && begin <= Instant::now() && stage.due(next) <= elapsed {
            (next, due) = (next + 1, due + 1);
        }
        if due > 0 {
            queue.release(due);
        }
        if queue.is_behind() {
            thread::sleep(SLEEP_WHILE_BEHIND);
        } else if due == 0 {
            let wait = (begin + stage.due(next)).saturating_duration_since(Instant::now());
            thread::sleep(wait.min(SLEEP_MAX));
        }
    }
}
