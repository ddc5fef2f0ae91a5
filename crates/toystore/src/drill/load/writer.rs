//! A shopper that places orders.

use std::time::Duration;

use api::public::NewOrder;
use api::{OrderId, OrderNumber, Quantity};
use history::{Moment, OrderCall, OrderOutcome};
use rand::RngExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use workload::{Purchase, StoreClientError};

use super::shopper::{DrillShopper, RecentOrder};

/// Maximum number of pieces per order.
const QUANTITY_MAX: u64 = 3;

/// Delay before an order is retried, in milliseconds. Shorter than `Retry-After`, to measure when
/// the store is available again.
const RETRY_MS: std::ops::RangeInclusive<u64> = 20..=60;

/// Probability that an acknowledged order is sent once more.
const REPEATS: f64 = 0.01;

/// Probability that the key of an acknowledged order is reused for another order.
const KEY_REUSES: f64 = 0.005;

/// How long a writer retries its last order when it has to stop. The store has recovered by then.
const LAST_ORDER_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct DrillWriter(pub(super) DrillShopper);

impl DrillWriter {
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while self.0.wait_for_next(&stop).await {
            let order = self.next_order();
            let order_id = OrderId::random();
            let Some((number, frontend)) = self.place(order_id, &order, &stop).await else { continue };
            if self.0.random.random_bool(REPEATS) {
                let again = self.0.other_frontend(frontend);
                let _ = self.attempt(again, order_id, &order).await;
            }
            if self.0.random.random_bool(KEY_REUSES) {
                let quantity = Quantity::new(u64::from(order.quantity.get()) + 1).expect("far below the bound");
                let _ = self.attempt(frontend, order_id, &NewOrder { quantity, ..order.clone() }).await;
            }
            tracing::trace!(order_number = number.get(), "placed");
        }
    }

    fn next_order(&mut self) -> NewOrder {
        let DrillShopper { random, shared, .. } = &mut self.0;
        let name = shared.products[random.random_range(0..shared.products.len())].clone();
        let quantity = Quantity::new(random.random_range(1..=QUANTITY_MAX)).expect("within the bounds of a quantity");
        NewOrder { name, quantity }
    }

    /// Retries an order until it is answered. Returns its number and the frontend that acknowledged
    /// it, or `None` if the order was refused.
    async fn place(&mut self, id: OrderId, order: &NewOrder, stop: &CancellationToken) -> Option<(OrderNumber, usize)> {
        let begun = Instant::now();
        let mut frontend = self.0.any_frontend();
        let mut last_order = None;
        loop {
            let error = match self.attempt(frontend, id, order).await {
                Ok((at, Purchase::Placed(number))) => {
                    self.0.shared.observations.placed(begun.elapsed());
                    self.0.shared.acknowledged(at, RecentOrder { product: order.name.clone(), number, frontend });
                    return Some((number, frontend));
                }
                Ok((_, Purchase::SoldOut)) => return None,
                Err(error) => error,
            };
            if !error.is_retryable() {
                return None;
            }
            if stop.is_cancelled() && last_order.get_or_insert_with(Instant::now).elapsed() > LAST_ORDER_TIMEOUT {
                return None;
            }
            frontend = self.0.other_frontend(frontend);
            tokio::time::sleep(Duration::from_millis(self.0.random.random_range(RETRY_MS))).await;
        }
    }

    /// Sends one request and records the call.
    async fn attempt(
        &self,
        frontend: usize,
        order_id: OrderId,
        order: &NewOrder,
    ) -> Result<(Moment, Purchase), StoreClientError> {
        let DrillShopper { id, stores, shared, .. } = &self.0;
        let called = shared.clock.now();
        let answer = stores[frontend].place_order(order_id, order).await;
        let now = shared.clock.now();
        let (outcome, returned) = match &answer {
            Ok(Purchase::Placed(number)) => (OrderOutcome::Acknowledged(*number), Some(now)),
            Ok(Purchase::SoldOut) => (OrderOutcome::Refused(api::ErrorCode::OutOfStock), Some(now)),
            Err(StoreClientError::Refused(error)) => (OrderOutcome::of_error(error.code), Some(now)),
            Err(StoreClientError::Unavailable { .. } | StoreClientError::InvalidResponse(_)) => {
                (OrderOutcome::Unknown, Some(now))
            }
            Err(
                StoreClientError::Unreachable(_) | StoreClientError::Timeout(_) | StoreClientError::ConnectionLost(_),
            ) => (OrderOutcome::Unknown, None),
        };
        let (product, quantity) = (order.name.clone(), order.quantity);
        shared.recorded(shared.recorder.order(OrderCall {
            client: *id,
            order_id,
            product,
            quantity,
            called,
            returned,
            outcome,
        }));
        shared.observations.answer("order", &answer);
        answer.map(|purchase| (now, purchase))
    }
}
