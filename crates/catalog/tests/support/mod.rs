//! A catalog in this process, asked over HTTP; and a frontend's internal port that records what it is told.

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
use catalog::{Config, Listeners, Restock, Seed, Service};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use service::call::{CallError, Caller, Route};
use service::http::Listener;
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::sync::{mpsc, watch};

pub const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Longer than any answer takes on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// A lease that outlasts every test: nothing in it may depend on how fast the machine is.
pub const LONG_LEASE: Duration = Duration::from_mins(1);
/// Between two questions to a replica that does not lead yet.
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

/// An address, as one that others are told.
pub fn address(socket: SocketAddr) -> Address {
    Address::new(&socket.ip().to_string(), socket.port())
}

/// Two toys, no restocking, a lease of 300 ms, in `dir`.
pub fn config(dir: &Path, ordinal: u8, peers: Replicas) -> Config {
    Config {
        ordinal: Ordinal(ordinal),
        founders: peers.len(),
        peers: discovery::fixed(peers),
        discovery: discovery::Discovery::default(),
        bind_host: LOCALHOST,
        port: 0,
        replication_port: 0,
        data_dir: dir.join(format!("catalog{ordinal}")),
        seed: Seed::Products(vec![product("Fox", 100), product("Tux", 100)]),
        restock: Restock { interval: Duration::ZERO, level: Stock(100) },
        lease: Duration::from_millis(300),
        storage: replication::StorageConfig::default(),
        token: None,
    }
}

pub fn listeners() -> Listeners {
    let bind = || Listener::bind(LOCALHOST, 0).unwrap();
    Listeners { service: bind(), replication: bind() }
}

/// A catalog of one replica in `dir`.
pub async fn start(dir: &Path, change: impl FnOnce(&mut Config)) -> Service {
    let listeners = listeners();
    let peers = Replicas::from([(Ordinal(1), address(listeners.replication.local_addr().unwrap()))]);
    let mut config = config(dir, 1, peers);
    change(&mut config);
    Service::start(config, listeners).await.unwrap()
}

/// [`start`] in a directory of its own, which lives as long as the first of these; and a client.
pub async fn start_alone(change: impl FnOnce(&mut Config)) -> (TempDir, Service, Client) {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), change).await;
    let client = Client::of(&service);
    (dir, service, client)
}

/// A client of one replica.
#[derive(Clone)]
pub struct Client {
    pub caller: Caller,
    pub to: Address,
}

impl Client {
    pub fn of(service: &Service) -> Self {
        Self { caller: Caller::new(None), to: address(service.address()) }
    }

    /// Asks until the replica leads, as every client of a group does.
    pub async fn get<'a, T: DeserializeOwned>(&self, route: impl Into<Route<'a>>) -> Result<T, CallError> {
        let (route, deadline) = (route.into(), Instant::now() + PATIENCE);
        loop {
            match self.caller.get(&self.to, route, PATIENCE).await {
                Err(error) if is_passing(&error) && Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
                answer => return answer,
            }
        }
    }

    /// Asks until the replica leads, as every client of a group does.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, CallError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.caller.post(&self.to, path, body, PATIENCE).await {
                Err(error) if is_passing(&error) && Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
                answer => return answer,
            }
        }
    }

    pub async fn product(&self, product: &str, holder: Option<HolderId>) -> ProductRead {
        let query = holder.map(|holder| format!("?holder={holder}")).unwrap_or_default();
        let path = format!("/products/{product}{query}");
        self.get(Route::filled("/products/{name}", &path)).await.unwrap()
    }

    pub async fn stock(&self, product: &str) -> u64 {
        self.product(product, None).await.product.quantity.0
    }

    pub async fn lease(&self, frontend: &Frontend) -> LeaseGranted {
        self.post("/leases", &frontend.request()).await.unwrap()
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

    /// The books, each of which must be balanced.
    pub async fn accounts(&self) -> Vec<StockAccount> {
        let accounts: Vec<StockAccount> = self.get("/accounts").await.unwrap();
        for account in &accounts {
            let StockAccount { initial, restocked, stock, sold, reserved, .. } = account;
            assert_eq!(initial + restocked, stock.0 + sold + reserved, "I4: {account:?}");
        }
        accounts
    }

    /// Waits until the books say so.
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

fn is_passing(error: &CallError) -> bool {
    matches!(error.code(), Some(ErrorCode::NotLeader | ErrorCode::Unavailable))
}

/// The code of a refusal.
pub fn code<T: std::fmt::Debug>(answer: Result<T, CallError>) -> ErrorCode {
    answer.unwrap_err().code().expect("a refusal")
}

/// A frontend's internal port: records every invalidation, and answers when it may. An invalidation whose answer was not there in
/// time comes again, and is recorded once: news has a later version.
pub struct Frontend {
    pub holder: HolderId,
    pub address: Address,
    told: mpsc::Receiver<Invalidate>,
    confirms: watch::Sender<bool>,
    /// A port that refuses connections, as long as this is there.
    closed: Option<TcpSocket>,
}

#[derive(Clone)]
struct Ear {
    tell: mpsc::Sender<Invalidate>,
    known: Arc<Mutex<Vec<Invalidate>>>,
    confirms: watch::Receiver<bool>,
}

impl Ear {
    fn is_news(&self, invalidate: &Invalidate) -> bool {
        let mut known = self.known.lock().unwrap();
        let is_news = !known.contains(invalidate);
        if is_news {
            known.push(invalidate.clone());
        }
        is_news
    }
}

impl Frontend {
    pub async fn start() -> Self {
        let (tell, told) = mpsc::channel(1024);
        let confirms = watch::Sender::new(true);
        let ear = Ear { tell, known: Arc::default(), confirms: confirms.subscribe() };
        let router = Router::new().route("/cache", delete(invalidate)).with_state(ear);
        let listener = tokio::net::TcpListener::bind((LOCALHOST, 0)).await.unwrap();
        let address = address(listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { holder: HolderId::random(), address, told, confirms, closed: None }
    }

    /// One that nobody can reach: its port is closed.
    pub async fn unreachable() -> Self {
        let mut frontend = Self::start().await;
        // Bound, but not listening: the port is ours, and connections are refused.
        let closed = TcpSocket::new_v4().unwrap();
        closed.bind((LOCALHOST, 0).into()).unwrap();
        frontend.address = address(closed.local_addr().unwrap());
        frontend.closed = Some(closed);
        frontend
    }

    pub fn request(&self) -> LeaseRequest {
        LeaseRequest { holder: self.holder, address: self.address.clone() }
    }

    /// Whether invalidations are confirmed from now on, those that wait included.
    pub fn confirm(&self, confirms: bool) {
        self.confirms.send_replace(confirms);
    }

    /// What it is told next: product and version.
    pub async fn told(&mut self) -> Vec<(String, u64)> {
        let told = tokio::time::timeout(PATIENCE, self.told.recv()).await.expect("an invalidation comes").unwrap();
        assert_eq!(told.holder, self.holder);
        told.products.into_iter().map(|product| (product.name.to_string(), product.version.0)).collect()
    }

    /// Whether it was told anything that was not asked for yet.
    pub fn was_told_more(&mut self) -> bool {
        self.told.try_recv().is_ok()
    }
}

async fn invalidate(State(mut ear): State<Ear>, Json(invalidate): Json<Invalidate>) -> Json<api::Data<[(); 0]>> {
    if ear.is_news(&invalidate) {
        ear.tell.send(invalidate).await.unwrap();
    }
    ear.confirms.wait_for(|confirms| *confirms).await.unwrap();
    Json(api::Data::new([]))
}
