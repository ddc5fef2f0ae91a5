//! Clients that hold connections open without using them.

use std::io::{self, ErrorKind};
use std::time::Duration;

use api::{Address, ProductName};
use futures::StreamExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use workload::RequestKind;
use workload::load::{self, LoadPlan, Stage};

use crate::harness::{TIMEOUT, TestStore};

/// Limited by the machine's limit of open files.
const IDLE_MAX: usize = 10_000;

/// More than the 16 KiB buffer of a slow request head, and its task.
const BYTES_PER_CONNECTION_MAX: u64 = 64 * 1024;

/// How many connections are opened or used at a time: few enough for any listen backlog.
const AT_ONCE: usize = 64;

/// How long the server keeps a connection without a request.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

const READ: &str = "GET /products/Tux HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The number of idle connections: half of the files that a process may open. The frontend accepts
/// five eighths of them, and slow connections follow.
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
    futures::stream::iter(0..count).map(|_| open(store, sent)).buffer_unordered(AT_ONCE).collect().await
}

/// The first bytes of a response.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 1024];
    let length = timeout(TIMEOUT, stream.read(&mut bytes)).await.expect("an answer").unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// A connection that is kept alive.
struct KeptAlive {
    stream: TcpStream,
    /// When the last request was sent that was answered.
    used: Instant,
}

impl KeptAlive {
    async fn open(store: &Address) -> Self {
        Self { stream: TcpStream::connect(store.as_str()).await.unwrap(), used: Instant::now() }
    }

    /// Sends a request; an error if the connection is closed.
    async fn asked(&mut self) -> io::Result<String> {
        let now = Instant::now();
        self.stream.write_all(READ.as_bytes()).await?;
        let mut bytes = vec![0; 1024];
        let length = timeout(TIMEOUT, self.stream.read(&mut bytes)).await.expect("an answer")?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.used = now;
        Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    /// Sends requests until one is answered with the product. Opens another connection if the
    /// server has closed this one, which it may do only after [`KEEP_ALIVE`].
    async fn is_served(&mut self, store: &Address) {
        let served = async {
            loop {
                match self.asked().await {
                    Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => return,
                    Ok(answer) => assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}"),
                    Err(closed) => {
                        assert!(self.used.elapsed() >= KEEP_ALIVE, "an idle connection was closed: {closed}");
                        *self = Self::open(store).await;
                    }
                }
            }
        };
        timeout(TIMEOUT, served).await.expect("the product");
    }
}

/// Sends another request over each connection, and expects the product.
async fn are_served(kept_alive: &mut [KeptAlive], store: &Address) {
    let asked = futures::stream::iter(kept_alive).map(|connection| connection.is_served(store));
    asked.buffer_unordered(AT_ONCE).collect::<()>().await;
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
    let pid = store.store.process(toystore::local::StoreMember::Frontend(1)).pid();
    store.rest().stock("Tux").await;
    let before = memory_bytes(pid);

    let opened = futures::stream::iter(0..idle).map(|_| KeptAlive::open(&front));
    let mut kept_alive: Vec<_> = opened.buffer_unordered(AT_ONCE).collect().await;
    are_served(&mut kept_alive, &front).await;
    let slow_heads = open_many(&front, idle / 10, "GET /products/Tux HTTP/1.1\r\nHost: ").await;
    let head =
        "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{";
    let mut slow_bodies = open_many(&front, idle / 10, head).await;
    let connections = (kept_alive.len() + slow_heads.len() + slow_bodies.len()) as u64;
    let each = memory_bytes(pid).saturating_sub(before) / connections;
    eprintln!("{connections} connections, {each} bytes each");
    assert!(each < BYTES_PER_CONNECTION_MAX, "{each} bytes per connection");
    are_served(&mut kept_alive, &front).await;

    // Meanwhile other clients are served as usual.
    let second = Stage::closed(8, Duration::from_secs(1));
    let plan = LoadPlan::single_requests(front.clone(), vec![ProductName::new("Fox").unwrap()], 0.0, vec![second]);
    let load = load::run_to_end(&plan).await.unwrap();
    let queries = load.of(RequestKind::Query);
    assert!(queries.done.count() > 0);
    assert_eq!(queries.with_retry_after, queries.refused.count(), "every refusal has Retry-After");
    assert_eq!(queries.done.count() + queries.refused.count(), queries.sent(), "every query is answered");
    store.rest().buy("Fox", 1).await;
    are_served(&mut kept_alive, &front).await;

    for stream in &mut slow_bodies {
        assert!(answer(stream).await.starts_with("HTTP/1.1 408 "), "a slow body is refused");
    }
    are_served(&mut kept_alive, &front).await;
}
