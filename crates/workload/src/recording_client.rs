//! A client of one frontend that records each attempt.

use std::sync::Arc;
use std::time::Duration;

use api::public::{NewOrder, Order};
use api::{OrderId, OrderNumber, Product, ProductName};
use history::ClientId;

use crate::attempt_log::{AttemptLog, AttemptObserver};
use crate::clock::RunClock;
use crate::error::StoreClientError;
use crate::store_client::{Purchase, StoreClient};
use crate::transport::{HttpTransport, Transport};

/// A [`StoreClient`] whose attempts are in a log.
#[derive(Clone, Debug)]
pub struct RecordingClient<T = HttpTransport, O = RunClock> {
    id: ClientId,
    store: StoreClient<T>,
    log: Arc<AttemptLog<O>>,
}

impl<T: Transport, O: AttemptObserver> RecordingClient<T, O> {
    /// The attempts of `store` are recorded in `log` as those of the client `id`.
    pub fn new(id: ClientId, store: StoreClient<T>, log: Arc<AttemptLog<O>>) -> Self {
        Self { id, store, log }
    }

    /// The same client, with another timeout.
    #[must_use]
    pub fn with_request_timeout(self, request_timeout: Duration) -> Self {
        Self { store: self.store.with_request_timeout(request_timeout), ..self }
    }

    /// Lists all products.
    pub async fn products(&self) -> Result<Vec<Product>, StoreClientError> {
        let called = self.log.clock().moment();
        let answer = self.store.products().await;
        self.log.products(self.id, called, &answer);
        answer
    }

    /// Reads one product.
    pub async fn product(&self, name: &ProductName) -> Result<Product, StoreClientError> {
        let called = self.log.clock().moment();
        let answer = self.store.product(name).await;
        self.log.product(self.id, name, called, &answer);
        answer
    }

    /// Places an order, or sends it again.
    pub async fn place_order(&self, id: OrderId, order: &NewOrder) -> Result<Purchase, StoreClientError> {
        let called = self.log.clock().moment();
        let answer = self.store.place_order(id, order).await;
        self.log.order(self.id, id, order.clone(), called, &answer);
        answer
    }

    /// Reads the order with that number; `None` if there is none.
    pub async fn get_order(&self, number: OrderNumber) -> Result<Option<Order>, StoreClientError> {
        let called = self.log.clock().moment();
        let answer = self.store.get_order(number).await;
        self.log.order_read(self.id, number, called, &answer);
        answer
    }
}
