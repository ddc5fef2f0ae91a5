//! A catalog with three replicas: the export asks whichever leads. How a leader succeeds another
//! one is shown by the simulation's scripts.

mod support;

use api::replica::Replicas;
use api::{ErrorCode, OrderId, Ordinal};
use catalog::{ExportError, Server};
use discovery::Group;
use replication::Leadership;
use service::json_client::{CallError, JsonClient};
use service::lifecycle::Process;
use support::{Client, PATIENCE, address, batch, code, config, line, listeners};
use tokio::time::timeout;

/// Three replicas, by ordinal.
async fn start_three(dir: &std::path::Path) -> Vec<Server> {
    let sockets: Vec<_> = (0..3).map(|_| listeners()).collect();
    let peers: Replicas = (1..).map(Ordinal).zip(sockets.iter().map(|it| address(it.side.address()))).collect();
    let starting =
        (1..).zip(sockets).map(|(ordinal, listeners)| Server::start(config(dir, ordinal, peers.clone()), listeners));
    let servers = futures::future::join_all(starting).await;
    servers.into_iter().map(Result::unwrap).collect()
}

/// Waits until one of them leads; returns its position in the list.
async fn leader(servers: &[Server]) -> usize {
    let watching = servers.iter().enumerate().map(|(at, server)| {
        let mut leadership = server.replica().leadership();
        Box::pin(async move {
            leadership.wait_for(|now| matches!(now, Leadership::Leading(_))).await.unwrap();
            at
        })
    });
    timeout(PATIENCE, futures::future::select_all(watching)).await.expect("one is elected").0
}

#[tokio::test]
async fn the_accounts_of_any_leader_are_exported_and_a_follower_refuses_reads() {
    let dir = tempfile::tempdir().unwrap();
    let servers = start_three(dir.path()).await;
    let leader = leader(&servers).await;
    let client = Client::of(&servers[leader]);
    client.fence(1).await.unwrap();
    client.reserve(&batch(1, 1, vec![line(OrderId::random(), "Fox", 3)])).await.unwrap();

    let follower = Client::of(&servers[(leader + 1) % 3]);
    let refused: Result<serde::de::IgnoredAny, CallError> =
        follower.json.get(&follower.to, "/products", PATIENCE).await;
    assert_eq!(code(refused), ErrorCode::NotLeader);

    let replicas: Replicas =
        servers.iter().map(|server| (server.replica().node_id().ordinal(), address(server.address()))).collect();
    let group = Group::new(catalog::GROUP, discovery::static_replicas(replicas), JsonClient::new(None));
    // An export looks for a leader for 5 s only.
    let export = async {
        loop {
            let mut csv = Vec::new();
            match catalog::export(&group, &mut csv).await {
                Err(ExportError::Catalog(error)) if error.code().is_none_or(|code| code == ErrorCode::Unavailable) => {}
                exported => return exported.map(|()| csv),
            }
        }
    };
    let csv = timeout(PATIENCE, export).await.expect("the catalog answers").unwrap();
    let expected =
        "name,price,quantity,reserved,sold,restocked,initial\nFox,25.99,97,3,0,0,100\nTux,25.99,100,0,0,0,100\n";
    assert_eq!(String::from_utf8(csv).unwrap(), expected);
    for server in servers {
        server.stop().await;
    }
}
