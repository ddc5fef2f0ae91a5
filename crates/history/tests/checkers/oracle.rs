//! The checker of I5 against another one, which is slow and simple: it walks through time, and knows at each moment all states that
//! the product can be in.

use std::collections::BTreeSet;

use history::GiveBacks;
use proptest::prelude::*;

use crate::story::{SOLD_OUT, Story, UNKNOWN, acknowledged};

const LEVEL: u64 = 3;

/// A call in a small history.
#[derive(Clone, Copy, Debug)]
struct Call {
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

/// What a call has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    NotCalled,
    Called,
    /// An order has its pieces.
    Holds,
    /// An order has them for good; a read or a refusal has seen what it says.
    Done,
    /// A refused order that has seen too little has its pieces: an attempt that a leader's death cut short may come after the refusal.
    HoldsAgain,
    /// It cannot do anything any more.
    Returned,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    stock: u64,
    restocks: u64,
    calls: Vec<Progress>,
}

struct Oracle<'a> {
    calls: &'a [Call],
    restocks_max: u64,
    give_backs: bool,
}

impl Oracle<'_> {
    /// Whether there is an explanation that ends with `last` in stock and nothing held.
    fn explains(&self, initial: u64, last: u64) -> bool {
        let first = State { stock: initial, restocks: 0, calls: vec![Progress::NotCalled; self.calls.len()] };
        let mut possible = self.all_from([first].into());
        let end = self.calls.iter().map(|call| call.during.1).max().unwrap_or(0);
        for now in 0..=end {
            for (place, _) in self.calls.iter().enumerate().filter(|(_, call)| call.during.0 == now) {
                possible = possible.into_iter().map(|state| state.with(place, Progress::Called)).collect();
            }
            possible = self.all_from(possible);
            for (place, call) in self.calls.iter().enumerate().filter(|(_, call)| call.during.1 == now) {
                if !matches!(call.what, What::Unanswered(_)) {
                    possible.retain(|state| state.calls[place] == Progress::Done);
                    possible = possible.into_iter().map(|state| state.with(place, Progress::Returned)).collect();
                }
            }
        }
        let quiet = |state: &State| state.stock == last && !state.calls.contains(&Progress::Holds);
        self.all_from(possible).iter().any(quiet)
    }

    /// Everything that can come of these, without a call or a return.
    fn all_from(&self, mut new: BTreeSet<State>) -> BTreeSet<State> {
        let mut all = BTreeSet::new();
        while let Some(state) = new.pop_first() {
            new.extend(self.steps(&state).into_iter().filter(|next| !all.contains(next) && *next != state));
            all.insert(state);
        }
        all
    }

    fn steps(&self, state: &State) -> Vec<State> {
        let mut steps = Vec::new();
        if state.stock == 0 && state.restocks < self.restocks_max {
            steps.push(State { stock: LEVEL, restocks: state.restocks + 1, ..state.clone() });
        }
        for (place, (call, progress)) in self.calls.iter().zip(&state.calls).enumerate() {
            let mut step = |stock, progress| steps.push(State { stock, ..state.with(place, progress) });
            match (call.what, progress) {
                (What::Read(stock), Progress::Called) if stock == state.stock => step(stock, Progress::Done),
                (What::Refused(quantity), Progress::Called) if state.stock < quantity => {
                    step(state.stock, Progress::Done);
                }
                (What::Acknowledged(quantity), Progress::Called) if state.stock >= quantity => {
                    step(state.stock - quantity, if self.give_backs { Progress::Holds } else { Progress::Done });
                }
                (What::Acknowledged(_), Progress::Holds) => step(state.stock, Progress::Done),
                (What::Refused(quantity) | What::Unanswered(quantity), Progress::Called)
                    if self.give_backs && state.stock >= quantity =>
                {
                    step(state.stock - quantity, Progress::Holds);
                }
                (What::Refused(quantity), Progress::Done) if self.give_backs && state.stock >= quantity => {
                    step(state.stock - quantity, Progress::HoldsAgain);
                }
                (What::Refused(quantity), Progress::HoldsAgain) => step(state.stock + quantity, Progress::Done),
                _ => {}
            }
            if let (
                What::Acknowledged(quantity) | What::Refused(quantity) | What::Unanswered(quantity),
                Progress::Holds,
            ) = (call.what, progress)
            {
                step(state.stock + quantity, Progress::Called);
            }
        }
        steps
    }
}

impl State {
    fn with(&self, place: usize, progress: Progress) -> Self {
        let mut state = self.clone();
        state.calls[place] = progress;
        state
    }
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let what = prop_oneof![
        3 => (1_u64..4).prop_map(What::Acknowledged),
        1 => (1_u64..4).prop_map(What::Refused),
        1 => (1_u64..4).prop_map(What::Unanswered),
        3 => (0_u64..5).prop_map(What::Read),
    ];
    let call = (0_u64..12, 0_u64..14, what)
        .prop_map(|(called, lasted, what)| Call { during: (called, called + lasted), what });
    prop::collection::vec(call, 1..7)
}

/// Numbers in the order of the acknowledgements, as the store gives them.
fn story(initial: u64, restocks: u64, calls: &[Call]) -> Story {
    let mut acknowledgements: Vec<_> =
        calls.iter().enumerate().filter(|(_, call)| matches!(call.what, What::Acknowledged(_))).collect();
    acknowledgements.sort_by_key(|(_, call)| call.during.1);
    let number = |place| 1 + acknowledgements.iter().position(|(other, _)| *other == place).unwrap() as u64;
    calls.iter().enumerate().fold(
        Story::of(initial).restocking_to(LEVEL).restocked(restocks),
        |story, (place, call)| {
            let order = place as u128 + 1;
            match call.what {
                What::Acknowledged(quantity) => story.order(order, quantity, call.during, acknowledged(number(place))),
                What::Refused(quantity) => story.order(order, quantity, call.during, SOLD_OUT),
                What::Unanswered(quantity) => story.order(order, quantity, call.during, UNKNOWN),
                What::Read(stock) => story.read(stock, call.during),
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
        give_backs in any::<bool>(),
        calls in calls(),
    ) {
        let taken: u64 = calls.iter().map(|call| if let What::Acknowledged(quantity) = call.what { quantity } else { 0 }).sum();
        let Some(last) = (initial + restocks * LEVEL).checked_sub(taken) else { return Ok(()) };
        let explained = Oracle { calls: &calls, restocks_max: restocks, give_backs }.explains(initial, last);
        let rule = if give_backs { GiveBacks::Anytime } else { GiveBacks::Never };
        let verdict = story(initial, restocks, &calls).with(|options| options.give_backs = rule).finished().judge();
        prop_assert_eq!(verdict.is_clean(), explained, "{:?}", verdict);
    }
}
