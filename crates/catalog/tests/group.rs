//! A catalog with three replicas.

mod support;

use std::time::Duration;

use api::catalog::{BatchReserved, Reservation, ReserveBatch};
use api::replica::Replicas;
use api::{ErrorCode, OrderId, Ordinal};
use catalog::{ExportError, Server};
use discovery::Group;
use replication::Leadership;
use serde::de::IgnoredAny;
use service::json_client::{CallError, JsonClient};
use service::lifecycle::Process;
use support::{Client, Frontend, PATIENCE, address, batch, config, line, listeners};
use tokio::time::timeout;

/// Longer than it takes to hold elections until one succeeds, on a busy machine with slow disks.
const LONG: Duration = Duration::from_mins(1);

/// Three replicas, by ordinal.
async fn start_three(dir: &std::path::Path, lease: Duration) -> Vec<Server> {
    let sockets: Vec<_> = (0..3).map(|_| listeners()).collect();
    let peers: Replicas = (1..).map(Ordinal).zip(sockets.iter().map(|it| address(it.side.address()))).collect();
    let starting = (1..).zip(sockets).map(|(ordinal, listeners)| {
        let mut config = config(dir, ordinal, peers.clone());
        config.lease = lease;
        Server::start(config, listeners)
    });
    let servers = futures::future::join_all(starting).await;
    servers.into_iter().map(Result::unwrap).collect()
}

fn group_of(servers: &[&Server]) -> Group {
    let replicas: Replicas =
        servers.iter().map(|server| (server.replica().node_id().ordinal(), address(server.address()))).collect();
    Group::new(catalog::GROUP, discovery::static_replicas(replicas), JsonClient::new(None))
}

/// Waits until one of them leads; returns its position in the list.
async fn leader(servers: &[&Server]) -> usize {
    let watching = servers.iter().enumerate().map(|(at, server)| {
        let mut leadership = server.replica().leadership();
        Box::pin(async move {
            leadership.wait_for(|now| matches!(now, Leadership::Leading(_))).await.unwrap();
            at
        })
    });
    timeout(LONG, futures::future::select_all(watching)).await.expect("one is elected").0
}

/// Does `work` while elections are held among `electorate`, as a frontend would: whenever none of
/// them leads, both are asked to stand (after which the first no longer withholds its vote),
/// and given time to win.
async fn with_elections<T>(electorate: &[&Server], work: impl Future<Output = T>) -> T {
    let elections = async {
        loop {
            if timeout(Duration::from_millis(500), leader(electorate)).await.is_err() {
                for candidate in electorate {
                    candidate.replica().stand_for_election().await;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        done = timeout(LONG, work) => done.expect("the work is done in time"),
        () = elections => unreachable!("elections are held for ever"),
    }
}

async fn reserve(group: &Group, batch: &ReserveBatch) -> Result<BatchReserved, CallError> {
    let ask = |client: JsonClient, to| async move { client.post(&to, "/reservations", batch, PATIENCE).await };
    group.call_leader(tokio::time::Instant::now() + LONG, ask).await
}

#[tokio::test]
async fn a_successor_continues_the_leaders_work() {
    let dir = tempfile::tempdir().unwrap();
    let mut servers = start_three(dir.path(), Duration::from_millis(300)).await;
    let first = leader(&servers.iter().collect::<Vec<_>>()).await;
    let client = Client::of(&servers[first]);
    client.fence(1).await.unwrap();
    let order = batch(1, 1, vec![line(OrderId::random(), "Tux", 10)]);
    let answer = client.reserve(&order).await.unwrap();

    let follower = Client::of(&servers[(first + 1) % 3]);
    let refused = follower.json.get::<IgnoredAny>(&follower.to, "/products", PATIENCE).await.unwrap_err();
    let CallError::Refused(refusal) = refused else { panic!("{refused}") };
    assert_eq!(refusal.code, ErrorCode::NotLeader);
    assert!(refusal.leader.is_none_or(|leader| leader == servers[first].replica().node_id().ordinal()));

    servers.remove(first).stop().await;
    let rest: Vec<&Server> = servers.iter().collect();
    let next = batch(1, 2, vec![line(OrderId::random(), "Tux", 91), line(OrderId::random(), "Tux", 90)]);
    // Leadership was transferred, but a candidate with a slow disk may have deposed the old leader
    // without having won yet, and stands again only if asked to.
    let group = group_of(&rest);
    let again = with_elections(&rest, reserve(&group, &order)).await.unwrap();
    assert_eq!(again, answer, "the same batch gets the same answer from any leader");
    let outcomes = with_elections(&rest, reserve(&group, &next)).await.unwrap().outcomes;
    assert_eq!(outcomes, [Reservation::OutOfStock, Reservation::Reserved]);
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_change_under_way_when_leadership_moves_is_made_once_and_shown_after_the_leases() {
    let dir = tempfile::tempdir().unwrap();
    // Longer than the change and the election take on a machine that is busy with other tests.
    let lease = Duration::from_secs(5);
    let servers = start_three(dir.path(), lease).await;
    let all: Vec<&Server> = servers.iter().collect();
    let first = leader(&all).await;
    let client = Client::of(&servers[first]);
    let mut frontend = Frontend::start().await;
    client.fence(1).await.unwrap();
    let (granted, leased) = client.lease_and_cache(&frontend, "Tux").await;
    frontend.confirm(false);
    let order = batch(1, 1, vec![line(OrderId::random(), "Tux", 10)]);
    let reserving = {
        let (client, order) = (client.clone(), order.clone());
        tokio::spawn(
            async move { client.json.post::<_, IgnoredAny>(&client.to, "/reservations", &order, PATIENCE).await },
        )
    };
    frontend.next_invalidation().await;
    client.committed("Tux", (90, 0, 10)).await;

    let others: Vec<&Server> = (1..3).map(|step| &servers[(first + step) % 3]).collect();
    let retried = async {
        match reserving.await.unwrap() {
            // The deposed leader gives up, or the time of the request was over before that.
            Err(error) if matches!(error.code(), Some(ErrorCode::NotLeader | ErrorCode::Unavailable)) => {}
            answer => assert!(leased.elapsed() >= lease, "{answer:?}"),
        }
        reserve(&group_of(&others), &order).await.unwrap()
    };
    let answer = with_elections(&others, retried).await;
    assert_eq!(answer.outcomes, [Reservation::Reserved]);
    assert!(leased.elapsed() >= lease, "acknowledged although the frontend may serve the old value");
    let successor = Client::of(others[leader(&others).await]);
    assert_eq!(successor.account("Tux").await, (90, 0, 10));
    assert_eq!(successor.stock("Tux").await, 90);
    let renewed = successor.lease(&frontend).await;
    assert!(renewed.term > granted.term, "a frontend sees that its cache is unknown to the new leader");
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn the_accounts_of_any_leader_are_exported() {
    let dir = tempfile::tempdir().unwrap();
    let servers = start_three(dir.path(), Duration::from_millis(100)).await;
    let all: Vec<&Server> = servers.iter().collect();
    let client = Client::of(&servers[leader(&all).await]);
    client.fence(1).await.unwrap();
    client.reserve(&batch(1, 1, vec![line(OrderId::random(), "Fox", 3)])).await.unwrap();
    // An export looks for a leader for 5 s only.
    let export = async {
        loop {
            let mut csv = Vec::new();
            match catalog::export(&group_of(&all), &mut csv).await {
                Err(ExportError::Catalog(error)) if error.code().is_none_or(|code| code == ErrorCode::Unavailable) => {}
                exported => return exported.map(|()| csv),
            }
        }
    };
    let csv = timeout(LONG, export).await.expect("the catalog answers").unwrap();
    let expected =
        "name,price,quantity,reserved,sold,restocked,initial\nFox,25.99,97,3,0,0,100\nTux,25.99,100,0,0,0,100\n";
    assert_eq!(String::from_utf8(csv).unwrap(), expected);
    for server in servers {
        server.stop().await;
    }
}
