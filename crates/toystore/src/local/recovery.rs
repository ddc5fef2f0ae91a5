//! Waits until the members of a store have recovered from a fault.

use std::collections::BTreeSet;
use std::time::Duration;

use api::LogPosition;
use api::replica::ReplicaStatus;
use tokio::time::Instant;

use super::store::LocalStore;

/// How often the state is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until every process is ready, and all order replicas are voters under their present ids
/// and have applied the log up to where the leader's log ended at the first query.
///
/// # Errors
/// What is missing after `timeout`, or which member has exited.
pub(crate) async fn recovered(store: &mut LocalStore, timeout: Duration) -> Result<(), String> {
    store.ready(timeout).await?;
    let deadline = Instant::now() + timeout;
    let mut end = None;
    while let Err(missing) = caught_up(store, &mut end).await {
        if Instant::now() > deadline {
            return Err(format!("after {} s: {missing}", timeout.as_secs()));
        }
        if let Some(exited) = store.exited() {
            return Err(exited);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
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
    let leading = statuses.iter().find(|status| status.ordinal == leader);
    let last = leading.ok_or("the leader is not one of the replicas")?.last_log;
    let end = *end.get_or_insert(last.ok_or("the leader's log is empty")?);
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
