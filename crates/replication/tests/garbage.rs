//! What the replication port does with requests without a token, and with malformed ones.

mod cluster;

use cluster::Cluster;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use service::Token;
use service::http::testing;

const PATHS: [&str; 5] = ["append", "vote", "state", "join", "stand"];

/// A leader's heartbeat in term 5 without the leader's id, which openraft would look for.
const NAMELESS_LEADER: &[u8] = &[5, 0, 1, 0, 0, 0];

/// A heartbeat in the highest term, from which openraft could not count on.
const LAST_TERM: &[u8] = &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1, 7, 1, 0, 0, 0];

#[tokio::test]
async fn malformed_requests_harm_no_replica() {
    let cluster = Cluster::started(1).await;
    cluster.propose_word("tux").await;
    let client = reqwest::Client::new();
    let answer = async |path: &str, body: Vec<u8>| {
        let url = cluster.address(1).url(&format!("/replication/{path}"));
        let request = client.post(url).header("x-replication-group", "test").body(body);
        request.send().await.expect("it is alive and answers").status()
    };
    for nasty in [NAMELESS_LEADER, LAST_TERM] {
        for body in [nasty.to_vec(), sealed(nasty)] {
            assert_eq!(answer("append", body).await, 400);
        }
    }
    let seed = rand::random();
    eprintln!("seed: {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..500 {
        let largest = [1, 3, 255][random.random_range(0..3)];
        let body: Vec<u8> = (0..random.random_range(0..64)).map(|_| random.random_range(0..=largest)).collect();
        // `stand` takes no body: it is a request to stand, whatever is sent with it.
        let path = PATHS[random.random_range(0..PATHS.len() - 1)];
        assert_eq!(answer(path, body).await, 400);
    }
    // A short one with the right checksum may be a valid vote request, which does no harm.
    for _ in 0..500 {
        let body: Vec<u8> = (0..random.random_range(0..16)).map(|_| random.random_range(0..4)).collect();
        assert!(!answer("vote", sealed(&body)).await.is_server_error());
    }
    assert_eq!(cluster.words(1).texts(), ["tux"]);
    cluster.propose_word("whale").await;
}

fn sealed(message: &[u8]) -> Vec<u8> {
    [&crc32c::crc32c(message).to_le_bytes(), message].concat()
}

#[tokio::test]
async fn the_replication_port_requires_the_token_for_everything() {
    let token = || Token::new("a-long-secret").expect("long enough");
    let mut cluster = Cluster::new(1);
    cluster.adjust = |config| config.token = Token::new("a-long-secret").ok();
    cluster.start(1).await;
    let open = testing::open_without_token(&cluster.replica(1).peer_routes(), &token()).await;
    assert!(open.is_empty(), "{open:?}");
}
