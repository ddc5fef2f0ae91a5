//! A correct store, and clients, as one random walk: what it gives must always be accepted.

use std::collections::BTreeMap;

use api::Stock;
use history::{GiveBacks, ProductOutcome};

use crate::story::{LEVEL, SOLD_OUT, Story, UNKNOWN, acknowledged};

/// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `sides` − 1.
    pub(crate) fn below(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    /// True once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// What the walk is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    pub(crate) initial: u64,
    pub(crate) clients: usize,
    pub(crate) calls: usize,
    pub(crate) give_backs: bool,
    /// One in so many answers is lost.
    pub(crate) lost_once_in: u64,
}

/// What an order has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    Reserved,
    Refused,
    Placed(u64),
}

#[derive(Clone, Copy, Debug)]
struct Order {
    quantity: u64,
    state: State,
}

/// What a client is at.
#[derive(Clone, Copy, Debug)]
enum Client {
    Idle,
    Orders { order: u128, called: u64 },
    Reads { called: u64, saw: Option<u64> },
}

struct World {
    story: Story,
    orders: BTreeMap<u128, Order>,
    /// Those that may still move.
    alive: Vec<u128>,
    stock: u64,
    numbers: u64,
    now: u64,
}

/// The story of a walk.
pub(crate) fn walk(walk: Walk, dice: &mut Dice) -> Story {
    let give_backs = if walk.give_backs { GiveBacks::Anytime } else { GiveBacks::Never };
    let story = Story::of(walk.initial).with(|options| options.give_backs = give_backs);
    let (orders, alive) = (BTreeMap::new(), Vec::new());
    let mut world = World { story, orders, alive, stock: walk.initial, numbers: 0, now: 0 };
    let mut clients = vec![Client::Idle; walk.clients];
    let mut calls = 0;
    while calls < walk.calls {
        world.now += 1;
        if dice.once_in(2) {
            world.moves(walk, dice);
            continue;
        }
        let client = usize::try_from(dice.below(walk.clients as u64)).unwrap();
        clients[client] = match clients[client] {
            Client::Idle => world.begins(dice),
            Client::Orders { order, called } => {
                let next = world.order_goes_on(order, called, walk, dice);
                calls += usize::from(matches!(next, Client::Idle));
                next
            }
            Client::Reads { called, saw: None } => Client::Reads { called, saw: Some(world.stock) },
            Client::Reads { called, saw: Some(saw) } => {
                world.story.push_read(saw, (called, world.now));
                calls += 1;
                Client::Idle
            }
        };
    }
    world.ends(&clients)
}

impl World {
    /// Inside the store something goes on.
    fn moves(&mut self, walk: Walk, dice: &mut Dice) {
        if self.stock == 0 && dice.once_in(8) {
            self.stock = LEVEL;
            self.story.restocks += 1;
            return;
        }
        if self.alive.is_empty() {
            return;
        }
        let place = usize::try_from(dice.below(self.alive.len() as u64)).unwrap();
        let id = self.alive[place];
        let order = self.orders.get_mut(&id).unwrap();
        order.state = match order.state {
            State::Waits if self.stock >= order.quantity => {
                self.stock -= order.quantity;
                State::Reserved
            }
            State::Waits => State::Refused,
            State::Reserved if walk.give_backs && dice.once_in(3) => {
                self.stock += order.quantity;
                State::Waits
            }
            State::Reserved => {
                self.numbers += 1;
                State::Placed(self.numbers)
            }
            done @ (State::Refused | State::Placed(_)) => done,
        };
        if matches!(order.state, State::Refused | State::Placed(_)) {
            self.alive.swap_remove(place);
        }
    }

    fn begins(&mut self, dice: &mut Dice) -> Client {
        if dice.once_in(2) {
            return Client::Reads { called: self.now, saw: None };
        }
        let order = self.orders.len() as u128 + 1;
        self.orders.insert(order, Order { quantity: 1 + dice.below(3), state: State::Waits });
        self.alive.push(order);
        Client::Orders { order, called: self.now }
    }

    /// It is answered, the answer is lost, or the client tries again, or waits.
    fn order_goes_on(&mut self, id: u128, called: u64, walk: Walk, dice: &mut Dice) -> Client {
        let Order { quantity, state } = self.orders[&id];
        let during = (called, self.now);
        let lost = dice.once_in(walk.lost_once_in);
        let outcome = match state {
            _ if lost => UNKNOWN,
            State::Refused => SOLD_OUT,
            State::Placed(number) => acknowledged(number),
            State::Waits | State::Reserved => return Client::Orders { order: id, called },
        };
        self.story.push_order(id, quantity, during, outcome);
        if !lost || dice.once_in(2) {
            return Client::Idle;
        }
        self.now += 1;
        if state == State::Refused {
            self.orders.get_mut(&id).unwrap().state = State::Waits;
            self.alive.push(id);
        }
        Client::Orders { order: id, called: self.now }
    }

    /// All that is open is placed; nothing more is begun.
    fn ends(mut self, clients: &[Client]) -> Story {
        self.now += 1;
        let mut story = self.story;
        for client in clients {
            story = match *client {
                Client::Orders { order, called } => {
                    story.order(order, self.orders[&order].quantity, (called, self.now), UNKNOWN)
                }
                Client::Reads { called, saw: Some(saw) } => story.read(saw, (called, self.now)),
                Client::Reads { .. } | Client::Idle => story,
            };
        }
        for (id, order) in &mut self.orders {
            if order.state == State::Reserved {
                self.numbers += 1;
                order.state = State::Placed(self.numbers);
            }
            if let State::Placed(number) = order.state {
                story = story.placed(number, *id, order.quantity);
            }
        }
        let story = story.finished();
        assert_eq!(story.end.accounts[0].stock, Stock(self.stock), "the model keeps its books");
        story
    }
}

/// The reads of a story, by their place, with what they said.
pub(crate) fn reads(story: &Story) -> Vec<u64> {
    let said = story.history.products.iter().map(|read| match read.outcome {
        ProductOutcome::Quantity(stock) => stock.0,
        ProductOutcome::Unknown => unreachable!("the model answers every read"),
    });
    said.collect()
}
