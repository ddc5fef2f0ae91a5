//! One shopper: one session after the other.

use std::time::Duration;

use api::OrderId;
use api::public::NewOrder;
use tokio::time::Instant;
use workload::{Purchase, RequestKind, RetryingClient};

use crate::orders_file::{AcknowledgedOrder, OrdersFileSender};
use crate::session_plan::{PlannedSession, SessionPlan};
use crate::shopping_stats::ShoppingStats;

/// Shoppers know one frontend only.
const FRONTEND: usize = 0;

/// A shopper before its first session.
#[derive(Debug)]
pub(crate) struct Shopper {
    /// Its client of the store.
    pub(crate) client: RetryingClient<ShoppingStats>,
    /// What it reads and orders.
    pub(crate) plan: SessionPlan,
    /// Records acknowledged orders; without it, nothing is ordered.
    pub(crate) orders_file: Option<OrdersFileSender>,
}

/// A shopper after its last session.
#[derive(Debug)]
pub(crate) struct FinishedShopper {
    /// Its client of the store, with the connection still open.
    pub(crate) client: RetryingClient<ShoppingStats>,
    /// How many orders were acknowledged to this shopper.
    pub(crate) acknowledged: u64,
    /// The last one of them.
    pub(crate) last_order: Option<(OrderId, NewOrder)>,
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
        let (mut acknowledged, mut last_order) = (0, None);
        for _ in 0..sessions {
            if !self.client.should_continue() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            let session = self.plan.next().expect("a plan is endless");
            if let Some(order) = self.run_session(session).await {
                acknowledged += 1;
                last_order = Some((order.order_id, NewOrder { name: order.name.clone(), quantity: order.quantity }));
                if !self.record(order).await {
                    break;
                }
            }
            self.client.observer().session_done();
            self.client.think(think_time).await;
        }
        FinishedShopper { client: self.client, acknowledged, last_order }
    }

    /// False if the file can no longer be written.
    async fn record(&self, order: AcknowledgedOrder) -> bool {
        match &self.orders_file {
            Some(orders_file) => orders_file.record(order).await,
            None => true,
        }
    }

    /// Reads a product and perhaps orders it. The statistics count failures.
    async fn run_session(&mut self, session: PlannedSession) -> Option<AcknowledgedOrder> {
        let product = self.client.product(FRONTEND, &session.product).await.ok()?.value;
        let enough = product.quantity.take(session.quantity).is_some();
        if !(session.order && enough && self.orders_file.is_some()) {
            return None;
        }
        let order_id = OrderId::random();
        let order = NewOrder { name: session.product, quantity: session.quantity };
        match self.client.place_order(RequestKind::Order, FRONTEND, order_id, &order).await.ok()?.value {
            Purchase::Placed(number) => {
                Some(AcknowledgedOrder { number, name: order.name, quantity: order.quantity, order_id })
            }
            Purchase::SoldOut => {
                self.client.observer().sold_out();
                None
            }
        }
    }
}
