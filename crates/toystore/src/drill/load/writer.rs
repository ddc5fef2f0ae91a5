//! A shopper who orders.

use std::time::Duration;

use api::public::NewOrder;
use api::{OrderId, OrderNumber, Quantity};
use client::{Purchase, StoreError};
use history::{Moment, OrderCall, OrderOutcome};
use rand::RngExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Bought, Shopper};

/// An order takes one to so many pieces.
const QUANTITY_MAX: u64 = 3;

/// Before an order is tried again, in milliseconds from … to. Shorter than `Retry-After`: the drill wants to know when the store is back.
const RETRY_MS: std::ops::RangeInclusive<u64> = 20..=60;

/// How likely an acknowledged order is sent once more.
const REPEATS: f64 = 0.01;

/// How likely an acknowledged order's key is used for another order.
const MISUSES: f64 = 0.005;

/// How long a writer goes on with its last order when it is to go home. It is told so when the store is whole again.
const LAST_ORDER_PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Writer(pub(super) Shopper);

impl Writer {
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while self.0.turn(&stop).await {
            let order = self.wish();
            let order_id = OrderId::random();
            let Some((number, frontend)) = self.place(order_id, &order, &stop).await else { continue };
            if self.0.random.random_bool(REPEATS) {
                let again = self.0.other_frontend(frontend);
                let _ = self.attempt(again, order_id, &order).await;
            }
            if self.0.random.random_bool(MISUSES) {
                let quantity = Quantity::new(u64::from(order.quantity.get()) + 1).expect("far below the bound");
                let _ = self.attempt(frontend, order_id, &NewOrder { quantity, ..order.clone() }).await;
            }
            tracing::trace!(order_number = number.get(), "placed");
        }
    }

    fn wish(&mut self) -> NewOrder {
        let Shopper { random, shared, .. } = &mut self.0;
        let name = shared.products[random.random_range(0..shared.products.len())].clone();
        let quantity = Quantity::new(random.random_range(1..=QUANTITY_MAX)).expect("within the bounds of a quantity");
        NewOrder { name, quantity }
    }

    /// Tries until there is an answer: the number and who gave it, or `None` for a refusal.
    async fn place(&mut self, id: OrderId, order: &NewOrder, stop: &CancellationToken) -> Option<(OrderNumber, usize)> {
        let begun = Instant::now();
        let mut frontend = self.0.any_frontend();
        let mut last_order = None;
        loop {
            let error = match self.attempt(frontend, id, order).await {
                Ok((at, Purchase::Placed(number))) => {
                    self.0.shared.sightings.placed(begun.elapsed());
                    self.0.shared.bought(at, Bought { product: order.name.clone(), number, frontend });
                    return Some((number, frontend));
                }
                Ok((_, Purchase::SoldOut)) => return None,
                Err(error) => error,
            };
            if !error.may_pass() {
                return None;
            }
            if stop.is_cancelled() && last_order.get_or_insert_with(Instant::now).elapsed() > LAST_ORDER_PATIENCE {
                return None;
            }
            frontend = self.0.other_frontend(frontend);
            tokio::time::sleep(Duration::from_millis(self.0.random.random_range(RETRY_MS))).await;
        }
    }

    /// One request; written down.
    async fn attempt(
        &self,
        frontend: usize,
        order_id: OrderId,
        order: &NewOrder,
    ) -> Result<(Moment, Purchase), StoreError> {
        let Shopper { id, stores, shared, .. } = &self.0;
        let called = shared.clock.now();
        let answer = stores[frontend].order(order_id, order).await;
        let now = shared.clock.now();
        let (outcome, returned) = match &answer {
            Ok(Purchase::Placed(number)) => (OrderOutcome::Acknowledged(*number), Some(now)),
            Ok(Purchase::SoldOut) => (OrderOutcome::Refused(api::ErrorCode::OutOfStock), Some(now)),
            Err(StoreError::Refused(error)) => (OrderOutcome::of_error(error.code), Some(now)),
            Err(StoreError::Failing { .. } | StoreError::Nonsense(_)) => (OrderOutcome::Unknown, Some(now)),
            Err(StoreError::Unreachable(_) | StoreError::Silent(_) | StoreError::Broken(_)) => {
                (OrderOutcome::Unknown, None)
            }
        };
        let (product, quantity) = (order.name.clone(), order.quantity);
        shared.note(shared.recorder.order(OrderCall {
            client: *id,
            order_id,
            product,
            quantity,
            called,
            returned,
            outcome,
        }));
        shared.sightings.answer("order", &answer);
        answer.map(|purchase| (now, purchase))
    }
}
