//! The search for a linearization; see the [parent module](super).

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::problem::{MayHold, OpKind, Problem};
use super::sums::Sums;
use crate::verdict::Allowed;

/// The result of the search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SearchOutcome {
    /// There is a linearization.
    Linearizable,
    /// There is no linearization.
    Contradiction(Contradiction),
    /// The search exceeded its budget.
    Undecided,
}

/// The point that no linearization gets past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// The operation that cannot be linearized before it returns.
    pub(crate) op: usize,
    /// The stock that was possible at this point.
    pub(crate) allowed: Allowed,
}

/// The set of linearized operations, and the resulting state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Configuration {
    /// The first operation that is not linearized. All operations before it are.
    front: usize,
    /// The linearized operations after `front`, in increasing order.
    ahead: Vec<usize>,
    /// The stock if no order in flight holds anything.
    stock: u64,
    restocks: u64,
}

/// Searches for a linearization. Visits at most `configurations_max` configurations, and returns
/// how many it has visited.
pub(crate) fn search(problem: &Problem<'_>, configurations_max: u64) -> (SearchOutcome, u64) {
    let mut search = Search { problem, sums: FxHashMap::default(), contradiction: None };
    let mut seen = FxHashSet::default();
    let mut waiting = vec![Configuration { front: 0, ahead: Vec::new(), stock: problem.initial, restocks: 0 }];
    while let Some(mut configuration) = waiting.pop() {
        if search.linearize_observations(&mut configuration) {
            return (SearchOutcome::Linearizable, seen.len() as u64);
        }
        if seen.contains(&configuration) {
            continue;
        }
        if seen.len() as u64 >= configurations_max {
            return (SearchOutcome::Undecided, configurations_max);
        }
        search.record(&configuration);
        // The last one pushed is visited first: a restock is the last resort.
        waiting.extend(search.restocked(&configuration));
        if problem.releases {
            waiting.extend(search.front_passed(&configuration));
        } else {
            search.each_taking(&configuration, &mut waiting);
        }
        seen.insert(configuration);
    }
    (
        SearchOutcome::Contradiction(search.contradiction.expect("the first configuration was visited")),
        seen.len() as u64,
    )
}

struct Search<'a, 'p> {
    problem: &'a Problem<'p>,
    /// The quantities that orders can hold together when an operation returns. The key is this
    /// operation, and the quantity of which one order is left out (or 0).
    sums: FxHashMap<(usize, u64), Sums>,
    contradiction: Option<Contradiction>,
}

impl Search<'_, '_> {
    /// Linearizes all reads and refusals that can be linearized. Returns true if no operation is
    /// left.
    fn linearize_observations(&mut self, configuration: &mut Configuration) -> bool {
        let problem = self.problem;
        while configuration.front < problem.required() {
            for op in problem.open(configuration.front) {
                if let Err(index) = configuration.ahead.binary_search(op)
                    && self.agrees(*op, configuration)
                {
                    configuration.ahead.insert(index, *op);
                }
            }
            if configuration.ahead.first() != Some(&configuration.front) {
                return false;
            }
            configuration.ahead.remove(0);
            configuration.front += 1;
        }
        true
    }

    /// Whether an operation that changes nothing agrees with the state.
    fn agrees(&mut self, op: usize, configuration: &Configuration) -> bool {
        let Configuration { front, stock, .. } = *configuration;
        match self.problem.op(op).kind {
            OpKind::Read { pieces } | OpKind::FinalStock { pieces, exact: false } => {
                stock.checked_sub(pieces).is_some_and(|held| self.sums(front, None).contains(held))
            }
            OpKind::FinalStock { pieces, exact: true } => stock == pieces,
            OpKind::Refuse { order } => {
                stock - self.sums(front, Some(order)).largest_within(stock) < self.problem.quantity(order)
            }
            OpKind::Take { .. } | OpKind::Release { .. } => false,
        }
    }

    /// Passes the front operation: its order takes its quantity for good, or no longer holds it.
    fn front_passed(&self, configuration: &Configuration) -> Option<Configuration> {
        let stock = match self.problem.op(configuration.front).kind {
            OpKind::Take { order } => configuration.stock.checked_sub(self.problem.quantity(order))?,
            OpKind::Release { .. } => configuration.stock,
            OpKind::Read { .. } | OpKind::Refuse { .. } | OpKind::FinalStock { .. } => return None,
        };
        Some(Configuration { front: configuration.front + 1, stock, ..configuration.clone() })
    }

    /// For each quantity, lets the order that returns first take it.
    fn each_taking(&self, configuration: &Configuration, waiting: &mut Vec<Configuration>) {
        let mut first = BTreeMap::new();
        for op in self.problem.open(configuration.front) {
            if let (OpKind::Take { order }, Err(index)) =
                (self.problem.op(*op).kind, configuration.ahead.binary_search(op))
            {
                first.entry(self.problem.quantity(order)).or_insert((*op, index));
            }
        }
        let mut takings: Vec<_> = first.into_iter().collect();
        takings.sort_by_key(|(_, (op, _))| std::cmp::Reverse(*op));
        for (quantity, (op, index)) in takings {
            if let Some(stock) = configuration.stock.checked_sub(quantity) {
                let mut next = Configuration { stock, ..configuration.clone() };
                next.ahead.insert(index, op);
                waiting.push(next);
            }
        }
    }

    /// Restocks, if the product can be sold out now.
    fn restocked(&mut self, configuration: &Configuration) -> Option<Configuration> {
        let Configuration { front, stock, restocks, .. } = *configuration;
        let allowed = restocks < self.problem.restocks_max && self.sums(front, None).contains(stock);
        allowed.then(|| Configuration {
            stock: stock.saturating_add(self.problem.level),
            restocks: restocks + 1,
            ..configuration.clone()
        })
    }

    /// Records which stock was possible at the last operation that was reached.
    fn record(&mut self, configuration: &Configuration) {
        let Configuration { front, stock, .. } = *configuration;
        let deepest = self.contradiction.as_ref().map_or(0, |contradiction| contradiction.op);
        if front < deepest {
            return;
        }
        let nothing_held = matches!(self.problem.op(front).kind, OpKind::FinalStock { exact: true, .. });
        let held = if nothing_held { 0 } else { self.sums(front, None).largest_within(stock) };
        let min = stock - held;
        let known = self
            .contradiction
            .as_ref()
            .filter(|contradiction| contradiction.op == front)
            .map(|contradiction| contradiction.allowed);
        let known = known.unwrap_or(Allowed { min, max: stock });
        let allowed = Allowed { min: known.min.min(min), max: known.max.max(stock) };
        self.contradiction = Some(Contradiction { op: front, allowed });
    }

    /// The sums of the quantities that orders can hold when `front` returns. The order `without`
    /// holds nothing.
    fn sums(&mut self, front: usize, without: Option<usize>) -> &Sums {
        let problem = self.problem;
        let without = without.filter(|order| match problem.orders[*order].may_hold {
            MayHold::Never => false,
            MayHold::FromCallOn => true,
            MayHold::Until(op) => op >= front,
        });
        let key = (front, without.map_or(0, |order| problem.quantity(order)));
        self.sums.entry(key).or_insert_with(|| {
            let restocked = problem.level.saturating_mul(problem.restocks_max);
            let max = problem.initial.saturating_add(restocked);
            Sums::new(&problem.held(front, without), max)
        })
    }
}
