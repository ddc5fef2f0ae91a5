//! A client of the store that repeats what was not answered, orders under the same key.

use std::sync::Arc;
use std::time::Duration;

use api::public::{NewOrder, Order};
use api::{OrderId, OrderNumber, Product, ProductName};
use history::{ClientId, Moment};
use rand::RngExt;
use reqwest::Url;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt_log::AttemptLog;
use crate::clock::RunClock;
use crate::error::StoreClientError;
use crate::recording_client::RecordingClient;
use crate::request::RequestKind;
use crate::stats::RequestOutcome;
use crate::store_client::{Purchase, StoreClient};

/// A client gives up after this many failed requests in a row, each after all of its attempts.
const CONSECUTIVE_FAILURES_MAX: u32 = 3;

/// How a client deals with failures. The default is that of `toystore client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Maximum number of attempts per request, 1 or more.
    pub tries: u32,
    /// The pause before the next attempt. Longer than an election, and longer than the store's
    /// `Retry-After` (1 s).
    pub retry_delay: Duration,
    /// Up to this much is added to the pause, at random.
    pub retry_jitter: Duration,
    /// How long to wait for a response. The store's own deadline is 5 s, so a response does not
    /// arrive after 6 s.
    pub request_timeout: Duration,
    /// How long to wait at the beginning for a store that is still starting.
    pub startup_timeout: Duration,
    /// No request is repeated if the store has answered none for this long.
    pub patience: Duration,
    /// How long a request is still repeated after the run was stopped.
    pub stop_grace: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries: 3,
            retry_delay: Duration::from_secs(2),
            retry_jitter: Duration::ZERO,
            request_timeout: Duration::from_secs(6),
            startup_timeout: Duration::from_secs(30),
            patience: Duration::MAX,
            stop_grace: Duration::ZERO,
        }
    }
}

impl RetryPolicy {
    /// One attempt.
    pub fn once() -> Self {
        Self { tries: 1, ..Self::default() }
    }
}

/// Watches the requests of clients, for statistics.
pub trait ClientObserver: Send + Sync {
    /// An attempt has failed.
    fn attempt_failed(&self, _kind: RequestKind, _error: &StoreClientError) {}

    /// A request has ended after that many attempts and that time: with this outcome, or with an
    /// error.
    fn ended(
        &self,
        _kind: RequestKind,
        _attempts: u32,
        _latency: Duration,
        _result: Result<RequestOutcome, &StoreClientError>,
    ) {
    }
}

/// Without statistics.
impl ClientObserver for () {}

/// An answer, when it arrived, and through which frontend.
#[derive(Clone, Debug)]
pub struct Answered<T> {
    /// The answer.
    pub value: T,
    /// The index of the frontend.
    pub frontend: usize,
    /// When it arrived.
    pub at: Moment,
}

type Reply<T> = Result<Answered<T>, StoreClientError>;

/// A client of one or more frontends of the store. It records every attempt. A request begins at a
/// given frontend, and each further attempt goes to the next one.
#[derive(Debug)]
pub struct RetryingClient<O> {
    frontends: Arc<[RecordingClient]>,
    policy: RetryPolicy,
    clock: RunClock,
    observer: Arc<O>,
    stop: CancellationToken,
    consecutive_failures: u32,
    /// When the store answered last, or when the client was created.
    answered_at: Instant,
}

impl<O: ClientObserver> RetryingClient<O> {
    /// A client with a connection of its own to each frontend. Nothing is sent yet. After `stop` is
    /// cancelled, no request is begun.
    pub fn new(
        id: ClientId,
        frontends: &[Url],
        policy: RetryPolicy,
        log: &Arc<AttemptLog>,
        observer: Arc<O>,
        stop: CancellationToken,
    ) -> Self {
        let recording = |url: &Url| {
            let store = StoreClient::new(url.clone(), policy.request_timeout);
            RecordingClient::new(id, store, Arc::clone(log))
        };
        let (frontends, clock) = (frontends.iter().map(recording).collect(), *log.clock());
        Self { frontends, policy, clock, observer, stop, consecutive_failures: 0, answered_at: Instant::now() }
    }

    /// The same client, over the same connections, with another policy.
    #[must_use]
    pub fn with_policy(&self, policy: RetryPolicy) -> Self {
        Self {
            frontends: Arc::clone(&self.frontends),
            policy,
            clock: self.clock,
            observer: Arc::clone(&self.observer),
            stop: self.stop.clone(),
            consecutive_failures: 0,
            answered_at: Instant::now(),
        }
    }

    /// The observer of all requests.
    pub fn observer(&self) -> &O {
        &self.observer
    }

    /// The number of frontends.
    pub fn frontends(&self) -> usize {
        self.frontends.len()
    }

    /// The frontend after that one; the same if there is only one.
    pub fn next_frontend(&self, frontend: usize) -> usize {
        (frontend + 1) % self.frontends.len()
    }

    /// Whether another request makes sense: the run was not stopped, and the store is not dead.
    pub fn should_continue(&self) -> bool {
        !self.stop.is_cancelled() && self.consecutive_failures < CONSECUTIVE_FAILURES_MAX
    }

    /// Forgets the failures so far: a new phase gives the store a new chance.
    pub fn reset_failures(&mut self) {
        (self.consecutive_failures, self.answered_at) = (0, Instant::now());
    }

    /// Reads a product.
    pub async fn product(&mut self, frontend: usize, name: &ProductName) -> Reply<Product> {
        let frontends = &Arc::clone(&self.frontends);
        let attempt = |n: usize| frontends[n].product(name);
        self.with_retries(RequestKind::Query, frontend, attempt, |_| RequestOutcome::Done).await
    }

    /// Places an order, or sends it again.
    pub async fn place_order(
        &mut self,
        kind: RequestKind,
        frontend: usize,
        order_id: OrderId,
        order: &NewOrder,
    ) -> Reply<Purchase> {
        let frontends = &Arc::clone(&self.frontends);
        let attempt = |n: usize| frontends[n].place_order(order_id, order);
        let outcome = |purchase: &Purchase| match purchase {
            Purchase::Placed(_) => RequestOutcome::Done,
            Purchase::SoldOut => RequestOutcome::SoldOut,
        };
        self.with_retries(kind, frontend, attempt, outcome).await
    }

    /// Reads the order with that number; `None` if there is none.
    pub async fn get_order(&mut self, frontend: usize, number: OrderNumber) -> Reply<Option<Order>> {
        let frontends = &Arc::clone(&self.frontends);
        let attempt = |n: usize| frontends[n].get_order(number);
        self.with_retries(RequestKind::Check, frontend, attempt, |_| RequestOutcome::Done).await
    }

    /// Repeats a request until there is a response, a final refusal, or no attempt left.
    async fn with_retries<T, F>(
        &mut self,
        kind: RequestKind,
        mut frontend: usize,
        attempt: impl Fn(usize) -> F,
        outcome: impl Fn(&T) -> RequestOutcome,
    ) -> Reply<T>
    where
        F: Future<Output = Result<T, StoreClientError>>,
    {
        let begun = Instant::now();
        let mut stopped_at = None;
        for attempts in 1.. {
            let error = match attempt(frontend).await {
                Ok(value) => {
                    self.reset_failures();
                    let at = self.clock.now();
                    self.observer.ended(kind, attempts, begun.elapsed(), Ok(outcome(&value)));
                    return Ok(Answered { value, frontend, at });
                }
                Err(error) => error,
            };
            self.observer.attempt_failed(kind, &error);
            let again =
                error.is_retryable() && attempts < self.policy.tries && self.wait_before_retry(&mut stopped_at).await;
            if !again {
                self.observer.ended(kind, attempts, begun.elapsed(), Err(&error));
                // A store that refuses a request for good is not dead.
                self.consecutive_failures += u32::from(!matches!(error, StoreClientError::Refused(_)));
                return Err(error);
            }
            tracing::debug!(request = kind.as_str(), %error, attempts, "retrying a request");
            frontend = self.next_frontend(frontend);
        }
        unreachable!("there are at most `tries` attempts");
    }

    /// Waits before the next attempt; false if there must be none.
    async fn wait_before_retry(&self, stopped_at: &mut Option<Instant>) -> bool {
        let RetryPolicy { retry_delay, retry_jitter, patience, stop_grace, .. } = self.policy;
        if self.stop.is_cancelled() && stopped_at.get_or_insert_with(Instant::now).elapsed() >= stop_grace {
            return false;
        }
        if self.answered_at.elapsed() >= patience {
            return false;
        }
        let jitter = retry_jitter.mul_f64(rand::rng().random::<f64>());
        tokio::select! {
            biased;
            () = self.stop.cancelled(), if stop_grace.is_zero() => false,
            () = tokio::time::sleep(retry_delay + jitter) => true,
        }
    }

    /// Pauses between two requests; returns early if the run is stopped.
    pub async fn think(&self, time: Duration) {
        if !time.is_zero() {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(time) => {}
            }
        }
    }
}
