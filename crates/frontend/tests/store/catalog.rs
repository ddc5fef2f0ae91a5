//! A catalog whose products change when the test says so.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use api::catalog::{
    LeaseGranted, LeaseRequest, PRODUCT_BATCH_PATH, ProductList, ProductRead, ProductReadOutcome, ReadProducts,
};
use api::frontend::{Invalidate, Invalidated};
use api::{ErrorCode, HolderId, Price, Product, ProductName, ProductVersion, Stock, Term};
use axum::Router;
use axum::extract::State;
use axum::routing::{delete, get, post};
use serde::Deserialize;
use service::http::{ErrorResponse, HandlerResult, JsonBody, PathParam, QueryParams, data};
use service::lifecycle::Task;

use super::{serve_on_free_port, single_leader};

/// Outlasts every test.
const LEASE: Duration = Duration::from_mins(1);

const TERM: Term = Term(1);

#[derive(Clone)]
pub struct Catalog {
    pub addr: SocketAddr,
    state: SharedState,
    _served: Arc<Task>,
}

type SharedState = Arc<Mutex<CatalogState>>;

pub struct CatalogState {
    pub products: BTreeMap<ProductName, (Product, ProductVersion)>,
    pub cacheable: bool,
    leases: Vec<LeaseRequest>,
}

/// The names of the products; some need escapes in a path.
pub const NAMES: [&str; 5] = ["Tux", "Whale", "Fox", "Magic 8-Ball, großer", "50% off/on? #1"];

impl Catalog {
    pub fn start() -> Self {
        let product = |name: &str| {
            let name = ProductName::new(name).expect("a name");
            let price = Price::from_cents(2599).expect("a price");
            (name.clone(), (Product { name, price, quantity: Stock(100) }, ProductVersion(1)))
        };
        let state = CatalogState {
            products: NAMES.iter().map(|name| product(name)).collect(),
            cacheable: true,
            leases: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let (addr, served) = serve_on_free_port(routes(Arc::clone(&state)));
        Self { addr, state, _served: Arc::new(served) }
    }

    pub fn state(&self) -> MutexGuard<'_, CatalogState> {
        self.state.lock().expect("no test panics under the lock")
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

fn routes(state: SharedState) -> Router {
    Router::new()
        .route("/status", get(async || data(single_leader("catalog", TERM))))
        .route("/products", get(products))
        .route("/products/{name}", get(product))
        .route(PRODUCT_BATCH_PATH, post(products_batch))
        .route("/leases", post(lease))
        .route("/leases/{holder}", delete(async || data(())))
        .with_state(state)
}

async fn products(
    State(state): State<SharedState>,
    QueryParams(reader): QueryParams<Reader>,
) -> HandlerResult<ProductList> {
    let state = state.lock().unwrap();
    let products = state.products.values().map(|(product, _)| product.clone()).collect();
    data(ProductList { products, cacheable: state.may_cache(reader.holder) })
}

#[derive(Deserialize)]
struct Reader {
    holder: Option<HolderId>,
}

async fn product(
    State(state): State<SharedState>,
    PathParam(name): PathParam<String>,
    QueryParams(reader): QueryParams<Reader>,
) -> HandlerResult<ProductRead> {
    let read = state.lock().unwrap().read(&name, reader.holder);
    data(read.ok_or_else(|| ErrorResponse::new(ErrorCode::NoSuchProduct, "no such product"))?)
}

async fn products_batch(
    State(state): State<SharedState>,
    JsonBody(request): JsonBody<ReadProducts>,
) -> HandlerResult<Vec<ProductReadOutcome>> {
    let state = state.lock().unwrap();
    let read = |name: &ProductName| {
        state.read(name.as_str(), request.holder).map_or(ProductReadOutcome::NoSuchProduct, ProductReadOutcome::Read)
    };
    data(request.names.as_slice().iter().map(read).collect())
}

impl CatalogState {
    fn read(&self, name: &str, holder: Option<HolderId>) -> Option<ProductRead> {
        let (product, version) = self.products.get(name).cloned()?;
        Some(ProductRead { product, version, cacheable: self.may_cache(holder) })
    }

    fn may_cache(&self, holder: Option<HolderId>) -> bool {
        self.cacheable && self.leases.last().is_some_and(|lease| Some(lease.holder) == holder)
    }
}

async fn lease(
    State(state): State<SharedState>,
    JsonBody(request): JsonBody<LeaseRequest>,
) -> HandlerResult<LeaseGranted> {
    state.lock().unwrap().leases.push(request);
    data(LeaseGranted { duration_ms: u64::try_from(LEASE.as_millis()).unwrap(), term: TERM })
}
