//! Verifies the store's promises when a run is over, through the public API only.
//!
//! 1. **Orders with an unknown outcome are decided.** An order without a response may have been
//!    placed or not. It is sent again with its key until the outcome is known: if the first attempt
//!    placed the order, the store returns its number.
//! 2. **Every acknowledged order is read.** Everything that was observed goes to the checkers of
//!    the crate [`history`]: each order exists as it was ordered (I1), one key has one number and
//!    one number belongs to one order (I2), and an order that was sent after another was
//!    acknowledged has a higher number (I3).
//! 3. **The stock is compared**, if no other client bought during the run: see [`StockCheck`].
//!
//! What could not be read or decided is *not checked*. The requests go through all frontends in
//! turn.
//!
//! # Caveats
//! * An [`AttemptLog`] is bounded. Further attempts are counted, but not checked, and the stock is
//!   then not compared.
//! * The ledgers on the replicas' disks cannot be read through the public API; `toystore drill`
//!   compares them.

mod stock;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use api::public::NewOrder;
use api::{OrderId, OrderNumber};
use history::{CheckOptions, EndState, History, OrderCall, OrderOutcome, OrderRead, OrderReadOutcome, Verdict};
use report::Checks;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::attempt_log::AttemptLog;
use crate::request::RequestKind;
use crate::retrying_client::{ClientObserver, RetryingClient};

pub use stock::{SoleBuyer, StockCheck, StockMismatch};

/// The maximum number of listed violations, as many as a person reads in a report.
const VIOLATIONS_MAX: usize = 20;

/// The result of a verification.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// Orders without a response that were sent again.
    pub repeated: u64,
    /// Orders whose outcome is still unknown: the store did not answer at the end either.
    pub undecided: u64,
    /// Acknowledged orders that were read, with a response.
    pub read: u64,
    /// Acknowledged orders that could not be read.
    pub unread: u64,
    /// Orders of [`VerificationPlan::repeat`] that got no answer when they were sent again.
    pub unrepeated: u64,
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

    /// What is broken, and what could not be checked.
    pub fn checks(&self) -> Checks {
        let Self { undecided, read, unread, unrepeated, unchecked, verdict, stock, .. } = self;
        let mut checks = Checks::default();
        checks.violations(&verdict.violations, verdict.counts.violations);
        checks.counted(*read, read + unread, "acknowledged orders could be read back");
        if *undecided > 0 {
            checks.not_checked(format!("whether {undecided} orders without a response were placed"));
        }
        if *unrepeated > 0 {
            checks.not_checked(format!("whether {unrepeated} orders keep their numbers when they are sent again"));
        }
        if *unchecked > 0 {
            checks.not_checked(format!("{unchecked} attempts: there were too many to record"));
        }
        if let Some(stock) = stock.as_ref().filter(|stock| stock.is_broken()) {
            checks.broken(format!("stock: {stock}"));
        } else if let Some(why) = stock.as_ref().and_then(|stock| stock.unknown.as_ref()) {
            checks.not_checked(format!("stock: {why}"));
        }
        checks
    }
}

/// The counts, and the stock. The violations are among the [`checks`](Verification::checks).
impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repeated, undecided, read, unread, unrepeated, unchecked, verdict, stock } = self;
        let counts = &verdict.counts;
        write!(f, "{} orders acknowledged, {read} read back", counts.acknowledged)?;
        let more = [
            (repeated, "sent again with their keys"),
            (undecided, "undecided"),
            (unread, "could not be read"),
            (unrepeated, "could not be sent again"),
            (unchecked, "not checked"),
        ];
        more.iter().filter(|(count, _)| **count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))?;
        let all = "each exists once, as it was ordered";
        match (counts.violations, undecided + unread + unrepeated + unchecked) {
            (0, 0) => write!(f, ": {all}"),
            (0, _) => write!(f, ": NOT ALL COULD BE CHECKED; of those that could, {all}"),
            (many, _) => write!(f, ": {many} PROMISES BROKEN"),
        }?;
        stock.as_ref().map_or(Ok(()), |stock| write!(f, "\nstock: {stock}"))
    }
}

/// What is verified.
#[derive(Debug, Default)]
pub struct VerificationPlan {
    /// All attempts at orders of the run.
    pub orders: Vec<OrderCall>,
    /// Orders that were acknowledged and are sent again, to see whether they keep their numbers.
    pub repeat: Vec<(OrderId, NewOrder)>,
    /// Given if no other client bought during the run.
    pub sole_buyer: Option<SoleBuyer>,
}

/// Verifies a run with these clients, which record what they do in `log`. A client whose run was
/// stopped, or that gives up because the store does not answer, leaves the rest unread.
pub async fn verify<O: ClientObserver + 'static>(
    clients: Vec<RetryingClient<O>>,
    log: &AttemptLog,
    plan: VerificationPlan,
) -> Verification {
    let VerificationPlan { mut orders, repeat, sole_buyer } = plan;
    let open = open_orders(&orders);
    let repeated = open.len() as u64;
    let mut again: BTreeSet<_> = repeat.iter().map(|(id, _)| *id).collect();
    let repeats = open.into_iter().chain(repeat).map(|(id, order)| Request::Repeat(id, order)).collect();
    let clients = send_all(clients, repeats).await;
    let answers = log.take().orders;
    for call in answers.iter().filter(|call| call.outcome.is_final()) {
        again.remove(&call.order_id);
    }
    let unrepeated = again.len() as u64;
    orders.extend(answers);
    let numbers = acknowledged_numbers(&orders);
    let (order_reads, unread) = read_orders(clients, log, &numbers).await;
    let read = numbers.len() as u64 - unread;
    let history = History { orders, order_reads, ..History::default() };
    let unchecked = log.dropped();
    let verdict = check(&history);
    let undecided = verdict.counts.unknown;
    let stock = match sole_buyer {
        Some(sole_buyer) => Some(stock::compare(&history.orders, sole_buyer, undecided + unchecked == 0).await),
        None => None,
    };
    Verification { repeated, undecided, read, unread, unrepeated, unchecked, verdict, stock }
}

/// Checks what clients were told, without ledgers and stock accounts.
pub fn check(history: &History) -> Verdict {
    let options = CheckOptions { restock_level: None, violations_max: VIOLATIONS_MAX, ..CheckOptions::default() };
    history::check(history, &EndState::default(), &options)
}

/// Reads these orders through all frontends in turn. Returns the reads, and how many orders could
/// not be read.
pub async fn read_orders<O: ClientObserver + 'static>(
    clients: Vec<RetryingClient<O>>,
    log: &AttemptLog,
    numbers: &BTreeSet<OrderNumber>,
) -> (Vec<OrderRead>, u64) {
    send_all(clients, numbers.iter().copied().map(Request::Read).collect()).await;
    let reads = log.take().order_reads;
    let answered = reads.iter().filter(|read| read.outcome != OrderReadOutcome::Unknown);
    let read = answered.map(|read| read.number).collect::<BTreeSet<_>>().intersection(numbers).count();
    (reads, (numbers.len() - read) as u64)
}

/// The numbers that were acknowledged.
pub fn acknowledged_numbers(orders: &[OrderCall]) -> BTreeSet<OrderNumber> {
    orders.iter().filter_map(OrderCall::number).collect()
}

/// The orders with an attempt whose outcome is unknown, and without a final answer.
fn open_orders(orders: &[OrderCall]) -> BTreeMap<OrderId, NewOrder> {
    let unknown = orders.iter().filter(|call| call.outcome == OrderOutcome::Unknown);
    let mut open: BTreeMap<_, _> = unknown.map(|call| (call.order_id, call.order())).collect();
    for call in orders.iter().filter(|call| call.outcome.is_final()) {
        open.remove(&call.order_id);
    }
    open
}

/// One request of a verification. The clients' log records the answer.
enum Request {
    Repeat(OrderId, NewOrder),
    Read(OrderNumber),
}

/// Sends the requests, spread over the clients, each of which begins at the next frontend each
/// time.
async fn send_all<O: ClientObserver + 'static>(
    clients: Vec<RetryingClient<O>>,
    requests: Vec<Request>,
) -> Vec<RetryingClient<O>> {
    let share = requests.len().div_ceil(clients.len().max(1));
    let mut requests = requests.into_iter();
    let mut senders = JoinSet::new();
    for (first, mut client) in clients.into_iter().enumerate() {
        let share: Vec<_> = requests.by_ref().take(share).collect();
        client.reset_failures();
        senders.spawn(async move {
            for (index, request) in share.into_iter().enumerate() {
                if !client.should_continue() {
                    break;
                }
                let frontend = (first + index) % client.frontends();
                // The log has the answer, and the observer the failure.
                match request {
                    Request::Repeat(id, order) => {
                        let _ = client.place_order(RequestKind::Repeat, frontend, id, &order).await;
                    }
                    Request::Read(number) => {
                        let _ = client.get_order(frontend, number).await;
                    }
                }
            }
            client
        });
    }
    senders.join_all().await
}
