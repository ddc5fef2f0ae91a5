//! Compares the checker of I5 with a slow and simple one, which walks through time and computes all
//! possible states of the product at each moment.

use std::collections::BTreeSet;

use history::Releases;
use proptest::prelude::*;

use crate::scenario::{HistoryScenario, SOLD_OUT, UNKNOWN, acknowledged};

const LEVEL: u64 = 3;

/// A call in a small history.
#[derive(Clone, Copy, Debug)]
struct OracleCall {
    during: (u64, u64),
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Acknowledged(u64),
    Refused(u64),
    Unanswered(u64),
    Read(u64),
}

/// The progress of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum OrderProgress {
    NotCalled,
    Called,
    /// An order holds its pieces.
    Holds,
    /// An order has taken its pieces for good; a read or a refusal has seen the stock that it
    /// reports.
    Done,
    /// A refused order holds its pieces after it has seen too little stock: an attempt that is cut
    /// short by the death of a leader may follow the refusal.
    HoldsAgain,
    /// It has returned and can have no more effects.
    Returned,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OracleState {
    stock: u64,
    restocks: u64,
    calls: Vec<OrderProgress>,
}

struct Oracle<'a> {
    calls: &'a [OracleCall],
    restocks_max: u64,
    releases: bool,
}

impl Oracle<'_> {
    /// Whether a linearization ends with the stock `last` and nothing held.
    fn explains(&self, initial: u64, last: u64) -> bool {
        let first =
            OracleState { stock: initial, restocks: 0, calls: vec![OrderProgress::NotCalled; self.calls.len()] };
        let mut possible = self.all_from([first].into());
        let end = self.calls.iter().map(|call| call.during.1).max().unwrap_or(0);
        for now in 0..=end {
            for (index, _) in self.calls.iter().enumerate().filter(|(_, call)| call.during.0 == now) {
                possible = possible.into_iter().map(|state| state.with(index, OrderProgress::Called)).collect();
            }
            possible = self.all_from(possible);
            for (index, call) in self.calls.iter().enumerate().filter(|(_, call)| call.during.1 == now) {
                if !matches!(call.what, What::Unanswered(_)) {
                    possible.retain(|state| state.calls[index] == OrderProgress::Done);
                    possible = possible.into_iter().map(|state| state.with(index, OrderProgress::Returned)).collect();
                }
            }
        }
        let quiet = |state: &OracleState| state.stock == last && !state.calls.contains(&OrderProgress::Holds);
        self.all_from(possible).iter().any(quiet)
    }

    /// All states that can be reached from these without a call or a return.
    fn all_from(&self, mut new: BTreeSet<OracleState>) -> BTreeSet<OracleState> {
        let mut all = BTreeSet::new();
        while let Some(state) = new.pop_first() {
            new.extend(self.steps(&state).into_iter().filter(|next| !all.contains(next) && *next != state));
            all.insert(state);
        }
        all
    }

    fn steps(&self, state: &OracleState) -> Vec<OracleState> {
        let mut steps = Vec::new();
        if state.stock == 0 && state.restocks < self.restocks_max {
            steps.push(OracleState { stock: LEVEL, restocks: state.restocks + 1, ..state.clone() });
        }
        for (index, (call, progress)) in self.calls.iter().zip(&state.calls).enumerate() {
            let mut step = |stock, progress| steps.push(OracleState { stock, ..state.with(index, progress) });
            match (call.what, progress) {
                (What::Read(stock), OrderProgress::Called) if stock == state.stock => step(stock, OrderProgress::Done),
                (What::Refused(quantity), OrderProgress::Called) if state.stock < quantity => {
                    step(state.stock, OrderProgress::Done);
                }
                (What::Acknowledged(quantity), OrderProgress::Called) if state.stock >= quantity => {
                    step(
                        state.stock - quantity,
                        if self.releases { OrderProgress::Holds } else { OrderProgress::Done },
                    );
                }
                (What::Acknowledged(_), OrderProgress::Holds) => step(state.stock, OrderProgress::Done),
                (What::Refused(quantity) | What::Unanswered(quantity), OrderProgress::Called)
                    if self.releases && state.stock >= quantity =>
                {
                    step(state.stock - quantity, OrderProgress::Holds);
                }
                (What::Refused(quantity), OrderProgress::Done) if self.releases && state.stock >= quantity => {
                    step(state.stock - quantity, OrderProgress::HoldsAgain);
                }
                (What::Refused(quantity), OrderProgress::HoldsAgain) => {
                    step(state.stock + quantity, OrderProgress::Done);
                }
                _ => {}
            }
            if let (
                What::Acknowledged(quantity) | What::Refused(quantity) | What::Unanswered(quantity),
                OrderProgress::Holds,
            ) = (call.what, progress)
            {
                step(state.stock + quantity, OrderProgress::Called);
            }
        }
        steps
    }
}

impl OracleState {
    fn with(&self, index: usize, progress: OrderProgress) -> Self {
        let mut state = self.clone();
        state.calls[index] = progress;
        state
    }
}

fn calls() -> impl Strategy<Value = Vec<OracleCall>> {
    let what = prop_oneof![
        3 => (1_u64..4).prop_map(What::Acknowledged),
        1 => (1_u64..4).prop_map(What::Refused),
        1 => (1_u64..4).prop_map(What::Unanswered),
        3 => (0_u64..5).prop_map(What::Read),
    ];
    let call = (0_u64..12, 0_u64..14, what)
        .prop_map(|(called, lasted, what)| OracleCall { during: (called, called + lasted), what });
    prop::collection::vec(call, 1..7)
}

/// The scenario of these calls. Numbers are in the order of the acknowledgements, as in the store.
fn scenario(initial: u64, restocks: u64, calls: &[OracleCall]) -> HistoryScenario {
    let mut acknowledgements: Vec<_> =
        calls.iter().enumerate().filter(|(_, call)| matches!(call.what, What::Acknowledged(_))).collect();
    acknowledgements.sort_by_key(|(_, call)| call.during.1);
    let number = |index| 1 + acknowledgements.iter().position(|(other, _)| *other == index).unwrap() as u64;
    calls.iter().enumerate().fold(
        HistoryScenario::of(initial).restocking_to(LEVEL).restocked(restocks),
        |scenario, (index, call)| {
            let order = index as u128 + 1;
            match call.what {
                What::Acknowledged(quantity) => {
                    scenario.order(order, quantity, call.during, acknowledged(number(index)))
                }
                What::Refused(quantity) => scenario.order(order, quantity, call.during, SOLD_OUT),
                What::Unanswered(quantity) => scenario.order(order, quantity, call.during, UNKNOWN),
                What::Read(stock) => scenario.read(stock, call.during),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn the_checker_agrees_with_a_walk_through_time(
        initial in 0_u64..6,
        restocks in 0_u64..3,
        releases in any::<bool>(),
        calls in calls(),
    ) {
        let taken: u64 = calls.iter().map(|call| if let What::Acknowledged(quantity) = call.what { quantity } else { 0 }).sum();
        let Some(last) = (initial + restocks * LEVEL).checked_sub(taken) else { return Ok(()) };
        let explained = Oracle { calls: &calls, restocks_max: restocks, releases }.explains(initial, last);
        let rule = if releases { Releases::Anytime } else { Releases::Never };
        let verdict = scenario(initial, restocks, &calls).with(|options| options.releases = rule).finished().check();
        prop_assert_eq!(verdict.is_clean(), explained, "{:?}", verdict);
    }
}
