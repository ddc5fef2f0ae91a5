//! What one connection does during a load.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::public::OrderPlaced;
use api::{Data, ErrorBody, ErrorCode, OrderId};
use history::{Moment, OrderOutcome};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt};
use tokio::time::{Instant, sleep, sleep_until};

use super::attempt_log::Attempt;
use super::connection::{LoadConnection, LoadResponse, RequestError};
use super::plan::Visit;
use super::run_state::RunState;
use super::schedule::LoadModel;
use super::stats::{LoadRequestKind, RequestOutcome, RequestTiming};

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
        let response = self.connection.exchange(request, sent + run.request_timeout).await;
        let outcome = request_outcome(response.as_ref(), None);
        self.count(stage, LoadRequestKind::Query, outcome, due, sent);
        self.after_failure(response.err()).await;
        outcome == RequestOutcome::Done
    }

    async fn order(&mut self, stage: usize, due: Instant, product: usize) {
        let sent = Instant::now();
        let id = OrderId(uuid::Builder::from_random_bytes(random_bytes(&mut self.random)).into_uuid());
        let run = Arc::clone(&self.run);
        let request = run.requests(self.index).order(product, id, &mut self.buffer);
        let response = self.connection.exchange(request, sent + run.request_timeout).await;
        let (outcome, code) = match &response {
            Ok(response) => order_outcome(response, self.connection.body(response)),
            Err(_) => (OrderOutcome::Unknown, None),
        };
        self.count(stage, LoadRequestKind::Order, request_outcome(response.as_ref(), code), due, sent);
        // A request that was never sent is not an attempt.
        if !matches!(response, Err(RequestError::Unreachable(_))) {
            let at = |moment: Instant| Moment::after(moment.saturating_duration_since(run.begin));
            let product = u32::try_from(product).expect("a catalog has fewer than 2^32 products");
            let returned = response.as_ref().ok().map(|_| at(Instant::now()));
            run.attempt_log.record(Attempt { id, product, called: at(sent), returned, outcome });
        }
        self.after_failure(response.err()).await;
    }

    fn count(&self, stage: usize, kind: LoadRequestKind, outcome: RequestOutcome, due: Instant, sent: Instant) {
        let now = Instant::now();
        let timing = RequestTiming { since_due: now.saturating_duration_since(due), since_sent: now - sent };
        self.run.counters.count(self.index, stage, kind, outcome, timing);
    }

    /// Logs a failure, and pauses before the next attempt to connect.
    async fn after_failure(&self, failure: Option<RequestError>) {
        match failure {
            Some(RequestError::Unreachable(error)) => {
                tracing::debug!(%error, "cannot open a connection");
                sleep(RECONNECT_DELAY).await;
            }
            Some(RequestError::ConnectionLost(error)) => tracing::debug!(%error, "lost a connection"),
            Some(RequestError::Timeout) | None => {}
        }
    }
}

/// The outcome of a request, given the error code in its response if that was parsed.
fn request_outcome(response: Result<&LoadResponse, &RequestError>, code: Option<ErrorCode>) -> RequestOutcome {
    match response {
        Ok(response) if response.is_success() => RequestOutcome::Done,
        Ok(_) if code == Some(ErrorCode::OutOfStock) => RequestOutcome::SoldOut,
        Ok(LoadResponse { status: 429 | 503 | 507, retry_after, .. }) => {
            RequestOutcome::Refused { with_retry_after: *retry_after }
        }
        Ok(_) => RequestOutcome::Other,
        Err(RequestError::Timeout) => RequestOutcome::TimedOut,
        Err(RequestError::ConnectionLost(_) | RequestError::Unreachable(_)) => RequestOutcome::ConnectionError,
    }
}

/// What a response says about an order, and its error code.
pub(super) fn order_outcome(response: &LoadResponse, body: &[u8]) -> (OrderOutcome, Option<ErrorCode>) {
    if response.is_success() {
        let placed = serde_json::from_slice::<Data<OrderPlaced>>(body);
        let outcome = placed.map_or(OrderOutcome::Unknown, |it| OrderOutcome::Acknowledged(it.data.order_number));
        return (outcome, None);
    }
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(ErrorBody { error }) => (OrderOutcome::of_error(error.code), Some(error.code)),
        Err(_) => (OrderOutcome::Unknown, None),
    }
}

fn random_bytes(random: &mut impl Rng) -> [u8; 16] {
    let mut bytes = [0; 16];
    random.fill_bytes(&mut bytes);
    bytes
}
