//! The search for an explanation: see the [module above](super).

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::problem::{Holds, Problem, What};
use super::sums::Sums;
use crate::verdict::Allowed;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is an explanation.
    Explained,
    /// There is none.
    Stuck(Stuck),
    /// The budget was spent first.
    Undecided,
}

/// Where no explanation goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stuck {
    /// The operation that cannot be explained by the time that it returns.
    pub(crate) op: usize,
    pub(crate) allowed: Allowed,
}

/// What is linearized, and the state that this gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Configuration {
    /// The first operation that is not linearized: all before it are.
    front: usize,
    /// Those behind it that are, rising.
    ahead: Vec<usize>,
    /// What is on the shelf if no order that is under way holds anything.
    stock: u64,
    restocks: u64,
}

/// Visits `configurations_max` configurations at most; tells how many it did.
pub(crate) fn search(problem: &Problem<'_>, configurations_max: u64) -> (Answer, u64) {
    let mut search = Search { problem, sums: FxHashMap::default(), stuck: None };
    let mut seen = FxHashSet::default();
    let mut waiting = vec![Configuration { front: 0, ahead: Vec::new(), stock: problem.initial, restocks: 0 }];
    while let Some(mut configuration) = waiting.pop() {
        if search.linearize_observations(&mut configuration) {
            return (Answer::Explained, seen.len() as u64);
        }
        if seen.contains(&configuration) {
            continue;
        }
        if seen.len() as u64 >= configurations_max {
            return (Answer::Undecided, configurations_max);
        }
        search.note(&configuration);
        // The last one is visited first: a restock is the last resort.
        waiting.extend(search.restocked(&configuration));
        if problem.give_backs {
            waiting.extend(search.front_passed(&configuration));
        } else {
            search.each_taking(&configuration, &mut waiting);
        }
        seen.insert(configuration);
    }
    (Answer::Stuck(search.stuck.expect("the first configuration was looked at")), seen.len() as u64)
}

struct Search<'a, 'p> {
    problem: &'a Problem<'p>,
    /// What can be held when an operation returns; by that operation, and the quantity of which one is left out (or 0).
    sums: FxHashMap<(usize, u64), Sums>,
    stuck: Option<Stuck>,
}

impl Search<'_, '_> {
    /// Linearizes every read and refusal that can be; true if nothing is left.
    fn linearize_observations(&mut self, configuration: &mut Configuration) -> bool {
        let problem = self.problem;
        while configuration.front < problem.required() {
            for op in problem.open(configuration.front) {
                if let Err(place) = configuration.ahead.binary_search(op)
                    && self.holds(*op, configuration)
                {
                    configuration.ahead.insert(place, *op);
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

    /// Whether an operation that changes nothing is right about the state.
    fn holds(&mut self, op: usize, configuration: &Configuration) -> bool {
        let Configuration { front, stock, .. } = *configuration;
        match self.problem.op(op).what {
            What::Read { pieces } | What::End { pieces, exact: false } => {
                stock.checked_sub(pieces).is_some_and(|held| self.sums(front, None).contains(held))
            }
            What::End { pieces, exact: true } => stock == pieces,
            What::Refuse { wish } => {
                stock - self.sums(front, Some(wish)).largest_within(stock) < self.problem.quantity(wish)
            }
            What::Take { .. } | What::Expire { .. } => false,
        }
    }

    /// The front's order takes for good what it may have held before, or holds it no longer.
    fn front_passed(&self, configuration: &Configuration) -> Option<Configuration> {
        let stock = match self.problem.op(configuration.front).what {
            What::Take { wish } => configuration.stock.checked_sub(self.problem.quantity(wish))?,
            What::Expire { .. } => configuration.stock,
            What::Read { .. } | What::Refuse { .. } | What::End { .. } => return None,
        };
        Some(Configuration { front: configuration.front + 1, stock, ..configuration.clone() })
    }

    /// For each quantity, the order that returns first takes it.
    fn each_taking(&self, configuration: &Configuration, waiting: &mut Vec<Configuration>) {
        let mut first = BTreeMap::new();
        for op in self.problem.open(configuration.front) {
            if let (What::Take { wish }, Err(place)) =
                (self.problem.op(*op).what, configuration.ahead.binary_search(op))
            {
                first.entry(self.problem.quantity(wish)).or_insert((*op, place));
            }
        }
        let mut takings: Vec<_> = first.into_iter().collect();
        takings.sort_by_key(|(_, (op, _))| std::cmp::Reverse(*op));
        for (quantity, (op, place)) in takings {
            if let Some(stock) = configuration.stock.checked_sub(quantity) {
                let mut next = Configuration { stock, ..configuration.clone() };
                next.ahead.insert(place, op);
                waiting.push(next);
            }
        }
    }

    fn restocked(&mut self, configuration: &Configuration) -> Option<Configuration> {
        let Configuration { front, stock, restocks, .. } = *configuration;
        let allowed = restocks < self.problem.restocks_max && self.sums(front, None).contains(stock);
        allowed.then(|| Configuration {
            stock: stock.saturating_add(self.problem.level),
            restocks: restocks + 1,
            ..configuration.clone()
        })
    }

    /// Remembers what was possible at the operation that was never passed.
    fn note(&mut self, configuration: &Configuration) {
        let Configuration { front, stock, .. } = *configuration;
        let deepest = self.stuck.as_ref().map_or(0, |stuck| stuck.op);
        if front < deepest {
            return;
        }
        let nothing_held = matches!(self.problem.op(front).what, What::End { exact: true, .. });
        let held = if nothing_held { 0 } else { self.sums(front, None).largest_within(stock) };
        let min = stock - held;
        let known = self.stuck.as_ref().filter(|stuck| stuck.op == front).map(|stuck| stuck.allowed);
        let known = known.unwrap_or(Allowed { min, max: stock });
        let allowed = Allowed { min: known.min.min(min), max: known.max.max(stock) };
        self.stuck = Some(Stuck { op: front, allowed });
    }

    fn sums(&mut self, front: usize, without: Option<usize>) -> &Sums {
        let problem = self.problem;
        let without = without.filter(|wish| match problem.wishes[*wish].holds {
            Holds::Never => false,
            Holds::ForEver => true,
            Holds::Until(op) => op >= front,
        });
        let key = (front, without.map_or(0, |wish| problem.quantity(wish)));
        self.sums.entry(key).or_insert_with(|| {
            let restocked = problem.level.saturating_mul(problem.restocks_max);
            let max = problem.initial.saturating_add(restocked);
            Sums::new(&problem.held(front, without), max)
        })
    }
}
