//! The store as a shopper with patience sees it: what may pass is tried again, and every request is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use api::public::{NewOrder, Order};
use api::{OrderId, OrderNumber, Product, ProductName};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::{Purchase, Store, StoreError};
use crate::tally::{RequestKind, Tally};

/// After so many failures in a row, each after all of its tries, a shopper goes home.
const FAILURES_IN_A_ROW_MAX: u32 = 3;

/// How long shoppers put up with failures. The default is the documented one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How often a request is tried in all, 1 or more.
    pub tries: u32,
    /// From a failure to the next try. Longer than an election takes, and than the `Retry-After` of the store (1 s).
    pub pause: Duration,
    /// Time for an answer. The store's own deadline is 5 s; after 6 s it will not come any more.
    pub answer_timeout: Duration,
    /// How long to wait at the beginning for a store that is still starting.
    pub opening: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 3,
            pause: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(6),
            opening: Duration::from_secs(30),
        }
    }
}

/// One shopper's way to the store.
#[derive(Debug)]
pub(crate) struct PatientStore {
    store: Store,
    patience: Patience,
    tally: Arc<Tally>,
    stop: CancellationToken,
    /// Atomic only to be changed through a shared reference; one task uses it.
    failures_in_a_row: AtomicU32,
}

impl PatientStore {
    pub(crate) fn new(store: Store, patience: Patience, tally: Arc<Tally>, stop: CancellationToken) -> Self {
        Self { store, patience, tally, stop, failures_in_a_row: AtomicU32::new(0) }
    }

    /// Whether it makes sense to go on: nobody said stop, and the store is not dead.
    pub(crate) fn goes_on(&self) -> bool {
        !self.stop.is_cancelled() && self.failures_in_a_row.load(Ordering::Relaxed) < FAILURES_IN_A_ROW_MAX
    }

    /// Forgets the failures so far: a new phase gives the store a new chance.
    pub(crate) fn forgive(&self) {
        self.failures_in_a_row.store(0, Ordering::Relaxed);
    }

    pub(crate) async fn product(&self, name: &ProductName) -> Result<Product, StoreError> {
        self.persist(RequestKind::Query, || self.store.product(name)).await
    }

    pub(crate) async fn order(&self, id: OrderId, order: &NewOrder) -> Result<Purchase, StoreError> {
        let purchase = self.persist(RequestKind::Order, || self.store.order(id, order)).await?;
        if purchase == Purchase::SoldOut {
            self.tally.sold_out();
        }
        Ok(purchase)
    }

    /// Sends an order again that was acknowledged already.
    pub(crate) async fn repeat(&self, id: OrderId, order: &NewOrder) -> Result<Purchase, StoreError> {
        self.persist(RequestKind::Repeat, || self.store.order(id, order)).await
    }

    pub(crate) async fn placed(&self, number: OrderNumber) -> Result<Option<Order>, StoreError> {
        self.persist(RequestKind::Check, || self.store.placed(number)).await
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Tries until there is an answer, a final refusal, or no try left.
    async fn persist<T, R, F>(&self, kind: RequestKind, request: R) -> Result<T, StoreError>
    where
        R: Fn() -> F,
        F: Future<Output = Result<T, StoreError>>,
    {
        let begun = Instant::now();
        let mut tries_left = self.patience.tries;
        loop {
            let error = match request().await {
                Ok(answer) => {
                    self.tally.answered(kind, begun.elapsed());
                    self.failures_in_a_row.store(0, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            tries_left = tries_left.saturating_sub(1);
            let again = error.may_pass() && tries_left > 0 && self.pause().await;
            if !again {
                self.tally.failed(kind, &error);
                self.failures_in_a_row.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
            tracing::debug!(request = kind.as_str(), %error, tries_left, "trying again");
            self.tally.retried(kind);
        }
    }

    /// Waits before the next try; false if there should be none any more.
    async fn pause(&self) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(self.patience.pause) => true,
        }
    }
}
