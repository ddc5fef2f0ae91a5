//! A shopper that reads products and orders that another shopper has just bought, through another
//! frontend.

use api::{OrderNumber, ProductName};
use history::{History, OrderCall, OrderOutcome, OrderRead, OrderReadOutcome, ProductCall, ProductOutcome};
use rand::RngExt;
use tokio_util::sync::CancellationToken;
use workload::StoreClientError;

use super::shopper::{DrillShopper, RecentOrder};

/// Probability that a reader reads an order instead of a product.
const ORDER_READS: f64 = 0.2;

/// Maximum number of orders that are read again at the end, which takes about a second. The ledgers
/// are compared completely in any case.
const REREAD_MAX: usize = 2000;

pub(super) struct DrillReader(pub(super) DrillShopper);

impl DrillReader {
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while self.0.wait_for_next(&stop).await {
            let Some(bought) = self.recently_bought() else { continue };
            if self.0.random.random_bool(ORDER_READS) {
                let frontend = self.0.any_frontend();
                self.order(frontend, bought.number).await;
            } else {
                let frontend = self.0.other_frontend(bought.frontend);
                self.product(frontend, &bought.product).await;
            }
        }
    }

    /// Reads up to [`REREAD_MAX`] of the acknowledged orders, through all frontends in turn.
    pub(super) async fn reread_orders(&self, history: &History) {
        let number = |call: &OrderCall| match call.outcome {
            OrderOutcome::Acknowledged(number) => Some(number),
            _ => None,
        };
        let numbers: Vec<_> = history.orders.iter().filter_map(number).collect();
        let stride = numbers.len() / REREAD_MAX + 1;
        for (index, number) in numbers.into_iter().step_by(stride).enumerate() {
            self.order(index % self.0.stores.len(), number).await;
        }
    }

    fn recently_bought(&mut self) -> Option<RecentOrder> {
        let DrillShopper { random, shared, .. } = &mut self.0;
        let recent = shared.recent();
        (!recent.is_empty()).then(|| recent[random.random_range(0..recent.len())].clone())
    }

    async fn product(&self, frontend: usize, product: &ProductName) {
        let DrillShopper { id, stores, shared, .. } = &self.0;
        let called = shared.clock.now();
        let answer = stores[frontend].product(product).await;
        let returned = answered(&answer).then(|| shared.clock.now());
        let outcome =
            answer.as_ref().map_or(ProductOutcome::Unknown, |product| ProductOutcome::Quantity(product.quantity));
        let call = ProductCall { client: *id, product: product.clone(), called, returned, outcome };
        shared.recorded(shared.recorder.product(call));
        shared.observations.answer("product read", &answer);
    }

    async fn order(&self, frontend: usize, number: OrderNumber) {
        let DrillShopper { id, stores, shared, .. } = &self.0;
        let called = shared.clock.now();
        let answer = stores[frontend].get_order(number).await;
        let returned = answered(&answer).then(|| shared.clock.now());
        let outcome = match &answer {
            Ok(Some(order)) => OrderReadOutcome::Found { product: order.name.clone(), quantity: order.quantity },
            Ok(None) => OrderReadOutcome::NotFound,
            Err(_) => OrderReadOutcome::Unknown,
        };
        shared.recorded(shared.recorder.order_read(OrderRead { client: *id, number, called, returned, outcome }));
        shared.observations.answer("order read", &answer);
    }
}

/// Whether a response arrived.
fn answered<T>(answer: &Result<T, StoreClientError>) -> bool {
    !matches!(
        answer,
        Err(StoreClientError::Unreachable(_) | StoreClientError::Timeout(_) | StoreClientError::ConnectionLost(_))
    )
}
