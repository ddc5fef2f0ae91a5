//! Products, from the cache or from the catalog's leader.

mod errand;

use std::borrow::Cow;

use api::{Data, ErrorCode, Product, ProductName};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::Response;
use bytes::Bytes;
use discovery::Group;
use percent_encoding::percent_decode_str;
use service::call::CallError;
use service::http::{Failure, Reply, data};
use tokio::time::Instant;

use crate::admission::Gate;
use crate::cache::SharedCache;
use crate::courier::Courier;
use crate::deadline::{ANSWER_WITHIN, remaining};
use crate::new_order::no_such_product;
use crate::refusal::unavailable;

use errand::ATTEMPT_TIMEOUT;
pub(crate) use errand::Looking;

/// Requests for looks to the catalog at the same time, at most: it answers them from memory, one half travels while the other gathers.
const LOOK_REQUESTS_MAX: usize = 4;

/// Where the product's name begins in the path of a request. The path is read here and not by axum: a name without escapes is
/// looked up in the cache without being copied.
const PRODUCT_PATH: &str = "/products/";

/// What it takes to answer for products.
#[derive(Clone, Debug)]
pub(crate) struct Products {
    /// The catalog.
    catalog: Group,
    /// What was read from it.
    cache: SharedCache,
    /// For what is read from the catalog.
    places: Gate,
    keeps: bool,
    courier: Courier<Looking>,
}

/// `GET /products/{name}`.
pub(crate) async fn product(State(products): State<Products>, request: Request) -> Result<Response, Failure> {
    let name = asked_for(request.uri()).ok_or_else(no_such_product)?;
    match products.hit(&name) {
        Some(body) => Ok(json(body)),
        None => products.look(&name).await,
    }
}

/// The product's name in a path of the [`ROUTE`]; `None` if it is none.
pub(crate) fn asked_for(uri: &Uri) -> Option<Cow<'_, str>> {
    let name = uri.path().strip_prefix(PRODUCT_PATH)?;
    let is_one_segment = !name.is_empty() && !name.contains('/');
    is_one_segment.then(|| percent_decode_str(name).decode_utf8().ok()).flatten()
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

/// The route of one product.
pub(crate) const ROUTE: &str = "/products/{name}";

impl Products {
    /// From the `catalog`; `looking` says whether what is read may be kept in `cache`.
    pub(crate) fn new(catalog: Group, cache: SharedCache, places: Gate, looking: Looking) -> Self {
        let keeps = looking.holder.is_some();
        Self { catalog, cache, places, keeps, courier: Courier::new(looking, LOOK_REQUESTS_MAX) }
    }

    /// The answer for a product that is in the cache.
    pub(crate) fn hit(&self, name: &str) -> Option<Bytes> {
        self.cache.hit(name)
    }

    /// Answers for a product that is not in the cache.
    pub(crate) async fn look(&self, name: &str) -> Result<Response, Failure> {
        self.cache.missed();
        let name = ProductName::new(name).map_err(|_| no_such_product())?;
        self.places.admit(self.fetch(&name)).await.map(json)
    }

    /// Reads a product from the catalog, and keeps the answer if it may be kept.
    async fn fetch(&self, name: &ProductName) -> Result<Bytes, Failure> {
        let ticket = self.cache.begin_fetch();
        let deadline = Instant::now() + ANSWER_WITHIN;
        let read = self
            .catalog
            .ask_leader(deadline, async |caller, catalog| self.courier.ask(caller, catalog, name, deadline).await);
        let read = read.await.map_err(|error| refused(name.as_str(), &error))?;
        let body = serde_json::to_vec(&Data::new(&read.product)).expect("a product has a JSON form");
        let body = Bytes::from(body);
        if read.cacheable && self.keeps {
            self.cache.fill(ticket, read.product, read.version, body.clone());
        }
        Ok(body)
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

pub(crate) fn json(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_what_the_router_would_take() {
        let asked = |path: &'static str| asked_for(&Uri::from_static(path)).map(Cow::into_owned);
        assert_eq!(asked("/products/Magic%208-Ball?x=/y").as_deref(), Some("Magic 8-Ball"));
        assert_eq!(asked("/products/off%2Fon").as_deref(), Some("off/on"));
        for other in ["/products", "/products/", "/products/off/on", "/products/%FF", "/orders/7"] {
            assert_eq!(asked(other), None, "{other}");
        }
    }
}
