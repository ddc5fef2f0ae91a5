//! One order replica and a catalog, over HTTP.

mod store;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use api::catalog::OrderLine;
use api::order::{BATCH_PATH, PlaceOrder, Placement};
use api::public::{Order, OrderPlaced};
use api::{ApiError, ErrorCode, OrderId, OrderNumber, Ordinal, ProductName, Quantity, Term};
use futures::future::join_all;
use order::Config;
use service::lifecycle::{ExitCode, ExitError, Process};
use store::fake_catalog::{Account, FakeCatalog, LeaderView};
use store::only_replica::{OnlyReplica, refusal};
use store::{LONG, id, order};
use tempfile::TempDir;

async fn open(dir: &TempDir, catalog: &FakeCatalog) -> OnlyReplica {
    OnlyReplica::leading(dir.path(), catalog, |_| {}).await
}

#[tokio::test]
async fn each_order_of_a_request_batch_has_its_own_outcome() {
    let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", 3)]));
    let replica = open(&dir, &catalog).await;
    let (known, first, second) = (OrderId::random(), OrderId::random(), OrderId::random());
    assert_eq!(replica.place(known, "Tux", 1).await, Ok(1));
    let orders = [
        order(first, "Tux", 1),
        order(OrderId::random(), "Unicorn", 1),
        order(known, "Tux", 1),
        order(first, "Tux", 1),
        order(known, "Tux", 2),
        order(second, "Tux", 1),
    ];
    let placed: Vec<Placement> = replica.client.post(&replica.address, BATCH_PATH, &orders, LONG).await.unwrap();
    let outcomes: Vec<_> =
        placed.into_iter().map(|one| Result::from(one).map_err(|error: ApiError| error.code)).collect();
    let number = |number| Ok(OrderPlaced { order_number: OrderNumber::new(number).unwrap() });
    let unknown = Err(ErrorCode::NoSuchProduct);
    let expected = [number(2), unknown, number(1), number(2), Err(ErrorCode::IdempotencyKeyReused), number(3)];
    assert_eq!(outcomes, expected);
    let none: [PlaceOrder; 0] = [];
    let refused =
        replica.client.post::<_, Vec<Placement>>(&replica.address, BATCH_PATH, &none, LONG).await.unwrap_err();
    assert_eq!(refusal(refused).code, ErrorCode::BadRequest);
    replica.server.stop().await;
}

#[tokio::test]
async fn an_order_is_placed_once_and_found() {
    let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", 5)]));
    let replica = open(&dir, &catalog).await;

    assert_eq!(replica.place(id(1), "Tux", 2).await, Ok(1));
    assert_eq!(replica.place(id(1), "Tux", 2).await, Ok(1), "the same again");
    assert_eq!(replica.place(id(1), "Tux", 1).await, Err(ErrorCode::IdempotencyKeyReused));
    assert_eq!(replica.place(id(2), "Tux", 4).await, Err(ErrorCode::OutOfStock));
    assert_eq!(replica.place(id(3), "Nobody", 1).await, Err(ErrorCode::NoSuchProduct));
    assert_eq!(
        replica.place(id(2), "Tux", 3).await,
        Err(ErrorCode::IdempotencyKeyReused),
        "a refused id counts as used"
    );
    assert_eq!(replica.place(id(4), "Tux", 3).await, Ok(2));

    let order = Order {
        number: OrderNumber::FIRST,
        name: ProductName::new("Tux").unwrap(),
        quantity: Quantity::new(2).unwrap(),
    };
    assert_eq!(replica.get("1").await, Ok(order));
    assert_eq!(replica.get("3").await, Err(ErrorCode::NoSuchOrder));
    for bad in ["0", "abc", "-1", "1.5", "18446744073709551616"] {
        assert_eq!(replica.get(bad).await, Err(ErrorCode::BadRequest), "{bad}");
    }
    // The settlement is sent by itself if no other order comes.
    catalog.until(|state| state.products["Tux"] == Account { stock: 0, sold: 5, reserved: 0 }).await;
    replica.server.stop().await;
}

#[tokio::test]
async fn many_buyers_at_once_share_batches_and_nothing_is_sold_twice() {
    let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", 30), ("Fox", 100)]));
    let replica = open(&dir, &catalog).await;
    catalog.hold();
    // Each order is sent twice, concurrently.
    let requests =
        (0..40_u128).flat_map(|n| [n, n]).map(|n| replica.place(id(n), if n < 35 { "Tux" } else { "Fox" }, 1));
    let mut all = Box::pin(join_all(requests));
    // All orders are inside before the catalog answers the first batch.
    let inside = async {
        while replica.metric("toystore_order_batch_size_orders_sum").await
            + replica.metric("toystore_order_queue_length_orders").await
            < 40
        {}
    };
    tokio::select! {
        answers = &mut all => panic!("answered without the catalog: {answers:?}"),
        () = inside => catalog.release(),
    }
    let answers = all.await;
    for pair in answers.chunks(2) {
        assert_eq!(pair[0], pair[1], "one id, one result");
    }
    let numbers: BTreeSet<u64> = answers.iter().flatten().copied().collect();
    assert_eq!(numbers, (1..=35).collect(), "unique and dense");
    assert_eq!(answers.iter().filter(|answer| **answer == Err(ErrorCode::OutOfStock)).count(), 10);
    assert!(catalog.state().batches.iter().all(|(_, orders)| *orders <= 8), "{:?}", catalog.state().batches);
    assert!(catalog.state().batches.len() <= 10, "{:?}", catalog.state().batches);
    catalog.until(|state| state.open_orders().is_empty()).await;
    assert_eq!(catalog.account("Tux"), Account { stock: 0, sold: 30, reserved: 0 });
    assert_eq!(catalog.account("Fox"), Account { stock: 95, sold: 5, reserved: 0 });
    replica.server.stop().await;
}

#[tokio::test]
async fn a_lost_answer_of_the_catalog_reserves_no_stock_twice() {
    let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", 5)]));
    let replica = open(&dir, &catalog).await;
    catalog.lose_next_answer();
    assert_eq!(replica.place(id(1), "Tux", 2).await, Ok(1));
    catalog.until(|state| state.products["Tux"] == Account { stock: 3, sold: 2, reserved: 0 }).await;
    assert_eq!(catalog.state().batches.len(), 1);
    replica.server.stop().await;
}

#[tokio::test]
async fn a_new_leader_resolves_open_reservations() {
    let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", 10)]));
    let replica = open(&dir, &catalog).await;
    assert_eq!(replica.place(id(1), "Tux", 1).await, Ok(1));
    catalog.until(|state| state.open_orders().is_empty()).await;
    let fence = catalog.state().fence;
    replica.server.stop().await;
    // As if the settlement of order 1 had been lost, and order 2 had been reserved but never
    // placed.
    let line = |n| OrderLine { order_id: id(n), name: ProductName::new("Tux").unwrap(), quantity: Quantity::ONE };
    catalog.reserve_as(fence.0, 1000, line(1));
    catalog.reserve_as(fence.0, 1001, line(2));

    let replica = open(&dir, &catalog).await;
    assert_eq!(replica.place(id(1), "Tux", 1).await, Ok(1), "known from before");
    assert_eq!(replica.place(id(3), "Tux", 1).await, Ok(2));
    let resolutions = catalog.state().resolutions.clone();
    assert_eq!(resolutions.len(), 1);
    assert_eq!((resolutions[0].keep.clone(), resolutions[0].release.clone()), (vec![id(1)], vec![id(2)]));
    assert!(catalog.state().fence > fence, "each leader has its own term");
    let batches: Vec<_> = catalog.state().batches.iter().map(|(id, _)| *id).collect();
    assert!(batches.is_sorted(), "{batches:?}");
    replica.server.stop().await;
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", 1000)]));
    let replica = open(&dir, &catalog).await;
    catalog.hold();
    // 64 fit in the queue, and up to 8 in the batch that waits for the catalog.
    let answers = async { join_all((0..90).map(|n| replica.place(id(n), "Tux", 1))).await };
    let release = async {
        // In the direction in which orders move, so that none is counted twice.
        while replica.metric("toystore_order_batch_size_orders_sum").await
            + replica.metric("toystore_order_queue_length_orders").await
            + replica.metric("toystore_order_refused_total{reason=\"overloaded\"}").await
            < 90
        {}
        catalog.release();
    };
    let (answers, ()) = tokio::join!(answers, release);
    let refused = answers.iter().filter(|answer| **answer == Err(ErrorCode::Overloaded)).count();
    let placed: BTreeSet<u64> = answers.iter().flatten().copied().collect();
    assert_eq!(placed, (1..=90 - refused as u64).collect());
    // An order that has waited for 5 s leaves the queue, and its repetition may come last.
    let is_in_time = replica.metric("toystore_order_refused_total{reason=\"unavailable\"}").await == 0;
    assert!((18..=26).contains(&refused) || !is_in_time && refused > 0, "{refused}");
    replica.server.stop().await;
}

/// How long a request waits for its order.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a leader that stops waits for pending orders.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_stop_finishes_pending_orders() {
    let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", 1000)]));
    let replica = open(&dir, &catalog).await;
    catalog.hold();
    let (address, client) = (replica.address.clone(), replica.client.clone());
    let (order, begun) = (order(id(1), "Tux", 1), Instant::now());
    let placing = tokio::spawn(async move { client.post::<_, OrderPlaced>(&address, "/orders", &order, LONG).await });
    while replica.metric("toystore_order_batch_size_orders_count").await == 0 {}
    let stopped = Instant::now();
    let stopping = tokio::spawn(replica.server.stop());
    catalog.release();
    let placed = placing.await.unwrap();
    let is_late = begun.elapsed() >= PLACE_TIMEOUT || stopped.elapsed() >= DRAIN_TIMEOUT;
    stopping.await.unwrap();
    // The ledger has it, readable by any CSV reader.
    let ledger = fs::read_to_string(dir.path().join("log1.csv")).unwrap();
    let rows: Vec<_> = csv::Reader::from_reader(ledger.as_bytes()).into_records().map(Result::unwrap).collect();
    match placed {
        Ok(placed) => assert_eq!((placed.order_number, rows.len()), (OrderNumber::FIRST, 1)),
        Err(error) => assert!(is_late && rows.len() <= 1, "{error}"),
    }
    for row in rows {
        assert_eq!((&row[0], &row[1], &row[2], &row[3]), ("1", "Tux", "1", id(1).to_string().as_str()));
    }
}

/// Why a replica with these files does not start.
async fn start_error(dir: &TempDir, catalog: &FakeCatalog) -> ExitError {
    OnlyReplica::start(dir.path(), &catalog.address, |_| {}).await.err().expect("it does not start")
}

#[tokio::test]
async fn it_does_not_start_with_damaged_or_locked_files() {
    let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", 5)]));
    let replica = open(&dir, &catalog).await;
    for n in 1..=3 {
        replica.place(id(n), "Tux", 1).await.unwrap();
    }
    let in_use = start_error(&dir, &catalog).await;
    assert_eq!(in_use.code, ExitCode::Usage, "{in_use}");
    assert!(in_use.to_string().contains("another process"), "{in_use}");
    replica.server.stop().await;

    let path = dir.path().join("log1.csv");
    let damaged = fs::read_to_string(&path).unwrap().replace("\n2,Tux,1,", "\n2,Tux,2,");
    fs::write(&path, damaged).unwrap();
    let damage = start_error(&dir, &catalog).await;
    assert_eq!(damage.code, ExitCode::Io, "{damage}");
    assert!(damage.to_string().contains("line 3 (byte "), "{damage}");
}

#[tokio::test]
async fn a_component_id_belongs_to_one_replica() {
    let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", 5)]));
    let replica = open(&dir, &catalog).await;
    let start_duplicate = async || {
        let elsewhere = tempfile::tempdir().unwrap();
        let first = |config: &mut Config| {
            config.replicas = discovery::static_replicas([(config.ordinal, replica.address.clone())].into());
        };
        OnlyReplica::start(elsewhere.path(), &catalog.address, first).await
    };
    // It waits half a second for the status of the first one, which a stalled machine does not
    // always deliver in time.
    let refusal = async {
        loop {
            match start_duplicate().await {
                Ok(undetected) => undetected.server.stop().await,
                Err(refusal) => return refusal,
            }
        }
    };
    let refusal = tokio::time::timeout(LONG, refusal).await.expect("it is refused");
    assert_eq!(refusal.code, ExitCode::Usage, "{refusal}");
    assert!(refusal.to_string().contains("replica 1 is already running"), "{refusal}");
    replica.server.stop().await;
}

/// That this happens before the attempt times out is a unit test of the catalog client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_catalog_leader_is_left_for_its_successor() {
    let dir = tempfile::tempdir().unwrap();
    let catalogs = [1, 2, 3].map(|own| (own, FakeCatalog::start(&[("Tux", 5)])));
    let led_by = |leader, term| {
        for (own, catalog) in &catalogs[1..] {
            catalog.set_view(LeaderView { own: *own, leader, term, voters: 3 });
        }
    };
    let (frozen, successor) = (&catalogs[0].1, &catalogs[1].1);
    frozen.set_view(LeaderView { own: 1, leader: 1, term: 1, voters: 3 });
    led_by(1, 1);
    let addresses = catalogs.iter().map(|(own, catalog)| (Ordinal(*own), catalog.address.clone())).collect();
    let all = |config: &mut Config| config.catalog = discovery::static_replicas(addresses);
    let replica = OnlyReplica::start(dir.path(), &frozen.address, all).await.unwrap();
    frozen.until(|state| state.fence > Term(0)).await;

    frozen.freeze();
    led_by(2, 2);
    assert_eq!(replica.place(id(1), "Tux", 1).await, Ok(1));
    successor.until(|state| state.products["Tux"].sold == 1).await;
    frozen.release();
    replica.server.stop().await;
}
