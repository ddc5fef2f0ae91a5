//! The replicated state: every order that has a number, the ids that are recognized, and the ids
//! that were refused for good.
//!
//! It is pure: the result of [`Orders::apply`] depends only on the command and its position in the
//! log, so all replicas assign the same numbers. An order takes 24 bytes. The last
//! [`DEDUP_WINDOW_ORDERS`] orders are also indexed by id, at about 10 bytes each, so that a
//! repeated order is recognized. At five million orders that is 26 bytes per order.
//!
//! # Final answers
//! The first final answer of an order id stays its answer (I7). A number is final, and so is a
//! refusal that is in the log ([`OrderCommand::Decide`]). An id that was refused gets no number as
//! long as the refusal is remembered: for the last [`DEDUP_WINDOW_REFUSALS`] refusals. Refusals
//! have a memory of their own, so they never displace numbers. Past either bound, an attempt that
//! was under way before is recognized by what its sender knew: see [`Orders::may_have_forgotten`].

mod command;
mod index;
mod names;
mod records;
mod refusals;

use api::catalog::OrderLine;
use api::order::DecidedCounts;
use api::public::Order;
use api::{LogPosition, OrderId, OrderNumber, ProductName, Quantity, Term};
use replication::StateMachine;
use service::mutation::{self, Mutation};

use crate::ledger_format::LedgerFormat;
pub use command::{FinalAnswer, OrderCommand, OrderReply, PlaceOutcome, RefusalReason, RefusedOrder};
use index::OrderIdIndex;
use names::Names;
use records::{OrderRecord, OrderRecords};
use refusals::{RefusalMatch, Refusals};

/// How many later orders it takes until an order id is forgotten. The bound limits the memory for
/// ids.
pub const DEDUP_WINDOW_ORDERS: usize = 1_000_000;

/// How many later durable refusals it takes until a refused id is forgotten. Each checkpoint writes
/// all of them, 2.5 MB at most.
pub const DEDUP_WINDOW_REFUSALS: usize = 100_000;

/// How many of the last final answers are recognized by their ids. The state depends on it, so it
/// must be the same on all replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupWindow {
    /// Orders that have a number; 1 or more.
    pub orders: usize,
    /// Refusals; 1 or more.
    pub refusals: usize,
}

impl Default for DedupWindow {
    fn default() -> Self {
        Self { orders: DEDUP_WINDOW_ORDERS, refusals: DEDUP_WINDOW_REFUSALS }
    }
}

/// All orders that have a number.
#[derive(Debug)]
pub struct Orders {
    records: OrderRecords,
    names: Names,
    /// The remembered orders by id.
    index: OrderIdIndex,
    refusals: Refusals,
    dedup_window: DedupWindow,
    /// The last term that has begun; 0 before the first.
    begun: Term,
    ledger_format: LedgerFormat,
}

impl Default for Orders {
    fn default() -> Self {
        Self::with_dedup_window(DedupWindow::default())
    }
}

impl Orders {
    /// No orders yet.
    ///
    /// # Panics
    /// If `dedup_window` has a zero.
    pub fn with_dedup_window(dedup_window: DedupWindow) -> Self {
        assert!(dedup_window.orders > 0 && dedup_window.refusals > 0, "at least the last of each is remembered");
        Self {
            records: OrderRecords::default(),
            names: Names::default(),
            index: OrderIdIndex::with_room_for(dedup_window.orders + 1),
            refusals: Refusals::default(),
            dedup_window,
            begun: Term(0),
            ledger_format: LedgerFormat::default(),
        }
    }

    /// How many orders there are; also the number of the last one.
    pub fn count(&self) -> u64 {
        self.records.len()
    }

    /// The remembered refusals for a checkpoint; empty if there has never been one.
    pub(crate) fn encode_refusals(&self) -> Vec<u8> {
        self.refusals.encode()
    }

    /// The total number of pieces of all orders.
    pub fn pieces(&self) -> u64 {
        self.records.pieces()
    }

    /// The last term that a leader has begun; 0 before the first.
    pub fn begun(&self) -> Term {
        self.begun
    }

    /// The format of its ledger. It is fixed once a term [has begun](Orders::begun).
    pub fn ledger_format(&self) -> LedgerFormat {
        self.ledger_format
    }

    /// The same orders with another ledger format.
    pub(crate) fn in_format(self, ledger_format: LedgerFormat) -> Self {
        Self { ledger_format, ..self }
    }

    fn use_ledger_format(&mut self, format: LedgerFormat) -> OrderReply {
        if self.begun == Term(0) {
            self.ledger_format = format;
        }
        OrderReply::FormatKnown
    }

    /// The order with that number.
    pub fn get(&self, number: OrderNumber) -> Option<Order> {
        let record = self.records.get(number)?;
        Some(Order { number, name: self.names.get(record.name).clone(), quantity: record.quantity })
    }

    /// The order with that id, if it is among the last [`DEDUP_WINDOW_ORDERS`].
    pub fn find(&self, order_id: OrderId) -> Option<Order> {
        self.index.find(order_id, &self.records).map(|number| self.get(number).expect("an indexed order has a record"))
    }

    /// The final answer of the order's id, if it has one that is remembered.
    pub fn final_answer(&self, line: &OrderLine) -> Option<FinalAnswer> {
        if let Some(known) = self.find(line.order_id).filter(|_| !mutation::active(Mutation::PlaceTwice)) {
            let same = known.name == line.name && known.quantity == line.quantity;
            return Some(if same { FinalAnswer::Placed(known.number) } else { FinalAnswer::OtherOrder });
        }
        match self.refused(line)? {
            RefusalMatch::Same(reason) => Some(FinalAnswer::Refused(reason)),
            RefusalMatch::Other => Some(FinalAnswer::OtherOrder),
        }
    }

    fn refused(&self, line: &OrderLine) -> Option<RefusalMatch> {
        self.refusals.find(line).filter(|_| !mutation::active(Mutation::ForgetRefusals))
    }

    /// How many orders have been decided so far.
    pub fn decided(&self) -> DecidedCounts {
        DecidedCounts { placed: self.count(), refused: self.refusals.count() }
    }

    /// Whether an id that was decided after `known` may be forgotten once `more` other orders have
    /// been decided from now on.
    ///
    /// If so, an attempt whose sender knew that much before the order's first attempt must not be
    /// placed: another attempt may have been answered in the meantime. If not, every final answer
    /// since `known` is still recognized.
    pub fn may_have_forgotten(&self, known: DecidedCounts, more: u64) -> bool {
        let DecidedCounts { placed, refused } = self.decided();
        let forgotten = |known: u64, remembered: usize, count: u64| {
            known.saturating_add(remembered as u64) < count.saturating_add(more)
        };
        forgotten(known.placed, self.dedup_window.orders, placed)
            || forgotten(known.refused, self.dedup_window.refusals, refused)
    }

    /// The orders after the first `count`, in the order of their numbers.
    pub fn after(&self, count: u64) -> impl Iterator<Item = PlacedOrder<'_>> {
        (count + 1..=self.count()).filter_map(OrderNumber::new).map(|number| {
            let record = self.records.get(number).expect("numbers have no gaps");
            PlacedOrder {
                number,
                name: self.names.get(record.name),
                quantity: record.quantity,
                order_id: record.order_id,
            }
        })
    }

    fn begin(&mut self, position: LogPosition, term: Term) -> OrderReply {
        if term != position.term {
            OrderReply::StaleTerm
        } else if term <= self.begun {
            OrderReply::BegunBefore
        } else {
            self.begun = term;
            OrderReply::Begun
        }
    }

    /// Gives an order the next number, unless its id already has a final answer.
    fn place(&mut self, line: &OrderLine) -> PlaceOutcome {
        if let Some(answer) = self.final_answer(line) {
            return PlaceOutcome::AlreadyDecided(answer);
        }
        let number = self.append(line.order_id, &line.name, line.quantity);
        self.remember(number);
        PlaceOutcome::Placed(number)
    }

    /// Remembers a refusal, unless the id already has a final answer. Returns that answer.
    fn refuse(&mut self, refused: &RefusedOrder) -> FinalAnswer {
        let RefusedOrder { line, reason } = refused;
        if self.index.find(line.order_id, &self.records).is_none() && self.refusals.find(line).is_none() {
            self.refusals.add(refused, self.dedup_window.refusals);
        }
        self.final_answer(line).unwrap_or(FinalAnswer::Refused(*reason))
    }

    fn decide(&mut self, orders: &[OrderLine], refused: &[RefusedOrder]) -> OrderReply {
        let refused = refused.iter().map(|refused| self.refuse(refused)).collect();
        OrderReply::Decided { orders: orders.iter().map(|line| self.place(line)).collect(), refused }
    }

    fn append(&mut self, order_id: OrderId, name: &ProductName, quantity: Quantity) -> OrderNumber {
        let name = self.names.intern(name);
        self.records.push(OrderRecord { order_id, quantity, name })
    }

    fn remember(&mut self, number: OrderNumber) {
        self.index.remember(number, &self.records);
        let oldest = number.get().checked_sub(self.dedup_window.orders as u64).and_then(OrderNumber::new);
        if let Some(oldest) = oldest {
            self.index.forget(oldest, &self.records);
        }
    }
}

impl StateMachine for Orders {
    type Command = OrderCommand;
    type Reply = OrderReply;

    fn apply(&mut self, position: LogPosition, command: OrderCommand) -> OrderReply {
        match command {
            OrderCommand::Begin { term } => self.begin(position, term),
            OrderCommand::UseLedgerFormat { format } => self.use_ledger_format(format),
            OrderCommand::Place { id, .. } | OrderCommand::Decide { id, .. }
                if id.term != position.term || id.term != self.begun =>
            {
                OrderReply::StaleTerm
            }
            OrderCommand::Place { orders, .. } => self.decide(&orders, &[]),
            OrderCommand::Decide { orders, refused, .. } => self.decide(&orders, &refused),
        }
    }
}

/// One order with everything that is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedOrder<'a> {
    /// Its number.
    pub number: OrderNumber,
    /// The product.
    pub name: &'a ProductName,
    /// The number of pieces.
    pub quantity: Quantity,
    /// Its id.
    pub order_id: OrderId,
}

/// Orders that are being read back from a ledger. The index is built at the end, and only for the
/// orders that belong in it.
#[derive(Debug)]
pub(crate) struct Restored(Orders);

impl Restored {
    pub(crate) fn new(dedup_window: DedupWindow) -> Self {
        Self(Orders::with_dedup_window(dedup_window))
    }

    /// The number of the next order.
    pub(crate) fn next_number(&self) -> OrderNumber {
        self.0.records.next_number()
    }

    /// Appends the next order; fails if `name` is not a valid product name.
    pub(crate) fn push(&mut self, name: &str, quantity: Quantity, order_id: OrderId) -> Result<(), api::InvalidValue> {
        let name = self.0.names.intern_text(name)?;
        self.0.records.push(OrderRecord { order_id, quantity, name });
        Ok(())
    }

    /// Returns the complete state. `begun` is the last term that had begun, and `refusals` comes
    /// from [`Orders::encode_refusals`]; the error says what is wrong with it.
    pub(crate) fn finish(mut self, begun: Term, refusals: &[u8]) -> Result<Orders, String> {
        let orders = &mut self.0;
        orders.begun = begun;
        orders.refusals = Refusals::decode(refusals)?;
        orders.refusals.keep(orders.dedup_window.refusals);
        let first = orders.count().saturating_sub(orders.dedup_window.orders as u64) + 1;
        for number in (first..=orders.count()).filter_map(OrderNumber::new) {
            orders.index.remember(number, &orders.records);
        }
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests;
