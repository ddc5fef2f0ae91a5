//! Products, from the cache or from the catalog's leader.
//!
//! Reading order: this file has the handlers, [`batch_request`] the request for single products,
//! and [`list_products`] the request for the list.

mod batch_request;
mod list_products;

use api::{Data, ErrorCode, ProductName};
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use discovery::Group;
use service::http::ErrorResponse;
use service::json_client::CallError;
use tokio::time::Instant;

use crate::admission::{Admission, ConcurrencyLimiter};
use crate::batcher::Batcher;
use crate::cache::SharedCache;
use crate::deadline::RESPONSE_TIMEOUT;
use crate::errors::{no_such_product, unavailable};

pub(crate) use batch_request::GetProducts;
use list_products::ListProducts;

/// The route of one product.
pub(crate) const ROUTE: &str = "/products/{name}";

/// The route of the list.
pub(crate) const LIST_ROUTE: &str = "/products";

/// Bound of HTTP requests for single products in flight to the catalog. The catalog answers from
/// memory, so a few are enough: while some are on their way, the next batch collects.
const PRODUCT_REQUESTS_MAX: usize = 4;

/// Bound of HTTP requests for the list in flight to the catalog.
const LIST_REQUESTS_MAX: usize = 1;

/// The state of the product handlers.
#[derive(Debug)]
pub(crate) struct ProductsApi {
    catalog: Group,
    cache: SharedCache,
    /// Whether products that were read may be kept in `cache`.
    fills_cache: bool,
    reads: Batcher<GetProducts>,
    read_limiter: ConcurrencyLimiter,
    lists: Batcher<ListProducts>,
    /// A limiter of its own: clients that wait for the list do not take permits from other reads.
    list_limiter: ConcurrencyLimiter,
}

impl ProductsApi {
    /// Reads from `catalog`. `request` says whether products may be kept in `cache`.
    pub(crate) fn new(catalog: Group, cache: SharedCache, admission: &Admission, request: GetProducts) -> Self {
        let fills_cache = request.holder.is_some();
        let list_request = ListProducts::new(cache.clone(), request.holder);
        Self {
            catalog,
            cache,
            fills_cache,
            reads: Batcher::new(request, PRODUCT_REQUESTS_MAX),
            read_limiter: admission.reads.clone(),
            lists: Batcher::new(list_request, LIST_REQUESTS_MAX),
            list_limiter: admission.lists.clone(),
        }
    }

    /// The response body for a product, if the cache can serve it.
    pub(crate) fn cached(&self, name: &str) -> Option<Bytes> {
        self.cache.get(name)
    }

    /// Handles `GET /products/{name}`: from the cache if possible.
    pub(crate) async fn get(&self, name: &str) -> Result<Response, ErrorResponse> {
        match self.cached(name) {
            Some(body) => Ok(json(body)),
            None => self.get_uncached(name).await,
        }
    }

    /// The response for a product that the cache could not serve.
    pub(crate) async fn get_uncached(&self, name: &str) -> Result<Response, ErrorResponse> {
        self.cache.count_miss();
        let name = ProductName::new(name).map_err(|_| no_such_product())?;
        self.read_limiter.admit(self.fetch(&name)).await.map(json)
    }

    /// Handles `GET /products`.
    pub(crate) async fn list(&self) -> Result<Response, ErrorResponse> {
        match self.cache.get_list() {
            Some(body) => Ok(json(body)),
            None => self.fetch_list().await.map(json),
        }
    }

    /// Reads a product from the catalog, and puts the response into the cache if that is allowed.
    async fn fetch(&self, name: &ProductName) -> Result<Bytes, ErrorResponse> {
        let ticket = self.cache.begin_fetch();
        let deadline = Instant::now() + RESPONSE_TIMEOUT;
        let read = self
            .catalog
            .call_leader(deadline, async |client, catalog| self.reads.submit(client, catalog, name, deadline).await);
        let read = read.await.map_err(|error| failure(name.as_str(), &error))?;
        let body = serde_json::to_vec(&Data::new(&read.product)).expect("a product has a JSON form");
        let body = Bytes::from(body);
        if read.cacheable && self.fills_cache {
            self.cache.fill(ticket, read.product, read.version, body.clone());
        }
        Ok(body)
    }

    /// Reads the list from the catalog; [`ListProducts`] puts it into the cache.
    async fn fetch_list(&self) -> Result<Bytes, ErrorResponse> {
        self.cache.count_list_miss();
        let deadline = Instant::now() + RESPONSE_TIMEOUT;
        let fetch = async {
            let list = self
                .catalog
                .call_leader(deadline, async |client, catalog| self.lists.submit(client, catalog, &(), deadline).await);
            list.await.map_err(|error| failure("all products", &error))
        };
        self.list_limiter.admit(fetch).await
    }
}

/// What the client is told when the catalog refuses a read, or does not answer it.
fn failure(what: &str, error: &CallError) -> ErrorResponse {
    match error.code() {
        Some(ErrorCode::NoSuchProduct) => no_such_product().into(),
        Some(ErrorCode::Overloaded) => {
            ErrorResponse::new(ErrorCode::Overloaded, "the catalog is overloaded; try again later")
        }
        _ => {
            tracing::warn!(%error, product = what, "the catalog did not answer");
            unavailable("the catalog cannot be reached; try again later")
        }
    }
}

pub(crate) fn json(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
