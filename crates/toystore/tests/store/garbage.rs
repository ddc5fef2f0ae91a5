//! Garbage sent to any port does not stop the process behind it, and the store keeps working.
//!
//! No token is set, so that every request gets as far as possible. Well-formed but false messages
//! (such as a fence with a far-off term) are not tested: clients of the internal ports are trusted,
//! and the token keeps all others out.

use std::time::Duration;

use api::Address;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use toystore::local::{StoreLayout, StoreMember};

use crate::harness::{TIMEOUT, TestStore};

const ROUNDS: usize = 150;

const METHODS: [&str; 6] = ["GET", "POST", "DELETE", "PUT", "HEAD", "BREW"];

/// The paths of all services. Paths of another service must be answered with "not found".
const PATHS: [&str; 28] = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/products",
    "/products/Tux",
    "/products/%FF",
    "/orders",
    "/orders/1",
    "/orders/99999999999999999999",
    "/cache",
    "/cache/Tux",
    "/status",
    "/election",
    "/leases",
    "/leases/x",
    "/reservations",
    "/settlements",
    "/fence",
    "/resolution",
    "/accounts",
    "/replication/append",
    "/replication/vote",
    "/replication/state",
    "/replication/join",
    "/replication/status",
    "/%00/../x?y=z&holder=7",
];

const SCRAPS: [&str; 20] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1.5",
    "1e999",
    "99999999999999999999",
    "\"\"",
    "\"name\":",
    "\"Tux\"",
    "\"quantity\":",
    "\"orders\":",
    "\"id\":",
    "\"\\ud800\"",
    "\"holder\":",
];

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_every_port_does_no_harm() {
    let mut store = TestStore::start().await;
    store.rest().buy("Tux", 1).await;
    let seed: u64 = rand::random();
    eprintln!("seed: {seed}");
    let thrown = ports(store.store.layout()).into_iter().enumerate().map(|(number, port)| async move {
        let mut random = StdRng::seed_from_u64(seed ^ number as u64);
        for _ in 0..ROUNDS {
            let request = request(&mut random);
            let answer = exchange(&port, &request).await;
            let response = String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned();
            let sent = String::from_utf8_lossy(&request).into_owned();
            assert!(answer.is_empty() || response.starts_with("HTTP/1.1 "), "{port}: {sent:?} got {response:?}");
            assert!(!response.starts_with("HTTP/1.1 500"), "{port}: {sent:?} got {response:?}");
        }
    });
    futures::future::join_all(thrown).await;
    for process in store.store.processes() {
        assert!(process.is_running(), "{} has ended", process.member());
    }
    store.ready().await;
    store.rest().buy("Tux", 1).await;
}

/// All ports of the store. The replication ports have the default offsets from the internal ports.
fn ports(layout: &StoreLayout) -> Vec<Address> {
    let members = layout.members().into_iter().flat_map(|member| {
        let service = layout.internal(member);
        let (host, port) = service.as_str().rsplit_once(':').expect("host:port");
        let port: u16 = port.parse().expect("a port");
        let other = match member {
            StoreMember::Catalog => Address::new(host, port + 1),
            StoreMember::Order(_) => Address::new(host, port + 3),
            StoreMember::Frontend(n) => layout.public(n),
        };
        [service, other]
    });
    members.collect()
}

fn request(random: &mut StdRng) -> Vec<u8> {
    let bytes = |random: &mut StdRng, most| -> Vec<u8> {
        let length = random.random_range(0..=most);
        (0..length).map(|_| random.random()).collect()
    };
    if random.random_range(0..4) == 0 {
        return bytes(random, 600);
    }
    let body = match random.random_range(0..3) {
        0 => bytes(random, 400),
        1 => (0..random.random_range(0..12)).flat_map(|_| pick(random, &SCRAPS).bytes()).collect(),
        _ => (0..random.random_range(0..24)).map(|_| random.random_range(0..3_u8)).collect(),
    };
    let length = match random.random_range(0..20) {
        0 => "-1".to_owned(),
        1 => "99999999999999999999".to_owned(),
        2 => (body.len() + 7).to_string(),
        _ => body.len().to_string(),
    };
    let head = format!(
        "{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {}\r\nX-Replication-Group: {}\r\n\
         Idempotency-Key: {}\r\nContent-Length: {length}\r\n\r\n",
        pick(random, &METHODS),
        pick(random, &PATHS),
        pick(random, &["application/json", "text/plain", ";;", "application/octet-stream"]),
        pick(random, &["order", "catalog", "nobody"]),
        pick(random, &["0190b5a4-7f0e-7cc3-98c4-dc0c0c07398f", "7", ""]),
    );
    let mut request = [head.as_bytes(), &body].concat();
    if random.random_range(0..10) == 0 {
        let at = random.random_range(0..request.len());
        request[at] = random.random();
    }
    request
}

fn pick<'a>(random: &mut StdRng, from: &[&'a str]) -> &'a str {
    from[random.random_range(0..from.len())]
}

/// Sends the request, closes the sending side, and reads the response to its end. The server may
/// close the connection at any time.
async fn exchange(port: &Address, request: &[u8]) -> Vec<u8> {
    let exchange = async {
        let mut stream = TcpStream::connect(port.as_str()).await.expect("the port is open");
        let mut answer = Vec::new();
        if stream.write_all(request).await.is_ok() && stream.shutdown().await.is_ok() {
            let _ = stream.read_to_end(&mut answer).await;
        }
        answer
    };
    let timeout = TIMEOUT + Duration::from_secs(10);
    tokio::time::timeout(timeout, exchange).await.expect("an answer or an end")
}
