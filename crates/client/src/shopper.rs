//! One shopper: one session after the other.

use std::time::Duration;

use api::OrderId;
use api::public::NewOrder;
use tokio::time::Instant;
use workload::Purchase;

use crate::orders_file::{AcknowledgedOrder, OrdersFileSender};
use crate::retrying_store::RetryingStore;
use crate::session_plan::{PlannedSession, SessionPlan};

/// A shopper before its first session.
#[derive(Debug)]
pub(crate) struct Shopper {
    /// Its client of the store.
    pub(crate) store: RetryingStore,
    /// What it reads and orders.
    pub(crate) plan: SessionPlan,
    /// Records acknowledged orders; without it, nothing is ordered.
    pub(crate) orders_file: Option<OrdersFileSender>,
}

/// A shopper after its last session.
#[derive(Debug)]
pub(crate) struct FinishedShopper {
    /// Its client of the store, with the connection still open.
    pub(crate) store: RetryingStore,
    /// The orders that were acknowledged to this shopper.
    pub(crate) orders: Vec<AcknowledgedOrder>,
}

impl Shopper {
    /// Runs `sessions` sessions; fewer if `deadline` passes, the run is stopped, or the store is
    /// dead.
    pub(crate) async fn shop(
        mut self,
        sessions: u32,
        deadline: Option<Instant>,
        think_time: Duration,
    ) -> FinishedShopper {
        let mut orders = Vec::new();
        for _ in 0..sessions {
            if !self.store.should_continue() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            let session = self.plan.next().expect("a plan is endless");
            if let Some(order) = self.run_session(session).await {
                orders.push(order.clone());
                if !self.record(order).await {
                    break;
                }
            }
            self.store.stats().session_done();
            self.store.think(think_time).await;
        }
        FinishedShopper { store: self.store, orders }
    }

    /// False if the file can no longer be written.
    async fn record(&self, order: AcknowledgedOrder) -> bool {
        match &self.orders_file {
            Some(orders_file) => orders_file.record(order).await,
            None => true,
        }
    }

    /// Reads a product and perhaps orders it. The statistics count failures.
    async fn run_session(&self, session: PlannedSession) -> Option<AcknowledgedOrder> {
        let product = self.store.product(&session.product).await.ok()?;
        let enough = product.quantity.take(session.quantity).is_some();
        if !(session.order && enough && self.orders_file.is_some()) {
            return None;
        }
        let order_id = OrderId::random();
        let order = NewOrder { name: session.product, quantity: session.quantity };
        match self.store.place_order(order_id, &order).await.ok()? {
            Purchase::Placed(number) => {
                Some(AcknowledgedOrder { number, name: order.name, quantity: order.quantity, order_id })
            }
            Purchase::SoldOut => None,
        }
    }
}
