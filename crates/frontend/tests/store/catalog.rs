//! A catalog whose products change when the test says so, and whose responses can be delayed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use api::catalog::{
    LeaseGranted, LeaseRequest, PRODUCT_BATCH_PATH, ProductList, ProductRead, ProductReadOutcome, ReadProducts,
};
use api::frontend::{Invalidate, Invalidated};
use api::replica::ReplicaStatus;
use api::{ErrorCode, HolderId, Price, Product, ProductName, ProductVersion, Stock, Term};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post};
use serde::Deserialize;
use service::http::{ErrorResponse, HandlerResult, JsonBody, PathParam, QueryParams, data};
use service::lifecycle::Task;
use tokio::sync::watch;

use super::{serve_on_free_port, single_leader};

#[derive(Clone)]
pub struct Catalog {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    _served: Arc<Task>,
}

struct Shared {
    state: Mutex<CatalogState>,
    /// While false, requests are accepted but not handled, as by a paused process.
    running: watch::Sender<bool>,
    /// While false, responses with products are delayed.
    sending: watch::Sender<bool>,
    /// How many products were read.
    reads: watch::Sender<usize>,
}

pub struct CatalogState {
    pub products: BTreeMap<ProductName, (Product, ProductVersion)>,
    pub term: Term,
    pub lease: Duration,
    pub cacheable: bool,
    pub leases: Vec<LeaseRequest>,
    pub released: Vec<HolderId>,
}

/// The names of the products; some need escapes in a path.
pub const NAMES: [&str; 5] = ["Tux", "Whale", "Fox", "Magic 8-Ball, großer", "50% off/on? #1"];

impl Catalog {
    pub fn start(lease: Duration) -> Self {
        let product = |name: &str| {
            let name = ProductName::new(name).expect("a name");
            let price = Price::from_cents(2599).expect("a price");
            (name.clone(), (Product { name, price, quantity: Stock(100) }, ProductVersion(1)))
        };
        let state = CatalogState {
            products: NAMES.iter().map(|name| product(name)).collect(),
            term: Term(1),
            lease,
            cacheable: true,
            leases: Vec::new(),
            released: Vec::new(),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            running: watch::Sender::new(true),
            sending: watch::Sender::new(true),
            reads: watch::Sender::new(0),
        });
        let (addr, served) = serve_on_free_port(routes(Arc::clone(&shared)));
        Self { addr, shared, _served: Arc::new(served) }
    }

    pub fn state(&self) -> MutexGuard<'_, CatalogState> {
        self.shared.state.lock().expect("no test panics under the lock")
    }

    /// How many products were read so far.
    pub fn reads(&self) -> usize {
        *self.shared.reads.borrow()
    }

    /// Waits until at least `times` products were read.
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

    /// Sells one piece of the product, which increments its version.
    pub fn sell(&self, name: &str) -> Invalidated {
        let mut state = self.state();
        let (product, version) = state.products.get_mut(name).expect("a product");
        product.quantity.0 -= 1;
        version.0 += 1;
        Invalidated { name: product.name.clone(), version: *version }
    }

    /// The invalidation that would be sent to the frontend that holds the lease.
    pub fn invalidation(&self, products: Vec<Invalidated>) -> Invalidate {
        Invalidate { holder: self.state().leases.last().expect("a lease").holder, products }
    }
}

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/products", get(products))
        .route("/products/{name}", get(product))
        .route(PRODUCT_BATCH_PATH, post(products_batch))
        .route("/leases", post(lease))
        .route("/leases/{holder}", delete(release))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), pause))
        .with_state(shared)
}

async fn pause(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    shared.running.subscribe().wait_for(|running| *running).await.expect("the catalog lives");
    next.run(request).await
}

async fn status(State(shared): State<Arc<Shared>>) -> HandlerResult<ReplicaStatus> {
    data(single_leader("catalog", shared.state.lock().unwrap().term))
}

async fn products(
    State(shared): State<Arc<Shared>>,
    QueryParams(reader): QueryParams<Reader>,
) -> HandlerResult<ProductList> {
    let list = {
        let state = shared.state.lock().unwrap();
        let holds = state.leases.last().is_some_and(|lease| Some(lease.holder) == reader.holder);
        let products = state.products.values().map(|(product, _)| product.clone()).collect();
        ProductList { products, cacheable: state.cacheable && holds }
    };
    shared.sent(1).await;
    data(list)
}

#[derive(Deserialize)]
struct Reader {
    holder: Option<HolderId>,
}

async fn product(
    State(shared): State<Arc<Shared>>,
    PathParam(name): PathParam<String>,
    QueryParams(reader): QueryParams<Reader>,
) -> HandlerResult<ProductRead> {
    let read = shared.read(&name, reader.holder);
    shared.sent(1).await;
    data(read.ok_or_else(|| ErrorResponse::new(ErrorCode::NoSuchProduct, "no such product"))?)
}

async fn products_batch(
    State(shared): State<Arc<Shared>>,
    JsonBody(request): JsonBody<ReadProducts>,
) -> HandlerResult<Vec<ProductReadOutcome>> {
    let read = |name: &ProductName| {
        shared.read(name.as_str(), request.holder).map_or(ProductReadOutcome::NoSuchProduct, ProductReadOutcome::Read)
    };
    let found: Vec<ProductReadOutcome> = request.names.as_slice().iter().map(read).collect();
    shared.sent(found.len()).await;
    data(found)
}

impl Shared {
    fn read(&self, name: &str, holder: Option<HolderId>) -> Option<ProductRead> {
        let state = self.state.lock().unwrap();
        let holds = state.leases.last().is_some_and(|lease| Some(lease.holder) == holder);
        let (product, version) = state.products.get(name).cloned()?;
        Some(ProductRead { product, version, cacheable: state.cacheable && holds })
    }

    /// Counts the products that were read, and waits until they may be sent.
    async fn sent(&self, number: usize) {
        self.reads.send_modify(|reads| *reads += number);
        self.sending.subscribe().wait_for(|sending| *sending).await.expect("the catalog lives");
    }
}

async fn lease(
    State(shared): State<Arc<Shared>>,
    JsonBody(request): JsonBody<LeaseRequest>,
) -> HandlerResult<LeaseGranted> {
    let mut state = shared.state.lock().unwrap();
    state.leases.push(request);
    data(LeaseGranted { duration_ms: u64::try_from(state.lease.as_millis()).unwrap(), term: state.term })
}

async fn release(State(shared): State<Arc<Shared>>, PathParam(holder): PathParam<HolderId>) -> HandlerResult<()> {
    shared.state.lock().unwrap().released.push(holder);
    data(())
}
