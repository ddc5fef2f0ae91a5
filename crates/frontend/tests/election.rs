//! The frontend conducts the elections of three real replicas, over loopback.

mod replicas;
mod store;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::public::{Order, OrderPlaced};
use api::{IDEMPOTENCY_KEY_HEADER, NodeId, OrderId, Ordinal};
use discovery::fixed;
use frontend::election::{Conductor, ElectionMetrics};
use replicas::Group;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use service::call::Caller;
use store::{Store, body, eventually, failure};
use tokio_util::sync::CancellationToken;

/// Not a test: what a replica's process runs.
#[test]
#[ignore = "the body of the replicas' processes, which the other tests start"]
fn replica_process() {
    replicas::process_main();
}

/// A frontend before three replicas; the first leader is there.
async fn store() -> (Group, Store) {
    let group = Group::start().await;
    let store = Store::start_with(|config| config.orders = discovery::fixed(group.addresses())).await;
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

/// One order, repeated as its shopper would: an election on a busy machine may take longer than the frontend waits.
async fn place(store: &Store) -> u64 {
    let id = OrderId::random();
    let placed = eventually("the order is placed", async || {
        let answer = order(&store.client, &store.public, id).await;
        (answer.status() != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    });
    body::<OrderPlaced>(placed.await).await.order_number.get()
}

/// Writers that order until they are told to stop; each gives back the numbers that it was given.
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
                    let answer = order(&client, &public, OrderId::random()).await;
                    numbers.push(body::<OrderPlaced>(answer).await.order_number.get());
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
            numbers.extend(task.await.expect("no writer saw an error"));
        }
        numbers
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_the_leader_is_killed_no_writer_notices() {
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
    assert_eq!(unique.len(), numbers.len(), "no number twice");
    assert_ne!(group.leader().await, first);
    for number in [1, next, *unique.last().unwrap()] {
        assert_eq!(body::<Order>(store.get(&format!("/orders/{number}")).await).await.number.get(), number);
    }
    let metrics = store.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains(r#"outcome="won""#), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_that_is_paused_is_replaced_and_follows_when_it_wakes() {
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
        // Asked each time: a busy machine may elect once more. Only a majority confirms a leader, and so no old one.
        let (leader, status) = (group.leader().await, group.status(silent).await?);
        (status.leader.map(NodeId::ordinal) == Some(Ordinal(leader))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_majority_there_is_no_order_until_it_is_back() {
    let (mut group, store) = store().await;
    let number = place(&store).await;
    let leader = group.leader().await;
    let (left, gone) = (leader % 3 + 1, [leader, (leader + 1) % 3 + 1]);
    let committed = group.status_where("an order", leader, |status| status.committed.is_some()).await.committed;
    group.status_where("the third replica has the order", left, |status| status.applied >= committed).await;
    for seat in gone {
        group.kill(seat);
    }

    let begun = Instant::now();
    let (status, code, _) = failure(order(&store.client, &store.public, OrderId::random()).await).await;
    assert_eq!((status, code.as_str()), (503, "unavailable"));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let read = eventually("what is there can still be read", async || {
        // A look at a replica is given up after 200 ms.
        let answer = store.get(&format!("/orders/{number}")).await;
        (answer.status() != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    });
    assert_eq!(body::<Order>(read.await).await.number.get(), number);
    assert!(store.get("/readyz").await.status().is_success(), "an outage behind it does not take the frontend out");

    group.start_seat(gone[1]).await;
    assert!(place(&store).await > number, "it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_group_that_was_killed_as_a_whole_gets_a_leader_again() {
    let (mut group, store) = store().await;
    let number = place(&store).await;
    for seat in 1..=3 {
        group.kill(seat);
    }
    for seat in 1..=3 {
        group.start_seat(seat).await;
    }
    assert_eq!(place(&store).await, number + 1);
    assert_eq!(body::<Order>(store.get(&format!("/orders/{number}")).await).await.number.get(), number);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_frontends_agree_on_the_next_leader() {
    let (mut group, here) = store().await;
    let there = Store::start_with(|config| config.orders = discovery::fixed(group.addresses())).await;
    place(&here).await;
    group.kill(group.leader().await);
    let (first, second) = tokio::join!(place(&here), place(&there));
    assert_ne!(first, second);
    assert_eq!(BTreeSet::from([first, second]), BTreeSet::from([2, 3]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_doubt_about_a_leader_that_is_well_costs_no_election() {
    let replicas = Group::start().await;
    let group = discovery::Group::new("order", fixed(replicas.addresses()), Caller::new(None));
    let stop = CancellationToken::new();
    let metrics = ElectionMetrics::new(&prometheus::Registry::new());
    let conductor = tokio::spawn(Conductor::new(group.clone(), metrics).run(stop.clone()));
    let known = async || {
        let leader = *group.leader().wait_for(Option::is_some).await.expect("the group lives");
        leader.expect("just seen")
    };
    let is_kept = async || {
        let leader = known().await;
        for _ in 0..20 {
            group.doubt(leader);
            if known().await != leader {
                return false;
            }
        }
        true
    };
    // A leader that does not tell its status within 150 ms is not well, and that may be so now and then on a busy machine.
    let mut tries = 1;
    while !is_kept().await {
        assert!(tries < 5, "doubts cost elections");
        tries += 1;
    }
    stop.cancel();
    conductor.await.expect("it ends");
}

/// Not a check but a measurement: `cargo test -p frontend --test election -- --ignored --nocapture`.
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
        group.start_seat(leader).await;
        let committed = group.status(group.leader().await).await.and_then(|status| status.committed);
        group.status_where("the replica is back", leader, |status| status.applied >= committed).await;
    }
    times.sort();
    eprintln!("kill to next acknowledged order: p50 {:?}, p90 {:?}, max {:?}", times[20], times[36], times[39]);
}
