//! A catalog in this process, used over HTTP; and a frontend's internal port that records its
//! invalidations.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::catalog::{
    BatchReserved, Fence, Fenced, LeaseGranted, LeaseRequest, OrderLine, ProductRead, ReserveBatch, Settle,
    StockAccount,
};
use api::frontend::Invalidate;
use api::replica::Replicas;
use api::{
    Address, BatchId, BatchNumber, ErrorCode, HolderId, OrderId, Ordinal, Price, Product, ProductName, Quantity, Stock,
    Term,
};
use axum::extract::State;
use axum::routing::delete;
use axum::{Json, Router};
use catalog::{Config, Restock, Seed, Server};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use service::access::Access;
use service::json_client::{CallError, JsonClient, RequestPath};
use service::lifecycle::{Listeners, Process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

pub const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Longer than any answer takes on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// A lease that outlasts every test, so that nothing depends on the speed of the machine.
pub const LONG_LEASE: Duration = Duration::from_mins(1);
/// The pause between two requests to a replica that does not lead yet.
const PAUSE: Duration = Duration::from_millis(5);

pub fn name(name: &str) -> ProductName {
    ProductName::new(name).unwrap()
}

pub fn product(product: &str, pieces: u64) -> Product {
    Product { name: name(product), price: Price::from_cents(2599).unwrap(), quantity: Stock(pieces) }
}

pub fn line(order_id: OrderId, product: &str, quantity: u64) -> OrderLine {
    OrderLine { order_id, name: name(product), quantity: Quantity::new(quantity).unwrap() }
}

pub fn batch(term: u64, number: u64, orders: Vec<OrderLine>) -> ReserveBatch {
    ReserveBatch { id: BatchId { term: Term(term), batch: BatchNumber(number) }, orders, settle: None }
}

/// An address in the form that is sent to others.
pub fn address(socket: SocketAddr) -> Address {
    Address::new(&socket.ip().to_string(), socket.port())
}

/// The configuration of a replica in `dir`: two toys, no restocking, a lease of 300 ms.
pub fn config(dir: &Path, ordinal: u8, peers: Replicas) -> Config {
    Config {
        ordinal: Ordinal(ordinal),
        bootstrap_size: peers.len(),
        peers: discovery::static_replicas(peers),
        orders: discovery::static_replicas(Replicas::new()),
        discovery: discovery::Discovery::default(),
        access: Access { token: None, bind_host: LOCALHOST },
        port: 0,
        replication_port: 0,
        data_dir: dir.join(format!("catalog{ordinal}")),
        seed: Seed::Products(vec![product("Fox", 100), product("Tux", 100)]),
        restock: Restock { interval: Duration::ZERO, level: Stock(100) },
        lease: Duration::from_millis(300),
        storage: replication::StorageConfig::default(),
    }
}

pub fn listeners() -> Listeners {
    Listeners::bind(LOCALHOST, (0, None), (0, None)).unwrap()
}

/// A catalog of one replica in `dir`.
pub async fn start(dir: &Path, change: impl FnOnce(&mut Config)) -> Server {
    let listeners = listeners();
    let peers = Replicas::from([(Ordinal(1), address(listeners.side.address()))]);
    let mut config = config(dir, 1, peers);
    change(&mut config);
    Server::start(config, listeners).await.unwrap()
}

/// [`start`] in a directory of its own, which lives as long as the first return value; and a
/// client.
pub async fn start_alone(change: impl FnOnce(&mut Config)) -> (TempDir, Server, Client) {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), change).await;
    let client = Client::of(&server);
    (dir, server, client)
}

/// A client of one replica.
#[derive(Clone)]
pub struct Client {
    pub json: JsonClient,
    pub to: Address,
}

impl Client {
    pub fn of(server: &Server) -> Self {
        Self { json: JsonClient::new(None), to: address(server.address()) }
    }

    /// Retries until the replica leads, as every client of a group does.
    pub async fn get<'a, T: DeserializeOwned>(&self, route: impl Into<RequestPath<'a>>) -> Result<T, CallError> {
        let route = route.into();
        repeat_while(is_transient, || self.json.get(&self.to, route, PATIENCE)).await
    }

    /// Retries until the replica leads, as every client of a group does.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, CallError> {
        repeat_while(is_transient, || self.json.post(&self.to, path, body, PATIENCE)).await
    }

    pub async fn product(&self, product: &str, holder: Option<HolderId>) -> ProductRead {
        let query = holder.map(|holder| format!("?holder={holder}")).unwrap_or_default();
        let path = format!("/products/{product}{query}");
        self.get(RequestPath::filled("/products/{name}", &path)).await.unwrap()
    }

    pub async fn stock(&self, product: &str) -> u64 {
        self.product(product, None).await.product.quantity.0
    }

    /// The same for a request that the catalog grants only if another process answers it in time:
    /// the holder of a new lease, or an order replica. It refuses a request when they are late, so
    /// that is repeated.
    pub async fn post_checked<T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, CallError> {
        let is_late = |error: &CallError| error.code() == Some(ErrorCode::BadRequest);
        repeat_while(is_late, || self.post(path, body)).await
    }

    pub async fn lease(&self, frontend: &Frontend) -> LeaseGranted {
        self.post_checked("/leases", &frontend.request()).await.unwrap()
    }

    /// Leases, and reads the product as cacheable. Returns the lease, and a moment before it was
    /// granted.
    pub async fn lease_and_cache(&self, frontend: &Frontend, product: &str) -> (LeaseGranted, Instant) {
        let cached = async {
            loop {
                let leased = Instant::now();
                let granted = self.lease(frontend).await;
                // Unless the lease expires before that.
                if self.product(product, Some(frontend.holder)).await.cacheable {
                    return (granted, leased);
                }
            }
        };
        tokio::time::timeout(PATIENCE, cached).await.expect("a holder of a lease may cache")
    }

    pub async fn fence(&self, term: u64) -> Result<Fenced, CallError> {
        self.post("/fence", &Fence { term: Term(term) }).await
    }

    pub async fn reserve(&self, batch: &ReserveBatch) -> Result<BatchReserved, CallError> {
        self.post("/reservations", batch).await
    }

    pub async fn settle(&self, settle: &Settle) -> Result<IgnoredAny, CallError> {
        self.post("/settlements", settle).await
    }

    /// The stock accounts, each of which must be balanced.
    pub async fn accounts(&self) -> Vec<StockAccount> {
        let accounts: Vec<StockAccount> = self.get("/accounts").await.unwrap();
        for account in &accounts {
            let StockAccount { initial, restocked, stock, sold, reserved, .. } = account;
            assert_eq!(initial + restocked, stock.0 + sold + reserved, "I4: {account:?}");
        }
        accounts
    }

    /// Waits until the stock account has these values.
    pub async fn committed(&self, product: &str, account: (u64, u64, u64)) {
        let waiting = async { while self.account(product).await != account {} };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it is committed");
    }

    /// Stock, sold and reserved pieces.
    pub async fn account(&self, product: &str) -> (u64, u64, u64) {
        let accounts = self.accounts().await;
        let account = accounts.iter().find(|account| account.name.as_str() == product).unwrap();
        (account.stock.0, account.sold, account.reserved)
    }
}

/// Repeats a call while it fails in this way, for [`PATIENCE`].
async fn repeat_while<T, F: Future<Output = Result<T, CallError>>>(
    is_temporary: impl Fn(&CallError) -> bool,
    call: impl Fn() -> F,
) -> Result<T, CallError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Err(error) if is_temporary(&error) && Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            answer => return answer,
        }
    }
}

fn is_transient(error: &CallError) -> bool {
    matches!(error.code(), Some(ErrorCode::NotLeader | ErrorCode::Unavailable))
}

/// The code of a refusal.
pub fn code<T: std::fmt::Debug>(answer: Result<T, CallError>) -> ErrorCode {
    answer.unwrap_err().code().expect("a refusal")
}

/// A frontend's internal port: records every invalidation, and confirms it when allowed. An
/// invalidation that is repeated because its response was late is recorded once: a new one has a
/// later version.
pub struct Frontend {
    pub holder: HolderId,
    pub address: Address,
    invalidations: mpsc::Receiver<Invalidate>,
    confirms: watch::Sender<bool>,
}

#[derive(Clone)]
struct Recorder {
    sender: mpsc::Sender<Invalidate>,
    known: Arc<Mutex<Vec<Invalidate>>>,
    confirms: watch::Receiver<bool>,
}

impl Recorder {
    fn is_new(&self, invalidate: &Invalidate) -> bool {
        let mut known = self.known.lock().unwrap();
        let is_new = !known.contains(invalidate);
        if is_new {
            known.push(invalidate.clone());
        }
        is_new
    }
}

impl Frontend {
    pub async fn start() -> Self {
        let (sender, invalidations) = mpsc::channel(1024);
        let confirms = watch::Sender::new(true);
        let recorder = Recorder { sender, known: Arc::default(), confirms: confirms.subscribe() };
        let router = Router::new().route("/cache", delete(invalidate)).with_state(recorder);
        let listener = tokio::net::TcpListener::bind((LOCALHOST, 0)).await.unwrap();
        let address = address(listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { holder: HolderId::random(), address, invalidations, confirms }
    }

    /// A frontend that answers until it vanishes, when the sender is set to `true`. Then every
    /// connection is closed at once.
    pub async fn vanishing() -> (Self, watch::Sender<bool>) {
        let listener = tokio::net::TcpListener::bind((LOCALHOST, 0)).await.unwrap();
        let address = address(listener.local_addr().unwrap());
        let vanished = watch::Sender::new(false);
        let has_vanished = vanished.subscribe();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if !*has_vanished.borrow() {
                    tokio::spawn(confirm_once(stream));
                }
            }
        });
        (Self { address, ..Self::start().await }, vanished)
    }

    pub fn request(&self) -> LeaseRequest {
        LeaseRequest { holder: self.holder, address: self.address.clone() }
    }

    /// Whether invalidations are confirmed from now on, including those that wait.
    pub fn confirm(&self, confirms: bool) {
        self.confirms.send_replace(confirms);
    }

    /// The next invalidation: products and versions.
    pub async fn next_invalidation(&mut self) -> Vec<(String, u64)> {
        let told =
            tokio::time::timeout(PATIENCE, self.invalidations.recv()).await.expect("an invalidation comes").unwrap();
        assert_eq!(told.holder, self.holder);
        told.products.into_iter().map(|product| (product.name.to_string(), product.version.0)).collect()
    }

    /// Whether there is an invalidation that was not read yet.
    pub fn has_invalidation(&mut self) -> bool {
        self.invalidations.try_recv().is_ok()
    }
}

/// Answers one request, and closes the connection.
async fn confirm_once(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        // The catalog closes a connection when it does not wait for the answer any more.
        if !matches!(stream.read_buf(&mut request).await, Ok(1..)) {
            return;
        }
    }
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 11\r\n\r\n{\"data\":{}}";
    let _ = stream.write_all(answer.as_bytes()).await;
}

async fn invalidate(
    State(mut recorder): State<Recorder>,
    Json(invalidate): Json<Invalidate>,
) -> Json<api::Data<[(); 0]>> {
    if invalidate.products.is_empty() {
        // The verification of the holder.
        return Json(api::Data::new([]));
    }
    if recorder.is_new(&invalidate) {
        recorder.sender.send(invalidate).await.unwrap();
    }
    recorder.confirms.wait_for(|confirms| *confirms).await.unwrap();
    Json(api::Data::new([]))
}
