//! Random commands against the catalog's state machine, checked against an independent ledger.

use std::collections::BTreeMap;

use api::catalog::{Fence, Fenced, OrderLine, Reservation, ReserveBatch, Resolve, Settle};
use api::{BatchId, BatchNumber, LogPosition, OrderId, Price, Product, ProductName, Quantity, Stock, Term};
use catalog::{Action, Catalog, CatalogCommand, CatalogReply, CatalogResult, Refusal};
use proptest::prelude::*;
use replication::StateMachine;
use uuid::Uuid;

const INITIAL: u64 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Sold,
    Released,
}

/// One reservation that was answered with "reserved".
#[derive(Debug)]
struct Entry {
    batch: BatchId,
    order: OrderLine,
    state: State,
}

/// The expected result of the commands, derived from their replies alone.
#[derive(Debug, Default)]
struct Ledger {
    entries: Vec<Entry>,
    answered: BTreeMap<BatchId, CatalogReply>,
    restocked: BTreeMap<ProductName, u64>,
    /// The highest term of a command that was accepted.
    fence: Term,
}

impl Ledger {
    fn close(&mut self, matches: impl Fn(&Entry) -> bool, end: impl Fn(&OrderId) -> State) {
        for entry in self.entries.iter_mut().filter(|entry| entry.state == State::Open && matches(entry)) {
            entry.state = end(&entry.order.order_id);
        }
    }

    fn settle(&mut self, settle: &Settle) {
        let end = |id: &OrderId| if settle.released.contains(id) { State::Released } else { State::Sold };
        let covered = |entry: &Entry| entry.batch.term == settle.term && entry.batch.batch <= settle.through;
        self.close(covered, end);
    }

    fn reserve(&mut self, batch: &ReserveBatch, reply: &CatalogReply) {
        if let Some(known) = self.answered.get(&batch.id) {
            assert_eq!(known, reply, "the same batch gets the same answer");
            return;
        }
        self.answered.insert(batch.id, reply.clone());
        batch.settle.iter().for_each(|settle| self.settle(settle));
        let CatalogReply::Reserved(answer) = reply else { panic!("{reply:?}") };
        assert_eq!(answer.outcomes.len(), batch.orders.len());
        for (order, outcome) in batch.orders.iter().zip(&answer.outcomes) {
            if *outcome == Reservation::Reserved {
                let twice = |entry: &&Entry| entry.state == State::Open && entry.order.order_id == order.order_id;
                assert!(self.entries.iter().find(twice).is_none(), "one open reservation per order");
                self.entries.push(Entry { batch: batch.id, order: order.clone(), state: State::Open });
            }
        }
    }

    fn note(&mut self, action: &Action, reply: &CatalogReply) {
        self.fence = self.fence.max(term(action).unwrap_or_default());
        match action {
            Action::Reserve(batch) => self.reserve(batch, reply),
            Action::Settle(settle) => self.settle(settle),
            Action::Resolve(resolve) => {
                let named = |entry: &Entry| {
                    resolve.keep.contains(&entry.order.order_id) || resolve.release.contains(&entry.order.order_id)
                };
                let end = |id: &OrderId| if resolve.keep.contains(id) { State::Sold } else { State::Released };
                self.close(named, end);
            }
            Action::Restock { level } => {
                let CatalogReply::Restocked(names) = reply else { panic!("{reply:?}") };
                for name in names {
                    *self.restocked.entry(name.clone()).or_default() += level.0;
                }
            }
            Action::Fence(_) => {
                let CatalogReply::Fenced(Fenced { open, .. }) = reply else { panic!("{reply:?}") };
                let mut expected = self.open();
                expected.sort();
                assert_eq!(*open, expected, "a fence returns everything that is open");
            }
            Action::Seed(_) | Action::ExtendLease { .. } => {}
        }
    }

    fn open(&self) -> Vec<OrderId> {
        self.entries.iter().filter(|entry| entry.state == State::Open).map(|entry| entry.order.order_id).collect()
    }

    fn pieces(&self, name: &ProductName, state: State) -> u64 {
        let of_it = self.entries.iter().filter(|entry| entry.order.name == *name && entry.state == state);
        of_it.map(|entry| u64::from(entry.order.quantity.get())).sum()
    }

    /// Checks I4 against this ledger.
    fn agrees_with(&self, catalog: &Catalog) {
        assert_eq!(catalog.reservations_open(), self.open().len());
        for account in catalog.statements() {
            let restocked = self.restocked.get(&account.name).copied().unwrap_or_default();
            let (reserved, sold) = (self.pieces(&account.name, State::Open), self.pieces(&account.name, State::Sold));
            assert_eq!((account.initial, account.restocked), (INITIAL, restocked), "{account:?}");
            assert_eq!((account.reserved, account.sold), (reserved, sold), "{account:?}");
            assert_eq!(account.stock.0, INITIAL + restocked - reserved - sold, "{account:?}");
        }
    }
}

fn term(action: &Action) -> Option<Term> {
    match action {
        Action::Fence(Fence { term }) | Action::Resolve(Resolve { term, .. }) | Action::Settle(Settle { term, .. }) => {
            Some(*term)
        }
        Action::Reserve(batch) => Some(batch.id.term),
        Action::Seed(_) | Action::Restock { .. } | Action::ExtendLease { .. } => None,
    }
}

fn terms() -> impl Strategy<Value = Term> {
    (1..5_u64).prop_map(Term)
}

fn batches() -> impl Strategy<Value = BatchNumber> {
    (1..7_u64).prop_map(BatchNumber)
}

fn order_ids(at_most: usize) -> impl Strategy<Value = Vec<OrderId>> {
    prop::collection::vec((0..12_u128).prop_map(|id| OrderId(Uuid::from_u128(id))), 0..=at_most)
}

fn orders() -> impl Strategy<Value = Vec<OrderLine>> {
    let names = prop::sample::select(vec!["Fox", "Tux", "Unicorn"]);
    let order = ((0..12_u128), names, (1..9_u64)).prop_map(|(id, name, quantity)| OrderLine {
        order_id: OrderId(Uuid::from_u128(id)),
        name: ProductName::new(name).unwrap(),
        quantity: Quantity::new(quantity).unwrap(),
    });
    prop::collection::vec(order, 0..4)
}

fn settlements() -> impl Strategy<Value = Settle> {
    (terms(), batches(), order_ids(2)).prop_map(|(term, through, released)| Settle { term, through, released })
}

fn actions() -> impl Strategy<Value = Action> {
    let batch = (terms(), batches(), orders(), prop::option::of((batches(), order_ids(2))));
    let reserve = batch.prop_map(|(term, batch, orders, settle)| {
        let settle = settle.map(|(through, released)| Settle { term, through, released });
        Action::Reserve(ReserveBatch { id: BatchId { term, batch }, orders, settle })
    });
    let resolve = (terms(), order_ids(4), order_ids(4));
    prop_oneof![
        6 => reserve,
        2 => settlements().prop_map(Action::Settle),
        1 => terms().prop_map(|term| Action::Fence(Fence { term })),
        1 => resolve.prop_map(|(term, keep, release)| Action::Resolve(Resolve { term, keep, release })),
        1 => (1..30_u64).prop_map(|level| Action::Restock { level: Stock(level) }),
    ]
}

fn seeded() -> Catalog {
    let product = |name| Product {
        name: ProductName::new(name).unwrap(),
        price: Price::from_cents(1).unwrap(),
        quantity: Stock(INITIAL),
    };
    let mut catalog = Catalog::default();
    catalog.act(Action::Seed(vec![product("Fox"), product("Tux")])).unwrap();
    catalog
}

/// Runs a command twice, as after a lost answer; the second time must change nothing.
fn twice(catalog: &mut Catalog, action: &Action) -> CatalogResult {
    let before = catalog.clone();
    let preview = catalog.preview(action);
    let outcome = catalog.act(action.clone());
    let changed: Vec<_> = catalog.offers().filter(|o| before.offer(&o.product.name).as_ref() != Some(o)).collect();
    assert_eq!(preview, changed, "a preview shows exactly what changes");
    if outcome.is_err() {
        assert_eq!(*catalog, before, "a refusal changes nothing");
    }
    let after = catalog.clone();
    let again = catalog.act(action.clone());
    assert_eq!(*catalog, after, "a repeated command changes nothing");
    match action {
        Action::Restock { .. } => assert_eq!(again, Ok(CatalogReply::Restocked(vec![]))),
        _ => assert_eq!(again, outcome),
    }
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_accounts_are_balanced_and_a_deposed_leader_is_powerless(actions in prop::collection::vec(actions(), 1..60)) {
        let (mut catalog, mut ledger) = (seeded(), Ledger::default());
        for action in &actions {
            let outcome = twice(&mut catalog, action);
            if let Ok(reply) = &outcome {
                // I6: nothing of a term below the highest known one is accepted.
                prop_assert!(term(action).is_none_or(|term| term >= ledger.fence));
                ledger.note(action, reply);
            }
            ledger.agrees_with(&catalog);
        }
    }

    #[test]
    fn commands_and_state_survive_log_and_checkpoint(actions in prop::collection::vec(actions(), 1..30)) {
        let mut catalog = seeded();
        for action in actions {
            let command = CatalogCommand { term: Term(3), action };
            let bytes = postcard::to_stdvec(&command).unwrap();
            prop_assert_eq!(&postcard::from_bytes::<CatalogCommand>(&bytes).unwrap(), &command);
            let _outcome = catalog.apply(LogPosition { term: Term(3), index: 1 }, command);
        }
        let bytes = postcard::to_stdvec(&catalog).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Catalog>(&bytes).unwrap(), catalog);
    }

    #[test]
    fn a_command_of_another_term_changes_nothing(action in actions(), proposed in 1..4_u64, written in 1..4_u64) {
        let mut catalog = seeded();
        let command = CatalogCommand { term: Term(proposed), action };
        let outcome = catalog.apply(LogPosition { term: Term(written), index: 1 }, command);
        if proposed != written {
            prop_assert_eq!(outcome, Err(Refusal::OtherTerm));
            prop_assert_eq!(catalog, seeded());
        }
    }
}

#[test]
fn open_reservations_are_bounded() {
    let product = Product {
        name: ProductName::new("Sand").unwrap(),
        price: Price::from_cents(1).unwrap(),
        quantity: Stock(1_000_000),
    };
    let mut catalog = Catalog::default();
    catalog.act(Action::Seed(vec![product])).unwrap();
    let batch = |number: u64, settle| {
        let order = |n| OrderLine {
            order_id: OrderId(Uuid::from_u64_pair(number, n)),
            name: ProductName::new("Sand").unwrap(),
            quantity: Quantity::ONE,
        };
        let id = BatchId { term: Term(1), batch: BatchNumber(number) };
        Action::Reserve(ReserveBatch { id, orders: (0..256).map(order).collect(), settle })
    };
    let full = catalog::OPEN_MAX as u64 / 256;
    for number in 1..=full {
        catalog.act(batch(number, None)).unwrap();
    }
    assert_eq!(catalog.reservations_open(), catalog::OPEN_MAX);
    assert_eq!(catalog.act(batch(full + 1, None)), Err(Refusal::TooManyOpen));
    let settle = Settle { term: Term(1), through: BatchNumber(1), released: vec![] };
    catalog.act(batch(full + 1, Some(settle))).unwrap();
    assert_eq!(catalog.reservations_open(), catalog::OPEN_MAX);
}
