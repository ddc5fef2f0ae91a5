//! A catalog of one replica over HTTP: orders, caches, restarts.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::catalog::{BatchReserved, LOOK_TOGETHER_PATH, Look, LookTogether, Reservation, Resolve, Settle};
use api::replica::Replicas;
use api::{BatchNumber, ErrorCode, OrderId, Ordinal, Product, ProductName, Stock, TOGETHER_MAX, Term};
use catalog::{Restock, Seed, Service};
use serde::de::IgnoredAny;
use service::call::Route;
use service::lifecycle::ExitCode;
use support::{Client, Frontend, LONG_LEASE, batch, code, line, start, start_alone};

/// A lease whose end is waited for. What has to be done before it is over may take long on a machine that is busy with other tests; and
/// who waits for it is answered at the first try, within the 5 s that the catalog takes at most.
const LEASE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn an_order_is_reserved_then_sold() {
    let (_dir, service, client) = start_alone(|_| ()).await;
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
    assert_eq!(again, expected, "the same batch, the same answer");
    assert_eq!(client.account("Tux").await, (40, 0, 60));

    client.settle(&Settle { term: Term(5), through: BatchNumber(1), released: vec![] }).await.unwrap();
    assert_eq!(client.account("Tux").await, (40, 60, 0));
    service.stop().await;
}

#[tokio::test]
async fn a_new_leader_fences_its_predecessor_and_decides_on_what_it_left() {
    let (_dir, service, client) = start_alone(|_| ()).await;
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
    assert_eq!(code(client.reserve(&early).await), ErrorCode::StaleTerm, "what is open is resolved first");

    let resolve = Resolve { term: Term(6), keep: vec![placed], release: vec![lost] };
    let _: IgnoredAny = client.post("/resolution", &resolve).await.unwrap();
    assert_eq!(client.account("Tux").await, (97, 3, 0));
    assert_eq!(client.account("Fox").await, (100, 0, 0));
    client.reserve(&early).await.unwrap();
    let refused = client.post::<IgnoredAny>("/resolution", &resolve).await;
    assert_eq!(code(refused), ErrorCode::StaleTerm, "a late copy finds the take-over done");
    service.stop().await;
}

#[tokio::test]
async fn caches_hear_of_a_change_before_it_is_acknowledged() {
    let (_dir, service, client) = start_alone(|config| config.lease = LONG_LEASE).await;
    let mut frontend = Frontend::start().await;
    client.lease(&frontend).await;
    client.fence(1).await.unwrap();
    let before = client.product("Tux", Some(frontend.holder)).await;
    assert!(before.cacheable);
    assert!(!client.product("Tux", None).await.cacheable, "who holds no lease may not cache");

    frontend.confirm(false);
    let reserving = {
        let (client, batch) = (client.clone(), batch(1, 1, vec![line(OrderId::random(), "Tux", 1)]));
        tokio::spawn(async move { client.reserve(&batch).await })
    };
    assert_eq!(frontend.told().await, [("Tux".to_owned(), before.version.0 + 1)]);
    let during = client.product("Tux", Some(frontend.holder)).await;
    assert_eq!((during.product.quantity, during.version, during.cacheable), (Stock(100), before.version, false));
    assert!(!reserving.is_finished(), "acknowledged although a cache may be stale");

    frontend.confirm(true);
    reserving.await.unwrap().unwrap();
    let after = client.product("Tux", Some(frontend.holder)).await;
    assert_eq!((after.product.quantity, after.version.0, after.cacheable), (Stock(99), before.version.0 + 1, true));
    service.stop().await;
}

#[tokio::test]
async fn only_those_are_told_who_fetched_what_changes() {
    let (_dir, service, client) = start_alone(|config| config.lease = LONG_LEASE).await;
    let (mut fan, mut bystander) = (Frontend::start().await, Frontend::start().await);
    client.lease(&fan).await;
    client.lease(&bystander).await;
    client.fence(1).await.unwrap();
    client.product("Tux", Some(fan.holder)).await;
    client.product("Fox", Some(bystander.holder)).await;

    let order = |product, quantity| line(OrderId::random(), product, quantity);
    client.reserve(&batch(1, 1, vec![order("Tux", 1), order("Tux", 1)])).await.unwrap();
    assert_eq!(fan.told().await, [("Tux".to_owned(), 3)], "once, with the version after both orders");
    client.reserve(&batch(1, 2, vec![order("Tux", 1)])).await.unwrap();
    client.reserve(&batch(1, 3, vec![order("Fox", 200)])).await.unwrap();
    assert!(!fan.was_told_more(), "it has not fetched again");
    assert!(!bystander.was_told_more(), "its product has not changed: a refused order takes nothing");
    client.reserve(&batch(1, 4, vec![order("Fox", 1)])).await.unwrap();
    assert_eq!(bystander.told().await, [("Fox".to_owned(), 2)]);
    service.stop().await;
}

#[tokio::test]
async fn a_holder_that_cannot_be_reached_delays_a_change_until_its_lease_is_over() {
    let (_dir, service, client) = start_alone(|config| config.lease = LEASE).await;
    client.fence(1).await.unwrap();
    let frontend = Frontend::unreachable().await;
    let leased = Instant::now();
    client.lease(&frontend).await;
    assert!(client.product("Tux", Some(frontend.holder)).await.cacheable);

    let reserving = {
        let (client, batch) = (client.clone(), batch(1, 1, vec![line(OrderId::random(), "Tux", 1)]));
        tokio::spawn(async move { client.reserve(&batch).await.map(|_| Instant::now()) })
    };
    // Its renewals are refused once the invalidation has failed: else it would hold up the change for ever.
    loop {
        let request = frontend.request();
        match client.caller.post::<_, IgnoredAny>(&client.to, "/leases", &request, support::PATIENCE).await {
            Ok(_) => assert!(!reserving.is_finished()),
            refused => break assert_eq!(code(refused), ErrorCode::Unavailable),
        }
    }
    assert_eq!(client.stock("Tux").await, 100, "not shown while it may be cached");
    let acknowledged = reserving.await.unwrap().unwrap();
    assert!(acknowledged.duration_since(leased) >= LEASE + LEASE / 10, "earlier than the lease's end");
    assert_eq!(client.stock("Tux").await, 99);

    client.lease(&frontend).await;
    assert!(client.product("Tux", Some(frontend.holder)).await.cacheable, "with a new lease it may cache again");
    service.stop().await;
}

#[tokio::test]
async fn a_holder_that_gives_its_lease_back_is_not_waited_for() {
    let (_dir, service, client) = start_alone(|config| config.lease = LONG_LEASE).await;
    client.fence(1).await.unwrap();
    let mut frontend = Frontend::start().await;
    client.lease(&frontend).await;
    client.product("Tux", Some(frontend.holder)).await;
    let path = format!("/leases/{}", frontend.holder);
    let route = Route::filled("/leases/{holder}", &path);
    let _: IgnoredAny = client.caller.delete(&client.to, route, None::<&()>, support::PATIENCE).await.unwrap();
    client.reserve(&batch(1, 1, vec![line(OrderId::random(), "Tux", 1)])).await.unwrap();
    assert!(!frontend.was_told_more());
    assert!(!client.product("Tux", Some(frontend.holder)).await.cacheable);
    service.stop().await;
}

#[tokio::test]
async fn a_restarted_catalog_remembers_and_lets_the_old_leases_run_out() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |config| config.lease = LEASE).await;
    let client = Client::of(&service);
    let order = OrderId::random();
    client.fence(3).await.unwrap();
    let reserve = batch(3, 1, vec![line(order, "Tux", 10)]);
    let answer = client.reserve(&reserve).await.unwrap();
    service.stop().await;

    let restarted = Instant::now();
    // A shorter lease now: the old ones are not shorter by that.
    let service = start(dir.path(), |config| config.lease = Duration::from_millis(100)).await;
    let client = Client::of(&service);
    let reading = {
        let client = client.clone();
        tokio::spawn(async move { (client.stock("Tux").await, Instant::now()) })
    };
    assert_eq!(client.fence(3).await.unwrap().open, [order], "a fence is answered at once");
    assert!(!reading.is_finished(), "read before the old leases were over");
    assert_eq!(client.reserve(&reserve).await.unwrap(), answer);
    let acknowledged = Instant::now();
    let (stock, read) = reading.await.unwrap();
    assert_eq!(stock, 90);
    assert!(read.duration_since(restarted) >= LEASE + LEASE / 10);
    assert!(acknowledged.duration_since(restarted) >= LEASE + LEASE / 10);
    service.stop().await;
}

#[tokio::test]
async fn a_change_that_was_never_acknowledged_is_not_until_caches_cannot_be_stale() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |config| config.lease = LEASE).await;
    let client = Client::of(&service);
    let mut frontend = Frontend::start().await;
    client.fence(1).await.unwrap();
    let leased = Instant::now();
    client.lease(&frontend).await;
    assert!(client.product("Tux", Some(frontend.holder)).await.cacheable);
    frontend.confirm(false);
    let reserve = batch(1, 1, vec![line(OrderId::random(), "Tux", 1)]);
    let reserving = {
        let (client, reserve) = (client.clone(), reserve.clone());
        tokio::spawn(async move {
            client.caller.post::<_, IgnoredAny>(&client.to, "/reservations", &reserve, support::PATIENCE).await
        })
    };
    frontend.told().await;
    client.committed("Tux", (99, 0, 1)).await;
    assert_eq!(client.stock("Tux").await, 100, "committed, but not shown");
    service.stop().await;
    assert_eq!(code(reserving.await.unwrap()), ErrorCode::NotLeader);

    let service = start(dir.path(), |config| config.lease = LEASE).await;
    let client = Client::of(&service);
    client.reserve(&reserve).await.unwrap();
    assert!(leased.elapsed() >= LEASE, "acknowledged although the frontend may serve the old value");
    assert_eq!(client.stock("Tux").await, 99);
    assert_eq!(client.account("Tux").await, (99, 0, 1));
    service.stop().await;
}

#[tokio::test]
async fn what_is_sold_out_comes_back_and_caches_hear_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |config| {
        config.lease = LONG_LEASE;
        config.restock = Restock { interval: Duration::from_millis(200), level: Stock(70) };
    })
    .await;
    let client = Client::of(&service);
    let mut frontend = Frontend::start().await;
    client.lease(&frontend).await;
    client.fence(1).await.unwrap();
    client.product("Tux", Some(frontend.holder)).await;
    client.reserve(&batch(1, 1, vec![line(OrderId::random(), "Tux", 100)])).await.unwrap();
    assert_eq!(frontend.told().await, [("Tux".to_owned(), 2)]);
    // It is sold out until it is restocked, and any of the two (or the time between) may be what is fetched now.
    let fetched = client.product("Tux", Some(frontend.holder)).await;
    if fetched.product.quantity == Stock(0) && fetched.cacheable {
        assert_eq!(frontend.told().await, [("Tux".to_owned(), 3)]);
    }
    let told = tokio::time::timeout(support::PATIENCE, async { while client.stock("Tux").await == 0 {} });
    told.await.expect("restocked");
    assert_eq!(client.account("Tux").await, (70, 0, 100));
    assert_eq!(client.account("Fox").await, (100, 0, 0), "only what is sold out is restocked");
    service.stop().await;
}

#[tokio::test]
async fn looks_together_are_what_each_is_alone() {
    let (_dir, service, client) = start_alone(|config| config.lease = LONG_LEASE).await;
    let mut frontend = Frontend::start().await;
    client.lease(&frontend).await;
    client.fence(1).await.unwrap();
    let names = ["Tux", "Unicorn", "Fox"].map(|name| ProductName::new(name).unwrap());
    let looks = LookTogether { holder: Some(frontend.holder), names: names.to_vec().try_into().unwrap() };
    let found: Vec<Look> = client.post(LOOK_TOGETHER_PATH, &looks).await.unwrap();
    let alone = client.product("Tux", Some(frontend.holder)).await;
    assert_eq!(found[..2], [Look::Read(alone), Look::NoSuchProduct]);
    assert!(matches!(&found[2], Look::Read(read) if read.product.name == names[2] && read.cacheable));
    client.reserve(&batch(1, 1, vec![line(OrderId::random(), "Fox", 1)])).await.unwrap();
    assert_eq!(frontend.told().await, [("Fox".to_owned(), 2)], "who may keep it is told of its change");

    let many = BTreeMap::from([("names", vec!["Tux"; TOGETHER_MAX + 1])]);
    assert_eq!(code(client.post::<IgnoredAny>(LOOK_TOGETHER_PATH, &many).await), ErrorCode::BadRequest);
    service.stop().await;
}

#[tokio::test]
async fn every_mistake_has_its_own_answer() {
    let (_dir, service, client) = start_alone(|_| ()).await;
    client.fence(1).await.unwrap();
    assert_eq!(code(client.get::<IgnoredAny>("/products/Unicorn").await), ErrorCode::NoSuchProduct);
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

    let all: Vec<Product> = client.get("/products").await.unwrap();
    assert_eq!(all, [support::product("Fox", 100), support::product("Tux", 100)]);
    service.stop().await;
}

#[tokio::test]
async fn a_full_batch_of_the_longest_names_passes() {
    let dir = tempfile::tempdir().unwrap();
    let long = "ü".repeat(64);
    let products = vec![support::product(&long, 1000)];
    let service = start(dir.path(), |config| config.seed = Seed::Products(products)).await;
    let client = Client::of(&service);
    client.fence(1).await.unwrap();
    let orders = (0..256).map(|_| line(OrderId::random(), &long, 1)).collect();
    let answer = client.reserve(&batch(1, 1, orders)).await.unwrap();
    assert!(answer.outcomes.iter().all(|outcome| *outcome == Reservation::Reserved));
    assert_eq!(client.account(&long).await, (744, 0, 256));
    service.stop().await;
}

#[tokio::test]
async fn the_token_is_wanted_but_not_for_health() {
    let dir = tempfile::tempdir().unwrap();
    let token = service::Token::new("open sesame".replace(' ', "-").as_str()).unwrap();
    let service = start(dir.path(), |config| config.token = Some(token.clone())).await;
    let stranger = Client::of(&service);
    assert_eq!(code(stranger.get::<IgnoredAny>("/products").await), ErrorCode::Unauthorized);
    assert_eq!(code(stranger.get::<IgnoredAny>("/status").await), ErrorCode::Unauthorized);
    let friend = Client { caller: service::call::Caller::new(Some(&token)), ..stranger.clone() };
    assert_eq!(friend.stock("Tux").await, 100);
    for path in ["/healthz", "/readyz", "/metrics"] {
        // It is ready once it knows how far its leader is: soon, but not from its first answer on.
        let told = async { while !reqwest::get(stranger.to.url(path)).await.unwrap().status().is_success() {} };
        assert!(tokio::time::timeout(Duration::from_secs(20), told).await.is_ok(), "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn metrics_tell_of_stock_and_changes() {
    let (_dir, service, client) = start_alone(|config| config.lease = LONG_LEASE).await;
    let mut frontend = Frontend::start().await;
    client.lease(&frontend).await;
    client.fence(1).await.unwrap();
    client.product("Tux", Some(frontend.holder)).await;
    let orders = vec![line(OrderId::random(), "Tux", 60), line(OrderId::random(), "Tux", 60)];
    client.reserve(&batch(1, 1, orders)).await.unwrap();
    frontend.told().await;
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
        "toystore_http_client_request_duration_seconds_count{outcome=\"2xx\",route=\"/cache\",target=\"frontend\"} 1",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected} is not in\n{text}");
    }
    // One that is not answered in time is repeated.
    let attempts = text.lines().find_map(|line| line.strip_prefix("toystore_catalog_invalidation_attempts_total "));
    assert!(attempts.is_some_and(|attempts| attempts.parse::<u64>().unwrap() >= 1), "{attempts:?} in\n{text}");
    service.stop().await;
}

#[tokio::test]
async fn a_catalog_without_a_file_makes_one_and_a_name_may_be_any_text() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data/catalog.csv");
    let service = start(dir.path(), |config| config.seed = Seed::Missing(file.clone())).await;
    let all: Vec<Product> = Client::of(&service).get("/products").await.unwrap();
    assert_eq!(all, catalog::seed::read(&file).unwrap());
    assert!(all.len() >= 12);
    service.stop().await;

    // The stock is there now: another file changes nothing.
    let service = start(dir.path(), |_| ()).await;
    assert_eq!(Client::of(&service).get::<Vec<Product>>("/products").await.unwrap(), all);
    service.stop().await;

    let odd = "50 % off/on? Bär & \"Co\"";
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |config| config.seed = Seed::Products(vec![support::product(odd, 3)])).await;
    let client = Client::of(&service);
    assert_eq!(client.stock("50%20%25%20off%2Fon%3F%20B%C3%A4r%20%26%20%22Co%22").await, 3);
    service.stop().await;
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), |_| ()).await;
    let listeners = support::listeners();
    let config = support::config(dir.path(), 1, Replicas::from([(Ordinal(1), support::address(service.address()))]));
    let error = Service::start(config, listeners).await.err().expect("the directory is taken");
    assert_eq!(error.exit_code(), ExitCode::Usage, "{error}");
    service.stop().await;
}

#[tokio::test]
async fn leases_are_bounded() {
    let (_dir, service, client) = start_alone(|config| config.lease = LONG_LEASE).await;
    let mut frontend = Frontend::start().await;
    let granted = client.lease(&frontend).await;
    assert_eq!(granted.duration_ms, 60_000);
    let mut refused = None;
    for _ in 0..64 {
        frontend.holder = api::HolderId::random();
        refused = client.post::<IgnoredAny>("/leases", &frontend.request()).await.err();
    }
    assert_eq!(refused.and_then(|error| error.code()), Some(ErrorCode::Overloaded));
    service.stop().await;
}
