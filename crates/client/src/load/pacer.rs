//! Begins visits when they are due, to within a tenth of a millisecond.
//!
//! The runtime's timers are as fine as 1 ms, which is many times what a cached answer takes, and would be counted as latency. So a thread of its own
//! sleeps from one visit to the next (the system's sleep is some 60 µs late) and opens a gate for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::schedule::Stage;

/// A stop is seen within this time.
const NAP_MAX: Duration = Duration::from_millis(50);

/// While visits are due that nobody is free to begin, they are late anyway; to be exact about the next ones would only take processor time
/// from whoever is measured. (At 280,000 visits per second it looked at the clock without a pause.)
const NAP_WHILE_BEHIND: Duration = Duration::from_millis(1);

/// Visits of an open stage, handed out one by one.
#[derive(Debug)]
pub(super) struct Gate {
    arrivals: u64,
    /// Visits that somebody has said to take.
    tickets: AtomicU64,
    /// Visits that have begun.
    begun: AtomicU64,
    /// One permit per visit that is due.
    due: Semaphore,
}

impl Gate {
    /// For a stage of an open loop.
    pub(super) fn new(stage: &Stage) -> Option<Self> {
        let arrivals = stage.arrivals()?;
        Some(Self { arrivals, tickets: AtomicU64::new(0), begun: AtomicU64::new(0), due: Semaphore::new(0) })
    }

    /// Waits for the next visit and tells its number; `None` when the stage has no more for anybody.
    pub(super) async fn next(&self) -> Option<u64> {
        if self.tickets.fetch_add(1, Ordering::Relaxed) >= self.arrivals {
            return None;
        }
        self.due.acquire().await.expect("a gate is never closed").forget();
        // Numbered only now: a visit with this number is due already.
        Some(self.begun.fetch_add(1, Ordering::Relaxed))
    }

    /// Visits that were due so long after the stage's begin.
    pub(super) fn due_until(&self, stage: &Stage, elapsed: Duration) -> u64 {
        if elapsed >= stage.length {
            return self.arrivals;
        }
        // Due times only grow.
        let (mut low, mut high) = (0, self.arrivals);
        while low < high {
            let middle = u64::midpoint(low, high);
            if stage.due(middle) <= elapsed { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Whether visits are due that nobody takes.
    fn is_behind(&self) -> bool {
        self.due.available_permits() > 0
    }

    fn open_for(&self, visits: usize) {
        self.due.add_permits(visits);
    }
}

/// The thread that opens the gates; it ends with the run.
#[derive(Debug)]
pub(super) struct Pacer {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Pacer {
    /// `visitors` wait at the gates at most; they are let through when `stop` is set, to see it.
    pub(super) fn start(
        begin: Instant,
        stages: Vec<Stage>,
        gates: Arc<Vec<Option<Gate>>>,
        stop: Arc<AtomicBool>,
        visitors: usize,
    ) -> Self {
        let stopped = Arc::clone(&stop);
        let pace = move || {
            let mut stage_begin = begin;
            for (stage, gate) in stages.iter().zip(gates.iter()) {
                if let Some(gate) = gate {
                    open(gate, stage, stage_begin, &stopped);
                }
                stage_begin += stage.length;
            }
            if stopped.load(Ordering::Relaxed) {
                gates.iter().flatten().for_each(|gate| gate.open_for(visitors));
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

#[expect(clippy::disallowed_methods, reason = "the thread does nothing else, and is no worker of the runtime")]
fn open(gate: &Gate, stage: &Stage, begin: Instant, stop: &AtomicBool) {
    let mut next = 0;
    while next < gate.arrivals && !stop.load(Ordering::Relaxed) {
        let elapsed = Instant::now().saturating_duration_since(begin);
        let mut due = 0;
        while next < gate.arrivals && begin <= Instant::now() && stage.due(next) <= elapsed {
            (next, due) = (next + 1, due + 1);
        }
        if due > 0 {
            gate.open_for(due);
        }
        if gate.is_behind() {
            thread::sleep(NAP_WHILE_BEHIND);
        } else if due == 0 {
            let wait = (begin + stage.due(next)).saturating_duration_since(Instant::now());
            thread::sleep(wait.min(NAP_MAX));
        }
    }
}
