//! Measures how long etcd acknowledges no put after its leader was killed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use etcd_client::{Client, ConnectOptions};
use rand::RngExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::puts::VALUE_BYTES;

/// A put is given up after this time and retried, perhaps at another node. A put that a follower
/// has forwarded to a dead leader would only be answered after seven seconds. A much
/// shorter timeout would also end puts that are only slow.
const PUT_TIMEOUT: Duration = Duration::from_millis(250);

/// The pause before a retry, in milliseconds: the same as in the store's own drill.
const RETRY_MS: std::ops::RangeInclusive<u64> = 20..=60;

/// How long it may take until puts are acknowledged.
const TIMEOUT: Duration = Duration::from_secs(30);

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Clients that put continuously, each with a list of all nodes. They stop when this is dropped.
pub(crate) struct EtcdWriters {
    monitor: Arc<PutMonitor>,
    _clients: JoinSet<()>,
}

/// Measures the longest time without an acknowledged put.
#[derive(Debug)]
pub(crate) struct PutOutage<'a>(&'a EtcdWriters);

impl EtcdWriters {
    /// Starts `clients` clients, which together put `per_s` values per second.
    pub(crate) async fn start(clients: u32, per_s: u32, endpoints: &[String]) -> Result<Self> {
        let monitor = Arc::new(PutMonitor::default());
        let mut running = JoinSet::new();
        for client in 0..clients {
            let options = ConnectOptions::new().with_timeout(PUT_TIMEOUT).with_connect_timeout(PUT_TIMEOUT);
            let channel = Client::connect(endpoints, Some(options)).await?;
            let pause = Duration::from_secs(1) * clients / per_s;
            running.spawn(put_for_ever(channel, client, pause, Arc::clone(&monitor)));
        }
        let writers = Self { monitor, _clients: running };
        writers.wait_for_puts(1).await?;
        Ok(writers)
    }

    /// Waits until `puts` more puts are acknowledged.
    pub(crate) async fn wait_for_puts(&self, puts: u64) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        let enough = self.monitor.lock().acknowledged + puts;
        while self.monitor.lock().acknowledged < enough {
            if Instant::now() > deadline {
                bail!("etcd acknowledges no puts after {} s", TIMEOUT.as_secs());
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Starts measuring the longest time without an acknowledged put.
    pub(crate) fn measure_outage(&self) -> PutOutage<'_> {
        let mut state = self.monitor.lock();
        state.last = Instant::now();
        state.longest = Duration::ZERO;
        PutOutage(self)
    }
}

impl std::fmt::Debug for EtcdWriters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writers").finish_non_exhaustive()
    }
}

impl PutOutage<'_> {
    /// The longest time without an acknowledged put since the start. An outage that still lasts
    /// counts up to now.
    pub(crate) fn longest(&self) -> Duration {
        let state = self.0.monitor.lock();
        state.longest.max(state.last.elapsed())
    }
}

/// Records every acknowledgement.
#[derive(Default)]
struct PutMonitor(Mutex<PutMonitorState>);

struct PutMonitorState {
    acknowledged: u64,
    last: Instant,
    longest: Duration,
}

impl Default for PutMonitorState {
    fn default() -> Self {
        Self { acknowledged: 0, last: Instant::now(), longest: Duration::ZERO }
    }
}

impl PutMonitor {
    fn record(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        state.longest = state.longest.max(now.saturating_duration_since(state.last));
        state.last = state.last.max(now);
        state.acknowledged += 1;
    }

    fn lock(&self) -> MutexGuard<'_, PutMonitorState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn put_for_ever(mut channel: Client, client: u32, pause: Duration, monitor: Arc<PutMonitor>) {
    let mut due = Instant::now();
    for count in 0_u64.. {
        sleep_until(due).await;
        // At random intervals, like the drill's shoppers. A client that waited for a dead leader
        // does not send the missed puts in a burst.
        due = due.max(Instant::now()) + pause.mul_f64(-(1.0 - rand::rng().random::<f64>()).ln());
        // A retry has the same key and value.
        while channel.put(format!("{client:03}/{count:012}"), [b'v'; VALUE_BYTES], None).await.is_err() {
            let ms = rand::rng().random_range(RETRY_MS);
            sleep(Duration::from_millis(ms)).await;
        }
        monitor.record();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_outage_since_the_start() {
        let monitor = Arc::new(PutMonitor::default());
        let writers = EtcdWriters { monitor: Arc::clone(&monitor), _clients: JoinSet::new() };
        monitor.lock().longest = Duration::from_mins(1);
        let outage = writers.measure_outage();
        assert!(outage.longest() < Duration::from_secs(10));
        monitor.lock().last = Instant::now().checked_sub(Duration::from_secs(20)).unwrap();
        monitor.record();
        assert!((20..30).contains(&outage.longest().as_secs()));
        assert_eq!(monitor.lock().acknowledged, 1);
    }
}
