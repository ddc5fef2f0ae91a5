//! A shopper that places orders.

use std::time::Duration;

use api::public::NewOrder;
use api::{OrderId, OrderNumber, Quantity};
use rand::RngExt;
use tokio_util::sync::CancellationToken;
use workload::{Answered, Purchase, RequestKind, RetryPolicy, RetryingClient};

use super::observations::Observations;
use super::shopper::{DrillShopper, RecentOrder};

/// Maximum number of pieces per order.
const QUANTITY_MAX: u64 = 3;

/// Probability that an acknowledged order is sent once more.
const REPEATS: f64 = 0.01;

/// Probability that the key of an acknowledged order is reused for another order.
const KEY_REUSES: f64 = 0.005;

/// How long a writer retries its last order when it has to stop. The store has recovered by then.
const LAST_ORDER_TIMEOUT: Duration = Duration::from_secs(30);

/// An order is retried until it is answered. The delay is shorter than `Retry-After`, to measure
/// when the store is available again.
pub(super) fn placing() -> RetryPolicy {
    RetryPolicy {
        tries: u32::MAX,
        retry_delay: Duration::from_millis(20),
        retry_jitter: Duration::from_millis(40),
        stop_grace: LAST_ORDER_TIMEOUT,
        ..RetryPolicy::default()
    }
}

pub(super) struct DrillWriter {
    shopper: DrillShopper,
    /// For requests that are not retried.
    once: RetryingClient<Observations>,
}

impl DrillWriter {
    pub(super) fn new(shopper: DrillShopper) -> Self {
        Self { once: shopper.client.with_policy(RetryPolicy::once()), shopper }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        while self.shopper.wait_for_next(&stop).await {
            let order = self.next_order();
            let order_id = OrderId::random();
            let Some((number, frontend)) = self.place(order_id, &order).await else { continue };
            if self.shopper.random.random_bool(REPEATS) {
                let again = self.once.next_frontend(frontend);
                let _ = self.once.place_order(RequestKind::Repeat, again, order_id, &order).await;
            }
            if self.shopper.random.random_bool(KEY_REUSES) {
                let quantity = Quantity::new(u64::from(order.quantity.get()) + 1).expect("far below the bound");
                let other = NewOrder { quantity, ..order.clone() };
                let _ = self.once.place_order(RequestKind::Repeat, frontend, order_id, &other).await;
            }
            tracing::trace!(order_number = number.get(), "placed");
        }
    }

    fn next_order(&mut self) -> NewOrder {
        let DrillShopper { random, shared, .. } = &mut self.shopper;
        let name = shared.products[random.random_range(0..shared.products.len())].clone();
        let quantity = Quantity::new(random.random_range(1..=QUANTITY_MAX)).expect("within the bounds of a quantity");
        NewOrder { name, quantity }
    }

    /// Sends an order until it is answered. Returns its number and the frontend that acknowledged
    /// it, or `None` if the order was refused.
    async fn place(&mut self, id: OrderId, order: &NewOrder) -> Option<(OrderNumber, usize)> {
        let frontend = self.shopper.any_frontend();
        let DrillShopper { client, shared, .. } = &mut self.shopper;
        let Answered { value, frontend, at } =
            client.place_order(RequestKind::Order, frontend, id, order).await.ok()?;
        let Purchase::Placed(number) = value else { return None };
        shared.acknowledged(at, RecentOrder { product: order.name.clone(), number, frontend });
        Some((number, frontend))
    }
}
