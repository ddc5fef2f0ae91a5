//! All routes of the catalog; [`api::catalog`] documents their requests and responses.

use std::sync::Arc;

use api::catalog::{
    BATCH_ORDERS_MAX, BatchReserved, Fence, Fenced, LastAnsweredBatch, LeaseGranted, LeaseRequest, LocalStock,
    PRODUCT_BATCH_PATH, ProductList, ProductRead, ProductReadOutcome, ReadProducts, ReserveBatch, Resolve, STOCK_PATH,
    STOCK_PRODUCTS_MAX, Settle, StockAccount,
};
use api::{ApiError, BatchNumber, Empty, ErrorCode, HolderId};
use axum::Extension;
use axum::Router;
use axum::extract::State;
use axum::http::Method;
use axum::routing::{delete, get, post};
use discovery::Group;
use prometheus::Registry;
use replication::Replica;
use serde::Deserialize;
use service::Token;
use service::health::{self, Readiness};
use service::http::{
    ClassLimit, ClassRate, ErrorResponse, HandlerResult, JsonBody, PathParam, PeerAddress, QueryParams, ServerMetrics,
    Service, data, guard, harden,
};
use tokio::sync::watch;

use crate::holder_verification::HolderVerifier;
use crate::leader::LeaderState;
use crate::leader_term::LeaderTerm;
use crate::state_machine::{Action, Catalog, CatalogReply};
use crate::validation;

/// Reads of some products that are handled at the same time.
const READS: ClassLimit = ClassLimit { at_once: 4, rate: ClassRate::Unlimited };

/// Reads of all products that are handled at the same time. Each is as much work as many of the
/// others.
const LISTS: ClassLimit = ClassLimit { at_once: 1, rate: ClassRate::Unlimited };

/// Reads of the stock as this replica has it: a console asks four times a second.
const STOCK_READS: ClassLimit = ClassLimit { at_once: 1, rate: ClassRate::AtMost(50) };

/// What the handlers need.
#[derive(Clone)]
pub(crate) struct CatalogHandler {
    pub(crate) replica: Replica<Catalog>,
    pub(crate) state: watch::Receiver<LeaderState>,
    /// The order group, whose terms are accepted.
    pub(crate) orders: Group,
    pub(crate) verifier: HolderVerifier,
}

/// What the router needs besides the handlers.
#[derive(Clone, Debug)]
pub(crate) struct RouterConfig {
    pub(crate) token: Option<Token>,
    pub(crate) readiness: Readiness,
    pub(crate) registry: Registry,
    pub(crate) requests: ServerMetrics,
}

/// The service port.
pub(crate) fn service(handler: CatalogHandler, config: RouterConfig) -> Service {
    let replica = handler.replica.status_routes();
    let catalog = Router::new()
        .route("/products", get(products))
        .route("/products/{name}", get(product))
        .route(PRODUCT_BATCH_PATH, post(product_batch).get(product_named_batch))
        .route("/leases", post(lease))
        .route("/leases/{holder}", delete(release))
        .route("/reservations", post(reserve))
        .route("/settlements", post(settle))
        .route("/fence", post(fence))
        .route("/resolution", post(resolve))
        .route("/accounts", get(accounts))
        .route(STOCK_PATH, get(stock))
        .with_state(handler);
    let health = health::routes(config.readiness, config.registry);
    // Reads must not keep orders, leases and elections waiting.
    let port = config
        .requests
        .port("catalog")
        .with_class(
            "products",
            READS,
            &[(Method::GET, "/products/{name}"), (Method::GET, PRODUCT_BATCH_PATH), (Method::POST, PRODUCT_BATCH_PATH)],
        )
        .with_class("lists", LISTS, &[(Method::GET, "/products"), (Method::GET, "/accounts")])
        .with_class("stock", STOCK_READS, &[(Method::GET, STOCK_PATH)]);
    harden(guard(catalog.merge(replica), config.token).merge(health), port)
}

/// The replication port.
pub(crate) fn replication(replica: &Replica<Catalog>, requests: &ServerMetrics) -> Service {
    harden(replica.peer_routes(), requests.port("catalog-replication"))
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct ReadQuery {
    holder: Option<HolderId>,
}

async fn product(
    State(handler): State<CatalogHandler>,
    name: Result<PathParam<String>, ErrorResponse>,
    QueryParams(query): QueryParams<ReadQuery>,
) -> HandlerResult<ProductRead> {
    // A path segment that is not UTF-8 is not the name of a product.
    let PathParam(name) = name.unwrap_or(PathParam(String::new()));
    data(handler.leader_term()?.product(&name, query.holder).await?)
}

/// The route for batches must not hide the product that a store may have called `batch`.
async fn product_named_batch(
    State(handler): State<CatalogHandler>,
    QueryParams(query): QueryParams<ReadQuery>,
) -> HandlerResult<ProductRead> {
    data(handler.leader_term()?.product("batch", query.holder).await?)
}

async fn product_batch(
    State(handler): State<CatalogHandler>,
    JsonBody(request): JsonBody<ReadProducts>,
) -> HandlerResult<Vec<ProductReadOutcome>> {
    data(handler.leader_term()?.product_batch(&request).await?)
}

async fn products(
    State(handler): State<CatalogHandler>,
    QueryParams(query): QueryParams<ReadQuery>,
) -> HandlerResult<ProductList> {
    data(handler.leader_term()?.products(query.holder).await?)
}

async fn accounts(State(handler): State<CatalogHandler>) -> HandlerResult<Vec<StockAccount>> {
    data(handler.leader_term()?.accounts().await?)
}

/// Any replica answers, from its own state.
async fn stock(State(handler): State<CatalogHandler>) -> HandlerResult<LocalStock> {
    data(handler.replica.read(|catalog| {
        let products = catalog.offers().take(STOCK_PRODUCTS_MAX).map(|offer| offer.product).collect();
        LocalStock { products, count: catalog.products_len() }
    }))
}

async fn lease(
    State(handler): State<CatalogHandler>,
    source: Option<Extension<PeerAddress>>,
    JsonBody(request): JsonBody<LeaseRequest>,
) -> HandlerResult<LeaseGranted> {
    let source = source.map(|Extension(PeerAddress(source))| source);
    data(handler.leader_term()?.lease(request, source, &handler.verifier).await?)
}

async fn release(
    State(handler): State<CatalogHandler>,
    PathParam(holder): PathParam<HolderId>,
) -> HandlerResult<Empty> {
    handler.leader_term()?.release(holder);
    data(Empty {})
}

async fn reserve(
    State(handler): State<CatalogHandler>,
    QueryParams(after): QueryParams<LastAnsweredBatch>,
    JsonBody(batch): JsonBody<ReserveBatch>,
) -> HandlerResult<BatchReserved> {
    check_batch(&batch)?;
    match handler.change(after, Action::Reserve(batch)).await? {
        CatalogReply::Reserved(answer) => data(answer),
        reply => unreachable!("unexpected reply to a batch: {reply:?}"),
    }
}

async fn settle(
    State(handler): State<CatalogHandler>,
    QueryParams(after): QueryParams<LastAnsweredBatch>,
    JsonBody(settle): JsonBody<Settle>,
) -> HandlerResult<Empty> {
    handler.change(after, Action::Settle(settle)).await?;
    data(Empty {})
}

async fn fence(State(handler): State<CatalogHandler>, JsonBody(fence): JsonBody<Fence>) -> HandlerResult<Fenced> {
    match handler.change(LastAnsweredBatch::default(), Action::Fence(fence)).await? {
        CatalogReply::Fenced(fenced) => data(fenced),
        reply => unreachable!("unexpected reply to a fence: {reply:?}"),
    }
}

async fn resolve(
    State(handler): State<CatalogHandler>,
    QueryParams(after): QueryParams<LastAnsweredBatch>,
    JsonBody(resolve): JsonBody<Resolve>,
) -> HandlerResult<Empty> {
    handler.change(after, Action::Resolve(resolve)).await?;
    data(Empty {})
}

fn check_batch(batch: &ReserveBatch) -> Result<(), ApiError> {
    let orders = batch.orders.len();
    if orders > BATCH_ORDERS_MAX {
        let what = format!("a batch may have at most {BATCH_ORDERS_MAX} orders, not {orders}");
        return Err(ApiError::new(ErrorCode::BadRequest, what));
    }
    if batch.id.batch == BatchNumber(0) {
        return Err(ApiError::new(ErrorCode::BadRequest, "batches are counted from 1"));
    }
    Ok(())
}

impl CatalogHandler {
    fn leader_term(&self) -> Result<Arc<LeaderTerm>, ApiError> {
        self.state.borrow().leader_term()
    }

    async fn change(&self, after: LastAnsweredBatch, action: Action) -> Result<CatalogReply, ApiError> {
        let leader_term = self.leader_term()?;
        let fence = self.replica.read(Catalog::fence);
        if let Some(term) = validation::claimed_term(&action).filter(|term| *term > fence) {
            validation::check_term_was_seen(&self.orders, fence, term).await?;
        }
        leader_term.change_after(after.batch_id(), action).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use api::Ordinal;
    use replication::{FileStore, ReplicaConfig};
    use service::http::testing;

    use super::*;

    fn empty_group() -> Group {
        Group::new("order", discovery::static_replicas(BTreeMap::new()), service::json_client::JsonClient::new(None))
    }

    #[tokio::test]
    async fn only_health_and_metrics_are_served_without_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::new("a-long-secret").unwrap();
        let no_replicas = discovery::static_replicas(BTreeMap::new());
        let config = ReplicaConfig::new("catalog", Ordinal(1), dir.path().to_owned(), 1, no_replicas);
        let store = FileStore::new(dir.path().join("state"));
        let replica = Replica::start(config, Catalog::default(), store).await.unwrap();
        let verifier =
            HolderVerifier { client: service::json_client::JsonClient::new(None), loopback_is_this_machine: true };
        let handler = CatalogHandler {
            replica: replica.clone(),
            state: watch::channel(LeaderState::Following(None)).1,
            orders: empty_group(),
            verifier,
        };
        let registry = service::metrics::registry("catalog");
        let requests = ServerMetrics::new(&registry);
        let readiness = Readiness::not_yet("a test");
        let router = service(handler, RouterConfig { token: Some(token.clone()), readiness, registry, requests });
        let open = testing::open_without_token(router.router(), &token).await;
        assert_eq!(open, ["/healthz", "/metrics", "/readyz"].map(str::to_owned).into());
        assert!(testing::paths(router.router()).len() > open.len());
        replica.shutdown().await;
    }
}
