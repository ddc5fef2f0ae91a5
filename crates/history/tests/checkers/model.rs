//! A random walk of a correct store and its clients. Its history must always be accepted.

use std::collections::BTreeMap;

use api::Stock;
use history::{ProductOutcome, Releases};

use crate::scenario::{HistoryScenario, LEVEL, SOLD_OUT, UNKNOWN, acknowledged};

/// The random number generator `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom
/// number generators, OOPSLA 2014).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `sides` − 1.
    pub(crate) fn below(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    /// True with probability 1 / `times`.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// The parameters of the walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    pub(crate) initial: u64,
    pub(crate) clients: usize,
    pub(crate) calls: usize,
    pub(crate) releases: bool,
    /// One in this many answers is lost.
    pub(crate) lost_once_in: u64,
}

/// The state of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ModelOrderState {
    Waiting,
    Reserved,
    Refused,
    Placed(u64),
}

#[derive(Clone, Copy, Debug)]
struct ModelOrder {
    quantity: u64,
    state: ModelOrderState,
}

/// What a client is doing.
#[derive(Clone, Copy, Debug)]
enum ModelClient {
    Idle,
    Orders { order: u128, called: u64 },
    Reads { called: u64, saw: Option<u64> },
}

struct ModelStore {
    scenario: HistoryScenario,
    orders: BTreeMap<u128, ModelOrder>,
    /// The orders whose state can still change.
    open: Vec<u128>,
    stock: u64,
    numbers: u64,
    now: u64,
}

/// The scenario of a random walk.
pub(crate) fn walk(walk: Walk, rng: &mut Rng) -> HistoryScenario {
    let releases = if walk.releases { Releases::Anytime } else { Releases::Never };
    let scenario = HistoryScenario::of(walk.initial).with(|options| options.releases = releases);
    let (orders, open) = (BTreeMap::new(), Vec::new());
    let mut world = ModelStore { scenario, orders, open, stock: walk.initial, numbers: 0, now: 0 };
    let mut clients = vec![ModelClient::Idle; walk.clients];
    let mut calls = 0;
    while calls < walk.calls {
        world.now += 1;
        if rng.once_in(2) {
            world.advance(walk, rng);
            continue;
        }
        let client = usize::try_from(rng.below(walk.clients as u64)).unwrap();
        clients[client] = match clients[client] {
            ModelClient::Idle => world.begin(rng),
            ModelClient::Orders { order, called } => {
                let next = world.advance_order(order, called, walk, rng);
                calls += usize::from(matches!(next, ModelClient::Idle));
                next
            }
            ModelClient::Reads { called, saw: None } => ModelClient::Reads { called, saw: Some(world.stock) },
            ModelClient::Reads { called, saw: Some(saw) } => {
                world.scenario.push_read(saw, (called, world.now));
                calls += 1;
                ModelClient::Idle
            }
        };
    }
    world.finish(&clients)
}

impl ModelStore {
    /// Something happens inside the store.
    fn advance(&mut self, walk: Walk, rng: &mut Rng) {
        if self.stock == 0 && rng.once_in(8) {
            self.stock = LEVEL;
            self.scenario.restocks += 1;
            return;
        }
        if self.open.is_empty() {
            return;
        }
        let index = usize::try_from(rng.below(self.open.len() as u64)).unwrap();
        let id = self.open[index];
        let order = self.orders.get_mut(&id).unwrap();
        order.state = match order.state {
            ModelOrderState::Waiting if self.stock >= order.quantity => {
                self.stock -= order.quantity;
                ModelOrderState::Reserved
            }
            ModelOrderState::Waiting => ModelOrderState::Refused,
            ModelOrderState::Reserved if walk.releases && rng.once_in(3) => {
                self.stock += order.quantity;
                ModelOrderState::Waiting
            }
            ModelOrderState::Reserved => {
                self.numbers += 1;
                ModelOrderState::Placed(self.numbers)
            }
            done @ (ModelOrderState::Refused | ModelOrderState::Placed(_)) => done,
        };
        if matches!(order.state, ModelOrderState::Refused | ModelOrderState::Placed(_)) {
            self.open.swap_remove(index);
        }
    }

    fn begin(&mut self, rng: &mut Rng) -> ModelClient {
        if rng.once_in(2) {
            return ModelClient::Reads { called: self.now, saw: None };
        }
        let order = self.orders.len() as u128 + 1;
        self.orders.insert(order, ModelOrder { quantity: 1 + rng.below(3), state: ModelOrderState::Waiting });
        self.open.push(order);
        ModelClient::Orders { order, called: self.now }
    }

    /// The order is answered, its answer is lost, or the client retries or waits.
    fn advance_order(&mut self, id: u128, called: u64, walk: Walk, rng: &mut Rng) -> ModelClient {
        let ModelOrder { quantity, state } = self.orders[&id];
        let during = (called, self.now);
        let lost = rng.once_in(walk.lost_once_in);
        let outcome = match state {
            _ if lost => UNKNOWN,
            ModelOrderState::Refused => SOLD_OUT,
            ModelOrderState::Placed(number) => acknowledged(number),
            ModelOrderState::Waiting | ModelOrderState::Reserved => return ModelClient::Orders { order: id, called },
        };
        self.scenario.push_order(id, quantity, during, outcome);
        if !lost || rng.once_in(2) {
            return ModelClient::Idle;
        }
        self.now += 1;
        if state == ModelOrderState::Refused {
            self.orders.get_mut(&id).unwrap().state = ModelOrderState::Waiting;
            self.open.push(id);
        }
        ModelClient::Orders { order: id, called: self.now }
    }

    /// Places all reserved orders, and starts nothing new.
    fn finish(mut self, clients: &[ModelClient]) -> HistoryScenario {
        self.now += 1;
        let mut scenario = self.scenario;
        for client in clients {
            scenario = match *client {
                ModelClient::Orders { order, called } => {
                    scenario.order(order, self.orders[&order].quantity, (called, self.now), UNKNOWN)
                }
                ModelClient::Reads { called, saw: Some(saw) } => scenario.read(saw, (called, self.now)),
                ModelClient::Reads { .. } | ModelClient::Idle => scenario,
            };
        }
        for (id, order) in &mut self.orders {
            if order.state == ModelOrderState::Reserved {
                self.numbers += 1;
                order.state = ModelOrderState::Placed(self.numbers);
            }
            if let ModelOrderState::Placed(number) = order.state {
                scenario = scenario.placed(number, *id, order.quantity);
            }
        }
        let scenario = scenario.finished();
        assert_eq!(scenario.end.accounts[0].stock, Stock(self.stock), "the account of the model adds up");
        scenario
    }
}

/// The stocks that the reads of a scenario returned.
pub(crate) fn reads(scenario: &HistoryScenario) -> Vec<u64> {
    let stocks = scenario.history.products.iter().map(|read| match read.outcome {
        ProductOutcome::Quantity(stock) => stock.0,
        ProductOutcome::Unknown => unreachable!("the model answers every read"),
    });
    stocks.collect()
}
