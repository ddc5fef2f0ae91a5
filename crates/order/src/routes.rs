//! All routes of the service port.

use api::order::{
    BATCH_PATH, CATALOG_REACHABILITY_PATH, CatalogReachability, LEDGER_PATH, LedgerEnd, LedgerQuery, PlaceOrder,
    Placement,
};
use api::public::{Order, OrderPlaced};
use api::{ApiError, OrderNumber, RequestBatch};
use axum::Router;
use axum::extract::State;
use axum::http::Method;
use axum::routing::{get, post};
use futures::future::join_all;
use service::Token;
use service::http::{ClassLimit, ClassRate, HandlerResult, JsonBody, PathParam, PortMetrics, QueryParams, data, guard};

use crate::catalog_client::CatalogClient;
use crate::handler::OrderHandler;

/// Reads that are handled at the same time.
const READS: ClassLimit = ClassLimit { at_once: 1, rate: ClassRate::Unlimited };

/// Reads of the ledger's end: a console asks four times a second.
const LEDGER_READS: ClassLimit = ClassLimit { at_once: 1, rate: ClassRate::AtMost(50) };

/// Limits reads, so that they do not delay orders and elections.
pub(crate) fn with_classes(port: PortMetrics) -> PortMetrics {
    port.with_class("orders_read", READS, &[(Method::GET, "/orders/{number}")]).with_class(
        "ledger",
        LEDGER_READS,
        &[(Method::GET, LEDGER_PATH)],
    )
}

/// Orders and the replica's own routes, for clients that have the token; `health` for everyone.
pub(crate) fn service(
    handler: OrderHandler,
    catalog: CatalogClient,
    replica: Router,
    health: Router,
    token: Option<Token>,
) -> Router {
    let reachability = Router::new()
        .route(CATALOG_REACHABILITY_PATH, get(catalog_reachability))
        .with_state((handler.clone(), catalog));
    let orders = Router::new()
        .route("/orders", post(place))
        .route(BATCH_PATH, post(place_batch))
        .route("/orders/{number}", get(find))
        .route(LEDGER_PATH, get(ledger))
        .with_state(handler);
    guard(orders.merge(reachability).merge(replica), token).merge(health)
}

async fn place(
    State(handler): State<OrderHandler>,
    JsonBody(order): JsonBody<PlaceOrder>,
) -> HandlerResult<OrderPlaced> {
    data(place_one(&handler, order).await?)
}

async fn place_batch(
    State(handler): State<OrderHandler>,
    JsonBody(orders): JsonBody<RequestBatch<PlaceOrder>>,
) -> HandlerResult<Vec<Placement>> {
    // All orders are queued before the first result is awaited.
    let placed = Vec::from(orders).into_iter().map(async |order| place_one(&handler, order).await.into());
    data(join_all(placed).await)
}

async fn place_one(handler: &OrderHandler, order: PlaceOrder) -> Result<OrderPlaced, ApiError> {
    handler.place(order).await.map(|order_number| OrderPlaced { order_number })
}

async fn find(State(handler): State<OrderHandler>, PathParam(number): PathParam<OrderNumber>) -> HandlerResult<Order> {
    data(handler.find(number).await?)
}

async fn ledger(
    State(handler): State<OrderHandler>,
    QueryParams(query): QueryParams<LedgerQuery>,
) -> HandlerResult<LedgerEnd> {
    data(handler.ledger_end(query))
}

async fn catalog_reachability(
    State((handler, catalog)): State<(OrderHandler, CatalogClient)>,
) -> HandlerResult<CatalogReachability> {
    data(CatalogReachability { node_id: handler.node_id(), catalog: catalog.is_reachable().await })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use api::Ordinal;
    use replication::{Replica, ReplicaConfig};
    use service::health::{self, Readiness};
    use service::http::{ServerMetrics, harden, testing};
    use tokio::sync::watch;

    use super::*;
    use crate::ledger::Ledger;
    use crate::metrics::OrderMetrics;
    use crate::orders::Orders;

    #[tokio::test]
    async fn only_health_and_metrics_are_served_without_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let (registry, token) = (service::metrics::registry("order"), Token::new("a-long-secret").unwrap());
        let ledger = Ledger::open(&dir.path().join("log.csv"), dir.path()).unwrap();
        let no_replicas = discovery::static_replicas(BTreeMap::new());
        let config = ReplicaConfig::new("order", Ordinal(1), dir.path().to_owned(), 1, no_replicas);
        let checksums = ledger.checksums();
        let replica = Replica::start(config, Orders::default(), ledger).await.unwrap();
        let handler = OrderHandler::new(
            replica.clone(),
            OrderMetrics::new(&registry),
            watch::channel(None).1,
            watch::channel(None).1,
            checksums,
        );
        let requests = ServerMetrics::new(&registry);
        let health = health::routes(Readiness::not_yet("a test"), registry);
        let client = service::json_client::JsonClient::new(None);
        let catalog = CatalogClient::new(
            discovery::Group::new("catalog", discovery::static_replicas(BTreeMap::new()), client),
            0,
        );
        let router = service(handler, catalog, replica.status_routes(), health, Some(token.clone()));
        let router = harden(router, requests.port("order"));
        let open = testing::open_without_token(router.router(), &token).await;
        assert_eq!(open, ["/healthz", "/metrics", "/readyz"].map(str::to_owned).into());
        assert!(testing::paths(router.router()).len() > open.len());
        replica.shutdown().await;
    }
}
