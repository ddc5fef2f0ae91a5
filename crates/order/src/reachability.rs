//! Steps down as leader if this replica cannot reach the catalog while another one can.
//!
//! The order leader needs a majority of its own group, and the catalog. Elections take care of the
//! first. A partition between only the leader and the catalog goes unnoticed by everyone else: the
//! followers still follow the leader, so it stays, and no order is placed until the network heals.
//! So a leader whose request to the catalog is unanswered checks whether it can reach the catalog
//! at all. If not, it asks the other replicas whether they can. Leadership is transferred to one
//! that can, in the same orderly way as when a leader stops. The takeover of the new leader
//! resolves what was left open.
//!
//! If no replica reaches the catalog, the catalog itself is unavailable, and moving leadership
//! would gain nothing.

use std::convert::Infallible;
use std::time::Duration;

use api::order::{CATALOG_REACHABILITY_PATH, CatalogReachability};
use api::{NodeId, Ordinal};
use discovery::Group;
use futures::future::join_all;
use replication::{LEADERSHIP_TRANSFER_TIMEOUT, Replica};
use service::http::Hedge;
use tokio::time::{sleep, sleep_until};

use crate::catalog_client::CatalogClient;
use crate::orders::Orders;

/// How long a request to the catalog may be unanswered before reachability is checked. The catalog
/// answers within milliseconds unless it waits for a lease to run out, and a check costs it a
/// status per replica.
const UNANSWERED_MAX: Duration = Duration::from_millis(100);
/// For the responses of the other replicas. Each of them first asks the catalog for its status.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);
/// The pause before the next check.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Monitors the catalog's reachability from the leader.
pub(crate) struct ReachabilityMonitor {
    pub(crate) replica: Replica<Orders>,
    pub(crate) catalog: CatalogClient,
    /// The order replicas, including this one.
    pub(crate) group: Group,
}

impl ReachabilityMonitor {
    /// Runs for as long as this replica leads.
    pub(crate) async fn watch(&self) -> Infallible {
        let mut pending_since = self.catalog.pending_since();
        loop {
            let since = *pending_since.wait_for(Option::is_some).await.expect("the client holds the sender");
            let unanswered = sleep_until(since.expect("the condition was awaited") + UNANSWERED_MAX);
            tokio::select! {
                () = unanswered => {}
                _ = pending_since.wait_for(|now| *now != since) => continue,
            }
            let is_reachable = self.catalog.is_reachable().await;
            // Packets may be lost in both, and the request may have been answered meanwhile.
            if !is_reachable && *pending_since.borrow() == since {
                self.step_down().await;
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    async fn step_down(&self) {
        let able = self.replicas_that_reach_the_catalog().await;
        if able.is_empty() {
            return;
        }
        tracing::warn!(
            ?able,
            "this leader cannot reach the catalog, but other replicas can: transferring leadership to one of them"
        );
        self.replica.transfer_leadership_to(LEADERSHIP_TRANSFER_TIMEOUT, |id| able.contains(&id)).await;
    }

    async fn replicas_that_reach_the_catalog(&self) -> Vec<NodeId> {
        let own = self.replica.node_id().ordinal();
        let asked =
            self.group.replicas().into_keys().filter(|ordinal| *ordinal != own).map(|ordinal| self.ask(ordinal));
        join_all(asked)
            .await
            .into_iter()
            .flatten()
            .filter(|replica| replica.catalog)
            .map(|replica| replica.node_id)
            .collect()
    }

    async fn ask(&self, ordinal: Ordinal) -> Option<CatalogReachability> {
        let asked = self.group.call_replica(ordinal, async |client, at| {
            client.hedged(Hedge::QUICK).get(&at, CATALOG_REACHABILITY_PATH, ASK_TIMEOUT).await
        });
        asked.await.ok()
    }
}
