//! One product's calls, arranged for the search.

use std::collections::BTreeMap;

use api::catalog::StockAccount;
use api::{ErrorCode, OrderId, OrderNumber};

use crate::call::{History, Moment, OrderCall, OrderOutcome, OrderReadOutcome, ProductCall, ProductOutcome};
use crate::index::{Index, Wish, ended};
use crate::ledger::Ledger;
use crate::options::{GiveBacks, Options};
use crate::verdict::LedgerLine;

/// What happens to the shelf at one moment between `called` and `returns`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op<'a> {
    pub(crate) called: Moment,
    pub(crate) returns: Moment,
    pub(crate) what: What,
    pub(crate) source: Source<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A wish takes its quantity for good.
    Take { wish: usize },
    /// A wish that may have held its quantity for a time, does no longer.
    Expire { wish: usize },
    /// A wish finds less than its quantity.
    Refuse { wish: usize },
    /// There are so many pieces.
    Read { pieces: u64 },
    /// There are so many pieces in the end. If it is known which orders were placed, no other holds any.
    End { pieces: u64, exact: bool },
}

/// Where an operation comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Order(&'a OrderCall),
    Refusal(&'a OrderCall),
    Read(&'a ProductCall),
    Books,
}

/// Who may hold its quantity without having taken it for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Nobody.
    Never,
    /// From its call on.
    ForEver,
    /// Until this operation, by its place.
    Until(usize),
}

/// What was ordered under one id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    pub(crate) quantity: u64,
    called: Moment,
    pub(crate) holds: Holds,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Problem<'a> {
    pub(crate) initial: u64,
    /// Pieces per restock.
    pub(crate) level: u64,
    pub(crate) restocks_max: u64,
    pub(crate) give_backs: bool,
    pub(crate) wishes: Vec<Pieces>,
    /// Those of them that hold for ever, by their calls.
    for_ever: Vec<usize>,
    /// By their return.
    ops: Vec<Op<'a>>,
    /// For each operation that returns: which ones, itself and later ones, were called when it does.
    open: Vec<Vec<usize>>,
}

impl<'a> Problem<'a> {
    pub(crate) fn op(&self, place: usize) -> &Op<'a> {
        &self.ops[place]
    }

    /// The operations that may be linearized before the one at `place` returns.
    pub(crate) fn open(&self, place: usize) -> &[usize] {
        &self.open[place]
    }

    /// How many operations must be explained: those that return.
    pub(crate) fn required(&self) -> usize {
        self.open.len()
    }

    /// What `what` is about, in pieces.
    pub(crate) fn quantity(&self, wish: usize) -> u64 {
        self.wishes[wish].quantity
    }

    /// How many of each quantity may be held, or not, just before the operation at `place` returns; but for `without`.
    pub(crate) fn held(&self, place: usize, without: Option<usize>) -> BTreeMap<u64, u64> {
        let mut counts = BTreeMap::new();
        if !self.give_backs {
            return counts;
        }
        let now = self.ops[place].returns;
        let for_ever = self.for_ever.iter().take_while(|wish| self.wishes[**wish].called <= now).copied();
        let until = self.open[place].iter().filter_map(|op| match self.ops[*op].what {
            What::Take { wish } | What::Expire { wish } => Some(wish),
            _ => None,
        });
        for wish in for_ever.chain(until).filter(|wish| Some(*wish) != without) {
            *counts.entry(self.wishes[wish].quantity).or_insert(0) += 1;
        }
        counts
    }

    /// Goes on without a read or a refusal; false if it is none.
    pub(crate) fn leave_out(&mut self, place: usize) -> bool {
        if !matches!(self.ops[place].what, What::Read { .. } | What::Refuse { .. }) {
            return false;
        }
        self.ops.remove(place);
        self.arrange();
        true
    }

    fn arrange(&mut self) {
        self.ops.sort_by_key(|op| (op.returns, op.called));
        for (place, op) in self.ops.iter().enumerate() {
            if let What::Take { wish } | What::Expire { wish } = op.what {
                self.wishes[wish].holds = Holds::Until(place);
            }
        }
        let mut by_call: Vec<_> = (0..self.ops.len()).collect();
        by_call.sort_by_key(|place| self.ops[*place].called);
        let mut by_call = by_call.into_iter().peekable();
        let mut called: Vec<usize> = Vec::new();
        let returning = self.ops.iter().take_while(|op| op.returns < Moment::NEVER);
        self.open = returning
            .enumerate()
            .map(|(place, op)| {
                called.retain(|open| *open >= place);
                while let Some(next) = by_call.next_if(|next| self.ops[*next].called <= op.returns) {
                    called.push(next);
                }
                called.clone()
            })
            .collect();
        self.open.iter_mut().for_each(|open| open.sort_unstable());
    }
}

/// What is known of all products.
pub(crate) struct Evidence<'a> {
    index: &'a Index<'a>,
    options: &'a Options,
    /// What is in the longest ledger, if there is one.
    placed: Option<BTreeMap<OrderId, &'a LedgerLine>>,
    /// Numbers, rising, and when an order of that number or a higher one was first known to be placed.
    placed_by: Vec<(OrderNumber, Moment)>,
    /// After everything.
    end: Moment,
}

impl<'a> Evidence<'a> {
    pub(crate) fn new(
        history: &'a History,
        index: &'a Index<'a>,
        ledgers: &'a [Ledger<'a>],
        options: &'a Options,
    ) -> Self {
        let placed = ledgers.first().map(|longest| longest.lines.iter().map(|line| (line.order_id, line)).collect());
        let acknowledged = index.acknowledged.iter().map(|(number, calls)| (*number, ended(calls[0])));
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

    /// The calls of one product.
    pub(crate) fn problem(&self, account: &StockAccount, reads: &[&'a ProductCall]) -> Problem<'a> {
        let level = self.options.restock_level.map_or(0, |level| level.0);
        let mut problem = Problem {
            initial: account.initial,
            level,
            restocks_max: account.restocked.checked_div(level).unwrap_or(0),
            give_backs: self.options.give_backs == GiveBacks::Anytime,
            wishes: Vec::new(),
            for_ever: Vec::new(),
            ops: Vec::new(),
            open: Vec::new(),
        };
        for wish in self.index.all().filter(|wish| *wish.product() == account.name) {
            self.add_wish(&mut problem, wish);
        }
        problem.ops.extend(reads.iter().filter_map(|read| match read.outcome {
            ProductOutcome::Quantity(stock) => Some(Op {
                called: read.called,
                returns: read.returned.expect("a read that says a quantity has returned"),
                what: What::Read { pieces: stock.0 },
                source: Source::Read(read),
            }),
            ProductOutcome::Unknown => None,
        }));
        if self.options.quiet {
            let what = What::End { pieces: account.stock.0, exact: self.placed.is_some() };
            let after = Moment(self.end.0 + 1);
            problem.ops.push(Op { called: after, returns: after, what, source: Source::Books });
        }
        problem.for_ever = (0..problem.wishes.len()).collect();
        problem.for_ever.retain(|wish| problem.wishes[*wish].holds == Holds::ForEver);
        problem.for_ever.sort_by_key(|wish| problem.wishes[*wish].called);
        problem.arrange();
        problem
    }

    fn add_wish(&self, problem: &mut Problem<'a>, wish: &Wish<'a>) {
        let (called, id) = (wish.first_called(), problem.wishes.len());
        let mut holds = Holds::Never;
        let mut op = |returns, what, source| problem.ops.push(Op { called, returns, what, source });
        match self.fate(wish) {
            Fate::Taken { by, source } if by < Moment::NEVER || !problem.give_backs => {
                op(by, What::Take { wish: id }, Source::Order(source));
            }
            Fate::Taken { .. } => holds = Holds::ForEver,
            Fate::Released { by, source } if problem.give_backs => {
                op(by, What::Expire { wish: id }, Source::Order(source));
            }
            Fate::Open if problem.give_backs => holds = Holds::ForEver,
            Fate::Released { .. } | Fate::Open | Fate::Nothing => {}
        }
        for call in wish.attempts.iter().filter(|call| call.outcome == OrderOutcome::Refused(ErrorCode::OutOfStock)) {
            let (called, returns) = (wish.under_way_since(call), ended(call));
            problem.ops.push(Op { called, returns, what: What::Refuse { wish: id }, source: Source::Refusal(call) });
        }
        problem.wishes.push(Pieces { quantity: u64::from(wish.quantity().get()), called, holds });
    }

    fn fate(&self, wish: &Wish<'a>) -> Fate<'a> {
        let first = wish.attempts[0];
        if let Some(call) = wish.acknowledgement() {
            let OrderOutcome::Acknowledged(number) = call.outcome else { unreachable!("an acknowledgement is one") };
            // A number that is lower than one that was known before the order was sent is another checker's finding.
            return Fate::Taken { by: self.placed_by(number).min(ended(call)).max(first.called), source: call };
        }
        let known = self.placed.as_ref().map(|placed| placed.get(&first.order_id));
        let end = if self.options.quiet { self.end } else { Moment::NEVER };
        if let Some(line) = known.flatten() {
            let by = self.placed_by(line.number).min(end);
            return if line.product == first.product && line.quantity == first.quantity {
                Fate::Taken { by: by.max(first.called), source: first }
            } else if by < first.called {
                Fate::Nothing
            } else {
                // Its key was used for another order, too, and that one has the number.
                Fate::Released { by, source: first }
            };
        }
        match wish.refusal() {
            Some(call) if self.options.refusals_final => {
                let may_have_held = wish.attempts.iter().any(|call| may_have_reserved(call.outcome));
                if may_have_held { Fate::Released { by: ended(call), source: call } } else { Fate::Nothing }
            }
            // Not placed by the end, and never will be.
            _ if known.is_some() && self.options.quiet => Fate::Open,
            _ if self.options.give_backs == GiveBacks::Never => Fate::Taken { by: Moment::NEVER, source: first },
            _ => Fate::Open,
        }
    }

    /// When the order of that number was known to be placed: numbers have no gaps, so any higher one tells.
    fn placed_by(&self, number: OrderNumber) -> Moment {
        let place = self.placed_by.partition_point(|(known, _)| *known < number);
        self.placed_by.get(place).map_or(Moment::NEVER, |(_, known)| *known)
    }
}

/// What became of a wish, as far as the shelf is concerned.
enum Fate<'a> {
    /// It takes its quantity for good; if that is never known, perhaps.
    Taken { by: Moment, source: &'a OrderCall },
    /// It may have held its quantity for a time.
    Released { by: Moment, source: &'a OrderCall },
    /// It may hold its quantity again and again, and never takes it for good.
    Open,
    /// It never touched the shelf.
    Nothing,
}

/// Whether a leader may have reserved stock for an attempt, and another one refused it in the end.
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
        )
    )
}
