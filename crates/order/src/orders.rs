//! The replicated state: every order that has a number, and which order ids have one.
//!
//! Pure: what [`Orders::apply`] does follows from the command and its place in the log alone, so all replicas number
//! alike. An order takes 24 bytes; the last [`REMEMBERED_ORDERS`] orders are indexed by their ids besides, at about 10 bytes
//! each, so that a repeated order is recognised. At five million orders that is 26 bytes an order.

mod index;
mod names;
mod records;

use api::catalog::OrderLine;
use api::public::Order;
use api::{BatchId, LogPosition, OrderId, OrderNumber, ProductName, Quantity, Term};
use replication::StateMachine;
use serde::{Deserialize, Serialize};
use service::mutation::{self, Mutation};

use index::Index;
use names::Names;
use records::{Record, Records};

/// An order id is recognised until so many later orders have been placed (design §9: memory per idempotency key is bounded).
pub const REMEMBERED_ORDERS: usize = 1_000_000;

/// What the order group replicates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A leader opens its term. A term is opened once: see [`crate::takeover`].
    Begin {
        /// Its term.
        term: Term,
    },
    /// Gives each order of a batch a number.
    Place {
        /// Which batch.
        id: BatchId,
        /// Its orders, their stock reserved. The next number is the first one's.
        orders: Vec<OrderLine>,
    },
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The term is open, and the state has all that was ever written before in any log that counts.
    Begun,
    /// The term had been opened before, by the same replica before it was restarted.
    BegunBefore,
    /// An outcome per order, in the batch's order.
    Placed(Vec<Placement>),
    /// The entry was not written by the leader of the command's term, or that term is not open; nothing has changed.
    StaleTerm,
}

/// What became of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It has this number now.
    Placed(OrderNumber),
    /// Its id had this number already; nothing was added.
    AlreadyPlaced(OrderNumber),
}

/// All orders that have a number.
#[derive(Debug)]
pub struct Orders {
    records: Records,
    names: Names,
    /// Of the last `remembered` orders.
    index: Index,
    remembered: usize,
    /// The last term that was opened; 0 before the first.
    begun: Term,
}

impl Default for Orders {
    fn default() -> Self {
        Self::remembering(REMEMBERED_ORDERS)
    }
}

impl Orders {
    /// No orders yet; will recognise the last `remembered` of them.
    ///
    /// All replicas of a group must agree on that number: the state depends on it.
    ///
    /// # Panics
    /// If `remembered` is 0.
    pub fn remembering(remembered: usize) -> Self {
        assert!(remembered > 0, "at least the last order is remembered");
        Self {
            records: Records::default(),
            names: Names::default(),
            index: Index::with_room_for(remembered + 1),
            remembered,
            begun: Term(0),
        }
    }

    /// How many orders there are; also the last one's number.
    pub fn count(&self) -> u64 {
        self.records.len()
    }

    /// The last term that a leader has opened; 0 before the first.
    pub fn begun(&self) -> Term {
        self.begun
    }

    /// The order with that number.
    pub fn get(&self, number: OrderNumber) -> Option<Order> {
        let record = self.records.get(number)?;
        Some(Order { number, name: self.names.get(record.name).clone(), quantity: record.quantity })
    }

    /// The order with that id, if it is among the last [`REMEMBERED_ORDERS`].
    pub fn find(&self, order_id: OrderId) -> Option<Order> {
        self.index.find(order_id, &self.records).map(|number| self.get(number).expect("an indexed order has a record"))
    }

    /// The orders after the first `count`, in the order of their numbers.
    pub fn after(&self, count: u64) -> impl Iterator<Item = Placed<'_>> {
        (count + 1..=self.count()).filter_map(OrderNumber::new).map(|number| {
            let record = self.records.get(number).expect("numbers have no gaps");
            Placed { number, name: self.names.get(record.name), quantity: record.quantity, order_id: record.order_id }
        })
    }

    fn begin(&mut self, position: LogPosition, term: Term) -> Reply {
        if term != position.term {
            Reply::StaleTerm
        } else if term <= self.begun {
            Reply::BegunBefore
        } else {
            self.begun = term;
            Reply::Begun
        }
    }

    fn place(&mut self, line: &OrderLine) -> Placement {
        if let Some(number) = self.index.find(line.order_id, &self.records)
            && !mutation::active(Mutation::PlaceTwice)
        {
            return Placement::AlreadyPlaced(number);
        }
        let number = self.append(line.order_id, &line.name, line.quantity);
        self.remember(number);
        Placement::Placed(number)
    }

    fn append(&mut self, order_id: OrderId, name: &ProductName, quantity: Quantity) -> OrderNumber {
        let name = self.names.intern(name);
        self.records.push(Record { order_id, quantity, name })
    }

    fn remember(&mut self, number: OrderNumber) {
        self.index.remember(number, &self.records);
        let oldest = number.get().checked_sub(self.remembered as u64).and_then(OrderNumber::new);
        if let Some(oldest) = oldest {
            self.index.forget(oldest, &self.records);
        }
    }
}

impl StateMachine for Orders {
    type Command = Command;
    type Reply = Reply;

    fn apply(&mut self, position: LogPosition, command: Command) -> Reply {
        match command {
            Command::Begin { term } => self.begin(position, term),
            Command::Place { id, .. } if id.term != position.term || id.term != self.begun => Reply::StaleTerm,
            Command::Place { orders, .. } => Reply::Placed(orders.iter().map(|line| self.place(line)).collect()),
        }
    }
}

/// One order with all that is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed<'a> {
    /// Its number.
    pub number: OrderNumber,
    /// Which product.
    pub name: &'a ProductName,
    /// How many pieces.
    pub quantity: Quantity,
    /// Its id.
    pub order_id: OrderId,
}

/// Orders on their way back from a ledger: the index is made at the end, for those alone that are to be in it.
#[derive(Debug)]
pub(crate) struct Restored(Orders);

impl Restored {
    pub(crate) fn new() -> Self {
        Self(Orders::default())
    }

    /// The number of the next order.
    pub(crate) fn next_number(&self) -> OrderNumber {
        self.0.records.next_number()
    }

    /// Appends the next order; fails if `name` cannot be a product's.
    pub(crate) fn push(&mut self, name: &str, quantity: Quantity, order_id: OrderId) -> Result<(), api::InvalidValue> {
        let name = self.0.names.intern_text(name)?;
        self.0.records.push(Record { order_id, quantity, name });
        Ok(())
    }

    /// The whole state, `begun` being the last term that was opened.
    pub(crate) fn finish(mut self, begun: Term) -> Orders {
        let orders = &mut self.0;
        orders.begun = begun;
        let first = orders.count().saturating_sub(orders.remembered as u64) + 1;
        for number in (first..=orders.count()).filter_map(OrderNumber::new) {
            orders.index.remember(number, &orders.records);
        }
        self.0
    }
}

#[cfg(test)]
mod tests;
