//! A shopper who looks: at what somebody else has just bought, through another frontend.

use api::{OrderNumber, ProductName};
use client::StoreError;
use history::{History, OrderCall, OrderOutcome, OrderRead, OrderReadOutcome, ProductCall, ProductOutcome};
use rand::RngExt;
use tokio_util::sync::CancellationToken;

use super::{Bought, Shopper};

/// How likely a reader looks at an order, and not at a product.
const ORDER_READS: f64 = 0.2;

/// So many orders are read again in the end: a second's work. The ledgers are compared whole in any case.
const AUDITED_MAX: usize = 2000;

pub(super) struct Reader(pub(super) Shopper);

impl Reader {
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while self.0.turn(&stop).await {
            let Some(bought) = self.lately_bought() else { continue };
            if self.0.random.random_bool(ORDER_READS) {
                let frontend = self.0.any_frontend();
                self.order(frontend, bought.number).await;
            } else {
                let frontend = self.0.other_frontend(bought.frontend);
                self.product(frontend, &bought.product).await;
            }
        }
    }

    /// Reads up to [`AUDITED_MAX`] of the acknowledged orders, through all frontends in turn.
    pub(super) async fn look_again(&self, history: &History) {
        let number = |call: &OrderCall| match call.outcome {
            OrderOutcome::Acknowledged(number) => Some(number),
            _ => None,
        };
        let numbers: Vec<_> = history.orders.iter().filter_map(number).collect();
        let step = numbers.len() / AUDITED_MAX + 1;
        for (turn, number) in numbers.into_iter().step_by(step).enumerate() {
            self.order(turn % self.0.stores.len(), number).await;
        }
    }

    fn lately_bought(&mut self) -> Option<Bought> {
        let Shopper { random, shared, .. } = &mut self.0;
        let recent = shared.recent();
        (!recent.is_empty()).then(|| recent[random.random_range(0..recent.len())].clone())
    }

    async fn product(&self, frontend: usize, product: &ProductName) {
        let Shopper { id, stores, shared, .. } = &self.0;
        let called = shared.clock.now();
        let answer = stores[frontend].product(product).await;
        let returned = answered(&answer).then(|| shared.clock.now());
        let outcome =
            answer.as_ref().map_or(ProductOutcome::Unknown, |product| ProductOutcome::Quantity(product.quantity));
        let call = ProductCall { client: *id, product: product.clone(), called, returned, outcome };
        shared.note(shared.recorder.product(call));
        shared.sightings.answer("product", &answer);
    }

    async fn order(&self, frontend: usize, number: OrderNumber) {
        let Shopper { id, stores, shared, .. } = &self.0;
        let called = shared.clock.now();
        let answer = stores[frontend].placed(number).await;
        let returned = answered(&answer).then(|| shared.clock.now());
        let outcome = match &answer {
            Ok(Some(order)) => OrderReadOutcome::Found { product: order.name.clone(), quantity: order.quantity },
            Ok(None) => OrderReadOutcome::NotFound,
            Err(_) => OrderReadOutcome::Unknown,
        };
        shared.note(shared.recorder.order_read(OrderRead { client: *id, number, called, returned, outcome }));
        shared.sightings.answer("read of an order", &answer);
    }
}

/// Whether something came back.
fn answered<T>(answer: &Result<T, StoreError>) -> bool {
    !matches!(answer, Err(StoreError::Unreachable(_) | StoreError::Silent(_) | StoreError::Broken(_)))
}
