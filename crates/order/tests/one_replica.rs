//! One order replica and a catalog, over HTTP.

mod store;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use api::catalog::OrderLine;
use api::order::{PlaceOrder, Placement, TOGETHER_PATH};
use api::public::{Order, OrderPlaced};
use api::{Address, ApiError, ErrorCode, OrderId, OrderNumber, Ordinal, ProductName, Quantity, Term};
use futures::future::join_all;
use order::{Service, StartError};
use service::call::{CallError, Caller, Route};
use service::lifecycle::ExitCode;
use store::shelf::{Account, Office, Shelf};
use store::{LONG, bind, config, id, order};
use tempfile::TempDir;

struct Store {
    shelf: Shelf,
    service: Service,
    address: Address,
    caller: Caller,
}

impl Store {
    async fn open(dir: &TempDir, shelf: &Shelf) -> Self {
        let listeners = bind();
        let config = config(dir.path(), &shelf.address, 1, std::slice::from_ref(&listeners));
        let fence = shelf.books().fence;
        let service = Service::start(config, listeners).await.unwrap();
        let address = Address::new("127.0.0.1", service.address().port());
        let store = Self { shelf: shelf.clone(), service, address, caller: Caller::new(None) };
        store.shelf.until(|books| books.fence > fence).await;
        store
    }

    async fn place(&self, order_id: OrderId, name: &str, quantity: u64) -> Result<u64, ErrorCode> {
        let order = order(order_id, name, quantity);
        let placed = self.caller.post::<_, OrderPlaced>(&self.address, "/orders", &order, LONG).await;
        placed.map(|placed| placed.order_number.get()).map_err(|error| code(&error))
    }

    /// A metric's value; 0 if it is not there yet.
    async fn metric(&self, name: &str) -> u64 {
        let metrics = reqwest::get(self.address.url("/metrics")).await.unwrap().text().await.unwrap();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    async fn get(&self, number: &str) -> Result<Order, ErrorCode> {
        let path = format!("/orders/{number}");
        let route = Route::filled("/orders/{number}", &path);
        self.caller.get(&self.address, route, LONG).await.map_err(|error| code(&error))
    }
}

fn code(error: &CallError) -> ErrorCode {
    error.code().unwrap_or_else(|| panic!("no refusal: {error}"))
}

#[tokio::test]
async fn orders_that_come_together_have_a_fate_each() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Shelf::start(&[("Tux", 3)]));
    let store = Store::open(&dir, &shelf).await;
    let (known, first, second) = (OrderId::random(), OrderId::random(), OrderId::random());
    assert_eq!(store.place(known, "Tux", 1).await, Ok(1));
    let orders = [
        order(first, "Tux", 1),
        order(OrderId::random(), "Unicorn", 1),
        order(known, "Tux", 1),
        order(first, "Tux", 1),
        order(known, "Tux", 2),
        order(second, "Tux", 1),
    ];
    let placed: Vec<Placement> = store.caller.post(&store.address, TOGETHER_PATH, &orders, LONG).await.unwrap();
    let fates: Vec<_> = placed.into_iter().map(|one| Result::from(one).map_err(|error: ApiError| error.code)).collect();
    let number = |number| Ok(OrderPlaced { order_number: OrderNumber::new(number).unwrap() });
    let unknown = Err(ErrorCode::NoSuchProduct);
    let wanted = [number(2), unknown, number(1), number(2), Err(ErrorCode::IdempotencyKeyReused), number(3)];
    assert_eq!(fates, wanted);
    let none: [PlaceOrder; 0] = [];
    let refused = store.caller.post::<_, Vec<Placement>>(&store.address, TOGETHER_PATH, &none, LONG).await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::BadRequest);
    store.service.stop().await;
}

#[tokio::test]
async fn an_order_is_placed_once_and_found() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Shelf::start(&[("Tux", 5)]));
    let store = Store::open(&dir, &shelf).await;

    assert_eq!(store.place(id(1), "Tux", 2).await, Ok(1));
    assert_eq!(store.place(id(1), "Tux", 2).await, Ok(1), "the same again");
    assert_eq!(store.place(id(1), "Tux", 1).await, Err(ErrorCode::IdempotencyKeyReused));
    assert_eq!(store.place(id(2), "Tux", 4).await, Err(ErrorCode::OutOfStock));
    assert_eq!(store.place(id(3), "Nobody", 1).await, Err(ErrorCode::NoSuchProduct));
    assert_eq!(store.place(id(2), "Tux", 3).await, Ok(2), "a refused id is free");

    let order = Order {
        number: OrderNumber::FIRST,
        name: ProductName::new("Tux").unwrap(),
        quantity: Quantity::new(2).unwrap(),
    };
    assert_eq!(store.get("1").await, Ok(order));
    assert_eq!(store.get("3").await, Err(ErrorCode::NoSuchOrder));
    for bad in ["0", "abc", "-1", "1.5", "18446744073709551616"] {
        assert_eq!(store.get(bad).await, Err(ErrorCode::BadRequest), "{bad}");
    }
    // The settlement comes alone when nothing else does.
    shelf.until(|books| books.products["Tux"] == Account { stock: 0, sold: 5, reserved: 0 }).await;
    store.service.stop().await;
}

#[tokio::test]
async fn many_buyers_at_once_share_batches_and_nothing_is_sold_twice() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Shelf::start(&[("Tux", 30), ("Fox", 100)]));
    let store = Store::open(&dir, &shelf).await;
    shelf.hold();
    // Each order is sent twice, at the same time.
    let requests = (0..40_u128).flat_map(|n| [n, n]).map(|n| store.place(id(n), if n < 35 { "Tux" } else { "Fox" }, 1));
    let mut all = Box::pin(join_all(requests));
    // All are inside before the catalog answers the first batch.
    let inside = async {
        while store.metric("toystore_order_batch_size_orders_sum").await
            + store.metric("toystore_order_queue_length_orders").await
            < 40
        {}
    };
    tokio::select! {
        answers = &mut all => panic!("answered without a catalog: {answers:?}"),
        () = inside => shelf.let_go(),
    }
    let answers = all.await;
    for pair in answers.chunks(2) {
        assert_eq!(pair[0], pair[1], "one id, one answer");
    }
    let numbers: BTreeSet<u64> = answers.iter().flatten().copied().collect();
    assert_eq!(numbers, (1..=35).collect(), "unique and dense");
    assert_eq!(answers.iter().filter(|answer| **answer == Err(ErrorCode::OutOfStock)).count(), 10);
    assert!(shelf.books().batches.iter().all(|(_, orders)| *orders <= 8), "{:?}", shelf.books().batches);
    assert!(shelf.books().batches.len() <= 10, "{:?}", shelf.books().batches);
    shelf.until(|books| books.open_orders().is_empty()).await;
    assert_eq!(shelf.account("Tux"), Account { stock: 0, sold: 30, reserved: 0 });
    assert_eq!(shelf.account("Fox"), Account { stock: 95, sold: 5, reserved: 0 });
    store.service.stop().await;
}

#[tokio::test]
async fn a_lost_answer_of_the_catalog_takes_no_stock_twice() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Shelf::start(&[("Tux", 5)]));
    let store = Store::open(&dir, &shelf).await;
    shelf.lose_next_answer();
    assert_eq!(store.place(id(1), "Tux", 2).await, Ok(1));
    shelf.until(|books| books.products["Tux"] == Account { stock: 3, sold: 2, reserved: 0 }).await;
    assert_eq!(shelf.books().batches.len(), 1);
    store.service.stop().await;
}

#[tokio::test]
async fn a_new_leader_resolves_what_was_left_open() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Shelf::start(&[("Tux", 10)]));
    let store = Store::open(&dir, &shelf).await;
    assert_eq!(store.place(id(1), "Tux", 1).await, Ok(1));
    shelf.until(|books| books.open_orders().is_empty()).await;
    let fence = shelf.books().fence;
    store.service.stop().await;
    // As if the settlement of order 1 had been lost, and order 2 had been reserved and never placed.
    let line = |n| OrderLine { order_id: id(n), name: ProductName::new("Tux").unwrap(), quantity: Quantity::ONE };
    shelf.reserve_as(fence.0, 1000, line(1));
    shelf.reserve_as(fence.0, 1001, line(2));

    let store = Store::open(&dir, &shelf).await;
    assert_eq!(store.place(id(1), "Tux", 1).await, Ok(1), "known from before");
    assert_eq!(store.place(id(3), "Tux", 1).await, Ok(2));
    let books = shelf.books().resolutions.clone();
    assert_eq!(books.len(), 1);
    assert_eq!((books[0].keep.clone(), books[0].release.clone()), (vec![id(1)], vec![id(2)]));
    assert!(shelf.books().fence > fence, "each leader has its own term");
    let batches: Vec<_> = shelf.books().batches.iter().map(|(id, _)| *id).collect();
    assert!(batches.is_sorted(), "{batches:?}");
    store.service.stop().await;
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Shelf::start(&[("Tux", 1000)]));
    let store = Store::open(&dir, &shelf).await;
    shelf.hold();
    // 64 have room in the queue, and up to 8 in the batch that waits for the catalog.
    let answers = async { join_all((0..90).map(|n| store.place(id(n), "Tux", 1))).await };
    let release = async {
        while store.metric("toystore_order_refused_total{reason=\"overloaded\"}").await == 0 {}
        shelf.let_go();
    };
    let (answers, ()) = tokio::join!(answers, release);
    let refused = answers.iter().filter(|answer| **answer == Err(ErrorCode::Overloaded)).count();
    let placed: BTreeSet<u64> = answers.iter().flatten().copied().collect();
    assert!((18..=26).contains(&refused), "{refused}");
    assert_eq!(placed, (1..=90 - refused as u64).collect());
    store.service.stop().await;
}

#[tokio::test]
async fn a_stop_answers_what_is_inside() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Shelf::start(&[("Tux", 1000)]));
    let store = Store::open(&dir, &shelf).await;
    shelf.hold();
    let (address, caller) = (store.address.clone(), store.caller.clone());
    let order = order(id(1), "Tux", 1);
    let placing = tokio::spawn(async move { caller.post::<_, OrderPlaced>(&address, "/orders", &order, LONG).await });
    while store.metric("toystore_order_batch_size_orders_count").await == 0 {}
    let stopping = tokio::spawn(store.service.stop());
    shelf.let_go();
    assert_eq!(placing.await.unwrap().unwrap().order_number, OrderNumber::FIRST);
    stopping.await.unwrap();
    // The ledger has it, readable by any CSV reader.
    let ledger = fs::read_to_string(dir.path().join("log1.csv")).unwrap();
    let rows: Vec<_> = csv::Reader::from_reader(ledger.as_bytes()).into_records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0][0], &rows[0][1], &rows[0][2], &rows[0][3]), ("1", "Tux", "1", id(1).to_string().as_str()));
}

/// Why a replica with these files does not start.
async fn refusal(dir: &TempDir, shelf: &Shelf) -> StartError {
    let listeners = bind();
    let config = config(dir.path(), &shelf.address, 1, std::slice::from_ref(&listeners));
    match Service::start(config, listeners).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn what_it_cannot_trust_it_does_not_start_with() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Shelf::start(&[("Tux", 5)]));
    let store = Store::open(&dir, &shelf).await;
    for n in 1..=3 {
        store.place(id(n), "Tux", 1).await.unwrap();
    }
    let in_use = refusal(&dir, &shelf).await;
    assert_eq!(in_use.exit_code(), ExitCode::Usage, "{in_use}");
    assert!(in_use.to_string().contains("another process"), "{in_use}");
    store.service.stop().await;

    let path = dir.path().join("log1.csv");
    let damaged = fs::read_to_string(&path).unwrap().replace("\n2,Tux,1,", "\n2,Tux,2,");
    fs::write(&path, damaged).unwrap();
    let damage = refusal(&dir, &shelf).await;
    assert_eq!(damage.exit_code(), ExitCode::Io, "{damage}");
    assert!(damage.to_string().contains("line 3 (byte "), "{damage}");
}

#[tokio::test]
async fn a_component_id_is_one_replicas_own() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Shelf::start(&[("Tux", 5)]));
    let store = Store::open(&dir, &shelf).await;
    let start_twin = async || {
        let (elsewhere, listeners) = (tempfile::tempdir().unwrap(), bind());
        let mut twin = config(elsewhere.path(), &shelf.address, 1, std::slice::from_ref(&listeners));
        twin.replicas = discovery::fixed([(twin.ordinal, store.address.clone())].into());
        Service::start(twin, listeners).await
    };
    // It waits half a second for the first one's word, which a machine that stands still does not always have by then.
    let refusal = async {
        loop {
            match start_twin().await {
                Ok(unnoticed) => unnoticed.stop().await,
                Err(refusal) => return refusal,
            }
        }
    };
    let refusal = tokio::time::timeout(LONG, refusal).await.expect("it is refused");
    assert_eq!(refusal.exit_code(), ExitCode::Usage, "{refusal}");
    assert!(refusal.to_string().contains("replica 1 runs already"), "{refusal}");
    store.service.stop().await;
}

/// A frozen leader says nothing, and an attempt at it takes 3 s to time out: its successor is found before, unless the machine itself stands
/// still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_catalog_leader_is_left_for_its_successor() {
    for _ in 0..5 {
        if order_while_the_leader_is_frozen().await < Duration::from_millis(2800) {
            return;
        }
    }
    panic!("an order always waits for the time-out");
}

/// How long it takes.
async fn order_while_the_leader_is_frozen() -> Duration {
    let dir = tempfile::tempdir().unwrap();
    let shelves = [1, 2, 3].map(|own| (own, Shelf::start(&[("Tux", 5)])));
    let led_by = |leader, term| {
        for (own, shelf) in &shelves[1..] {
            shelf.believe(Office { own: *own, leader, term, voters: 3 });
        }
    };
    let (frozen, heir) = (&shelves[0].1, &shelves[1].1);
    frozen.believe(Office { own: 1, leader: 1, term: 1, voters: 3 });
    led_by(1, 1);
    let listeners = bind();
    let mut config = config(dir.path(), &frozen.address, 1, std::slice::from_ref(&listeners));
    let addresses = shelves.iter().map(|(own, shelf)| (Ordinal(*own), shelf.address.clone()));
    config.catalog = discovery::fixed(addresses.collect());
    let service = Service::start(config, listeners).await.unwrap();
    frozen.until(|books| books.fence > Term(0)).await;

    frozen.freeze();
    led_by(2, 2);
    let address = Address::new("127.0.0.1", service.address().port());
    let (tux, caller) = (order(id(1), "Tux", 1), Caller::new(None));
    let begun = Instant::now();
    let placed = caller.post::<_, OrderPlaced>(&address, "/orders", &tux, LONG).await.unwrap();
    let took = begun.elapsed();
    assert_eq!(placed.order_number.get(), 1);
    heir.until(|books| books.products[&tux.name].sold == 1).await;
    frozen.let_go();
    service.stop().await;
    took
}
