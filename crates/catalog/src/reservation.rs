//! Reserved stock, for orders of which the catalog does not know yet whether they are placed.
//!
//! The order log is the coordinator of a two-phase commit; this module is its participant. The
//! rules, with the invariants that they keep:
//!
//! * **The fence.** Only the newest known order leader may do anything: a lower term belongs to a
//!   deposed leader (I6). Any request of a higher term raises the fence. A leader's first request
//!   is its [`Fence`](api::catalog::Fence), which returns the open reservations.
//! * **One answer per batch.** The answer to the last batch is kept, so the same `(term, batch)`
//!   again reserves nothing and gets the same answer. An older batch is refused. Numbers may skip,
//!   but not decrease.
//! * **One reservation per order.** A batch that would give an order a second reservation is
//!   refused as a whole: a later settlement could not tell the two apart. Order leaders never send
//!   one, because further requests for an order in flight join the first.
//! * **Settle through.** A settlement decides all batches up to a given one. A late copy changes
//!   nothing: its batches are no longer open.
//! * **Resolve before reserving.** A new term may reserve only when nothing of an older term is
//!   open. Once it has reserved, it can no longer resolve. So a late copy of a resolution cannot
//!   release what its own term has reserved since. A leader that wants to take over again after it
//!   has reserved needs a new term.

use std::collections::{BTreeMap, BTreeSet};

use api::catalog::{BatchReserved, OrderLine, Reservation, ReserveBatch, Resolve, Settle};
use api::{BatchId, OrderId, ProductName, Quantity, Term};
use serde::{Deserialize, Serialize};
use service::mutation::{self, Mutation};

use crate::account::Account;
use crate::refusal::Refusal;

/// Most orders with open reservations: four full batches. An order leader has two batches under way
/// and one to settle. If it never settled, the state would grow without bound. A resolution of all
/// of them fits in one request.
pub const OPEN_MAX: usize = 1024;

type Accounts = BTreeMap<ProductName, Account>;

/// The fence, the last answer, and the open reservations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reservations {
    /// The newest order leader's term.
    fence: Term,
    last: Option<(BatchId, BatchReserved)>,
    open: BTreeMap<OrderId, OpenReservation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OpenReservation {
    batch: BatchId,
    name: ProductName,
    quantity: Quantity,
}

impl Reservations {
    /// Raises the fence; repeating the same term is allowed.
    pub(crate) fn fence(&mut self, term: Term) -> Result<(), Refusal> {
        self.check_term(term)?;
        self.fence = term;
        Ok(())
    }

    /// Sells and releases what earlier terms left open. Orders without an open reservation are
    /// ignored.
    pub(crate) fn resolve(&mut self, resolve: &Resolve, accounts: &mut Accounts) -> Result<(), Refusal> {
        self.check_term(resolve.term)?;
        if self.last.as_ref().is_some_and(|(last, _)| last.term == resolve.term) {
            return Err(Refusal::TakeoverIsOver);
        }
        let kept: BTreeSet<_> = resolve.keep.iter().collect();
        if let Some(both) = resolve.release.iter().find(|order_id| kept.contains(order_id)) {
            return Err(Refusal::Contradiction(*both));
        }
        self.fence = resolve.term;
        resolve.keep.iter().for_each(|order_id| self.close(*order_id, Account::sell, accounts));
        resolve.release.iter().for_each(|order_id| self.close(*order_id, Account::release, accounts));
        Ok(())
    }

    /// Applies the settlement of a batch, then reserves stock for each of its orders, in the
    /// batch's order.
    pub(crate) fn reserve(&mut self, batch: ReserveBatch, accounts: &mut Accounts) -> Result<BatchReserved, Refusal> {
        self.check_term(batch.id.term)?;
        if let Some((last, answer)) = &self.last {
            let last = *last;
            if batch.id < last && !mutation::active(Mutation::SkipFence) {
                return Err(Refusal::OldBatch { last });
            }
            if batch.id == last {
                let same = answer.outcomes.len() == batch.orders.len();
                return if same { Ok(answer.clone()) } else { Err(Refusal::OtherOrders { last }) };
            }
        }
        self.check_new(&batch)?;
        self.fence = batch.id.term;
        if let Some(settle) = &batch.settle {
            self.settle(settle, accounts)?;
        }
        let outcomes = batch.orders.into_iter().map(|order| self.take(batch.id, order, accounts)).collect();
        let answer = BatchReserved { outcomes };
        self.last = Some((batch.id, answer.clone()));
        Ok(answer)
    }

    /// Sells what batches up to `settle.through` have open, except what is to be released.
    pub(crate) fn settle(&mut self, settle: &Settle, accounts: &mut Accounts) -> Result<(), Refusal> {
        self.check_term(settle.term)?;
        self.fence = settle.term;
        let released: BTreeSet<_> = settle.released.iter().collect();
        let settled: Vec<_> = self.open.iter().filter(|(_, open)| covers(settle, open)).map(|(id, _)| *id).collect();
        for order_id in settled {
            let end = if released.contains(&order_id) { Account::release } else { Account::sell };
            self.close(order_id, end, accounts);
        }
        Ok(())
    }

    pub(crate) fn fence_term(&self) -> Term {
        self.fence
    }

    pub(crate) fn last(&self) -> Option<BatchId> {
        self.last.as_ref().map(|(last, _)| *last)
    }

    pub(crate) fn open(&self) -> Vec<OrderId> {
        self.open.keys().copied().collect()
    }

    pub(crate) fn open_len(&self) -> usize {
        self.open.len()
    }

    fn check_term(&self, term: Term) -> Result<(), Refusal> {
        let is_stale = term < self.fence && !mutation::active(Mutation::SkipFence);
        if is_stale { Err(Refusal::StaleTerm { fence: self.fence }) } else { Ok(()) }
    }

    /// Checks everything that can be wrong with a batch, before anything is changed.
    fn check_new(&self, batch: &ReserveBatch) -> Result<(), Refusal> {
        if batch.settle.as_ref().is_some_and(|settle| settle.term != batch.id.term) {
            return Err(Refusal::ForeignSettlement);
        }
        if self.open.values().any(|open| open.batch.term < batch.id.term) {
            return Err(Refusal::Unresolved);
        }
        let stays_open = |open: &OpenReservation| batch.settle.as_ref().is_none_or(|settle| !covers(settle, open));
        let mut seen = BTreeSet::new();
        for OrderLine { order_id, .. } in &batch.orders {
            if !seen.insert(order_id) || self.open.get(order_id).is_some_and(stays_open) {
                return Err(Refusal::TwoReservations(*order_id));
            }
        }
        if self.open.values().filter(|open| stays_open(open)).count() + batch.orders.len() > OPEN_MAX {
            return Err(Refusal::TooManyOpen);
        }
        Ok(())
    }

    fn take(&mut self, batch: BatchId, order: OrderLine, accounts: &mut Accounts) -> Reservation {
        let OrderLine { order_id, name, quantity } = order;
        let Some(account) = accounts.get_mut(&name) else { return Reservation::NoSuchProduct };
        if !account.reserve(quantity) {
            return Reservation::OutOfStock;
        }
        let twice = self.open.insert(order_id, OpenReservation { batch, name, quantity });
        assert!(twice.is_none(), "order {order_id} has one reservation");
        Reservation::Reserved
    }

    /// Ends a reservation; `end` is [`Account::sell`] or [`Account::release`].
    fn close(&mut self, order_id: OrderId, end: fn(&mut Account, Quantity), accounts: &mut Accounts) {
        let Some(OpenReservation { name, quantity, .. }) = self.open.remove(&order_id) else { return };
        end(accounts.get_mut(&name).expect("a product with reservations has an account"), quantity);
    }
}

fn covers(settle: &Settle, open: &OpenReservation) -> bool {
    open.batch.term == settle.term && open.batch.batch <= settle.through
}
