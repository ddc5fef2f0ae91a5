//! The internal port (`FRONT_PORT`): invalidations from the catalog, and the cache's contents for
//! operators.

use api::frontend::{CacheContents, Invalidate};
use api::{Empty, ErrorCode, HolderId, ProductName};
use axum::Router;
use axum::extract::State;
use axum::http::Method;
use axum::routing::delete;
use prometheus::Registry;
use service::Token;
use service::events;
use service::health::{self, Readiness};
use service::http::{
    ClassLimit, ClassRate, ErrorResponse, HandlerResult, JsonBody, PathParam, ServerMetrics, Service, data, guard,
    harden,
};

use crate::cache::SharedCache;
use crate::errors::no_such_product;

/// The most products in one invalidation; a catalog has no more.
const PRODUCTS_MAX: usize = 1000;

/// The route of the cache's contents.
const CONTENTS: &str = "/cache";

/// Limits reads of the contents, which no client needs often, so that they do not delay
/// invalidations.
const CONTENTS_READS: ClassLimit = ClassLimit { at_once: 1, rate: ClassRate::AtMost(50) };

/// The state of the handlers.
#[derive(Clone, Debug)]
pub(crate) struct InternalApi {
    pub(crate) cache: SharedCache,
    /// The holder of the cache's lease: this process.
    pub(crate) holder: HolderId,
}

/// The internal port: its routes, which need the token, and health and metrics, which do not.
pub(crate) fn service(
    state: InternalApi,
    token: Option<Token>,
    readiness: Readiness,
    registry: Registry,
    requests: &ServerMetrics,
) -> Service {
    let routes = Router::new()
        .route(CONTENTS, delete(invalidate).get(contents))
        .route("/cache/{product}", delete(remove))
        .with_state(state)
        .merge(events::routes());
    let port = requests.port("frontend").with_class("contents", CONTENTS_READS, &[(Method::GET, CONTENTS)]);
    harden(guard(routes, token).merge(health::routes(readiness, registry)), port)
}

/// Handles `DELETE /cache`: removes products that are about to change. The response confirms that
/// they are gone.
pub(crate) async fn invalidate(
    State(state): State<InternalApi>,
    JsonBody(change): JsonBody<Invalidate>,
) -> HandlerResult<Empty> {
    if change.holder != state.holder {
        // The holder may be an earlier process on this port, whose lease will expire. But it may
        // also be a running process that has told the catalog a wrong address, and no other
        // process can confirm for it.
        return Err(ErrorResponse::new(ErrorCode::NotFound, "another process holds that lease"));
    }
    if change.products.len() > PRODUCTS_MAX {
        let what = format!("an invalidation has at most {PRODUCTS_MAX} products, not {}", change.products.len());
        return Err(ErrorResponse::new(ErrorCode::BadRequest, what));
    }
    state.cache.invalidate(&change.products);
    data(Empty {})
}

/// Handles `DELETE /cache/{product}`, for operators. An invalid product name gets the same response
/// as an unknown one.
pub(crate) async fn remove(
    State(state): State<InternalApi>,
    name: Result<PathParam<String>, ErrorResponse>,
) -> HandlerResult<Empty> {
    let name = name.ok().and_then(|PathParam(name)| ProductName::new(&name).ok()).ok_or_else(no_such_product)?;
    state.cache.remove(&name);
    data(Empty {})
}

/// Handles `GET /cache`.
pub(crate) async fn contents(State(state): State<InternalApi>) -> HandlerResult<CacheContents> {
    data(state.cache.contents())
}

#[cfg(test)]
mod tests {
    use service::http::testing;

    use super::*;

    #[tokio::test]
    async fn the_internal_port_serves_only_health_and_metrics_without_the_token() {
        let registry = service::metrics::registry("frontend");
        let token = Token::new("a-long-secret").unwrap();
        let state = InternalApi { cache: SharedCache::new(7, &registry), holder: HolderId::random() };
        let requests = ServerMetrics::new(&registry);
        let port = service(state, Some(token.clone()), Readiness::not_yet("a test"), registry, &requests);
        let open = testing::open_without_token(port.router(), &token).await;
        assert_eq!(open, ["/healthz", "/metrics", "/readyz"].map(str::to_owned).into());
        assert!(testing::paths(port.router()).len() > open.len());
    }
}
