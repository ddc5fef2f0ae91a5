//! A catalog of three replicas.

mod support;

use std::time::Duration;

use api::catalog::{BatchReserved, Reservation, ReserveBatch};
use api::replica::Replicas;
use api::{ErrorCode, OrderId, Ordinal};
use catalog::Service;
use discovery::Group;
use replication::Leadership;
use serde::de::IgnoredAny;
use service::call::{CallError, Caller};
use support::{Client, Frontend, PATIENCE, address, batch, code, config, line, listeners};
use tokio::time::{Instant, timeout};

/// Three replicas, by seat.
async fn start_three(dir: &std::path::Path, lease: Duration) -> Vec<Service> {
    let sockets: Vec<_> = (0..3).map(|_| listeners()).collect();
    let peers: Replicas =
        (1..).map(Ordinal).zip(sockets.iter().map(|it| address(it.replication.local_addr().unwrap()))).collect();
    let starting = (1..).zip(sockets).map(|(seat, listeners)| {
        let mut config = config(dir, seat, peers.clone());
        config.lease = lease;
        Service::start(config, listeners)
    });
    let services = futures::future::join_all(starting).await;
    services.into_iter().map(Result::unwrap).collect()
}

fn group_of(services: &[&Service]) -> Group {
    let replicas: Replicas =
        services.iter().map(|service| (service.replica().node_id().ordinal(), address(service.address()))).collect();
    Group::new(catalog::GROUP, discovery::fixed(replicas), Caller::new(None))
}

/// Waits until one of them leads; gives its place in the list.
async fn leader(services: &[&Service]) -> usize {
    let watching = services.iter().enumerate().map(|(at, service)| {
        let mut leadership = service.replica().leadership();
        Box::pin(async move {
            leadership.wait_for(|now| matches!(now, Leadership::Leading(_))).await.unwrap();
            at
        })
    });
    timeout(PATIENCE, futures::future::select_all(watching)).await.expect("one is elected").0
}

/// Does `work` while an election is conducted among `electorate`, as a frontend would: whenever none of them leads, both are asked to stand
/// (the first lets go of its vote for the old leader thereby), and given time to win.
async fn conducted<T>(electorate: &[&Service], work: impl Future<Output = T>) -> T {
    let conducting = async {
        loop {
            if timeout(Duration::from_millis(500), leader(electorate)).await.is_err() {
                for candidate in electorate {
                    candidate.replica().stand().await;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        done = timeout(PATIENCE, work) => done.expect("it is done in time"),
        () = conducting => unreachable!("conducting has no end"),
    }
}

async fn reserve(group: &Group, batch: &ReserveBatch) -> Result<BatchReserved, CallError> {
    let ask = |caller: Caller, to| async move { caller.post(&to, "/reservations", batch, PATIENCE).await };
    group.ask_leader(Instant::now() + PATIENCE, ask).await
}

#[tokio::test]
async fn the_leader_serves_and_its_successor_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut services = start_three(dir.path(), Duration::from_millis(300)).await;
    let first = leader(&services.iter().collect::<Vec<_>>()).await;
    let client = Client::of(&services[first]);
    client.fence(1).await.unwrap();
    let order = batch(1, 1, vec![line(OrderId::random(), "Tux", 10)]);
    let answer = client.reserve(&order).await.unwrap();

    let follower = Client::of(&services[(first + 1) % 3]);
    let refused = follower.caller.get::<IgnoredAny>(&follower.to, "/products", PATIENCE).await.unwrap_err();
    let CallError::Refused(refusal) = refused else { panic!("{refused}") };
    assert_eq!(refusal.code, ErrorCode::NotLeader);
    assert!(refusal.leader.is_none_or(|leader| leader == services[first].replica().node_id().ordinal()));

    services.remove(first).stop().await;
    let rest: Vec<&Service> = services.iter().collect();
    let next = batch(1, 2, vec![line(OrderId::random(), "Tux", 91), line(OrderId::random(), "Tux", 90)]);
    // Leadership was handed over; but an heir whose disk is slow may have deposed the old leader without having won by then, and
    // stands once more only if somebody asks.
    let group = group_of(&rest);
    let again = conducted(&rest, reserve(&group, &order)).await.unwrap();
    assert_eq!(again, answer, "the same batch, the same answer, whoever leads");
    let outcomes = conducted(&rest, reserve(&group, &next)).await.unwrap().outcomes;
    assert_eq!(outcomes, [Reservation::OutOfStock, Reservation::Reserved]);
    for service in services {
        service.stop().await;
    }
}

#[tokio::test]
async fn a_change_under_way_when_leadership_moves_is_made_once_and_shown_late() {
    let dir = tempfile::tempdir().unwrap();
    // Longer than the change and the election take on a machine that is busy with other tests.
    let lease = Duration::from_secs(5);
    let services = start_three(dir.path(), lease).await;
    let all: Vec<&Service> = services.iter().collect();
    let first = leader(&all).await;
    let client = Client::of(&services[first]);
    let mut frontend = Frontend::start().await;
    client.fence(1).await.unwrap();
    let leased = Instant::now();
    let granted = client.lease(&frontend).await;
    assert!(client.product("Tux", Some(frontend.holder)).await.cacheable);
    frontend.confirm(false);
    let order = batch(1, 1, vec![line(OrderId::random(), "Tux", 10)]);
    let reserving = {
        let (client, order) = (client.clone(), order.clone());
        tokio::spawn(
            async move { client.caller.post::<_, IgnoredAny>(&client.to, "/reservations", &order, PATIENCE).await },
        )
    };
    frontend.told().await;
    client.committed("Tux", (90, 0, 10)).await;

    let others: Vec<&Service> = (1..3).map(|step| &services[(first + step) % 3]).collect();
    let retried = async {
        assert_eq!(code(reserving.await.unwrap()), ErrorCode::NotLeader, "the deposed leader gives up");
        reserve(&group_of(&others), &order).await.unwrap()
    };
    let answer = conducted(&others, retried).await;
    assert_eq!(answer.outcomes, [Reservation::Reserved]);
    assert!(leased.elapsed() >= lease, "acknowledged although the frontend may serve the old value");
    let successor = Client::of(others[leader(&others).await]);
    assert_eq!(successor.account("Tux").await, (90, 0, 10));
    assert_eq!(successor.stock("Tux").await, 90);
    let renewed = successor.lease(&frontend).await;
    assert!(renewed.term > granted.term, "a frontend sees that its cache is unknown to the new leader");
    for service in services {
        service.stop().await;
    }
}

#[tokio::test]
async fn the_books_of_whichever_leader_are_exported() {
    let dir = tempfile::tempdir().unwrap();
    let services = start_three(dir.path(), Duration::from_millis(100)).await;
    let all: Vec<&Service> = services.iter().collect();
    let client = Client::of(&services[leader(&all).await]);
    client.fence(1).await.unwrap();
    client.reserve(&batch(1, 1, vec![line(OrderId::random(), "Fox", 3)])).await.unwrap();
    let mut csv = Vec::new();
    catalog::export(&group_of(&all), &mut csv).await.unwrap();
    let expected =
        "name,price,quantity,reserved,sold,restocked,initial\nFox,25.99,97,3,0,0,100\nTux,25.99,100,0,0,0,100\n";
    assert_eq!(String::from_utf8(csv).unwrap(), expected);
    for service in services {
        service.stop().await;
    }
}
