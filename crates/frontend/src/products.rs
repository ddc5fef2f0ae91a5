//! Products, from the cache or from the catalog's leader.

use std::str;
use std::time::Duration;

use api::catalog::ProductRead;
use api::{Data, ErrorCode, HolderId, Product, ProductName};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use discovery::Group;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use service::call::{CallError, Route};
use service::http::{Failure, Reply, data};
use tokio::time::Instant;

use crate::admission::Gate;
use crate::cache::SharedCache;
use crate::deadline::{ANSWER_WITHIN, remaining};
use crate::new_order::no_such_product;
use crate::refusal::unavailable;

/// Where the product's name begins in the path of a request. The path is read here and not by axum: a name without escapes is
/// looked up in the cache without being copied.
const PRODUCT_PATH: &str = "/products/";

/// For one attempt: the catalog answers from memory, after one round of its group where it has more than one replica.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1500);

/// What it takes to answer for products.
#[derive(Clone, Debug)]
pub(crate) struct Products {
    /// The catalog.
    pub(crate) catalog: Group,
    /// What was read from it.
    pub(crate) cache: SharedCache,
    /// Under which the lease is held; `None` if the cache is switched off.
    pub(crate) holder: Option<HolderId>,
    /// For what is read from the catalog.
    pub(crate) places: Gate,
}

/// `GET /products/{name}`.
pub(crate) async fn product(State(products): State<Products>, request: Request) -> Result<Response, Failure> {
    let path = request.uri().path();
    let name = path.strip_prefix(PRODUCT_PATH).unwrap_or_default();
    let name = percent_decode_str(name).decode_utf8().map_err(|_| no_such_product())?;
    let body = if let Some(body) = products.cache.hit(&name) {
        body
    } else {
        let name = ProductName::new(&name).map_err(|_| no_such_product())?;
        products.places.admit(products.fetch(&name)).await?
    };
    Ok(json(body))
}

/// `GET /products`.
pub(crate) async fn all(State(products): State<Products>) -> Reply<Vec<Product>> {
    let deadline = Instant::now() + ANSWER_WITHIN;
    let all = async {
        let all = products.catalog.ask_leader(deadline, async |caller, catalog| {
            caller.get(&catalog, "/products", remaining(deadline).min(ATTEMPT_TIMEOUT)).await
        });
        all.await.map_err(|error| refused("all products", &error))
    };
    data(products.places.admit(all).await?)
}

impl Products {
    /// Reads a product from the catalog, and keeps the answer if it may be kept.
    async fn fetch(&self, name: &ProductName) -> Result<Bytes, Failure> {
        let ticket = self.cache.begin_fetch();
        let path = self.path(name);
        let deadline = Instant::now() + ANSWER_WITHIN;
        let read = self.catalog.ask_leader(deadline, async |caller, catalog| {
            let route = Route::filled("/products/{name}", &path);
            caller.get::<ProductRead>(&catalog, route, remaining(deadline).min(ATTEMPT_TIMEOUT)).await
        });
        let read = read.await.map_err(|error| refused(name.as_str(), &error))?;
        let body = serde_json::to_vec(&Data::new(&read.product)).expect("a product has a JSON form");
        let body = Bytes::from(body);
        if read.cacheable && self.holder.is_some() {
            self.cache.fill(ticket, read.product, read.version, body.clone());
        }
        Ok(body)
    }

    fn path(&self, name: &ProductName) -> String {
        let name = utf8_percent_encode(name.as_str(), NON_ALPHANUMERIC);
        match self.holder {
            Some(holder) => format!("{PRODUCT_PATH}{name}?holder={holder}"),
            None => format!("{PRODUCT_PATH}{name}"),
        }
    }
}

fn refused(what: &str, error: &CallError) -> Failure {
    match error.code() {
        Some(ErrorCode::NoSuchProduct) => no_such_product().into(),
        Some(ErrorCode::Overloaded) => Failure::new(ErrorCode::Overloaded, "the catalog has too much to do just now"),
        _ => {
            tracing::warn!(%error, product = what, "the catalog gave no answer");
            unavailable("the catalog cannot be reached just now")
        }
    }
}

fn json(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
