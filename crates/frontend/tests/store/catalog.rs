//! A catalog whose products change when the test says so, and whose answers can be held back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use api::catalog::{LOOK_TOGETHER_PATH, LeaseGranted, LeaseRequest, Look, LookTogether, ProductRead};
use api::frontend::{Invalidate, Invalidated};
use api::replica::ReplicaStatus;
use api::{ErrorCode, HolderId, Price, Product, ProductName, ProductVersion, Stock, Term};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post};
use serde::Deserialize;
use service::http::{Body, Failure, PathParam, QueryParams, Reply, data};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{lone_leader, serve_at_some_port};

#[derive(Clone)]
pub struct Catalog {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    books: Mutex<Books>,
    /// While closed, requests are taken and not answered, as by a paused process.
    running: watch::Sender<bool>,
    /// While closed, products that were read are not sent.
    sending: watch::Sender<bool>,
    /// How many products were read.
    reads: watch::Sender<usize>,
}

pub struct Books {
    pub products: BTreeMap<ProductName, (Product, ProductVersion)>,
    pub term: Term,
    pub lease: Duration,
    pub cacheable: bool,
    pub leases: Vec<LeaseRequest>,
    pub released: Vec<HolderId>,
}

/// Names that need escapes among them.
pub const NAMES: [&str; 5] = ["Tux", "Whale", "Fox", "Magic 8-Ball, großer", "50% off/on? #1"];

impl Catalog {
    pub fn start(lease: Duration, stop: &CancellationToken) -> Self {
        let product = |name: &str| {
            let name = ProductName::new(name).expect("a name");
            let price = Price::from_cents(2599).expect("a price");
            (name.clone(), (Product { name, price, quantity: Stock(100) }, ProductVersion(1)))
        };
        let books = Books {
            products: NAMES.iter().map(|name| product(name)).collect(),
            term: Term(1),
            lease,
            cacheable: true,
            leases: Vec::new(),
            released: Vec::new(),
        };
        let shared = Arc::new(Shared {
            books: Mutex::new(books),
            running: watch::Sender::new(true),
            sending: watch::Sender::new(true),
            reads: watch::Sender::new(0),
        });
        let addr = serve_at_some_port(routes(Arc::clone(&shared)), stop);
        Self { addr, shared }
    }

    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.shared.books.lock().expect("no test panics under the lock")
    }

    /// How many products were read so far.
    pub fn reads(&self) -> usize {
        *self.shared.reads.borrow()
    }

    /// Waits until so many products were read.
    pub async fn read_times(&self, times: usize) {
        let mut reads = self.shared.reads.subscribe();
        reads.wait_for(|reads| *reads >= times).await.expect("the catalog lives");
    }

    pub fn set_running(&self, running: bool) {
        self.shared.running.send_replace(running);
    }

    pub fn set_sending(&self, sending: bool) {
        self.shared.sending.send_replace(sending);
    }

    /// The product has one piece less, and one version more.
    pub fn sell(&self, name: &str) -> Invalidated {
        let mut books = self.books();
        let (product, version) = books.products.get_mut(name).expect("a product");
        product.quantity.0 -= 1;
        version.0 += 1;
        Invalidated { name: product.name.clone(), version: *version }
    }

    /// What would be sent to the frontend that holds the lease.
    pub fn invalidation(&self, products: Vec<Invalidated>) -> Invalidate {
        Invalidate { holder: self.books().leases.last().expect("a lease").holder, products }
    }
}

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/products", get(products))
        .route("/products/{name}", get(product))
        .route(LOOK_TOGETHER_PATH, post(together))
        .route("/leases", post(lease))
        .route("/leases/{holder}", delete(release))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), pause))
        .with_state(shared)
}

async fn pause(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    shared.running.subscribe().wait_for(|running| *running).await.expect("the catalog lives");
    next.run(request).await
}

async fn status(State(shared): State<Arc<Shared>>) -> Reply<ReplicaStatus> {
    data(lone_leader("catalog", shared.books.lock().unwrap().term))
}

async fn products(State(shared): State<Arc<Shared>>) -> Reply<Vec<Product>> {
    data(shared.books.lock().unwrap().products.values().map(|(product, _)| product.clone()).collect())
}

#[derive(Deserialize)]
struct Reader {
    holder: Option<HolderId>,
}

async fn product(
    State(shared): State<Arc<Shared>>,
    PathParam(name): PathParam<String>,
    QueryParams(reader): QueryParams<Reader>,
) -> Reply<ProductRead> {
    let read = shared.read(&name, reader.holder);
    shared.sent(1).await;
    data(read.ok_or_else(|| Failure::new(ErrorCode::NoSuchProduct, "no such product"))?)
}

async fn together(State(shared): State<Arc<Shared>>, Body(looks): Body<LookTogether>) -> Reply<Vec<Look>> {
    let look = |name: &ProductName| shared.read(name.as_str(), looks.holder).map_or(Look::NoSuchProduct, Look::Read);
    let found: Vec<Look> = looks.names.as_slice().iter().map(look).collect();
    shared.sent(found.len()).await;
    data(found)
}

impl Shared {
    fn read(&self, name: &str, holder: Option<HolderId>) -> Option<ProductRead> {
        let books = self.books.lock().unwrap();
        let holds = books.leases.last().is_some_and(|lease| Some(lease.holder) == holder);
        let (product, version) = books.products.get(name).cloned()?;
        Some(ProductRead { product, version, cacheable: books.cacheable && holds })
    }

    /// Counts what was read; returns when it may be sent.
    async fn sent(&self, number: usize) {
        self.reads.send_modify(|reads| *reads += number);
        self.sending.subscribe().wait_for(|sending| *sending).await.expect("the catalog lives");
    }
}

async fn lease(State(shared): State<Arc<Shared>>, Body(request): Body<LeaseRequest>) -> Reply<LeaseGranted> {
    let mut books = shared.books.lock().unwrap();
    books.leases.push(request);
    data(LeaseGranted { duration_ms: u64::try_from(books.lease.as_millis()).unwrap(), term: books.term })
}

async fn release(State(shared): State<Arc<Shared>>, PathParam(holder): PathParam<HolderId>) -> Reply<()> {
    shared.books.lock().unwrap().released.push(holder);
    data(())
}
