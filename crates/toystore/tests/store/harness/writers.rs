//! Clients that place orders in a closed loop and record the answers.
//!
//! They repeat an order with the same key while its outcome is unknown, through the next of their
//! frontends. How long clients wait, and that none sees an error on a machine that is fast enough,
//! is measured by `toystore drill`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::public::NewOrder;
use api::{ErrorCode, OrderId, ProductName, Quantity};
use history::{ClientId, History, OrderCall};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use workload::{
    AttemptLog, ClientObserver, RequestKind, RequestOutcome, RetryPolicy, RetryingClient, RunClock, StoreClientError,
    base_url, verification,
};

use super::{ClientOrder, TIMEOUT, TestStore};

/// More attempts than any test makes.
const ATTEMPTS_MAX: usize = 1_000_000;

/// The answers that the writers have got.
#[derive(Debug, Default)]
struct Answers {
    acknowledged: watch::Sender<usize>,
    errors: Mutex<Vec<String>>,
}

impl ClientObserver for Answers {
    fn attempt_failed(&self, _: RequestKind, error: &StoreClientError) {
        // The store did not have enough time for the request, or had too many of them.
        let is_temporary = matches!(error.code(), Some(ErrorCode::Unavailable | ErrorCode::Overloaded));
        if error.is_response() && !is_temporary {
            self.errors.lock().unwrap().push(error.to_string());
        }
    }

    fn ended(&self, _: RequestKind, _: u32, _: Duration, result: Result<RequestOutcome, &StoreClientError>) {
        match result {
            Ok(RequestOutcome::Done) => self.acknowledged.send_modify(|acknowledged| *acknowledged += 1),
            Ok(_) => {}
            Err(error) => self.errors.lock().unwrap().push(format!("for good: {error}")),
        }
    }
}

/// Running writers.
pub(crate) struct OrderWriters {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    log: Arc<AttemptLog>,
    answers: Arc<Answers>,
}

impl OrderWriters {
    /// Starts `writers` clients of the store; each orders one piece of the products in turn, and
    /// begins at the first of the `frontends`. An answer that a product is sold out is not an
    /// error.
    pub(crate) fn start(store: &TestStore, frontends: &[u8], writers: u32, products: &'static [&'static str]) -> Self {
        let urls: Vec<_> = frontends.iter().map(|n| base_url(&store.store.layout().public(*n)).unwrap()).collect();
        let policy = RetryPolicy {
            tries: u32::MAX,
            retry_delay: Duration::from_millis(20),
            // Much longer than the store's deadline of 5 s: there must be an answer.
            request_timeout: Duration::from_secs(30),
            patience: TIMEOUT,
            stop_grace: TIMEOUT,
            ..RetryPolicy::default()
        };
        let (stop, answers) = (CancellationToken::new(), Arc::default());
        let log = Arc::new(AttemptLog::new(RunClock::start(), ATTEMPTS_MAX));
        let mut tasks = JoinSet::new();
        for id in 0..writers {
            let (answers, stop) = (Arc::clone(&answers), stop.clone());
            let mut client = RetryingClient::new(ClientId(id), &urls, policy, &log, answers, stop.clone());
            tasks.spawn(async move {
                for name in products.iter().cycle().skip(id as usize).take_while(|_| !stop.is_cancelled()) {
                    let order = NewOrder { name: ProductName::new(name).unwrap(), quantity: Quantity::ONE };
                    let _ = client.place_order(RequestKind::Order, 0, OrderId::random(), &order).await;
                }
            });
        }
        Self { stop, tasks, log, answers }
    }

    /// Waits until this many more orders are acknowledged.
    ///
    /// # Panics
    /// If they are not within [`TIMEOUT`] each.
    pub(crate) async fn acknowledge_more(&mut self, more: usize) {
        let mut acknowledged = self.answers.acknowledged.subscribe();
        let target = *acknowledged.borrow() + more;
        while *acknowledged.borrow_and_update() < target {
            let changed = tokio::time::timeout(TIMEOUT, acknowledged.changed()).await;
            assert!(changed.is_ok(), "no more orders are acknowledged; errors: {:?}", self.answers.errors.lock());
        }
    }

    /// Lets the writers end after their current orders.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Lets the writers finish their current orders, and returns all acknowledged orders and all
    /// answers that were errors.
    ///
    /// # Panics
    /// If the answers contradict each other.
    pub(crate) async fn finish(self) -> (Vec<ClientOrder>, Vec<String>) {
        self.stop();
        self.tasks.join_all().await;
        let history = History { orders: self.log.take().orders, ..History::default() };
        let verdict = verification::check(&history);
        assert!(verdict.is_clean(), "{:#?}", verdict.violations);
        let order = |call: &OrderCall| {
            let (name, quantity, key) = (call.product.to_string(), call.quantity.get(), call.order_id.0);
            Some(ClientOrder { number: call.number()?.get(), name, quantity, key })
        };
        let errors = std::mem::take(&mut *self.answers.errors.lock().unwrap());
        (history.orders.iter().filter_map(order).collect(), errors)
    }
}
