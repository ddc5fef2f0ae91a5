//! Waits until the store has recovered.

use std::collections::BTreeSet;
use std::time::Duration;

use api::LogPosition;
use api::replica::ReplicaStatus;
use tokio::time::Instant;

use super::ack_monitor::AckMonitor;
use crate::local::LocalStore;

/// Longer than any recovery takes: a full restart takes about a second, the rest is for loaded
/// machines.
pub(super) const RECOVERY_TIMEOUT: Duration = Duration::from_mins(1);

/// How often the state is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Orders that must be acknowledged through every frontend.
const ORDERS: u64 = 5;

/// Waits until every process is ready, and all order replicas are voters under their present ids
/// and have applied the log up to where the leader's log ended at the first query.
///
/// # Errors
/// What is missing after [`RECOVERY_TIMEOUT`], or which member has exited.
pub(super) async fn members(store: &mut LocalStore) -> Result<(), String> {
    store.ready(RECOVERY_TIMEOUT).await?;
    let deadline = Instant::now() + RECOVERY_TIMEOUT;
    let mut end = None;
    while let Err(missing) = caught_up(store, &mut end).await {
        if Instant::now() > deadline {
            return Err(format!("after {} s: {missing}", RECOVERY_TIMEOUT.as_secs()));
        }
        if let Some(exited) = store.exited() {
            return Err(exited);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// As [`members`], and waits until orders are acknowledged through every frontend.
///
/// # Errors
/// As [`members`], or which frontend acknowledges no orders.
pub(super) async fn store(store: &mut LocalStore, acks: &AckMonitor) -> Result<(), String> {
    members(store).await?;
    let deadline = Instant::now() + RECOVERY_TIMEOUT;
    let before = acks.acknowledged();
    loop {
        let now = acks.acknowledged();
        let Some(idle) = before.iter().zip(&now).position(|(before, now)| now - before < ORDERS) else {
            return Ok(());
        };
        if let Some(exited) = store.exited() {
            return Err(exited);
        }
        if Instant::now() > deadline {
            let seconds = RECOVERY_TIMEOUT.as_secs();
            return Err(format!(
                "fewer than {ORDERS} orders were acknowledged through frontend {} in {seconds} s",
                idle + 1
            ));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Whether all order replicas are voters and have applied the log up to `end`, which is set at the
/// first query of a leader.
async fn caught_up(store: &LocalStore, end: &mut Option<LogPosition>) -> Result<(), String> {
    let (term, leader) = store.leader().await.ok_or("there is no order leader")?;
    let statuses = store.layout().ordinals().map(|ordinal| async move {
        store.status(ordinal).await.ok_or_else(|| format!("order-{ordinal} does not report its status"))
    });
    let statuses = futures::future::try_join_all(statuses).await?;
    let ids: BTreeSet<_> = statuses.iter().map(|status| status.node_id).collect();
    let leading = statuses.iter().find(|status| status.ordinal == leader).expect("the leader is one of the replicas");
    let end = *end.get_or_insert(leading.last_log.ok_or("the leader's log is empty")?);
    for ReplicaStatus { ordinal, voters, applied, term: known_term, .. } in &statuses {
        if voters.iter().copied().collect::<BTreeSet<_>>() != ids {
            return Err(format!("order-{ordinal} has the voters {voters:?} instead of {ids:?}"));
        }
        // An uncommitted entry of an earlier term may be gone; its replacement has a later term.
        if *applied < Some(end) {
            return Err(format!(
                "order-{ordinal} has applied up to {applied:?}, not up to {end:?} (term {term}, its own term is {known_term})"
            ));
        }
    }
    Ok(())
}
