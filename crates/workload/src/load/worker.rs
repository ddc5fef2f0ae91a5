//! What one connection does during a load.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::public::NewOrder;
use api::{OrderId, Quantity};
use history::ClientId;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt};
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::{LoadConnection, LoadResponse};
use super::plan::Visit;
use super::run_state::RunState;
use super::schedule::LoadModel;
use crate::error::StoreClientError;
use crate::request::RequestKind;
use crate::stats::{RequestOutcome, RequestTiming};
use crate::store_client::{Purchase, evaluate_order};

/// The pause after a failed attempt to connect, so that a dead store is not flooded.
const RECONNECT_DELAY: Duration = Duration::from_millis(20);

/// The task that uses one connection.
pub(super) struct LoadWorker {
    pub(super) run: Arc<RunState>,
    /// The connection's index.
    pub(super) index: usize,
    pub(super) connection: LoadConnection,
    pub(super) random: Xoshiro256PlusPlus,
    /// For the bytes of an order.
    pub(super) buffer: Vec<u8>,
}

impl LoadWorker {
    /// Runs all stages, or until the load is stopped.
    pub(super) async fn run(mut self) {
        let run = Arc::clone(&self.run);
        let mut begin = run.begin;
        for (index, stage) in run.stages.iter().enumerate().take_while(|_| !run.is_over()) {
            let end = begin + stage.length;
            match stage.model {
                LoadModel::Open { .. } => self.open_loop(index, begin).await,
                LoadModel::Closed { shoppers } if self.index < shoppers => {
                    tokio::select! {
                        () = sleep_until(begin) => {}
                        () = run.stopped.cancelled() => {}
                    }
                    while Instant::now() < end && !run.is_over() {
                        self.visit(index, Instant::now()).await;
                    }
                }
                LoadModel::Closed { .. } => {}
            }
            begin = end;
        }
    }

    async fn open_loop(&mut self, stage: usize, begin: Instant) {
        let run = Arc::clone(&self.run);
        let queue = run.arrivals[stage].as_ref().expect("an open loop has an arrival queue");
        while let Some(n) = queue.next().await {
            if run.is_over() {
                return;
            }
            run.begun[stage].fetch_add(1, Ordering::Relaxed);
            self.visit(stage, begin + run.stages[stage].due(n)).await;
        }
    }

    async fn visit(&mut self, stage: usize, due: Instant) {
        let product = self.run.sampler.next(&mut self.random);
        match self.run.visit {
            Visit::OneRequest { order_share } if self.random.random_bool(order_share) => {
                self.order(stage, due, product).await;
            }
            Visit::OneRequest { .. } => {
                self.query(stage, due, product).await;
            }
            Visit::ReadThenOrder { purchase_probability } => {
                let is_read = self.query(stage, due, product).await;
                if is_read && self.random.random_bool(purchase_probability) {
                    self.order(stage, Instant::now(), product).await;
                }
            }
        }
    }

    /// True if the product was read.
    async fn query(&mut self, stage: usize, due: Instant, product: usize) -> bool {
        let sent = Instant::now();
        let run = Arc::clone(&self.run);
        let request = run.requests(self.index).query(product);
        let response = self.connection.exchange(request, run.request_timeout).await;
        let outcome = request_outcome(response.as_ref(), false);
        self.count(stage, RequestKind::Query, outcome, due, sent);
        self.after_failure(response.err()).await;
        outcome == RequestOutcome::Done
    }

    async fn order(&mut self, stage: usize, due: Instant, product: usize) {
        let sent = Instant::now();
        let id = OrderId(uuid::Builder::from_random_bytes(random_bytes(&mut self.random)).into_uuid());
        let run = Arc::clone(&self.run);
        let request = run.requests(self.index).order(product, id, &mut self.buffer);
        let response = self.connection.exchange(request, run.request_timeout).await;
        let answer = match &response {
            Ok(response) => evaluate_order(response.status, self.connection.body(response)),
            Err(error) => Err(error.clone()),
        };
        let sold_out = answer == Ok(Purchase::SoldOut);
        self.count(stage, RequestKind::Order, request_outcome(response.as_ref(), sold_out), due, sent);
        let order = NewOrder { name: run.products[product].clone(), quantity: Quantity::ONE };
        run.attempt_log.order(self.client_id(), id, order, run.attempt_log.clock().at(sent), &answer);
        self.after_failure(response.err()).await;
    }

    fn client_id(&self) -> ClientId {
        ClientId(u32::try_from(self.index).expect("there are fewer than 2^32 connections"))
    }

    fn count(&self, stage: usize, kind: RequestKind, outcome: RequestOutcome, due: Instant, sent: Instant) {
        let now = Instant::now();
        let timing = RequestTiming { since_due: now.saturating_duration_since(due), since_sent: now - sent };
        self.run.counters.count(self.index, stage, kind, outcome, timing);
    }

    /// Logs a failure, and pauses before the next attempt to connect.
    async fn after_failure(&self, failure: Option<StoreClientError>) {
        match failure {
            Some(StoreClientError::Unreachable(error)) => {
                tracing::debug!(%error, "cannot open a connection");
                sleep(RECONNECT_DELAY).await;
            }
            Some(StoreClientError::ConnectionLost(error)) => tracing::debug!(%error, "lost a connection"),
            _ => {}
        }
    }
}

/// The outcome of a request. The body of its response was only parsed as far as to see whether it
/// says "out of stock".
fn request_outcome(response: Result<&LoadResponse, &StoreClientError>, sold_out: bool) -> RequestOutcome {
    match response {
        Ok(response) if response.is_success() => RequestOutcome::Done,
        Ok(_) if sold_out => RequestOutcome::SoldOut,
        Ok(LoadResponse { status: 429 | 503 | 507, retry_after, .. }) => {
            RequestOutcome::Refused { with_retry_after: *retry_after }
        }
        Ok(_) => RequestOutcome::Other,
        Err(error) => RequestOutcome::of_error(error),
    }
}

fn random_bytes(random: &mut impl Rng) -> [u8; 16] {
    let mut bytes = [0; 16];
    random.fill_bytes(&mut bytes);
    bytes
}
