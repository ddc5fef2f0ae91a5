//! The memory of an order replica, and the time until it is back after a kill.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::Ordinal;
use tokio::time::{Instant, sleep};
use toystore::local::{LocalStore, StoreMember};

use super::fill::fill;
use crate::process::Pid;
use crate::progress::BenchProgress;
use crate::store::BenchStore;

/// Far above the goal: a replica that takes longer is broken.
const TIMEOUT: Duration = Duration::from_mins(2);

/// How often a replica is polled: the maximum error of a measured time.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The timeout of one poll.
const POLL_TIMEOUT: Duration = Duration::from_millis(500);

/// A restarted replica.
pub(super) struct Restarted {
    /// The time from its start until it was ready.
    pub(super) until_ready: Duration,
    /// Its memory at that time.
    pub(super) memory_bytes: u64,
}

/// The memory of the replica that uses most.
pub(super) fn memory(store: &mut BenchStore) -> Result<u64> {
    let store = store.local();
    let ordinals = store.layout().ordinals();
    let all = ordinals.map(|ordinal| pid(store, ordinal).memory_bytes()).collect::<Result<Vec<_>>>()?;
    all.into_iter().max().context("there are replicas")
}

/// Kills a follower with `kill -9`, starts it again, and waits until it is ready.
pub(super) async fn restart(store: &mut BenchStore) -> Result<Restarted> {
    let store = store.local();
    let follower = follower(store).await?;
    let member = StoreMember::Order(follower);
    store.process(member).kill().await?;
    let begun = Instant::now();
    store.start(member)?;
    let address = store.layout().internal(member);
    while store.json_client().probe(&address, "/readyz", POLL_TIMEOUT).await.is_err() {
        wait(begun, "ready").await?;
    }
    Ok(Restarted { until_ready: begun.elapsed(), memory_bytes: pid(store, follower).memory_bytes()? })
}

/// Kills a follower with `kill -9`, places orders without it until the ledger has `to`, and starts
/// it again. Returns the time from its start until it has applied everything that was committed
/// then, and the number of orders in the ledger.
pub(super) async fn catch_up(store: &mut BenchStore, to: u64, progress: BenchProgress) -> Result<(Duration, u64)> {
    let follower = follower(store.local()).await?;
    let member = StoreMember::Order(follower);
    store.local().process(member).kill().await?;
    let orders = fill(store, to, progress).await?;
    let store = store.local();
    let (_, leader) = store.leader().await.context("there is no leader")?;
    let committed = store.status(leader).await.and_then(|status| status.committed);
    let committed = committed.context("the leader does not say what is committed")?;
    let begun = Instant::now();
    store.start(member)?;
    while store.status(follower).await.and_then(|status| status.applied) < Some(committed) {
        wait(begun, "caught up").await?;
    }
    Ok((begun.elapsed(), orders))
}

async fn wait(begun: Instant, what: &str) -> Result<()> {
    if begun.elapsed() > TIMEOUT {
        bail!("an order replica is not {what} after {} s", TIMEOUT.as_secs());
    }
    sleep(POLL_INTERVAL).await;
    Ok(())
}

/// A replica that is not the leader. Waits until there is a leader.
async fn follower(store: &LocalStore) -> Result<Ordinal> {
    let leader = store.leader_other_than(None, TIMEOUT).await.map_err(anyhow::Error::msg)?;
    store.layout().ordinals().find(|ordinal| *ordinal != leader).context("there is a follower")
}

fn pid(store: &mut LocalStore, ordinal: Ordinal) -> Pid {
    Pid(store.process(StoreMember::Order(ordinal)).pid().cast_unsigned())
}
