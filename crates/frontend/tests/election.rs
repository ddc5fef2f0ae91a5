//! The frontend elects the leaders of three real replicas, over loopback.

mod replicas;
mod store;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::public::{Order, OrderPlaced};
use api::{IDEMPOTENCY_KEY_HEADER, NodeId, OrderId, Ordinal};
use discovery::static_replicas;
use frontend::election::{ElectionMetrics, LeaderMonitor};
use replicas::Group;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use service::json_client::JsonClient;
use store::{PATIENCE, Store, body, eventually, failure};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Not a test, but the body of the replicas' processes.
#[test]
#[ignore = "the body of the replicas' processes, which the other tests start"]
fn replica_process() {
    replicas::process_main();
}

/// A frontend with a group of three replicas that has its first leader.
async fn store() -> (Group, Store) {
    let group = Group::start().await;
    let store = Store::start_with(|config| config.orders = discovery::static_replicas(group.addresses())).await;
    (group, store)
}

async fn order(client: &Client, public: &str, id: OrderId) -> reqwest::Response {
    let order = client.post(format!("{public}/orders")).header(CONTENT_TYPE, "application/json");
    order
        .header(IDEMPOTENCY_KEY_HEADER, id.to_string())
        .body(r#"{"name":"Tux","quantity":1}"#)
        .send()
        .await
        .expect("an answer")
}

/// Places one order; see [`place_at`].
async fn place(store: &Store) -> u64 {
    place_at(&store.client, &store.public).await
}

/// Places one order, and repeats it as a client would: on a busy machine an election may take
/// longer than the frontend waits.
async fn place_at(client: &Client, public: &str) -> u64 {
    let (id, deadline) = (OrderId::random(), Instant::now() + PATIENCE);
    loop {
        let answer = order(client, public, id).await;
        if answer.status() != StatusCode::SERVICE_UNAVAILABLE || Instant::now() > deadline {
            return body::<OrderPlaced>(answer).await.order_number.get();
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Reads an order, and repeats it likewise. A read from a replica times out after 200 ms.
async fn read(store: &Store, number: u64) -> Order {
    let read = eventually("the order is read", async || {
        let answer = store.get(&format!("/orders/{number}")).await;
        (answer.status() != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    });
    body::<Order>(read.await).await
}

/// Clients that place orders until they are stopped. Each returns the numbers of its orders.
struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Vec<u64>>>,
}

impl Writers {
    fn start(store: &Store, writers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let writer = |_| {
            let (client, public, stop) = (store.client.clone(), store.public.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut numbers = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    numbers.push(place_at(&client, &public).await);
                }
                numbers
            })
        };
        let tasks = (0..writers).map(writer).collect();
        Self { stop, tasks }
    }

    async fn finish(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut numbers = Vec::new();
        for task in self.tasks {
            numbers.extend(task.await.expect("every order is placed"));
        }
        numbers
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_order_is_placed_once_although_the_leader_is_killed() {
    let (mut group, store) = store().await;
    let first = group.leader().await;
    let writers = Writers::start(&store, 8);
    eventually("orders are placed", async || (place(&store).await > 50).then_some(())).await;
    let killed_at = Instant::now();
    group.kill(first);
    let next = place(&store).await;
    eprintln!("the next order ({next}) was acknowledged after {:?}", killed_at.elapsed());
    eventually("orders are placed again", async || (place(&store).await > next + 50).then_some(())).await;

    let numbers = writers.finish().await;
    let unique: BTreeSet<_> = numbers.iter().copied().collect();
    assert_eq!(unique.len(), numbers.len(), "no number was given twice");
    assert_ne!(group.leader().await, first);
    for number in [1, next, *unique.last().unwrap()] {
        assert_eq!(read(&store, number).await.number.get(), number);
    }
    let metrics = store.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains(r#"outcome="won""#), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_paused_leader_is_replaced_and_follows_when_it_is_resumed() {
    let (group, store) = store().await;
    place(&store).await;
    let silent = group.leader().await;
    group.pause(silent);
    let begun = Instant::now();
    let number = place(&store).await;
    eprintln!("order {number} was acknowledged {:?} after the leader was paused", begun.elapsed());
    assert_ne!(group.leader().await, silent);

    group.resume(silent);
    eventually("the old leader follows", async || {
        // Read each time, because a busy machine may elect once more. A majority confirms the
        // leader, so it is never an old one.
        let (leader, status) = (group.leader().await, group.status(silent).await?);
        (status.leader.map(NodeId::ordinal) == Some(Ordinal(leader))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_majority_no_order_is_placed_until_it_is_back() {
    let (mut group, store) = store().await;
    let number = place(&store).await;
    let leader = group.leader().await;
    let (left, gone) = (leader % 3 + 1, [leader, (leader + 1) % 3 + 1]);
    let committed = group.status_where("an order", leader, |status| status.committed.is_some()).await.committed;
    group.status_where("the third replica has the order", left, |status| status.applied >= committed).await;
    for ordinal in gone {
        group.kill(ordinal);
    }

    let refused = timeout(PATIENCE, order(&store.client, &store.public, OrderId::random())).await;
    let (status, code, _) = failure(refused.expect("an answer")).await;
    assert_eq!((status, code.as_str()), (503, "unavailable"));
    assert_eq!(read(&store, number).await.number.get(), number, "the order can still be read");
    assert!(
        store.get("/readyz").await.status().is_success(),
        "an outage of the order service does not make the frontend unready"
    );

    group.start_replica(gone[1]).await;
    assert!(place(&store).await > number, "orders are placed again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_group_that_was_killed_as_a_whole_elects_a_leader_again() {
    let (mut group, store) = store().await;
    let number = place(&store).await;
    for ordinal in 1..=3 {
        group.kill(ordinal);
    }
    for ordinal in 1..=3 {
        group.start_replica(ordinal).await;
    }
    assert_eq!(place(&store).await, number + 1);
    assert_eq!(read(&store, number).await.number.get(), number);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_frontends_agree_on_the_next_leader() {
    let (mut group, here) = store().await;
    let there = Store::start_with(|config| config.orders = discovery::static_replicas(group.addresses())).await;
    place(&here).await;
    group.kill(group.leader().await);
    let (first, second) = tokio::join!(place(&here), place(&there));
    assert_ne!(first, second);
    assert_eq!(BTreeSet::from([first, second]), BTreeSet::from([2, 3]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn suspecting_a_healthy_leader_costs_no_election() {
    let replicas = Group::start().await;
    let group = discovery::Group::new("order", static_replicas(replicas.addresses()), JsonClient::new(None));
    let stop = CancellationToken::new();
    let metrics = ElectionMetrics::new(&prometheus::Registry::new());
    let monitor = tokio::spawn(LeaderMonitor::new(group.clone(), metrics).run(stop.clone()));
    let known = async || {
        let leader = *group.leader().wait_for(Option::is_some).await.expect("the group lives");
        leader.expect("just seen")
    };
    let is_kept = async || {
        let leader = known().await;
        for _ in 0..20 {
            group.suspect(leader);
            if known().await != leader {
                return false;
            }
        }
        true
    };
    // On a busy machine the leader may fail to return its status within 150 ms now and then.
    eventually("20 suspicions in a row cost no election", async || is_kept().await.then_some(())).await;
    stop.cancel();
    monitor.await.expect("it ends");
}

/// A measurement, not a check: `cargo test -p frontend --test election -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes half a minute, and prints times that depend on the machine"]
async fn failover_times() {
    let (mut group, store) = store().await;
    let mut times = Vec::new();
    for _ in 0..40 {
        place(&store).await;
        let leader = group.leader().await;
        let killed_at = Instant::now();
        group.kill(leader);
        place(&store).await;
        times.push(killed_at.elapsed());
        group.start_replica(leader).await;
        let committed = group.status(group.leader().await).await.and_then(|status| status.committed);
        group.status_where("the replica is back", leader, |status| status.applied >= committed).await;
    }
    times.sort();
    eprintln!("kill to next acknowledged order: p50 {:?}, p90 {:?}, max {:?}", times[20], times[36], times[39]);
}
