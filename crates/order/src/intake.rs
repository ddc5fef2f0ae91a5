//! Where a leader's orders wait: a bounded queue, and who waits for which order.
//!
//! An intake belongs to one term. Each order id is in it once, from when it is taken in until it is answered: a repeated request
//! waits for the same answer. It knows how far an order has come, so that at the term's end everyone hears the truth:
//! *not leader* if the order cannot have been placed, *unavailable* if nobody knows.
//!
//! # Too many orders
//! The queue is first in, first out, and short enough that nobody in it waits in vain:
//! * an order leaves it when the last one who waits for it does (a frontend that has given up, closes its connection);
//! * a new order is refused when the queue is full, or when what is ahead of it would take longer than [`QUEUE_WAIT_MAX`] at the
//!   [`Pace`] of the last batches: it would miss its deadline after all, or be the one that makes the next ones miss theirs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::catalog::OrderLine;
use api::{ApiError, ErrorCode, OrderId, OrderNumber, Ordinal, Term};
use service::trace;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use pace::Pace;
pub(crate) use waiting::Waiting;

mod pace;
mod waiting;

/// Requests that may wait for one order. A client repeats an order when it has given up waiting, so more than one or two is abuse.
const WAITERS_MAX: usize = 16;

/// Longest that an order should wait for its batch. Frontends wait for 4.8 s in all; what is left is for the catalog, which may have to
/// wait for a cache's lease (1.1 s), and for the log.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(2);

/// What an order comes to.
pub(crate) type Answer = Result<OrderNumber, ApiError>;

/// The orders of one term that wait or are under way. Clones are the same intake.
#[derive(Clone, Debug)]
pub(crate) struct Intake(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    term: Term,
    queue_max: usize,
    table: Mutex<Table>,
    /// Rung when an order has come into the queue, and when the intake has closed.
    bell: Notify,
    /// Rung when nothing is pending any more.
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// By ticket, the smallest first.
    queue: BTreeMap<u64, OrderId>,
    next_ticket: u64,
    pace: Pace,
    /// Everything in the queue, and what was taken from it and is not answered.
    /// In the order of ids, so that a simulated term ends in the same way each time.
    pending: BTreeMap<OrderId, Pending>,
    gate: Gate,
}

/// Whether orders come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gate {
    #[default]
    Open,
    /// New orders are turned away; those inside are finished.
    Draining,
    /// The term is over.
    Closed {
        /// Who leads instead, if that is known.
        leader: Option<Ordinal>,
    },
}

#[derive(Debug)]
struct Pending {
    line: OrderLine,
    since: Instant,
    waiters: Vec<oneshot::Sender<Answer>>,
    /// Its place in the queue; `None` once it was taken from there.
    ticket: Option<u64>,
    /// It may be in the log: nobody but the log can say now whether it is placed.
    proposed: bool,
    /// The request that brought it, if that is traced.
    trace: Option<trace::Context>,
}

impl Intake {
    /// An open one, for up to `queue_max` waiting orders.
    pub(crate) fn open(term: Term, queue_max: usize) -> Self {
        Self(Arc::new(Shared { term, queue_max, table: Mutex::default(), bell: Notify::new(), emptied: Notify::new() }))
    }

    /// The term whose orders it takes.
    pub(crate) fn term(&self) -> Term {
        self.0.term
    }

    /// Takes an order in, or joins those who wait for it already.
    pub(crate) fn submit(&self, line: OrderLine) -> Result<Waiting, ApiError> {
        let mut table = self.table();
        match table.gate {
            Gate::Open => {}
            Gate::Draining => return Err(ApiError::not_leader(None)),
            Gate::Closed { leader } => return Err(ApiError::not_leader(leader)),
        }
        let (waiter, answer) = oneshot::channel();
        let order_id = line.order_id;
        let table = &mut *table;
        match table.pending.entry(line.order_id) {
            Entry::Occupied(pending) => pending.into_mut().join(&line, waiter)?,
            Entry::Vacant(_) if table.queue.len() >= self.0.queue_max => {
                return Err(ApiError::new(ErrorCode::Overloaded, "too many orders wait already"));
            }
            Entry::Vacant(_) if table.pace.wait(table.queue.len()) > QUEUE_WAIT_MAX => {
                return Err(ApiError::new(ErrorCode::Overloaded, "the orders that wait already take too long"));
            }
            Entry::Vacant(place) => {
                let ticket = table.next_ticket;
                table.next_ticket += 1;
                table.queue.insert(ticket, order_id);
                let (since, waiters, ticket) = (Instant::now(), vec![waiter], Some(ticket));
                place.insert(Pending { line, since, waiters, ticket, proposed: false, trace: trace::current() });
                self.0.bell.notify_one();
            }
        }
        Ok(Waiting::new(self.clone(), order_id, answer))
    }

    /// Someone who waited has gone. An order that is still in the queue goes with the last one.
    fn left(&self, order_id: OrderId) {
        let mut table = self.table();
        if let Some(pending) = table.pending.get(&order_id)
            && let Some(ticket) = pending.ticket
            && pending.is_abandoned()
        {
            table.queue.remove(&ticket);
            table.pending.remove(&order_id);
            self.ring_if_empty(&table);
        }
    }

    /// What waits, `max` orders at most, with the time that each has waited from; waits for the first. `None` once it is closed.
    pub(crate) async fn take(&self, max: usize) -> Option<Vec<(OrderLine, Instant)>> {
        loop {
            {
                let mut table = self.table();
                if matches!(table.gate, Gate::Closed { .. }) {
                    return None;
                }
                let taken = table.take(max, Instant::now());
                if !taken.is_empty() {
                    return Some(taken);
                }
            }
            self.0.bell.notified().await;
        }
    }

    /// On behalf of whom a batch is worked on. Nobody, unless traces are on.
    pub(crate) fn traces(&self, orders: &[OrderLine]) -> Vec<trace::Context> {
        if !trace::is_on() {
            return Vec::new();
        }
        let table = self.table();
        orders.iter().filter_map(|line| table.pending.get(&line.order_id)?.trace).collect()
    }

    /// Marks orders as perhaps placed from now on.
    pub(crate) fn proposing<'a>(&self, orders: impl IntoIterator<Item = &'a OrderLine>) {
        let mut table = self.table();
        for line in orders {
            if let Some(pending) = table.pending.get_mut(&line.order_id) {
                pending.proposed = true;
            }
        }
    }

    /// Answers all who wait for these orders.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = (OrderId, Answer)>) {
        let mut table = self.table();
        for (order_id, answer) in answers {
            if let Some(pending) = table.pending.remove(&order_id) {
                pending.tell(&answer);
            }
        }
        self.ring_if_empty(&table);
    }

    /// How many orders wait for a batch.
    pub(crate) fn queue_length(&self) -> usize {
        self.table().queue.len()
    }

    /// Turns new orders away, and waits until those inside are answered.
    pub(crate) async fn drain(&self) {
        loop {
            {
                let mut table = self.table();
                if table.gate == Gate::Open {
                    table.gate = Gate::Draining;
                }
                if table.pending.is_empty() {
                    return;
                }
            }
            self.0.emptied.notified().await;
        }
    }

    /// Ends it, and tells everyone who waits; `leader` is who leads instead, if that is known.
    pub(crate) fn close(&self, leader: Option<Ordinal>) {
        let mut table = self.table();
        table.gate = Gate::Closed { leader };
        table.queue.clear();
        for pending in std::mem::take(&mut table.pending).into_values() {
            let error = if pending.proposed {
                let what = "the leader lost its office while it placed the order: its outcome is unknown, repeat it";
                ApiError::new(ErrorCode::Unavailable, what)
            } else {
                ApiError::not_leader(leader)
            };
            pending.tell(&Err(error));
        }
        self.ring_if_empty(&table);
        self.0.bell.notify_one();
    }

    fn ring_if_empty(&self, table: &Table) {
        if table.gate != Gate::Open && table.pending.is_empty() {
            self.0.emptied.notify_one();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn take(&mut self, max: usize, now: Instant) -> Vec<(OrderLine, Instant)> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some((_, order_id)) = self.queue.pop_first()
        {
            let pending = self.pending.get_mut(&order_id).expect("what is in the queue is pending");
            pending.ticket = None;
            taken.push((pending.line.clone(), pending.since));
        }
        if !taken.is_empty() {
            self.pace.taken(max, self.queue.len(), now);
        }
        taken
    }
}

impl Pending {
    fn join(&mut self, line: &OrderLine, waiter: oneshot::Sender<Answer>) -> Result<(), ApiError> {
        if self.line != *line {
            return Err(key_reused());
        }
        self.waiters.retain(|waiter| !waiter.is_closed());
        if self.waiters.len() >= WAITERS_MAX {
            return Err(ApiError::new(ErrorCode::Overloaded, "too many requests wait for this order already"));
        }
        self.waiters.push(waiter);
        Ok(())
    }

    fn is_abandoned(&self) -> bool {
        self.waiters.iter().all(oneshot::Sender::is_closed)
    }

    fn tell(self, answer: &Answer) {
        for waiter in self.waiters {
            // Whoever has gone away does not want to know.
            let _ = waiter.send(answer.clone());
        }
    }
}

/// One id for two different orders.
pub(crate) fn key_reused() -> ApiError {
    ApiError::new(ErrorCode::IdempotencyKeyReused, "this order id came before with another product or quantity")
}

#[cfg(test)]
mod tests;
