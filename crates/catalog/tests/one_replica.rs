//! A catalog with one replica over HTTP: orders, caches, restarts.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::catalog::{
    BatchReserved, Fence, Fenced, LeaseRequest, PRODUCT_BATCH_PATH, ProductList, ProductReadOutcome, ReadProducts,
    Reservation, Resolve, Settle,
};
use api::replica::{ReplicaStatus, Replicas};
use api::{
    Address, BatchNumber, ErrorCode, HolderId, NodeId, OrderId, Ordinal, ProductName, REQUEST_BATCH_MAX, Stock, Term,
};
use axum::Router;
use axum::routing::get;
use catalog::{Restock, Seed, Server};
use serde::de::IgnoredAny;
use service::json_client::RequestPath;
use service::lifecycle::{ExitCode, Process};
use support::{Client, Frontend, LONG_LEASE, batch, code, line, start, start_alone};

/// A lease whose expiry is awaited. What must be done before it expires may take long on a machine
/// that is busy with other tests; and a request that waits for its expiry is answered at the first
/// attempt, within the 5 s that the catalog allows.
const LEASE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn an_order_is_reserved_then_sold() {
    let (_dir, server, client) = start_alone(|_| ()).await;
    let (first, second, third) = (OrderId::random(), OrderId::random(), OrderId::random());

    assert_eq!(client.fence(5).await.unwrap().open, []);
    let orders = vec![line(first, "Tux", 60), line(second, "Tux", 60), line(third, "Unicorn", 1)];
    let answer = client.reserve(&batch(5, 1, orders.clone())).await.unwrap();
    let expected =
        BatchReserved { outcomes: vec![Reservation::Reserved, Reservation::OutOfStock, Reservation::NoSuchProduct] };
    assert_eq!(answer, expected);
    assert_eq!(client.account("Tux").await, (40, 0, 60));
    assert_eq!(client.stock("Tux").await, 40);

    let again = client.reserve(&batch(5, 1, orders)).await.unwrap();
    assert_eq!(again, expected, "the same batch gets the same answer");
    assert_eq!(client.account("Tux").await, (40, 0, 60));

    client.settle(&Settle { term: Term(5), through: BatchNumber(1), released: vec![] }).await.unwrap();
    assert_eq!(client.account("Tux").await, (40, 60, 0));
    server.stop().await;
}

#[tokio::test]
async fn a_new_leader_fences_its_predecessor_and_resolves_its_reservations() {
    let (_dir, server, client) = start_alone(|_| ()).await;
    let (placed, lost) = (OrderId::random(), OrderId::random());
    client.fence(5).await.unwrap();
    client.reserve(&batch(5, 1, vec![line(placed, "Tux", 3), line(lost, "Fox", 4)])).await.unwrap();

    let mut open = client.fence(6).await.unwrap().open;
    open.sort();
    let mut expected = [placed, lost];
    expected.sort();
    assert_eq!(open, expected);
    let late = batch(5, 2, vec![line(OrderId::random(), "Tux", 1)]);
    assert_eq!(code(client.reserve(&late).await), ErrorCode::StaleTerm);
    let early = batch(6, 1, vec![line(OrderId::random(), "Tux", 1)]);
    assert_eq!(code(client.reserve(&early).await), ErrorCode::StaleTerm, "open reservations must be resolved first");

    let resolve = Resolve { term: Term(6), keep: vec![placed], release: vec![lost] };
    let _: IgnoredAny = client.post("/resolution", &resolve).await.unwrap();
    assert_eq!(client.account("Tux").await, (97, 3, 0));
    assert_eq!(client.account("Fox").await, (100, 0, 0));
    client.reserve(&early).await.unwrap();
    let refused = client.post::<IgnoredAny>("/resolution", &resolve).await;
    assert_eq!(code(refused), ErrorCode::StaleTerm, "a late copy arrives after the takeover");
    server.stop().await;
}

#[tokio::test]
async fn caches_are_invalidated_before_a_change_is_acknowledged() {
    let (_dir, server, client) = start_alone(|config| config.lease = LONG_LEASE).await;
    let mut frontend = Frontend::start().await;
    client.lease(&frontend).await;
    client.fence(1).await.unwrap();
    let before = client.product("Tux", Some(frontend.holder)).await;
    assert!(before.cacheable);
    assert!(!client.product("Tux", None).await.cacheable, "a client without a lease may not cache");

    frontend.confirm(false);
    let reserving = {
        let (client, batch) = (client.clone(), batch(1, 1, vec![line(OrderId::random(), "Tux", 1)]));
        tokio::spawn(async move { client.reserve(&batch).await })
    };
    assert_eq!(frontend.next_invalidation().await, [("Tux".to_owned(), before.version.0 + 1)]);
    let during = client.product("Tux", Some(frontend.holder)).await;
    assert_eq!((during.product.quantity, during.version, during.cacheable), (Stock(100), before.version, false));
    assert!(!reserving.is_finished(), "acknowledged although a cache may be stale");

    frontend.confirm(true);
    reserving.await.unwrap().unwrap();
    let after = client.product("Tux", Some(frontend.holder)).await;
    assert_eq!((after.product.quantity, after.version.0, after.cacheable), (Stock(99), before.version.0 + 1, true));
    server.stop().await;
}

#[tokio::test]
async fn only_holders_that_fetched_a_product_are_invalidated() {
    let (_dir, server, client) = start_alone(|config| config.lease = LONG_LEASE).await;
    let (mut affected, mut unaffected) = (Frontend::start().await, Frontend::start().await);
    client.lease(&affected).await;
    client.lease(&unaffected).await;
    client.fence(1).await.unwrap();
    client.product("Tux", Some(affected.holder)).await;
    client.product("Fox", Some(unaffected.holder)).await;

    let order = |product, quantity| line(OrderId::random(), product, quantity);
    client.reserve(&batch(1, 1, vec![order("Tux", 1), order("Tux", 1)])).await.unwrap();
    assert_eq!(affected.next_invalidation().await, [("Tux".to_owned(), 3)], "once, with the version after both orders");
    client.reserve(&batch(1, 2, vec![order("Tux", 1)])).await.unwrap();
    client.reserve(&batch(1, 3, vec![order("Fox", 200)])).await.unwrap();
    assert!(!affected.has_invalidation(), "it has not fetched again");
    assert!(!unaffected.has_invalidation(), "its product has not changed: a refused order reserves nothing");
    client.reserve(&batch(1, 4, vec![order("Fox", 1)])).await.unwrap();
    assert_eq!(unaffected.next_invalidation().await, [("Fox".to_owned(), 2)]);
    server.stop().await;
}

#[tokio::test]
async fn an_unreachable_holder_delays_a_change_until_its_lease_has_expired() {
    let (_dir, server, client) = start_alone(|config| config.lease = LEASE).await;
    client.fence(1).await.unwrap();
    let (frontend, vanished) = Frontend::vanishing().await;
    let (_, mut leased) = client.lease_and_cache(&frontend, "Tux").await;
    vanished.send_replace(true);

    let reserving = {
        let (client, batch) = (client.clone(), batch(1, 1, vec![line(OrderId::random(), "Tux", 1)]));
        tokio::spawn(async move { client.reserve(&batch).await.map(|_| Instant::now()) })
    };
    // Its renewals are refused once the invalidation has failed. Otherwise it would delay the
    // change forever.
    loop {
        let (request, renewed) = (frontend.request(), Instant::now());
        match client.json.post::<_, IgnoredAny>(&client.to, "/leases", &request, support::PATIENCE).await {
            Ok(_) => leased = renewed,
            refused if leased.elapsed() < LEASE => break assert_eq!(code(refused), ErrorCode::Unavailable),
            // The machine stood still until the lease had expired.
            refused => break drop(refused.unwrap_err()),
        }
    }
    let stock = client.stock("Tux").await;
    assert!(stock == 100 || leased.elapsed() >= LEASE, "visible while the old value may be cached");
    let acknowledged = reserving.await.unwrap().unwrap();
    assert!(acknowledged.duration_since(leased) >= LEASE + LEASE / 10, "before the lease expired");
    assert_eq!(client.stock("Tux").await, 99);

    let again = client.post::<IgnoredAny>("/leases", &frontend.request()).await;
    assert_eq!(code(again), ErrorCode::BadRequest, "it delays no other change until it can be reached");
    let mut back = Frontend::start().await;
    back.holder = frontend.holder;
    client.lease(&back).await;
    assert!(client.product("Tux", Some(back.holder)).await.cacheable, "with a new lease it may cache again");
    server.stop().await;
}

#[tokio::test]
async fn no_lease_makes_the_catalog_call_a_third_party() {
    let (_dir, server, client) = start_alone(|config| config.lease = LONG_LEASE).await;
    let frontend = Frontend::start().await;
    for address in
        ["192.0.2.1:80", "example.invalid:80", "127.0.0.1:80/admin", "127.0.0.1", "user@127.0.0.1:80", "[::1]:0"]
    {
        let request = BTreeMap::from([("holder", frontend.holder.to_string()), ("address", address.to_owned())]);
        let refused = client.post::<IgnoredAny>("/leases", &request).await;
        assert_eq!(code(refused), ErrorCode::BadRequest, "{address}");
    }
    // A process listens there, but it is not that holder.
    let request = LeaseRequest { holder: HolderId::random(), address: client.to.clone() };
    assert_eq!(code(client.post::<IgnoredAny>("/leases", &request).await), ErrorCode::BadRequest);
    client.lease(&frontend).await;
    server.stop().await;
}

/// Serves these routes, which are not a catalog's.
async fn serve_alone(router: Router) -> Address {
    let listener = tokio::net::TcpListener::bind((support::LOCALHOST, 0)).await.unwrap();
    let address = support::address(listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

#[tokio::test]
async fn a_fence_may_not_exceed_the_terms_that_the_order_group_has_seen() {
    let seen = Arc::new(AtomicU64::new(0));
    let (_dir, server, client) = {
        let replica = |ordinal: u8| {
            let seen = Arc::clone(&seen);
            let status = move || {
                let term = Term(seen.load(Ordering::Relaxed));
                let status = ReplicaStatus { term, ..ReplicaStatus::empty("order", NodeId::new(Ordinal(ordinal), 1)) };
                std::future::ready(axum::Json(api::Data::new(status)))
            };
            serve_alone(Router::new().route("/status", get(status)))
        };
        let orders = Replicas::from([(Ordinal(1), replica(1).await), (Ordinal(2), replica(2).await)]);
        start_alone(|config| config.orders = discovery::static_replicas(orders)).await
    };
    seen.store(7, Ordering::Relaxed);
    client.fence(7).await.unwrap();
    let invalid_batch = batch(u64::MAX, 1, vec![line(OrderId::random(), "Tux", 1)]);
    // Terms up to 64 ahead are accepted if the replicas' statuses are late.
    for term in [72, 1 << 40, u64::MAX] {
        assert_eq!(code(client.fence(term).await), ErrorCode::BadRequest, "{term}");
    }
    assert_eq!(code(client.reserve(&invalid_batch).await), ErrorCode::BadRequest);
    assert_eq!(code(client.reserve(&batch(7, u64::MAX, Vec::new())).await), ErrorCode::BadRequest);
    let settle = Settle { term: Term(7), through: BatchNumber(u64::MAX), released: Vec::new() };
    assert_eq!(code(client.settle(&settle).await), ErrorCode::BadRequest);
    client.reserve(&batch(7, 1, vec![line(OrderId::random(), "Tux", 1)])).await.expect("nothing has changed");
    seen.store(3000, Ordering::Relaxed);
    let fence = Fence { term: Term(3000) };
    let _: Fenced = client.post_checked("/fence", &fence).await.expect("as many elections as there were");
    server.stop().await;
}

#[tokio::test]
async fn a_holder_that_gave_up_its_lease_is_not_waited_for() {
    let (_dir, server, client) = start_alone(|config| config.lease = LONG_LEASE).await;
    client.fence(1).await.unwrap();
    let mut frontend = Frontend::start().await;
    client.lease(&frontend).await;
    client.product("Tux", Some(frontend.holder)).await;
    let path = format!("/leases/{}", frontend.holder);
    let route = RequestPath::filled("/leases/{holder}", &path);
    let _: IgnoredAny = client.json.delete(&client.to, route, None::<&()>, support::PATIENCE).await.unwrap();
    client.reserve(&batch(1, 1, vec![line(OrderId::random(), "Tux", 1)])).await.unwrap();
    assert!(!frontend.has_invalidation());
    assert!(!client.product("Tux", Some(frontend.holder)).await.cacheable);
    server.stop().await;
}

#[tokio::test]
async fn a_restarted_catalog_keeps_its_state_and_waits_for_the_old_leases() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), |config| config.lease = LEASE).await;
    let client = Client::of(&server);
    let order = OrderId::random();
    client.fence(3).await.unwrap();
    let reserve = batch(3, 1, vec![line(order, "Tux", 10)]);
    let answer = client.reserve(&reserve).await.unwrap();
    server.stop().await;

    let restarted = Instant::now();
    // A shorter lease now, which does not shorten the old ones.
    let server = start(dir.path(), |config| config.lease = Duration::from_millis(100)).await;
    let client = Client::of(&server);
    let reading = {
        let client = client.clone();
        tokio::spawn(async move { (client.stock("Tux").await, Instant::now()) })
    };
    assert_eq!(client.fence(3).await.unwrap().open, [order]);
    assert_eq!(client.reserve(&reserve).await.unwrap(), answer);
    let acknowledged = Instant::now();
    let (stock, read) = reading.await.unwrap();
    assert_eq!(stock, 90);
    assert!(read.duration_since(restarted) >= LEASE + LEASE / 10);
    assert!(acknowledged.duration_since(restarted) >= LEASE + LEASE / 10);
    server.stop().await;
}

/// The fence says nothing about stock, so it does not have to wait for the old leases.
#[tokio::test]
async fn a_restarted_catalog_answers_a_fence_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), |config| config.lease = LONG_LEASE).await;
    Client::of(&server).fence(3).await.unwrap();
    server.stop().await;
    let server = start(dir.path(), |config| config.lease = LONG_LEASE).await;
    assert_eq!(Client::of(&server).fence(4).await.unwrap().open, []);
    server.stop().await;
}

#[tokio::test]
async fn an_unacknowledged_change_is_acknowledged_only_when_no_cache_can_be_stale() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), |config| config.lease = LEASE).await;
    let client = Client::of(&server);
    let mut frontend = Frontend::start().await;
    client.fence(1).await.unwrap();
    let (_, leased) = client.lease_and_cache(&frontend, "Tux").await;
    frontend.confirm(false);
    let reserve = batch(1, 1, vec![line(OrderId::random(), "Tux", 1)]);
    let reserving = {
        let (client, reserve) = (client.clone(), reserve.clone());
        tokio::spawn(async move {
            client.json.post::<_, IgnoredAny>(&client.to, "/reservations", &reserve, support::PATIENCE).await
        })
    };
    frontend.next_invalidation().await;
    client.committed("Tux", (99, 0, 1)).await;
    let stock = client.stock("Tux").await;
    assert!(stock == 100 || leased.elapsed() >= LEASE, "committed, but not visible");
    server.stop().await;
    match reserving.await.unwrap() {
        Err(error) if error.code() == Some(ErrorCode::NotLeader) => {}
        // The machine stood still until the lease had expired, or the request's time was over.
        answer => assert!(leased.elapsed() >= LEASE, "{answer:?}"),
    }

    let server = start(dir.path(), |config| config.lease = LEASE).await;
    let client = Client::of(&server);
    client.reserve(&reserve).await.unwrap();
    assert!(leased.elapsed() >= LEASE, "acknowledged although the frontend may serve the old value");
    assert_eq!(client.stock("Tux").await, 99);
    assert_eq!(client.account("Tux").await, (99, 0, 1));
    server.stop().await;
}

#[tokio::test]
async fn sold_out_products_are_restocked_and_caches_are_invalidated() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), |config| {
        config.lease = LONG_LEASE;
        config.restock = Restock { interval: Duration::from_millis(200), level: Stock(70) };
    })
    .await;
    let client = Client::of(&server);
    let mut frontend = Frontend::start().await;
    client.lease(&frontend).await;
    client.fence(1).await.unwrap();
    client.product("Tux", Some(frontend.holder)).await;
    client.reserve(&batch(1, 1, vec![line(OrderId::random(), "Tux", 100)])).await.unwrap();
    assert_eq!(frontend.next_invalidation().await, [("Tux".to_owned(), 2)]);
    // It is sold out until it is restocked; this may fetch either state, or be during the change.
    let fetched = client.product("Tux", Some(frontend.holder)).await;
    if fetched.product.quantity == Stock(0) && fetched.cacheable {
        assert_eq!(frontend.next_invalidation().await, [("Tux".to_owned(), 3)]);
    }
    let restocked = tokio::time::timeout(support::PATIENCE, async { while client.stock("Tux").await == 0 {} });
    restocked.await.expect("restocked");
    assert_eq!(client.account("Tux").await, (70, 0, 100));
    assert_eq!(client.account("Fox").await, (100, 0, 0), "only sold-out products are restocked");
    server.stop().await;
}

#[tokio::test]
async fn a_product_batch_returns_what_single_reads_return() {
    let (_dir, server, client) = start_alone(|config| config.lease = LONG_LEASE).await;
    let mut frontend = Frontend::start().await;
    client.lease(&frontend).await;
    client.fence(1).await.unwrap();
    let names = ["Tux", "Unicorn", "Fox"].map(|name| ProductName::new(name).unwrap());
    let reads = ReadProducts { holder: Some(frontend.holder), names: names.to_vec().try_into().unwrap() };
    let found: Vec<ProductReadOutcome> = client.post(PRODUCT_BATCH_PATH, &reads).await.unwrap();
    let single = client.product("Tux", Some(frontend.holder)).await;
    assert_eq!(found[..2], [ProductReadOutcome::Read(single), ProductReadOutcome::NoSuchProduct]);
    assert!(matches!(&found[2], ProductReadOutcome::Read(read) if read.product.name == names[2] && read.cacheable));
    client.reserve(&batch(1, 1, vec![line(OrderId::random(), "Fox", 1)])).await.unwrap();
    assert_eq!(frontend.next_invalidation().await, [("Fox".to_owned(), 2)], "a holder that cached it is invalidated");

    let many = BTreeMap::from([("names", vec!["Tux"; REQUEST_BATCH_MAX + 1])]);
    assert_eq!(code(client.post::<IgnoredAny>(PRODUCT_BATCH_PATH, &many).await), ErrorCode::BadRequest);
    server.stop().await;
}

#[tokio::test]
async fn every_mistake_has_its_own_error_code() {
    let (_dir, server, client) = start_alone(|_| ()).await;
    client.fence(1).await.unwrap();
    for path in
        ["/products/Unicorn", PRODUCT_BATCH_PATH, "/products/%00", "/products/%FF", "/products/%2F", "/products/;"]
    {
        assert_eq!(code(client.get::<IgnoredAny>(path).await), ErrorCode::NoSuchProduct, "{path}");
    }
    assert_eq!(code(client.get::<IgnoredAny>("/nowhere").await), ErrorCode::NotFound);
    assert_eq!(code(client.get::<IgnoredAny>("/products/Tux?holder=me").await), ErrorCode::BadRequest);
    assert_eq!(code(client.post::<IgnoredAny>("/products", &()).await), ErrorCode::MethodNotAllowed);
    assert_eq!(code(client.post::<IgnoredAny>("/fence", &"x").await), ErrorCode::BadRequest);
    assert_eq!(code(client.reserve(&batch(1, 0, vec![])).await), ErrorCode::BadRequest);
    let many = (0..257).map(|_| line(OrderId::random(), "Tux", 1)).collect();
    assert_eq!(code(client.reserve(&batch(1, 1, many)).await), ErrorCode::BadRequest);
    let (order, quantity) = (OrderId::random(), 1);
    let twice = vec![line(order, "Tux", quantity), line(order, "Tux", quantity)];
    assert_eq!(code(client.reserve(&batch(1, 1, twice)).await), ErrorCode::BadRequest);
    assert_eq!(code(client.fence(0).await), ErrorCode::StaleTerm);
    assert_eq!(client.account("Tux").await, (100, 0, 0));

    let all = client.get::<ProductList>("/products").await.unwrap().products;
    assert_eq!(all, [support::product("Fox", 100), support::product("Tux", 100)]);
    server.stop().await;
}

#[tokio::test]
async fn a_full_batch_with_the_longest_names_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let long = "ü".repeat(64);
    let products = vec![support::product(&long, 1000)];
    let server = start(dir.path(), |config| config.seed = Seed::Products(products)).await;
    let client = Client::of(&server);
    client.fence(1).await.unwrap();
    let orders = (0..256).map(|_| line(OrderId::random(), &long, 1)).collect();
    let answer = client.reserve(&batch(1, 1, orders)).await.unwrap();
    assert!(answer.outcomes.iter().all(|outcome| *outcome == Reservation::Reserved));
    assert_eq!(client.account(&long).await, (744, 0, 256));
    server.stop().await;
}

#[tokio::test]
async fn the_token_is_required_except_for_health_and_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let token = service::Token::new("open sesame".replace(' ', "-").as_str()).unwrap();
    let server = start(dir.path(), |config| config.access.token = Some(token.clone())).await;
    let stranger = Client::of(&server);
    assert_eq!(code(stranger.get::<IgnoredAny>("/products").await), ErrorCode::Unauthorized);
    assert_eq!(code(stranger.get::<IgnoredAny>("/status").await), ErrorCode::Unauthorized);
    let friend = Client { json: service::json_client::JsonClient::new(Some(&token)), ..stranger.clone() };
    assert_eq!(friend.stock("Tux").await, 100);
    for path in ["/healthz", "/readyz", "/metrics"] {
        // It becomes ready once it knows how far its leader is: soon, but not with its first
        // response.
        let responds = async { while !reqwest::get(stranger.to.url(path)).await.unwrap().status().is_success() {} };
        assert!(tokio::time::timeout(Duration::from_secs(20), responds).await.is_ok(), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn metrics_report_stock_and_changes() {
    let (_dir, server, client) = start_alone(|config| config.lease = LONG_LEASE).await;
    let mut frontend = Frontend::start().await;
    client.lease(&frontend).await;
    client.fence(1).await.unwrap();
    client.product("Tux", Some(frontend.holder)).await;
    let orders = vec![line(OrderId::random(), "Tux", 60), line(OrderId::random(), "Tux", 60)];
    client.reserve(&batch(1, 1, orders)).await.unwrap();
    frontend.next_invalidation().await;
    let text = reqwest::get(client.to.url("/metrics")).await.unwrap().text().await.unwrap();
    for expected in [
        "toystore_catalog_stock_pieces{product=\"Fox\"} 100",
        "toystore_catalog_stock_pieces{product=\"Tux\"} 40",
        "toystore_catalog_reservations_open_orders 1",
        "toystore_catalog_reservations_total{outcome=\"reserved\"} 1",
        "toystore_catalog_reservations_total{outcome=\"out_of_stock\"} 1",
        "toystore_catalog_leases_held_frontends 1",
        "toystore_catalog_invalidations_total{outcome=\"confirmed\"} 1",
        "toystore_catalog_change_duration_seconds_count 2",
        "toystore_http_client_request_duration_seconds_count{outcome=\"2xx\",route=\"/cache\",target=\"frontend\"} 2",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected} is not in\n{text}");
    }
    // An invalidation that is not answered in time is repeated.
    let attempts = text.lines().find_map(|line| line.strip_prefix("toystore_catalog_invalidation_attempts_total "));
    assert!(attempts.is_some_and(|attempts| attempts.parse::<u64>().unwrap() >= 1), "{attempts:?} in\n{text}");
    server.stop().await;
}

#[tokio::test]
async fn a_missing_catalog_file_is_created_and_a_name_may_be_any_text() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data/catalog.csv");
    let server = start(dir.path(), |config| config.seed = Seed::Missing(file.clone())).await;
    let all = Client::of(&server).get::<ProductList>("/products").await.unwrap().products;
    assert_eq!(all, catalog::seed::read(&file).unwrap());
    assert!(all.len() >= 12);
    server.stop().await;

    // The catalog has products now: another file changes nothing.
    let server = start(dir.path(), |_| ()).await;
    assert_eq!(Client::of(&server).get::<ProductList>("/products").await.unwrap().products, all);
    server.stop().await;

    let odd = "50 % off/on? Bär & \"Co\"";
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), |config| config.seed = Seed::Products(vec![support::product(odd, 3)])).await;
    let client = Client::of(&server);
    assert_eq!(client.stock("50%20%25%20off%2Fon%3F%20B%C3%A4r%20%26%20%22Co%22").await, 3);
    server.stop().await;
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), |_| ()).await;
    let listeners = support::listeners();
    let config = support::config(dir.path(), 1, Replicas::from([(Ordinal(1), support::address(server.address()))]));
    let error = Server::start(config, listeners).await.err().expect("the directory is taken");
    assert_eq!(error.code, ExitCode::Usage, "{error}");
    server.stop().await;
}

#[tokio::test]
async fn leases_are_bounded() {
    let (_dir, server, client) = start_alone(|config| config.lease = LONG_LEASE).await;
    let mut frontend = Frontend::start().await;
    let granted = client.lease(&frontend).await;
    assert_eq!(granted.duration_ms, 60_000);
    let mut refused = None;
    for _ in 0..64 {
        frontend.holder = api::HolderId::random();
        refused = client.post_checked::<IgnoredAny>("/leases", &frontend.request()).await.err();
    }
    assert_eq!(refused.and_then(|error| error.code()), Some(ErrorCode::Overloaded));
    server.stop().await;
}
