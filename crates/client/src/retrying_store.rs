//! A store client that retries temporary failures and counts every request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use api::public::{NewOrder, Order};
use api::{OrderId, OrderNumber, Product, ProductName};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use workload::{Purchase, StoreClient, StoreClientError};

use crate::shopping_stats::{RequestKind, ShoppingStats};

/// A shopper stops after this many failed requests in a row, each after all of its attempts.
const CONSECUTIVE_FAILURES_MAX: u32 = 3;

/// How shoppers deal with failures. The default is the documented one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Maximum number of attempts per request, 1 or more.
    pub tries: u32,
    /// The pause before the next attempt. Longer than an election, and longer than the store's
    /// `Retry-After` (1 s).
    pub retry_delay: Duration,
    /// How long to wait for a response. The store's own deadline is 5 s, so a response does not
    /// arrive after 6 s.
    pub request_timeout: Duration,
    /// How long to wait at the beginning for a store that is still starting.
    pub startup_timeout: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries: 3,
            retry_delay: Duration::from_secs(2),
            request_timeout: Duration::from_secs(6),
            startup_timeout: Duration::from_secs(30),
        }
    }
}

/// One shopper's client of the store.
#[derive(Debug)]
pub(crate) struct RetryingStore {
    store: StoreClient,
    retry_policy: RetryPolicy,
    stats: Arc<ShoppingStats>,
    stop: CancellationToken,
    /// Atomic only so that it can change through a shared reference; a single task uses it.
    consecutive_failures: AtomicU32,
}

impl RetryingStore {
    pub(crate) fn new(
        store: StoreClient,
        retry_policy: RetryPolicy,
        stats: Arc<ShoppingStats>,
        stop: CancellationToken,
    ) -> Self {
        Self { store, retry_policy, stats, stop, consecutive_failures: AtomicU32::new(0) }
    }

    /// Whether another request makes sense: the run was not stopped, and the store is not dead.
    pub(crate) fn should_continue(&self) -> bool {
        !self.stop.is_cancelled() && self.consecutive_failures.load(Ordering::Relaxed) < CONSECUTIVE_FAILURES_MAX
    }

    /// Forgets the failures so far: a new phase gives the store a new chance.
    pub(crate) fn reset_failures(&self) {
        self.consecutive_failures.store(0, Ordering::Relaxed);
    }

    pub(crate) async fn product(&self, name: &ProductName) -> Result<Product, StoreClientError> {
        self.with_retries(RequestKind::Query, || self.store.product(name)).await
    }

    pub(crate) async fn place_order(&self, id: OrderId, order: &NewOrder) -> Result<Purchase, StoreClientError> {
        let purchase = self.with_retries(RequestKind::Order, || self.store.place_order(id, order)).await?;
        if purchase == Purchase::SoldOut {
            self.stats.sold_out();
        }
        Ok(purchase)
    }

    /// Sends an order again that was already acknowledged.
    pub(crate) async fn repeat_order(&self, id: OrderId, order: &NewOrder) -> Result<Purchase, StoreClientError> {
        self.with_retries(RequestKind::Repeat, || self.store.place_order(id, order)).await
    }

    pub(crate) async fn get_order(&self, number: OrderNumber) -> Result<Option<Order>, StoreClientError> {
        self.with_retries(RequestKind::Check, || self.store.get_order(number)).await
    }

    pub(crate) fn stats(&self) -> &ShoppingStats {
        &self.stats
    }

    /// Repeats a request until there is a response, a final refusal, or no attempt left.
    async fn with_retries<T, R, F>(&self, kind: RequestKind, request: R) -> Result<T, StoreClientError>
    where
        R: Fn() -> F,
        F: Future<Output = Result<T, StoreClientError>>,
    {
        let begun = Instant::now();
        let mut tries_left = self.retry_policy.tries;
        loop {
            let error = match request().await {
                Ok(response) => {
                    self.stats.answered(kind, begun.elapsed());
                    self.consecutive_failures.store(0, Ordering::Relaxed);
                    return Ok(response);
                }
                Err(error) => error,
            };
            tries_left = tries_left.saturating_sub(1);
            let again = error.is_retryable() && tries_left > 0 && self.wait_before_retry().await;
            if !again {
                self.stats.failed(kind, &error);
                self.consecutive_failures.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
            tracing::debug!(request = kind.as_str(), %error, tries_left, "retrying a request");
            self.stats.retried(kind);
        }
    }

    /// Pauses between two sessions; returns early if the run is stopped.
    pub(crate) async fn think(&self, time: Duration) {
        if !time.is_zero() {
            self.wait(time).await;
        }
    }

    /// Waits before the next attempt; false if there must be none because the run was stopped.
    async fn wait_before_retry(&self) -> bool {
        self.wait(self.retry_policy.retry_delay).await
    }

    /// False if the run was stopped.
    async fn wait(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}
