//! A leader that the catalog does not answer, while another replica could ask it.
//!
//! The order leader needs a majority of its own group, and the catalog. Elections look after the first. A partition between the leader and the
//! catalog alone is seen by nobody else: the leader is followed, so it stays, and no order is placed until the network is whole again. So
//! a leader that waits for the catalog looks whether it can be asked at all, and if not, asks the other replicas whether they can. One that can
//! becomes the leader, in the same good order as when a leader stops; its take-over settles what was left open.
//!
//! If nobody reaches the catalog, it is the catalog that is away, and nothing is gained by moving.

use std::convert::Infallible;
use std::time::Duration;

use api::order::{REACH_PATH, Reach};
use api::{NodeId, Ordinal};
use discovery::Group;
use futures::future::join_all;
use replication::Replica;
use tokio::time::{sleep, sleep_until};

use crate::orders::Orders;
use crate::stock::Stock;

/// How long the catalog may owe an answer before anything is looked at: about as long as a restart of it takes.
const PATIENCE: Duration = Duration::from_millis(500);
/// For the others' answers. Each asks the catalog for its status first.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);
/// How long it may take to give leadership away.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(2);
/// Before another try.
const AGAIN: Duration = Duration::from_secs(1);

/// What a leader needs for stepping aside.
pub(crate) struct WayOut {
    pub(crate) replica: Replica<Orders>,
    pub(crate) stock: Stock,
    /// The order replicas, this one among them.
    pub(crate) others: Group,
}

impl WayOut {
    /// For as long as this replica leads.
    pub(crate) async fn take_when_cut_off(&self) -> Infallible {
        let mut unanswered = self.stock.unanswered();
        loop {
            let since = *unanswered.wait_for(Option::is_some).await.expect("the stock is ours");
            let waited = sleep_until(since.expect("it was waited for") + PATIENCE);
            tokio::select! {
                () = waited => {}
                _ = unanswered.wait_for(|now| *now != since) => continue,
            }
            if !self.stock.is_in_reach().await {
                self.step_aside().await;
            }
            sleep(AGAIN).await;
        }
    }

    async fn step_aside(&self) {
        let fit = self.who_reaches_the_catalog().await;
        if fit.is_empty() {
            return;
        }
        tracing::warn!(?fit, "this leader does not reach the catalog, and others do: one of them is to lead");
        self.replica.hand_over_to(HAND_OVER_TIMEOUT, |id| fit.contains(&id)).await;
    }

    async fn who_reaches_the_catalog(&self) -> Vec<NodeId> {
        let own = self.replica.node_id().ordinal();
        let asked =
            self.others.replicas().into_keys().filter(|ordinal| *ordinal != own).map(|ordinal| self.ask(ordinal));
        join_all(asked).await.into_iter().flatten().filter(|reach| reach.catalog).map(|reach| reach.node_id).collect()
    }

    async fn ask(&self, ordinal: Ordinal) -> Option<Reach> {
        let asked = self.others.ask(ordinal, async |caller, at| caller.get(&at, REACH_PATH, ASK_TIMEOUT).await);
        asked.await.ok()
    }
}
