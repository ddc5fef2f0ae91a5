//! What an order replica takes: memory, and time until it is back.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::Ordinal;
use tokio::time::{Instant, sleep};
use toystore::local::{Member, Store};

use super::fill::fill;
use crate::process::Pid;
use crate::progress::Progress;
use crate::shop::Shop;

/// Far over the goal: what takes longer is broken.
const PATIENCE: Duration = Duration::from_mins(2);

/// Between two looks: what is told is so much too long at most.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// For one look.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// A replica that was started again.
pub(super) struct Restarted {
    /// From its start.
    pub(super) until_ready: Duration,
    /// What it has allocated then.
    pub(super) memory_bytes: u64,
}

/// What the replica with most has allocated.
pub(super) fn memory(shop: &mut Shop) -> Result<u64> {
    let store = shop.store();
    let ordinals = store.layout().ordinals();
    let all = ordinals.map(|ordinal| pid(store, ordinal).memory_bytes()).collect::<Result<Vec<_>>>()?;
    all.into_iter().max().context("there are replicas")
}

/// `kill -9` of a follower; waits until it is ready again.
pub(super) async fn restart(shop: &mut Shop) -> Result<Restarted> {
    let store = shop.store();
    let follower = follower(store).await?;
    let member = Member::Order(follower);
    store.process(member).kill().await?;
    let begun = Instant::now();
    store.start(member)?;
    let address = store.layout().internal(member);
    while store.caller().probe(&address, "/readyz", LOOK_TIMEOUT).await.is_err() {
        wait(begun, "ready").await?;
    }
    Ok(Restarted { until_ready: begun.elapsed(), memory_bytes: pid(store, follower).memory_bytes()? })
}

/// `kill -9` of a follower; orders until the ledger has `to`, without it; how long it takes from its start until it has applied
/// what was committed then. Gives back how many orders there are now, too.
pub(super) async fn catch_up(shop: &mut Shop, to: u64, progress: Progress) -> Result<(Duration, u64)> {
    let follower = follower(shop.store()).await?;
    let member = Member::Order(follower);
    shop.store().process(member).kill().await?;
    let orders = fill(shop, to, progress).await?;
    let store = shop.store();
    let (_, leader) = store.leader().await.context("there is no leader")?;
    let committed = store.status(leader).await.and_then(|status| status.committed);
    let committed = committed.context("the leader does not say what is committed")?;
    let begun = Instant::now();
    store.start(member)?;
    while store.status(follower).await.and_then(|status| status.applied) < Some(committed) {
        wait(begun, "level").await?;
    }
    Ok((begun.elapsed(), orders))
}

async fn wait(begun: Instant, what: &str) -> Result<()> {
    if begun.elapsed() > PATIENCE {
        bail!("an order replica is not {what} after {} s", PATIENCE.as_secs());
    }
    sleep(POLL_INTERVAL).await;
    Ok(())
}

/// A replica that does not lead; waits until there is a leader.
async fn follower(store: &Store) -> Result<Ordinal> {
    let leader = store.leader_other_than(None, PATIENCE).await.map_err(anyhow::Error::msg)?;
    store.layout().ordinals().find(|ordinal| *ordinal != leader).context("there is a follower")
}

fn pid(store: &mut Store, ordinal: Ordinal) -> Pid {
    Pid(store.process(Member::Order(ordinal)).pid().cast_unsigned())
}
