//! An order that was refused under a key stays refused (I7): one order replica and a catalog, over
//! HTTP.

mod store;

use api::order::{BATCH_PATH, DecidedCounts, PlaceOrder, Placement};
use api::{ErrorCode, OrderId, ProductName};
use order::Config;
use order::orders::DedupWindow;
use replication::StorageConfig;
use service::lifecycle::Process;
use store::fake_catalog::{Account, FakeCatalog};
use store::only_replica::OnlyReplica;
use store::{LONG, id, order};

async fn code(replica: &OnlyReplica, order: &PlaceOrder) -> ErrorCode {
    replica.place_order(order).await.unwrap_err().code
}

/// Places many orders with few requests.
async fn place_all(replica: &OnlyReplica, orders: &[PlaceOrder]) {
    for together in orders.chunks(api::REQUEST_BATCH_MAX) {
        let _: Vec<Placement> = replica.client.post(&replica.address, BATCH_PATH, &together, LONG).await.unwrap();
    }
}

fn decided(replica: &OnlyReplica) -> DecidedCounts {
    replica.server.replica().read(order::orders::Orders::decided)
}

fn log_length(replica: &OnlyReplica) -> u64 {
    replica.server.replica().status().last_log.unwrap().index
}

fn restock(catalog: &FakeCatalog, name: &str, stock: u32) {
    let name = ProductName::new(name).unwrap();
    catalog.state().products.entry(name).or_default().stock = stock;
}

#[tokio::test]
async fn a_refused_key_stays_refused_after_a_restock_a_restart_and_a_checkpoint() {
    let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", 1), ("Fox", 100)]));
    let often = |config: &mut Config| {
        config.storage = StorageConfig { checkpoint_every: 4, log_kept: 0, ..config.storage.clone() };
    };
    let replica = OnlyReplica::leading(dir.path(), &catalog, often).await;
    let (many, unknown) = (order(id(1), "Tux", 2), order(id(2), "Unicorn", 1));
    let why = replica.place_order(&many).await.unwrap_err();
    assert_eq!((why.code, code(&replica, &unknown).await), (ErrorCode::OutOfStock, ErrorCode::NoSuchProduct));
    restock(&catalog, "Tux", 50);
    restock(&catalog, "Unicorn", 50);
    let mut replica = replica;
    for round in 0..3 {
        for _ in 0..2 {
            assert_eq!(replica.place_order(&many).await, Err(why.clone()), "round {round}");
            assert_eq!(code(&replica, &unknown).await, ErrorCode::NoSuchProduct, "round {round}");
        }
        for other in [order(id(1), "Tux", 1), order(id(1), "Fox", 2), order(id(2), "Fox", 1)] {
            assert_eq!(code(&replica, &other).await, ErrorCode::IdempotencyKeyReused, "round {round}");
        }
        // The checkpoint follows a few entries later.
        for n in 0..10 {
            replica.place_order(&order(id(100 * (round + 1) + n), "Fox", 1)).await.unwrap();
        }
        assert_eq!(decided(&replica), DecidedCounts { placed: 10 * (u64::try_from(round).unwrap() + 1), refused: 2 });
        replica.server.stop().await;
        replica = OnlyReplica::leading(dir.path(), &catalog, often).await;
    }
    assert_eq!(catalog.account("Tux"), Account { stock: 50, sold: 0, reserved: 0 });
    replica.server.stop().await;
}

#[tokio::test]
async fn the_refusal_of_an_only_attempt_takes_no_log_entry() {
    let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", 1)]));
    let replica = OnlyReplica::leading(dir.path(), &catalog, |_| {}).await;
    let refuse = async |n| {
        let only = PlaceOrder { only_attempt: true, ..order(id(n), "Tux", 2) };
        assert_eq!(code(&replica, &only).await, ErrorCode::OutOfStock);
    };
    // After the first response, the leader's own entries are in the log.
    refuse(0).await;
    let before = log_length(&replica);
    for n in 1..20 {
        refuse(n).await;
    }
    assert_eq!((log_length(&replica), decided(&replica).refused), (before, 0));
    // Refusals of one batch share an entry, and an order that is sent twice counts as repeated.
    let twice = PlaceOrder { only_attempt: true, ..order(id(50), "Tux", 2) };
    let together: Vec<_> = (60..64).map(|n| order(id(n), "Tux", 2)).chain([twice.clone(), twice]).collect();
    place_all(&replica, &together).await;
    assert_eq!(decided(&replica).refused, 5);
    let entries = log_length(&replica) - before;
    assert!((1..=4).contains(&entries), "{entries} entries");
    replica.server.stop().await;
}

/// An attempt that was delayed while more orders were decided than are remembered.
#[tokio::test]
async fn an_attempt_older_than_the_remembered_history_is_refused() {
    let dedup_window = DedupWindow { orders: 700, refusals: 600 };
    let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", 2000)]));
    let adjust = |config: &mut Config| {
        (config.dedup_window, config.queue_max, config.batch_orders_max) = (dedup_window, 256, 128);
    };
    let replica = OnlyReplica::leading(dir.path(), &catalog, adjust).await;
    let (placed, refused) = (order(id(1), "Tux", 1), order(id(2), "Tux", 3000));
    assert_eq!(replica.place_order(&placed).await, Ok(1));
    assert_eq!(code(&replica, &refused).await, ErrorCode::OutOfStock);
    let known = decided(&replica);
    let many = |count: usize, quantity| -> Vec<_> {
        let order = |_| PlaceOrder { known, ..order(OrderId::random(), "Tux", quantity) };
        (0..count).map(order).collect()
    };
    // As long as both are remembered, they are recognized, and other orders are accepted.
    place_all(&replica, &many(80, 1)).await;
    place_all(&replica, &many(80, 3000)).await;
    assert_eq!(decided(&replica), DecidedCounts { placed: 81, refused: 81 });
    assert_eq!((replica.place_order(&placed).await, code(&replica, &refused).await), (Ok(1), ErrorCode::OutOfStock));

    // Then the refusal is forgotten. A sender that knows no more than before learns how far the
    // store is.
    let now = |quantity| {
        let known = decided(&replica);
        PlaceOrder { known, ..order(OrderId::random(), "Tux", quantity) }
    };
    while decided(&replica).refused < 81 + 600 {
        place_all(&replica, &(0..80).map(|_| now(3000)).collect::<Vec<_>>()).await;
    }
    restock(&catalog, "Tux", 5000);
    for _ in 0..2 {
        let stale = replica.place_order(&refused).await.unwrap_err();
        assert_eq!((stale.code, stale.decided), (ErrorCode::StaleAttempt, Some(decided(&replica))), "{stale}");
    }
    let before = decided(&replica);
    while decided(&replica).placed < 81 + 700 {
        place_all(&replica, &(0..80).map(|_| now(1)).collect::<Vec<_>>()).await;
    }
    assert_eq!(decided(&replica).refused, before.refused);
    let late = PlaceOrder { known: DecidedCounts { placed: 0, ..decided(&replica) }, ..placed.clone() };
    assert_eq!(code(&replica, &late).await, ErrorCode::StaleAttempt, "it would be placed twice");
    let again = PlaceOrder { known: decided(&replica), ..placed };
    assert_eq!(
        replica.place_order(&again).await,
        Ok(decided(&replica).placed),
        "after all that, a repeated key counts as new"
    );
    replica.server.stop().await;
}
