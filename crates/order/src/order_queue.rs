//! The order queue: where a leader's orders wait for a batch, and which requests wait for which
//! order.
//!
//! A queue belongs to one term. Each order id is in it at most once, from the first request until
//! the order has a result: a repeated request waits for the same result. The queue knows how far
//! each order has come. So at the end of the term every request gets the right error: *not leader*
//! if its order cannot have been placed, *unavailable* if the outcome is unknown.
//!
//! # Final refusals
//! A client whose order was refused for good must never find that order placed (I7). So a refusal
//! is made durable before it is sent ([`OrderQueue::refuse`] decides which ones), unless its
//! attempt is the only one that will ever be made. A request with the id of an order under way, but
//! with another product or quantity, waits for that order's result too. It is refused with 422 if
//! that result is final, and gets the same error as the other request if not.
//!
//! # Overload
//! The queue is first in, first out, and short enough that its orders are served in time:
//! * An order leaves the queue when the last request that waits for it is dropped (a frontend that
//!   gives up closes its connection).
//! * A new order is refused when the queue is full, or when the orders ahead of it would take
//!   longer than [`QUEUE_WAIT_MAX`], judged by the [`QueueDelay`] of the last batches. It would
//!   miss its deadline, or make later ones miss theirs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use api::catalog::OrderLine;
use api::order::{DecidedCounts, PlaceOrder};
use api::{ApiError, ErrorCode, OrderId, Ordinal, Term};
use service::trace;
use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::order_result::{OrderResult, key_reused};
use crate::orders::RefusedOrder;
use queue_delay::QueueDelay;

mod queue_delay;

/// Most requests that may wait for one order. A client repeats an order after it has given up
/// waiting, so more than one or two is abuse.
const WAITERS_MAX: usize = 16;

/// Longest time that an order should wait for its batch. Frontends wait 4.8 s in all. The rest is
/// for the catalog, which may have to wait for a cache lease (2.2 s at most, 0.3 s by default), and
/// for the log.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(2);

/// An order taken from the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuedOrder {
    pub(crate) line: OrderLine,
    pub(crate) known: DecidedCounts,
    /// When its first request arrived.
    pub(crate) since: Instant,
}

/// The orders of one term that wait or are under way. Clones share the same queue.
#[derive(Clone, Debug)]
pub(crate) struct OrderQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    term: Term,
    queue_max: usize,
    table: Mutex<Table>,
    /// Notified when an order has been queued, and when the queue has been closed.
    changed: Notify,
    /// Notified when no order is pending any more.
    drained: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// The queued orders by ticket, the smallest first.
    queue: BTreeMap<u64, OrderId>,
    next_ticket: u64,
    delay: QueueDelay,
    /// Every order that is queued, or was taken from the queue and has no result yet. Sorted by id,
    /// so that a simulated term always ends in the same way.
    pending: BTreeMap<OrderId, PendingOrder>,
    state: QueueState,
}

/// Whether new orders are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum QueueState {
    #[default]
    Open,
    /// New orders are refused; those inside are finished.
    Draining,
    /// The term is over.
    Closed {
        /// The new leader, if it is known.
        leader: Option<Ordinal>,
    },
}

#[derive(Debug)]
struct PendingOrder {
    line: OrderLine,
    known: DecidedCounts,
    since: Instant,
    waiters: Vec<oneshot::Sender<OrderResult>>,
    /// Requests that sent another order under the same id.
    conflicting: Vec<oneshot::Sender<OrderResult>>,
    /// There was another attempt, or there may be one: a refusal must be remembered.
    is_repeatable: bool,
    /// Its position in the queue; `None` once it was taken from there.
    ticket: Option<u64>,
    /// It may be in the log, so only the log can tell whether it is placed.
    proposed: bool,
    /// The trace of the request that brought it, if that is traced.
    trace: Option<trace::TraceContext>,
}

impl OrderQueue {
    /// An open queue for up to `queue_max` waiting orders.
    pub(crate) fn open(term: Term, queue_max: usize) -> Self {
        Self(Arc::new(Shared {
            term,
            queue_max,
            table: Mutex::default(),
            changed: Notify::new(),
            drained: Notify::new(),
        }))
    }

    /// The term to which it belongs.
    pub(crate) fn term(&self) -> Term {
        self.0.term
    }

    /// Queues an order, or joins the requests that already wait for it.
    pub(crate) fn submit(&self, order: PlaceOrder) -> Result<PendingResult, ApiError> {
        let mut table = self.table();
        match table.state {
            QueueState::Open => {}
            QueueState::Draining => return Err(ApiError::not_leader(None)),
            QueueState::Closed { leader } => return Err(ApiError::not_leader(leader)),
        }
        let (waiter, answer) = oneshot::channel();
        let order_id = order.line.order_id;
        let table = &mut *table;
        match table.pending.entry(order_id) {
            Entry::Occupied(pending) => pending.into_mut().join(&order.line, waiter)?,
            Entry::Vacant(_) if table.queue.len() >= self.0.queue_max => {
                return Err(ApiError::new(ErrorCode::Overloaded, "too many orders are waiting"));
            }
            Entry::Vacant(_) if table.delay.estimate(table.queue.len()) > QUEUE_WAIT_MAX => {
                return Err(ApiError::new(ErrorCode::Overloaded, "the orders that are waiting would take too long"));
            }
            Entry::Vacant(entry) => {
                let ticket = table.next_ticket;
                table.next_ticket += 1;
                table.queue.insert(ticket, order_id);
                let PlaceOrder { line, known, only_attempt } = order;
                entry.insert(PendingOrder {
                    line,
                    known,
                    since: Instant::now(),
                    waiters: vec![waiter],
                    conflicting: Vec::new(),
                    is_repeatable: !only_attempt,
                    ticket: Some(ticket),
                    proposed: false,
                    trace: trace::current(),
                });
                self.0.changed.notify_one();
            }
        }
        Ok(PendingResult::new(self.clone(), order_id, answer))
    }

    /// A request has gone away. An order that is still queued is removed with the last one.
    fn waiter_dropped(&self, order_id: OrderId) {
        let mut table = self.table();
        if let Some(pending) = table.pending.get(&order_id)
            && let Some(ticket) = pending.ticket
            && pending.is_abandoned()
        {
            table.queue.remove(&ticket);
            if let Some(pending) = table.pending.remove(&order_id) {
                let what = "an earlier order with this id was abandoned: repeat this one";
                pending.answer_waiters(&Err(ApiError::new(ErrorCode::Unavailable, what)));
            }
            self.notify_if_drained(&table);
        }
    }

    /// Takes up to `max` orders from the queue; waits for the first one. `None` once the queue is
    /// closed.
    pub(crate) async fn take(&self, max: usize) -> Option<Vec<QueuedOrder>> {
        loop {
            {
                let mut table = self.table();
                if matches!(table.state, QueueState::Closed { .. }) {
                    return None;
                }
                let taken = table.take(max, Instant::now());
                if !taken.is_empty() {
                    return Some(taken);
                }
            }
            self.0.changed.notified().await;
        }
    }

    /// The traced requests on whose behalf a batch is processed; none unless tracing is on.
    pub(crate) fn traces(&self, orders: &[OrderLine]) -> Vec<trace::TraceContext> {
        if !trace::is_on() {
            return Vec::new();
        }
        let table = self.table();
        orders.iter().filter_map(|line| table.pending.get(&line.order_id)?.trace).collect()
    }

    /// From now on these orders may be placed.
    pub(crate) fn mark_proposed<'a>(&self, orders: impl IntoIterator<Item = &'a OrderLine>) {
        let mut table = self.table();
        for line in orders {
            if let Some(pending) = table.pending.get_mut(&line.order_id) {
                pending.proposed = true;
            }
        }
    }

    /// Sends these results to all requests that wait for them.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = (OrderId, OrderResult)>) {
        let mut table = self.table();
        for (order_id, answer) in answers {
            if let Some(pending) = table.pending.remove(&order_id) {
                pending.answer_waiters(&answer);
            }
        }
        self.notify_if_drained(&table);
    }

    /// Handles orders that are refused for good. Sends `error` where nothing need be remembered:
    /// the attempt is the only one, or no request waits any more. Returns the other orders: their
    /// refusals must be made durable first. A request that joins one of them until then waits for
    /// the same result.
    pub(crate) fn refuse(
        &self,
        mut refused: Vec<RefusedOrder>,
        error: impl Fn(&RefusedOrder) -> ApiError,
    ) -> Vec<RefusedOrder> {
        if refused.is_empty() {
            return refused;
        }
        let mut table = self.table();
        refused.retain(|refused| {
            let Entry::Occupied(pending) = table.pending.entry(refused.line.order_id) else { return false };
            let remember = pending.get().is_repeatable && !pending.get().has_no_waiters();
            if !remember {
                pending.remove().answer_waiters(&Err(error(refused)));
            }
            remember
        });
        self.notify_if_drained(&table);
        refused
    }

    /// How many orders wait for a batch.
    pub(crate) fn length(&self) -> usize {
        self.table().queue.len()
    }

    /// Refuses new orders, and waits until those inside have a result.
    pub(crate) async fn drain(&self) {
        loop {
            {
                let mut table = self.table();
                if table.state == QueueState::Open {
                    table.state = QueueState::Draining;
                }
                if table.pending.is_empty() {
                    return;
                }
            }
            self.0.drained.notified().await;
        }
    }

    /// Closes the queue and answers all waiting requests. `leader` is the new leader, if it is
    /// known.
    pub(crate) fn close(&self, leader: Option<Ordinal>) {
        let mut table = self.table();
        table.state = QueueState::Closed { leader };
        table.queue.clear();
        for pending in std::mem::take(&mut table.pending).into_values() {
            let error = if pending.proposed {
                let what = "leadership changed during the order: its outcome is unknown, repeat it with the same id";
                ApiError::new(ErrorCode::Unavailable, what)
            } else {
                ApiError::not_leader(leader)
            };
            pending.answer_waiters(&Err(error));
        }
        self.notify_if_drained(&table);
        self.0.changed.notify_one();
    }

    fn notify_if_drained(&self, table: &Table) {
        if table.state != QueueState::Open && table.pending.is_empty() {
            self.0.drained.notify_one();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn take(&mut self, max: usize, now: Instant) -> Vec<QueuedOrder> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some((_, order_id)) = self.queue.pop_first()
        {
            let pending = self.pending.get_mut(&order_id).expect("a queued order is pending");
            pending.ticket = None;
            taken.push(QueuedOrder { line: pending.line.clone(), known: pending.known, since: pending.since });
        }
        if !taken.is_empty() {
            self.delay.record_batch(max, self.queue.len(), now);
        }
        taken
    }
}

impl PendingOrder {
    fn join(&mut self, line: &OrderLine, waiter: oneshot::Sender<OrderResult>) -> Result<(), ApiError> {
        self.waiters.retain(|waiter| !waiter.is_closed());
        self.conflicting.retain(|waiter| !waiter.is_closed());
        if self.waiters.len() + self.conflicting.len() >= WAITERS_MAX {
            return Err(ApiError::new(ErrorCode::Overloaded, "too many requests are waiting for this order"));
        }
        self.is_repeatable = true;
        let waiters = if self.line == *line { &mut self.waiters } else { &mut self.conflicting };
        waiters.push(waiter);
        Ok(())
    }

    /// No request waits for this order any more.
    fn is_abandoned(&self) -> bool {
        self.waiters.iter().all(oneshot::Sender::is_closed)
    }

    /// No request waits for its result any more, not even one with another order.
    fn has_no_waiters(&self) -> bool {
        self.is_abandoned() && self.conflicting.iter().all(oneshot::Sender::is_closed)
    }

    fn answer_waiters(self, answer: &OrderResult) {
        // A receiver that is gone needs no result.
        for waiter in self.waiters {
            let _ = waiter.send(answer.clone());
        }
        for waiter in self.conflicting {
            let _ = waiter.send(match answer {
                Err(error) if !error.code.is_final() => Err(error.clone()),
                _ => Err(key_reused()),
            });
        }
    }
}

/// One request's wait for its order's result. Dropping it early takes the order out of the queue,
/// if the order is still there and no other request waits for it.
#[derive(Debug)]
pub(crate) struct PendingResult {
    queue: OrderQueue,
    order_id: OrderId,
    answer: oneshot::Receiver<OrderResult>,
    answered: bool,
}

impl PendingResult {
    fn new(queue: OrderQueue, order_id: OrderId, answer: oneshot::Receiver<OrderResult>) -> Self {
        Self { queue, order_id, answer, answered: false }
    }
}

impl Future for PendingResult {
    /// An error if the queue has been dropped.
    type Output = Result<OrderResult, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(context));
        self.answered = true;
        Poll::Ready(answer)
    }
}

impl Drop for PendingResult {
    fn drop(&mut self) {
        if !self.answered {
            // Close first, so that the queue sees that this receiver is gone.
            self.answer.close();
            self.queue.waiter_dropped(self.order_id);
        }
    }
}

#[cfg(test)]
mod tests;
