//! Verifies the store's promises when a load is over, through the public API only.
//!
//! 1. **Orders with an unknown outcome are decided.** An order without a response may have been
//!    placed or not. It is sent again with its key until the outcome is known: if the first attempt
//!    placed the order, the store returns its number.
//! 2. **Every acknowledged order is read.** Everything that was observed goes to the checkers of
//!    the crate [`history`]: each order exists as it was ordered (I1), one key has one number and
//!    one number belongs to one order (I2), and an order that was sent after another was
//!    acknowledged has a higher number (I3).
//! 3. **The stock is compared**, if no other client bought during the load: see [`StockCheck`].
//!
//! # Caveats
//! * At most a million attempts are recorded. Further attempts are counted, but not checked, and
//!   the stock is then not compared.
//! * The ledgers on the replicas' disks cannot be read through the public API; `toystore drill`
//!   compares them.

mod stock;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::public::Order;
use api::{Data, ErrorBody, ErrorCode, OrderNumber, Product, Quantity};
use futures::StreamExt;
use history::{
    CheckOptions, ClientId, EndState, History, Moment, OrderCall, OrderOutcome, OrderRead, OrderReadOutcome, Verdict,
};
use report::CheckResult;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::attempt_log::Attempt;
use super::connection::LoadConnection;
use super::plan::{LoadPlan, REQUEST_TIMEOUT};
use super::request_templates::RequestTemplates;
use super::stats::LoadResult;
use super::worker::order_outcome;

pub use stock::{StockCheck, StockMismatch};

/// The number of connections of a verification.
const CONNECTIONS: usize = 16;

/// The pause before a request is repeated.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// The maximum number of listed violations.
const VIOLATIONS_MAX: usize = 20;

/// The result of a verification.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// Orders without a response that were sent again.
    pub repeated: u64,
    /// Orders whose outcome is still unknown: the store did not answer at the end either.
    pub undecided: u64,
    /// Acknowledged orders that were read, with a response.
    pub read: u64,
    /// Acknowledged orders that could not be read.
    pub unread: u64,
    /// Attempts that were not recorded, because there were too many.
    pub unchecked: u64,
    /// The verdict of the checkers.
    pub verdict: Verdict,
    /// The comparison of the stock; `None` if others may have bought too.
    pub stock: Option<StockCheck>,
}

impl Verification {
    /// Whether the store broke a promise.
    pub fn is_broken(&self) -> bool {
        !self.verdict.is_clean() || self.stock.as_ref().is_some_and(StockCheck::is_broken)
    }

    /// Whether everything could be checked.
    pub fn is_complete(&self) -> bool {
        self.undecided + self.unread + self.unchecked == 0
            && self.stock.as_ref().is_none_or(|stock| stock.unknown.is_none())
    }

    /// The overall result.
    pub fn check_result(&self) -> CheckResult {
        match (self.is_broken(), self.is_complete()) {
            (true, _) => CheckResult::Failed,
            (false, true) => CheckResult::Passed,
            (false, false) => CheckResult::NotChecked,
        }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repeated, undecided, read, unread, unchecked, verdict, stock } = self;
        let counts = &verdict.counts;
        write!(f, "{} orders acknowledged, {read} read back", counts.acknowledged)?;
        let more = [
            (repeated, "sent again with their keys"),
            (undecided, "undecided"),
            (unread, "could not be read"),
            (unchecked, "not checked"),
        ];
        more.iter().filter(|(count, _)| **count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))?;
        let all = "each exists once, as it was ordered";
        match (counts.violations, undecided + unread + unchecked) {
            (0, 0) => write!(f, ": {all}"),
            (0, _) => write!(f, ": NOT ALL COULD BE CHECKED; of those that could, {all}"),
            (many, _) => write!(f, ": {many} PROMISES BROKEN"),
        }?;
        verdict.violations.iter().try_for_each(|violation| write!(f, "\n  {violation}"))?;
        stock.as_ref().map_or(Ok(()), |stock| write!(f, "\nstock: {stock}"))
    }
}

/// Verifies a load. `sole_buyer` is given if no other client bought during the load: the stock
/// before the load, and the level that sold-out products are restocked to, if that is known. An
/// order that the store does not return within `timeout` is not checked.
pub async fn verify(
    plan: &LoadPlan,
    result: LoadResult,
    sole_buyer: Option<(Vec<Product>, Option<u64>)>,
    timeout: Duration,
    stop: &CancellationToken,
) -> Verification {
    let LoadResult { attempts, attempts_dropped, begin, .. } = result;
    let verifier = Arc::new(Verifier { plan: plan.clone(), begin, timeout, stop: stop.clone() });
    let unknown = attempts.iter().filter(|attempt| attempt.outcome == OrderOutcome::Unknown).copied();
    let repeats = verifier.for_each(unknown.collect(), VerifierConnection::repeat).await;
    let all: Vec<_> = attempts.into_iter().chain(repeats.iter().copied()).collect();
    let numbers: BTreeSet<_> = all
        .iter()
        .filter_map(|attempt| match attempt.outcome {
            OrderOutcome::Acknowledged(number) => Some(number),
            OrderOutcome::Refused(_) | OrderOutcome::Unknown => None,
        })
        .collect();
    let reads = verifier.for_each(numbers.into_iter().collect(), VerifierConnection::read).await;
    let unread = reads.iter().filter(|read| read.outcome == OrderReadOutcome::Unknown).count() as u64;
    let read = reads.len() as u64 - unread;
    let calls = all.iter().map(|attempt| order_call(plan, attempt)).collect();
    let history = History { orders: calls, order_reads: reads, ..History::default() };
    let options = CheckOptions { restock_level: None, violations_max: VIOLATIONS_MAX, ..CheckOptions::default() };
    let verdict = history::check(&history, &EndState::default(), &options);
    let undecided = verdict.counts.unknown;
    let stock = match sole_buyer {
        Some((before, restock_level)) => {
            let is_known = undecided == 0 && attempts_dropped == 0;
            Some(stock::compare(plan, &history, (before, restock_level), is_known, timeout).await)
        }
        None => None,
    };
    Verification {
        repeated: repeats.len() as u64,
        undecided,
        read,
        unread,
        unchecked: attempts_dropped,
        verdict,
        stock,
    }
}

fn order_call(plan: &LoadPlan, attempt: &Attempt) -> OrderCall {
    OrderCall {
        client: ClientId(0),
        order_id: attempt.id,
        product: plan.products[attempt.product as usize].clone(),
        quantity: Quantity::ONE,
        called: attempt.called,
        returned: attempt.returned,
        outcome: attempt.outcome,
    }
}

/// What the connections of a verification share.
struct Verifier {
    plan: LoadPlan,
    begin: Instant,
    timeout: Duration,
    stop: CancellationToken,
}

impl Verifier {
    /// Runs `work` for each of `items`, over [`CONNECTIONS`] connections.
    async fn for_each<T, R>(
        self: &Arc<Self>,
        items: Vec<T>,
        work: impl AsyncFn(&mut VerifierConnection, T) -> R,
    ) -> Vec<R> {
        let share = items.len().div_ceil(CONNECTIONS).max(1);
        let mut items = items.into_iter();
        let mut shares: Vec<Vec<T>> = Vec::new();
        while items.len() > 0 {
            shares.push(items.by_ref().take(share).collect());
        }
        let work = &work;
        let done = futures::stream::iter(shares).map(|share| async move {
            let mut connection = VerifierConnection::new(Arc::clone(self));
            let mut done = Vec::with_capacity(share.len());
            for item in share {
                done.push(work(&mut connection, item).await);
            }
            done
        });
        done.buffer_unordered(CONNECTIONS).collect::<Vec<_>>().await.into_iter().flatten().collect()
    }
}

/// One connection of a verification.
struct VerifierConnection {
    verifier: Arc<Verifier>,
    connection: LoadConnection,
    requests: RequestTemplates,
    /// Becomes zero when a request was not answered in time: the next ones are then tried only
    /// once.
    timeout: Duration,
}

impl VerifierConnection {
    fn new(verifier: Arc<Verifier>) -> Self {
        let target = verifier.plan.targets[0].clone();
        let requests = RequestTemplates::new(&target, true, &verifier.plan.products);
        Self { connection: LoadConnection::new(target, true), requests, timeout: verifier.timeout, verifier }
    }

    fn now(&self) -> Moment {
        Moment::after(self.verifier.begin.elapsed())
    }

    /// Sends an order again until its outcome is known.
    async fn repeat(&mut self, attempt: Attempt) -> Attempt {
        let called = self.now();
        let request = self.requests.order(attempt.product as usize, attempt.id, &mut Vec::new()).to_vec();
        let decide = async |it: &mut Self| {
            let response = it.connection.exchange(&request, Instant::now() + REQUEST_TIMEOUT).await.ok()?;
            match order_outcome(&response, it.connection.body(&response)).0 {
                // Refused for now: this says nothing about the first attempt.
                OrderOutcome::Refused(code) if code.nothing_begun() => None,
                OrderOutcome::Unknown => None,
                outcome => Some(outcome),
            }
        };
        let outcome = self.retry(decide).await;
        let returned = outcome.map(|_| self.now());
        Attempt { called, returned, outcome: outcome.unwrap_or(OrderOutcome::Unknown), ..attempt }
    }

    /// Reads an order until the store returns it, or answers that it does not exist.
    async fn read(&mut self, order_number: OrderNumber) -> OrderRead {
        let called = self.now();
        let request = self.requests.read_order(order_number);
        let read = async |it: &mut Self| {
            let response = it.connection.exchange(&request, Instant::now() + REQUEST_TIMEOUT).await.ok()?;
            let body = it.connection.body(&response);
            if response.is_success() {
                let Data { data: Order { name, quantity, number } } = serde_json::from_slice(body).ok()?;
                return (number == order_number).then_some(OrderReadOutcome::Found { product: name, quantity });
            }
            let ErrorBody { error } = serde_json::from_slice(body).ok()?;
            (error.code == ErrorCode::NoSuchOrder).then_some(OrderReadOutcome::NotFound)
        };
        let outcome = self.retry(read).await;
        let returned = outcome.as_ref().map(|_| self.now());
        OrderRead {
            client: ClientId(1),
            number: order_number,
            called,
            returned,
            outcome: outcome.unwrap_or(OrderReadOutcome::Unknown),
        }
    }

    /// Repeats `request` until it returns something, for at most the timeout.
    async fn retry<T>(&mut self, request: impl AsyncFn(&mut Self) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + self.timeout;
        loop {
            if let Some(outcome) = request(self).await {
                return Some(outcome);
            }
            if Instant::now() >= deadline || self.verifier.stop.is_cancelled() {
                self.timeout = Duration::ZERO;
                return None;
            }
            sleep(RETRY_DELAY).await;
        }
    }
}
