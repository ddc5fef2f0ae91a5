//! Clients that hold connections and do nothing useful with them.

use std::time::Duration;

use api::{Address, ProductName};
use client::load::{self, Plan, Stage};
use futures::StreamExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{PATIENCE, TestStore};

/// Where the machine permits it.
const IDLE_MAX: usize = 10_000;

/// More than the 16 KiB of a head that comes slowly, and its task.
const BYTES_PER_CONNECTION_MAX: u64 = 64 * 1024;

const LOOK: &str = "GET /products/Tux HTTP/1.1\r\nHost: x\r\n\r\n";

/// How many connections can be idle: half of the files that a process may open. The frontend takes five eighths, and slow ones are to come.
fn idle_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let files = limit.maximum.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let idle = IDLE_MAX.min(files / 2);
    if idle < IDLE_MAX {
        eprintln!("only {idle} idle connections: a process may open {files} files");
    }
    idle
}

async fn open(store: &Address, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(store.as_str()).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

async fn open_many(store: &Address, count: usize, sent: &str) -> Vec<TcpStream> {
    // As many at a time as fit into any backlog.
    futures::stream::iter(0..count).map(|_| open(store, sent)).buffer_unordered(64).collect().await
}

/// Whatever comes first.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 1024];
    let length = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.expect("an answer").unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// Sends another request over each of them, and sees it answered. The server closes what is idle for 30 s: on a slow machine that is not long.
async fn served_again(kept_alive: &mut [TcpStream]) {
    let asked = futures::stream::iter(kept_alive).map(async |stream: &mut TcpStream| {
        stream.write_all(LOOK.as_bytes()).await.unwrap();
        answer(stream).await
    });
    let answers: Vec<_> = asked.buffer_unordered(64).collect().await;
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 200 ")), "an idle one had to go");
}

fn memory_bytes(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_and_two_thousand_slow_clients_do_no_harm() {
    let idle = idle_connections();
    let mut store = TestStore::start().await;
    let front = store.store.layout().public(1);
    let pid = store.store.process(toystore::local::Member::Frontend(1)).pid();
    store.rest().stock("Tux").await;
    let before = memory_bytes(pid);

    let mut kept_alive = open_many(&front, idle, LOOK).await;
    for stream in &mut kept_alive {
        assert!(answer(stream).await.starts_with("HTTP/1.1 200 "));
    }
    let slow_heads = open_many(&front, idle / 10, "GET /products/Tux HTTP/1.1\r\nHost: ").await;
    let head = "POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{";
    let mut slow_bodies = open_many(&front, idle / 10, head).await;
    let connections = (kept_alive.len() + slow_heads.len() + slow_bodies.len()) as u64;
    let each = memory_bytes(pid).saturating_sub(before) / connections;
    eprintln!("{connections} connections, {each} bytes each");
    assert!(each < BYTES_PER_CONNECTION_MAX, "{each} bytes per connection");
    served_again(&mut kept_alive).await;

    // Meanwhile others shop as if nothing were.
    let second = Stage::closed(8, Duration::from_secs(1));
    let plan = Plan::of_requests(front, vec![ProductName::new("Fox").unwrap()], 0.0, vec![second]);
    let queries = load::run_to_end(&plan).await.unwrap().queries;
    assert!(queries.done.count() > 0);
    assert_eq!(queries.done.count(), queries.sent(), "every query is answered with the product");
    store.rest().buy("Fox", 1).await;
    served_again(&mut kept_alive).await;

    for stream in &mut slow_bodies {
        assert!(answer(stream).await.starts_with("HTTP/1.1 408 "), "a slow body is refused");
    }
    // None of the idle ones had to go: each is served again.
    served_again(&mut kept_alive).await;
}
