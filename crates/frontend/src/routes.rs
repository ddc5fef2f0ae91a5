//! Every path of the two ports.

use api::HolderId;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use axum::{Router, middleware};
use prometheus::Registry;
use service::Token;
use service::health::{self, Readiness};
use service::http::{PortMetrics, guard, harden};

use crate::cache::SharedCache;
use crate::internal::{self, Invalidations};
use crate::openapi::{self, Document};
use crate::orders::{self, Orders};
use crate::products::{self, Products};
use crate::session;

/// The longest body that a shopper may send, in bytes. An order has about 100.
pub(crate) const PUBLIC_BODY_BYTES_MAX: usize = 16 * 1024;

/// `REST_API_PORT`, without health and metrics.
pub(crate) fn public(products: Products, orders: Orders, document: Document) -> Router {
    Router::new()
        .route(products::ROUTE, get(products::product).with_state(products.clone()))
        .route("/products", get(products::all).with_state(products))
        .route(orders::PATH, post(orders::place).with_state(orders.clone()))
        .route("/orders/{number}", get(orders::read).with_state(orders))
        .route(openapi::PATH, get(openapi::serve).with_state(document))
        .layer((middleware::from_fn(session::echo), DefaultBodyLimit::max(PUBLIC_BODY_BYTES_MAX)))
}

/// `FRONT_PORT`, without health and metrics.
pub(crate) fn internal(cache: SharedCache, holder: HolderId, token: Option<Token>) -> Router {
    let routes = Router::new()
        .route("/cache", delete(internal::invalidate).get(internal::contents))
        .route("/cache/{product}", delete(internal::forget))
        .with_state(Invalidations { cache, holder });
    guard(routes, token)
}

/// What both ports share; health and metrics are there if there is `health`.
pub(crate) fn port(routes: Router, health: Option<(Readiness, Registry)>, metrics: PortMetrics) -> Router {
    let routes = match health {
        Some((readiness, registry)) => routes.merge(health::routes(readiness, registry)),
        None => routes,
    };
    harden(routes, metrics)
}

#[cfg(test)]
mod tests {
    use service::http::{RequestMetrics, testing};

    use super::*;

    #[tokio::test]
    async fn on_the_internal_port_only_health_and_metrics_are_told_without_the_token() {
        let registry = service::metrics::registry("frontend");
        let token = Token::new("a-long-secret").unwrap();
        let guarded = internal(SharedCache::new(7, &registry), HolderId::random(), Some(token.clone()));
        let metrics = RequestMetrics::new(&registry);
        let router = port(guarded, Some((Readiness::not_yet("a test"), registry)), metrics.port("frontend"));
        let open = testing::open_to_strangers(&router, &token).await;
        assert_eq!(open, ["/healthz", "/metrics", "/readyz"].map(str::to_owned).into());
        assert!(testing::paths(&router).len() > open.len());
    }
}
