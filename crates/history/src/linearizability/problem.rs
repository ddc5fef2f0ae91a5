//! The calls concerning one product, as the input of the search.

use std::collections::BTreeMap;

use api::catalog::StockAccount;
use api::{ErrorCode, OrderId, OrderNumber};

use crate::call::{History, Moment, OrderCall, OrderOutcome, OrderReadOutcome, ProductCall, ProductOutcome};
use crate::ledger::ParsedLedger;
use crate::options::{CheckOptions, Releases};
use crate::order_index::{OrderIndex, RecordedOrder, returned_at};
use crate::verdict::LedgerLine;

/// An operation on the stock of a product. It takes effect at one moment between `called` and
/// `returns`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op<'a> {
    pub(crate) called: Moment,
    pub(crate) returns: Moment,
    pub(crate) kind: OpKind,
    pub(crate) source: OperationSource<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpKind {
    /// An order takes its quantity for good.
    Take { order: usize },
    /// An order that may have held its quantity for a time no longer holds it.
    Release { order: usize },
    /// An order is refused because it finds less than its quantity.
    Refuse { order: usize },
    /// A read that returns this many pieces.
    Read { pieces: u64 },
    /// The stock at the end. It is exact if it is known which orders were placed: then no other
    /// order holds any pieces.
    FinalStock { pieces: u64, exact: bool },
}

/// The source of an operation, for the report of a violation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OperationSource<'a> {
    Order(&'a OrderCall),
    Refusal(&'a OrderCall),
    Read(&'a ProductCall),
    FinalStock,
}

/// During which time an order may hold its quantity without having taken it for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MayHold {
    /// At no time.
    Never,
    /// From its call on, forever.
    FromCallOn,
    /// Until the operation with this index.
    Until(usize),
}

/// An order of the product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProductOrder {
    pub(crate) quantity: u64,
    called: Moment,
    pub(crate) may_hold: MayHold,
}

/// The input of the search for one product.
#[derive(Debug)]
pub(crate) struct Problem<'a> {
    /// The stock in the beginning.
    pub(crate) initial: u64,
    /// The number of pieces per restock.
    pub(crate) level: u64,
    pub(crate) restocks_max: u64,
    pub(crate) releases: bool,
    pub(crate) orders: Vec<ProductOrder>,
    /// The orders that may hold their quantity from their call on, in the order of their calls.
    held_from_call_on: Vec<usize>,
    /// In the order of their return.
    ops: Vec<Op<'a>>,
    /// For each operation that returns: the operations, itself and later ones, that were called
    /// before it returned.
    open: Vec<Vec<usize>>,
}

impl<'a> Problem<'a> {
    pub(crate) fn op(&self, op: usize) -> &Op<'a> {
        &self.ops[op]
    }

    /// The operations that may be linearized before `op` returns.
    pub(crate) fn open(&self, op: usize) -> &[usize] {
        &self.open[op]
    }

    /// How many operations must be linearized: those that return.
    pub(crate) fn required(&self) -> usize {
        self.open.len()
    }

    /// The quantity of an order, in pieces.
    pub(crate) fn quantity(&self, order: usize) -> u64 {
        self.orders[order].quantity
    }

    /// How many orders of each quantity may hold it, or not, just before `op` returns. The order
    /// `without` is not counted.
    pub(crate) fn held(&self, op: usize, without: Option<usize>) -> BTreeMap<u64, u64> {
        let mut counts = BTreeMap::new();
        if !self.releases {
            return counts;
        }
        let now = self.ops[op].returns;
        let held_from_call_on =
            self.held_from_call_on.iter().take_while(|order| self.orders[**order].called <= now).copied();
        let until = self.open[op].iter().filter_map(|op| match self.ops[*op].kind {
            OpKind::Take { order } | OpKind::Release { order } => Some(order),
            _ => None,
        });
        for order in held_from_call_on.chain(until).filter(|order| Some(*order) != without) {
            *counts.entry(self.orders[order].quantity).or_insert(0) += 1;
        }
        counts
    }

    /// Removes a read or a refusal. Returns false if the operation is neither.
    pub(crate) fn exclude(&mut self, op: usize) -> bool {
        if !matches!(self.ops[op].kind, OpKind::Read { .. } | OpKind::Refuse { .. }) {
            return false;
        }
        self.ops.remove(op);
        self.arrange();
        true
    }

    /// Sorts the operations, and computes everything that depends on their order.
    fn arrange(&mut self) {
        self.ops.sort_by_key(|op| (op.returns, op.called));
        for (index, op) in self.ops.iter().enumerate() {
            if let OpKind::Take { order } | OpKind::Release { order } = op.kind {
                self.orders[order].may_hold = MayHold::Until(index);
            }
        }
        let mut by_call: Vec<_> = (0..self.ops.len()).collect();
        by_call.sort_by_key(|op| self.ops[*op].called);
        let mut by_call = by_call.into_iter().peekable();
        let mut called: Vec<usize> = Vec::new();
        let returning = self.ops.iter().take_while(|op| op.returns < Moment::NEVER);
        self.open = returning
            .enumerate()
            .map(|(index, op)| {
                called.retain(|open| *open >= index);
                while let Some(next) = by_call.next_if(|next| self.ops[*next].called <= op.returns) {
                    called.push(next);
                }
                called.clone()
            })
            .collect();
        self.open.iter_mut().for_each(|open| open.sort_unstable());
    }
}

/// The evidence that concerns all products.
pub(crate) struct Evidence<'a> {
    index: &'a OrderIndex<'a>,
    options: &'a CheckOptions,
    /// The orders in the longest ledger, if there is a ledger.
    placed: Option<BTreeMap<OrderId, &'a LedgerLine>>,
    /// Order numbers in increasing order, and when an order with this number or a higher one was
    /// first known to be placed.
    placed_by: Vec<(OrderNumber, Moment)>,
    /// A moment after everything else.
    end: Moment,
}

impl<'a> Evidence<'a> {
    pub(crate) fn new(
        history: &'a History,
        index: &'a OrderIndex<'a>,
        ledgers: &'a [ParsedLedger<'a>],
        options: &'a CheckOptions,
    ) -> Self {
        let placed = ledgers.first().map(|longest| longest.lines.iter().map(|line| (line.order_id, line)).collect());
        let acknowledged = index.by_number.iter().map(|(number, calls)| (*number, returned_at(calls[0])));
        let read = history.order_reads.iter().filter_map(|read| match (&read.outcome, read.returned) {
            (OrderReadOutcome::Found { .. }, Some(returned)) => Some((read.number, returned)),
            _ => None,
        });
        let mut placed_by: Vec<_> = acknowledged.chain(read).collect();
        placed_by.sort_unstable();
        let mut first = Moment::NEVER;
        for (_, known) in placed_by.iter_mut().rev() {
            first = first.min(*known);
            *known = first;
        }
        let orders = history.orders.iter().map(|call| call.returned.unwrap_or(call.called));
        let products = history.products.iter().map(|call| call.returned.unwrap_or(call.called));
        let end = Moment(orders.chain(products).max().unwrap_or_default().0 + 1);
        Self { index, options, placed, placed_by, end }
    }

    /// The problem for one product.
    pub(crate) fn problem(&self, account: &StockAccount, reads: &[&'a ProductCall]) -> Problem<'a> {
        let level = self.options.restock_level.map_or(0, |level| level.0);
        let mut problem = Problem {
            initial: account.initial,
            level,
            restocks_max: account.restocked.checked_div(level).unwrap_or(0),
            releases: self.options.releases == Releases::Anytime,
            orders: Vec::new(),
            held_from_call_on: Vec::new(),
            ops: Vec::new(),
            open: Vec::new(),
        };
        for order in self.index.all().filter(|order| *order.product() == account.name) {
            self.add_order(&mut problem, order);
        }
        problem.ops.extend(reads.iter().filter_map(|read| match read.outcome {
            ProductOutcome::Quantity(stock) => Some(Op {
                called: read.called,
                returns: read.returned.expect("a read with a quantity has returned"),
                kind: OpKind::Read { pieces: stock.0 },
                source: OperationSource::Read(read),
            }),
            ProductOutcome::Unknown => None,
        }));
        if self.options.quiet {
            let kind = OpKind::FinalStock { pieces: account.stock.0, exact: self.placed.is_some() };
            let after = Moment(self.end.0 + 1);
            problem.ops.push(Op { called: after, returns: after, kind, source: OperationSource::FinalStock });
        }
        problem.held_from_call_on = (0..problem.orders.len()).collect();
        problem.held_from_call_on.retain(|order| problem.orders[*order].may_hold == MayHold::FromCallOn);
        problem.held_from_call_on.sort_by_key(|order| problem.orders[*order].called);
        problem.arrange();
        problem
    }

    fn add_order(&self, problem: &mut Problem<'a>, order: &RecordedOrder<'a>) {
        let (called, id) = (order.first_called(), problem.orders.len());
        let mut may_hold = MayHold::Never;
        let mut add = |returns, kind, source| problem.ops.push(Op { called, returns, kind, source });
        match self.stock_effect(order) {
            StockEffect::Taken { by, source } if by < Moment::NEVER || !problem.releases => {
                add(by, OpKind::Take { order: id }, OperationSource::Order(source));
            }
            StockEffect::Taken { .. } => may_hold = MayHold::FromCallOn,
            StockEffect::Released { by, source } if problem.releases => {
                add(by, OpKind::Release { order: id }, OperationSource::Order(source));
            }
            StockEffect::Undetermined if problem.releases => may_hold = MayHold::FromCallOn,
            StockEffect::Released { .. } | StockEffect::Undetermined | StockEffect::None => {}
        }
        // The refusal is decided once, at the latest when the first such answer is received;
        // possibly by an attempt whose answer was lost.
        if let Some(call) = order.refused_with(ErrorCode::OutOfStock) {
            let returns = returned_at(call);
            problem.ops.push(Op {
                called,
                returns,
                kind: OpKind::Refuse { order: id },
                source: OperationSource::Refusal(call),
            });
        }
        problem.orders.push(ProductOrder { quantity: u64::from(order.quantity().get()), called, may_hold });
    }

    fn stock_effect(&self, order: &RecordedOrder<'a>) -> StockEffect<'a> {
        let first = order.attempts[0];
        if let Some(call) = order.acknowledgement() {
            let OrderOutcome::Acknowledged(number) = call.outcome else {
                unreachable!("an acknowledgement has this outcome")
            };
            // Another checker finds a number that is lower than one that was known before the order
            // was sent.
            return StockEffect::Taken {
                by: self.placed_by(number).min(returned_at(call)).max(first.called),
                source: call,
            };
        }
        let known = self.placed.as_ref().map(|placed| placed.get(&first.order_id));
        let end = if self.options.quiet { self.end } else { Moment::NEVER };
        if let Some(line) = known.flatten() {
            let by = self.placed_by(line.number).min(end);
            return if line.product == first.product && line.quantity == first.quantity {
                StockEffect::Taken { by: by.max(first.called), source: first }
            } else if by < first.called {
                StockEffect::None
            } else {
                // The key was also used for another order, which has the number.
                StockEffect::Released { by, source: first }
            };
        }
        match order.refusal(self.options) {
            Some(call) => {
                let may_have_held = order.attempts.iter().any(|call| may_have_reserved(call.outcome));
                if may_have_held {
                    StockEffect::Released { by: returned_at(call), source: call }
                } else {
                    StockEffect::None
                }
            }
            // It is not placed at the end, and never will be.
            _ if known.is_some() && self.options.quiet => StockEffect::Undetermined,
            _ if self.options.releases == Releases::Never => StockEffect::Taken { by: Moment::NEVER, source: first },
            _ => StockEffect::Undetermined,
        }
    }

    /// When the order with this number was known to be placed. Numbers have no gaps, so any higher
    /// number shows it.
    fn placed_by(&self, number: OrderNumber) -> Moment {
        let index = self.placed_by.partition_point(|(known, _)| *known < number);
        self.placed_by.get(index).map_or(Moment::NEVER, |(_, known)| *known)
    }
}

/// The effect of an order on the stock.
enum StockEffect<'a> {
    /// It takes its quantity for good, before `by`. If `by` is never, it may also take nothing.
    Taken { by: Moment, source: &'a OrderCall },
    /// It may have held its quantity for a time, until `by`.
    Released { by: Moment, source: &'a OrderCall },
    /// It may hold its quantity from time to time, and never takes it for good.
    Undetermined,
    /// It has never changed the stock.
    None,
}

/// Whether one leader may have reserved stock for an attempt before another one refused it.
fn may_have_reserved(outcome: OrderOutcome) -> bool {
    !matches!(
        outcome,
        OrderOutcome::Refused(
            ErrorCode::BadRequest
                | ErrorCode::BadQuantity
                | ErrorCode::NotFound
                | ErrorCode::NoSuchProduct
                | ErrorCode::MethodNotAllowed
                | ErrorCode::PayloadTooLarge
                | ErrorCode::UnsupportedMediaType
                | ErrorCode::UnsupportedContentEncoding
                | ErrorCode::ExpectationFailed
        )
    )
}
