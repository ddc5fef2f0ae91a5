//! When is the store whole again?

use std::collections::BTreeSet;
use std::time::Duration;

use api::LogPosition;
use api::replica::ReplicaStatus;
use tokio::time::Instant;

use super::pulse::Pulse;
use crate::local::Store;

/// Over everything that a recovery may take: a full restart takes about a second, a loaded machine gets its time.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// So many orders must be acknowledged through every frontend.
const ORDERS: u64 = 5;

/// Waits until every process is ready, and all order replicas are voters under their present ids and have applied what the leader's log
/// had when they were asked first.
///
/// # Errors
/// What is missing after [`PATIENCE`], or who has ended by itself.
pub(super) async fn members(store: &mut Store) -> Result<(), String> {
    store.ready(PATIENCE).await?;
    let deadline = Instant::now() + PATIENCE;
    let mut end = None;
    while let Err(missing) = level(store, &mut end).await {
        if Instant::now() > deadline {
            return Err(format!("after {} s: {missing}", PATIENCE.as_secs()));
        }
        if let Some(dead) = store.processes().find_map(|process| (!process.is_running()).then(|| process.member())) {
            return Err(format!("{dead} has ended"));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// The same, and orders flow through every frontend.
///
/// # Errors
/// As [`members`], or which frontend takes no orders.
pub(super) async fn store(store: &mut Store, pulse: &Pulse) -> Result<(), String> {
    members(store).await?;
    let deadline = Instant::now() + PATIENCE;
    let before = pulse.acknowledged();
    loop {
        let now = pulse.acknowledged();
        let Some(idle) = before.iter().zip(&now).position(|(before, now)| now - before < ORDERS) else {
            return Ok(());
        };
        if Instant::now() > deadline {
            let seconds = PATIENCE.as_secs();
            return Err(format!("no {ORDERS} orders were acknowledged through frontend {} in {seconds} s", idle + 1));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Whether all order replicas vote and are as far as `end`, which is set at the first look at a leader.
async fn level(store: &Store, end: &mut Option<LogPosition>) -> Result<(), String> {
    let (term, leader) = store.leader().await.ok_or("the orders have no leader")?;
    let seats = store.layout().ordinals().map(|seat| async move {
        store.status(seat).await.ok_or_else(|| format!("order-{seat} does not tell its status"))
    });
    let statuses = futures::future::try_join_all(seats).await?;
    let ids: BTreeSet<_> = statuses.iter().map(|status| status.node_id).collect();
    let leading = statuses.iter().find(|status| status.ordinal == leader).expect("the leader has a seat");
    let end = *end.get_or_insert(leading.last_log.ok_or("the leader's log is empty")?);
    for ReplicaStatus { ordinal, voters, applied, term: seen, .. } in &statuses {
        if voters.iter().copied().collect::<BTreeSet<_>>() != ids {
            return Err(format!("order-{ordinal} knows the voters {voters:?}, and not {ids:?}"));
        }
        // An entry of an earlier term that was never committed may be gone; what replaced it is of a later term.
        if *applied < Some(end) {
            return Err(format!(
                "order-{ordinal} has applied {applied:?}, and not {end:?} (term {term}, it knows {seen})"
            ));
        }
    }
    Ok(())
}
