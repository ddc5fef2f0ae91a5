//! One connection's way through the load.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::public::OrderPlaced;
use api::{Data, ErrorBody, ErrorCode, OrderId};
use history::{Moment, OrderOutcome};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt};
use tokio::time::{Instant, sleep, sleep_until};

use super::Run;
use super::book::Slip;
use super::connection::{Answer, Connection, NoAnswer};
use super::outcome::{End, Kind, Timing};
use super::schedule::Pace;

/// After a try in vain to open a connection, so that a dead store is not hammered.
const REOPEN_PAUSE: Duration = Duration::from_millis(20);

/// What a visit is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Visit {
    /// One request: an order, so likely, and else a look at a product.
    OneRequest {
        /// 0 to 1.
        order_share: f64,
    },
    /// A look at a product, and, so likely, an order for it as soon as the answer is there.
    LookThenBuy {
        /// 0 to 1.
        purchase_probability: f64,
    },
}

/// Whoever uses one connection.
pub(super) struct Shopper {
    pub(super) run: Arc<Run>,
    /// Which connection.
    pub(super) index: usize,
    pub(super) connection: Connection,
    pub(super) random: Xoshiro256PlusPlus,
    /// For an order's bytes.
    pub(super) buffer: Vec<u8>,
}

impl Shopper {
    /// Goes through all stages, or until the load is stopped.
    pub(super) async fn shop(mut self) {
        let run = Arc::clone(&self.run);
        let mut begin = run.begin;
        for (stage, plan) in run.stages.iter().enumerate().take_while(|_| !run.is_over()) {
            let end = begin + plan.length;
            match plan.pace {
                Pace::Open { .. } => self.open_loop(stage, begin).await,
                Pace::Closed { shoppers } if self.index < shoppers => {
                    tokio::select! {
                        () = sleep_until(begin) => {}
                        () = run.stopped.cancelled() => {}
                    }
                    while Instant::now() < end && !run.is_over() {
                        self.visit(stage, Instant::now()).await;
                    }
                }
                Pace::Closed { .. } => {}
            }
            begin = end;
        }
    }

    async fn open_loop(&mut self, stage: usize, begin: Instant) {
        let run = Arc::clone(&self.run);
        let gate = run.gates[stage].as_ref().expect("an open loop has a gate");
        while let Some(n) = gate.next().await {
            if run.is_over() {
                return;
            }
            run.begun[stage].fetch_add(1, Ordering::Relaxed);
            self.visit(stage, begin + run.stages[stage].due(n)).await;
        }
    }

    async fn visit(&mut self, stage: usize, due: Instant) {
        let product = self.run.draw.next(&mut self.random);
        match self.run.visit {
            Visit::OneRequest { order_share } if self.random.random_bool(order_share) => {
                self.order(stage, due, product).await;
            }
            Visit::OneRequest { .. } => {
                self.query(stage, due, product).await;
            }
            Visit::LookThenBuy { purchase_probability } => {
                let seen = self.query(stage, due, product).await;
                if seen && self.random.random_bool(purchase_probability) {
                    self.order(stage, Instant::now(), product).await;
                }
            }
        }
    }

    async fn query(&mut self, stage: usize, due: Instant, product: usize) -> bool {
        let sent = Instant::now();
        let run = Arc::clone(&self.run);
        let request = run.requests(self.index).query(product);
        let answer = self.connection.exchange(request, sent + run.answer_timeout).await;
        let end = end(answer.as_ref(), None);
        self.over(stage, Kind::Query, end, due, sent);
        self.after(answer.err()).await;
        end == End::Done
    }

    async fn order(&mut self, stage: usize, due: Instant, product: usize) {
        let sent = Instant::now();
        let id = OrderId(uuid::Builder::from_random_bytes(random_bytes(&mut self.random)).into_uuid());
        let run = Arc::clone(&self.run);
        let request = run.requests(self.index).order(product, id, &mut self.buffer);
        let answer = self.connection.exchange(request, sent + run.answer_timeout).await;
        let (outcome, code) = match &answer {
            Ok(answer) => order_outcome(answer, self.connection.body(answer)),
            Err(_) => (OrderOutcome::Unknown, None),
        };
        self.over(stage, Kind::Order, end(answer.as_ref(), code), due, sent);
        // What never left was not ordered.
        if !matches!(answer, Err(NoAnswer::Unreachable(_))) {
            let at = |moment: Instant| Moment::after(moment.saturating_duration_since(run.begin));
            let product = u32::try_from(product).expect("a catalog has fewer than 2^32 products");
            let returned = answer.as_ref().ok().map(|_| at(Instant::now()));
            run.book.write(Slip { id, product, called: at(sent), returned, outcome });
        }
        self.after(answer.err()).await;
    }

    fn over(&self, stage: usize, kind: Kind, end: End, due: Instant, sent: Instant) {
        let now = Instant::now();
        let timing = Timing { since_due: now.saturating_duration_since(due), since_sent: now - sent };
        self.run.tally.count(self.index, stage, kind, end, timing);
    }

    /// The next try may do better a moment later.
    async fn after(&self, failure: Option<NoAnswer>) {
        match failure {
            Some(NoAnswer::Unreachable(error)) => {
                tracing::debug!(%error, "a connection cannot be opened");
                sleep(REOPEN_PAUSE).await;
            }
            Some(NoAnswer::Broken(error)) => tracing::debug!(%error, "a connection broke"),
            Some(NoAnswer::Silent) | None => {}
        }
    }
}

/// How a request ended, given the error code in its answer if that was looked at.
fn end(answer: Result<&Answer, &NoAnswer>, code: Option<ErrorCode>) -> End {
    match answer {
        Ok(answer) if answer.is_success() => End::Done,
        Ok(_) if code == Some(ErrorCode::OutOfStock) => End::SoldOut,
        Ok(Answer { status: 429 | 503 | 507, retry_after, .. }) => End::Refused { told_when: *retry_after },
        Ok(_) => End::Other,
        Err(NoAnswer::Silent) => End::Silent,
        Err(NoAnswer::Broken(_) | NoAnswer::Unreachable(_)) => End::Broken,
    }
}

/// What an answer says about an order, and its error code.
pub(super) fn order_outcome(answer: &Answer, body: &[u8]) -> (OrderOutcome, Option<ErrorCode>) {
    if answer.is_success() {
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
