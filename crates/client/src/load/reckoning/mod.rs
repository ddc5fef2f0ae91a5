//! Holds the store to its word when a load is over, through the public API alone.
//!
//! 1. **Undecided orders are decided.** An order without an answer may have been placed or not. It is sent again with its key until the
//!    answer is known: if the first attempt had placed it, the store tells its number.
//! 2. **Every acknowledged order is read**, and all that was seen goes to the checkers of the crate [`history`]: each order is there as it was
//!    ordered (I1), one key has one number and one number one order (I2), and an order that was sent after another one was acknowledged has
//!    a higher number (I3).
//! 3. **Stock**, if the load was the only buyer: see [`Stock`].
//!
//! # Caveats
//! * At most a million attempts are written down; those beyond are counted and not checked, and of the stock nothing is then said.
//! * What replicas have on their disks cannot be seen from here; `toystore drill` looks at it.

mod stock;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::public::Order;
use api::{Data, ErrorBody, ErrorCode, OrderId, OrderNumber, Product, ProductName, Quantity};
use futures::StreamExt;
use history::{
    ClientId, EndState, History, Moment, Options, OrderCall, OrderOutcome, OrderRead, OrderReadOutcome, Verdict,
};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::book::Slip;
use super::connection::Connection;
use super::requests::Requests;
use super::shopper::order_outcome;
use super::{Loaded, Plan};

pub use stock::{Stock, StockFinding};

/// Connections of the reckoning.
const READERS: usize = 16;

/// For one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// A store that has just been overloaded, or that has lost its leader, gets this time for each order.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Violations that are listed.
const VIOLATIONS_MAX: usize = 20;

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Reckoning {
    /// Orders without an answer that were sent again.
    pub repeated: u64,
    /// Orders of which nobody knows whether they are placed: the store did not answer in the end either.
    pub undecided: u64,
    /// Acknowledged orders that were read, and answered.
    pub read: u64,
    /// Acknowledged orders that the store did not tell.
    pub unread: u64,
    /// Attempts at orders that were not written down, for want of room.
    pub unchecked: u64,
    /// What the checkers say.
    pub verdict: Verdict,
    /// Whether pieces were lost; `None` if others may have bought too.
    pub stock: Option<Stock>,
}

impl Reckoning {
    /// Whether the store broke its word.
    pub fn is_broken(&self) -> bool {
        !self.verdict.is_clean() || self.stock.as_ref().is_some_and(Stock::is_broken)
    }

    /// Whether all was looked at.
    pub fn is_complete(&self) -> bool {
        self.undecided + self.unread + self.unchecked == 0
    }
}

impl fmt::Display for Reckoning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repeated, undecided, read, unread, unchecked, verdict, stock } = self;
        let counts = &verdict.counts;
        write!(f, "{} orders acknowledged, {read} read again", counts.acknowledged)?;
        let more = [
            (repeated, "sent again with their keys"),
            (undecided, "undecided"),
            (unread, "not told"),
            (unchecked, "not checked"),
        ];
        more.iter().filter(|(count, _)| **count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))?;
        match counts.violations {
            0 => write!(f, ": each is there as it was ordered, once")?,
            many => write!(f, ": {many} PROMISES BROKEN")?,
        }
        verdict.violations.iter().try_for_each(|violation| write!(f, "\n  {violation}"))?;
        stock.as_ref().map_or(Ok(()), |stock| write!(f, "\nstock: {stock}"))
    }
}

/// Reckons up. `sole_buyer` is what the store had in stock before the load, if nobody else buys, and what a sold-out product comes back to, if that
/// is known.
pub async fn reckon(
    plan: &Plan,
    loaded: Loaded,
    sole_buyer: Option<(Vec<Product>, Option<u64>)>,
    stop: &CancellationToken,
) -> Reckoning {
    let Loaded { slips, slips_missed, begin, .. } = loaded;
    let desk = Arc::new(Desk { plan: plan.clone(), begin, stop: stop.clone() });
    let open = slips.iter().filter(|slip| slip.outcome == OrderOutcome::Unknown).copied();
    let repeats = desk.each(open.collect(), Clerk::repeat).await;
    let all: Vec<_> = slips.into_iter().chain(repeats.iter().copied()).collect();
    let numbers: BTreeSet<_> = all
        .iter()
        .filter_map(|slip| match slip.outcome {
            OrderOutcome::Acknowledged(number) => Some(number),
            OrderOutcome::Refused(_) | OrderOutcome::Unknown => None,
        })
        .collect();
    let reads = desk.each(numbers.into_iter().collect(), Clerk::read).await;
    let unread = reads.iter().filter(|read| read.outcome == OrderReadOutcome::Unknown).count() as u64;
    let read = reads.len() as u64 - unread;
    let calls = all.iter().map(|slip| call(plan, slip)).collect();
    let history = History { orders: calls, order_reads: reads, ..History::default() };
    let options = Options { restock_level: None, violations_max: VIOLATIONS_MAX, ..Options::default() };
    let verdict = history::check(&history, &EndState::default(), &options);
    let undecided = verdict.counts.unknown;
    let stock = match sole_buyer {
        Some((before, restock_level)) => {
            let is_known = undecided == 0 && slips_missed == 0;
            Some(stock::compare(plan, &history, before, restock_level, is_known).await)
        }
        None => None,
    };
    Reckoning { repeated: repeats.len() as u64, undecided, read, unread, unchecked: slips_missed, verdict, stock }
}

fn call(plan: &Plan, slip: &Slip) -> OrderCall {
    OrderCall {
        client: ClientId(0),
        order_id: slip.id,
        product: plan.products[slip.product as usize].clone(),
        quantity: Quantity::ONE,
        called: slip.called,
        returned: slip.returned,
        outcome: slip.outcome,
    }
}

/// What the reckoning's connections share.
struct Desk {
    plan: Plan,
    begin: Instant,
    stop: CancellationToken,
}

impl Desk {
    /// Does `work` for each of `items`, over [`READERS`] connections.
    async fn each<T, R>(self: &Arc<Self>, items: Vec<T>, work: impl AsyncFn(&mut Clerk, T) -> R) -> Vec<R> {
        let share = items.len().div_ceil(READERS).max(1);
        let mut items = items.into_iter();
        let mut shares: Vec<Vec<T>> = Vec::new();
        while items.len() > 0 {
            shares.push(items.by_ref().take(share).collect());
        }
        let work = &work;
        let done = futures::stream::iter(shares).map(|share| async move {
            let mut clerk = Clerk::new(Arc::clone(self));
            let mut done = Vec::with_capacity(share.len());
            for item in share {
                done.push(work(&mut clerk, item).await);
            }
            done
        });
        done.buffer_unordered(READERS).collect::<Vec<_>>().await.into_iter().flatten().collect()
    }
}

/// One of its connections.
struct Clerk {
    desk: Arc<Desk>,
    connection: Connection,
    requests: Requests,
    /// Once an order could not be decided or read in time, the others are tried once.
    patience: Duration,
}

impl Clerk {
    fn new(desk: Arc<Desk>) -> Self {
        let target = desk.plan.targets[0].clone();
        let requests = Requests::new(&target, true, &desk.plan.products);
        Self { connection: Connection::new(target, true), requests, patience: PATIENCE, desk }
    }

    fn now(&self) -> Moment {
        Moment::after(self.desk.begin.elapsed())
    }

    /// Sends an order again until its outcome is known.
    async fn repeat(&mut self, slip: Slip) -> Slip {
        let called = self.now();
        let request = self.requests.order(slip.product as usize, slip.id, &mut Vec::new()).to_vec();
        let known = async |clerk: &mut Self| {
            let answer = clerk.connection.exchange(&request, Instant::now() + ANSWER_TIMEOUT).await.ok()?;
            match order_outcome(&answer, clerk.connection.body(&answer)).0 {
                // Refused for now: it says nothing about the first attempt.
                OrderOutcome::Refused(code) if code.nothing_begun() => None,
                OrderOutcome::Unknown => None,
                outcome => Some(outcome),
            }
        };
        let outcome = self.until(known).await;
        let returned = outcome.map(|_| self.now());
        Slip { called, returned, outcome: outcome.unwrap_or(OrderOutcome::Unknown), ..slip }
    }

    /// Reads an order until the store tells it, or that it has none.
    async fn read(&mut self, number: OrderNumber) -> OrderRead {
        let called = self.now();
        let request = self.requests.placed(number);
        let known = async |clerk: &mut Self| {
            let answer = clerk.connection.exchange(&request, Instant::now() + ANSWER_TIMEOUT).await.ok()?;
            let body = clerk.connection.body(&answer);
            if answer.is_success() {
                let Data { data: Order { name, quantity, number: told } } = serde_json::from_slice(body).ok()?;
                return (told == number).then_some(OrderReadOutcome::Found { product: name, quantity });
            }
            let ErrorBody { error } = serde_json::from_slice(body).ok()?;
            (error.code == ErrorCode::NoSuchOrder).then_some(OrderReadOutcome::NotFound)
        };
        let outcome = self.until(known).await;
        let returned = outcome.as_ref().map(|_| self.now());
        OrderRead {
            client: ClientId(1),
            number,
            called,
            returned,
            outcome: outcome.unwrap_or(OrderReadOutcome::Unknown),
        }
    }

    async fn until<T>(&mut self, known: impl AsyncFn(&mut Self) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(outcome) = known(self).await {
                return Some(outcome);
            }
            if Instant::now() >= deadline || self.desk.stop.is_cancelled() {
                self.patience = Duration::ZERO;
                return None;
            }
            sleep(PAUSE).await;
        }
    }
}

/// Orders of each product that the store has acknowledged; one key is one order.
fn sold(history: &History) -> BTreeMap<&ProductName, u64> {
    let acknowledged = |call: &&OrderCall| matches!(call.outcome, OrderOutcome::Acknowledged(_));
    let orders: BTreeMap<OrderId, _> =
        history.orders.iter().filter(acknowledged).map(|call| (call.order_id, &call.product)).collect();
    orders.into_values().fold(BTreeMap::new(), |mut sold, product| {
        *sold.entry(product).or_default() += 1;
        sold
    })
}
