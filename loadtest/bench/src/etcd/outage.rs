//! Puts while a leader dies: for how long is none acknowledged?

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use etcd_client::{Client, ConnectOptions};
use rand::RngExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::VALUE_BYTES;

/// A put is given up after this and tried again, perhaps at another node. One that a follower has passed on to a dead leader would only be answered
/// after seven seconds; much less than this, and puts would be given up that are merely slow.
const PUT_TIMEOUT: Duration = Duration::from_millis(250);

/// Between two tries, in milliseconds from … to: as the writers of the store's own drill.
const RETRY_MS: std::ops::RangeInclusive<u64> = 20..=60;

/// Until puts flow.
const PATIENCE: Duration = Duration::from_secs(30);

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Clients that put all the time, each through a list of all nodes. They stop when this is dropped.
pub(crate) struct Writers {
    pulse: Arc<Pulse>,
    _clients: JoinSet<()>,
}

/// An outage that is listened for.
#[derive(Debug)]
pub(crate) struct Outage<'a>(&'a Writers);

impl Writers {
    /// So many clients, who together put `per_s` values per second.
    pub(crate) async fn start(clients: u32, per_s: u32, endpoints: &[String]) -> Result<Self> {
        let pulse = Arc::new(Pulse::default());
        let mut running = JoinSet::new();
        for client in 0..clients {
            let options = ConnectOptions::new().with_timeout(PUT_TIMEOUT).with_connect_timeout(PUT_TIMEOUT);
            let channel = Client::connect(endpoints, Some(options)).await?;
            let pause = Duration::from_secs(1) * clients / per_s;
            running.spawn(put_for_ever(channel, client, pause, Arc::clone(&pulse)));
        }
        let writers = Self { pulse, _clients: running };
        writers.flow(1).await?;
        Ok(writers)
    }

    /// Waits for so many puts from now on.
    pub(crate) async fn flow(&self, puts: u64) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let enough = self.pulse.lock().acknowledged + puts;
        while self.pulse.lock().acknowledged < enough {
            if Instant::now() > deadline {
                bail!("etcd acknowledges no puts after {} s", PATIENCE.as_secs());
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// From now on the longest time without an acknowledged put is looked for. It begins here at the earliest.
    pub(crate) fn listen(&self) -> Outage<'_> {
        let mut beats = self.pulse.lock();
        beats.last = Instant::now();
        beats.longest = Duration::ZERO;
        Outage(self)
    }
}

impl std::fmt::Debug for Writers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writers").finish_non_exhaustive()
    }
}

impl Outage<'_> {
    /// The longest time without an acknowledged put since then; one that still lasts counts up to now.
    pub(crate) fn longest(&self) -> Duration {
        let beats = self.0.pulse.lock();
        beats.longest.max(beats.last.elapsed())
    }
}

/// Hears of every acknowledgement.
#[derive(Default)]
struct Pulse(Mutex<Beats>);

struct Beats {
    acknowledged: u64,
    last: Instant,
    longest: Duration,
}

impl Default for Beats {
    fn default() -> Self {
        Self { acknowledged: 0, last: Instant::now(), longest: Duration::ZERO }
    }
}

impl Pulse {
    fn beat(&self) {
        let now = Instant::now();
        let mut beats = self.lock();
        beats.longest = beats.longest.max(now.saturating_duration_since(beats.last));
        beats.last = beats.last.max(now);
        beats.acknowledged += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Beats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn put_for_ever(mut channel: Client, client: u32, pause: Duration, pulse: Arc<Pulse>) {
    let mut due = Instant::now();
    for count in 0_u64.. {
        sleep_until(due).await;
        // At random, as the drill's shoppers come. Who waited for a dead leader does not make up for it in a rush.
        due = due.max(Instant::now()) + pause.mul_f64(-(1.0 - rand::rng().random::<f64>()).ln());
        // A put that is tried again is the same put: the same key and value.
        while channel.put(format!("{client:03}/{count:012}"), [b'v'; VALUE_BYTES], None).await.is_err() {
            let ms = rand::rng().random_range(RETRY_MS);
            sleep(Duration::from_millis(ms)).await;
        }
        pulse.beat();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silence_since_one_listens() {
        let pulse = Arc::new(Pulse::default());
        let writers = Writers { pulse: Arc::clone(&pulse), _clients: JoinSet::new() };
        pulse.lock().longest = Duration::from_mins(1);
        let outage = writers.listen();
        assert!(outage.longest() < Duration::from_secs(10));
        pulse.lock().last = Instant::now().checked_sub(Duration::from_secs(20)).unwrap();
        pulse.beat();
        assert!((20..30).contains(&outage.longest().as_secs()));
        assert_eq!(pulse.lock().acknowledged, 1);
    }
}
