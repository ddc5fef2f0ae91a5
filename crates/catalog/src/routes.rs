//! Every route of the catalog, on one page; [`api::catalog`] says what each takes and gives.

use std::sync::Arc;

use api::catalog::{
    BatchReserved, Fence, Fenced, LOOK_TOGETHER_PATH, LeaseGranted, LeaseRequest, Look, LookTogether, ProductRead,
    ReserveBatch, Resolve, Settle, StockAccount,
};
use api::{ApiError, BatchNumber, ErrorCode, HolderId, Product};
use axum::Router;
use axum::extract::State;
use axum::routing::{delete, get, post};
use prometheus::Registry;
use replication::Replica;
use serde::{Deserialize, Serialize};
use service::Token;
use service::health::{self, Readiness};
use service::http::{Body, PathParam, QueryParams, Reply, RequestMetrics, data, guard, harden};
use tokio::sync::watch;

use crate::leadership::Standing;
use crate::machine::{self, Action, Catalog};
use crate::tenure::Tenure;

/// Most orders in a batch; with it a batch's answer and its log entry are small.
pub const BATCH_ORDERS_MAX: usize = 256;

/// What handlers answer from.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) replica: Replica<Catalog>,
    pub(crate) standing: watch::Receiver<Standing>,
}

/// What is around the routes.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) token: Option<Token>,
    pub(crate) readiness: Readiness,
    pub(crate) registry: Registry,
    pub(crate) requests: RequestMetrics,
}

/// The service port.
pub(crate) fn service(desk: Desk, frame: Frame) -> Router {
    let replica = desk.replica.status_routes();
    let catalog = Router::new()
        .route("/products", get(products))
        .route("/products/{name}", get(product))
        .route(LOOK_TOGETHER_PATH, post(together))
        .route("/leases", post(lease))
        .route("/leases/{holder}", delete(release))
        .route("/reservations", post(reserve))
        .route("/settlements", post(settle))
        .route("/fence", post(fence))
        .route("/resolution", post(resolve))
        .route("/accounts", get(accounts))
        .with_state(desk);
    let health = health::routes(frame.readiness, frame.registry);
    harden(guard(catalog.merge(replica), frame.token).merge(health), frame.requests.port("catalog"))
}

/// The replication port.
pub(crate) fn replication(replica: &Replica<Catalog>, requests: &RequestMetrics) -> Router {
    harden(replica.peer_routes(), requests.port("catalog-replication"))
}

/// Done, and there is nothing to say.
#[derive(Clone, Copy, Debug, Serialize)]
struct Nothing {}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Reader {
    holder: Option<HolderId>,
}

async fn product(
    State(desk): State<Desk>,
    PathParam(name): PathParam<String>,
    QueryParams(reader): QueryParams<Reader>,
) -> Reply<ProductRead> {
    data(desk.tenure()?.product(&name, reader.holder).await?)
}

async fn together(State(desk): State<Desk>, Body(looks): Body<LookTogether>) -> Reply<Vec<Look>> {
    data(desk.tenure()?.together(&looks).await?)
}

async fn products(State(desk): State<Desk>) -> Reply<Vec<Product>> {
    data(desk.tenure()?.products().await?)
}

async fn accounts(State(desk): State<Desk>) -> Reply<Vec<StockAccount>> {
    data(desk.tenure()?.accounts(&desk.replica).await?)
}

async fn lease(State(desk): State<Desk>, Body(request): Body<LeaseRequest>) -> Reply<LeaseGranted> {
    data(desk.tenure()?.lease(request).await?)
}

async fn release(State(desk): State<Desk>, PathParam(holder): PathParam<HolderId>) -> Reply<Nothing> {
    desk.tenure()?.release(holder);
    data(Nothing {})
}

async fn reserve(State(desk): State<Desk>, Body(batch): Body<ReserveBatch>) -> Reply<BatchReserved> {
    check(&batch)?;
    match desk.change(Action::Reserve(batch)).await? {
        machine::Reply::Reserved(answer) => data(answer),
        reply => unreachable!("a batch is answered with its outcomes, not {reply:?}"),
    }
}

async fn settle(State(desk): State<Desk>, Body(settle): Body<Settle>) -> Reply<Nothing> {
    desk.change(Action::Settle(settle)).await?;
    data(Nothing {})
}

async fn fence(State(desk): State<Desk>, Body(fence): Body<Fence>) -> Reply<Fenced> {
    match desk.change(Action::Fence(fence)).await? {
        machine::Reply::Fenced(open) => data(Fenced { open }),
        reply => unreachable!("a fence is answered with what is open, not {reply:?}"),
    }
}

async fn resolve(State(desk): State<Desk>, Body(resolve): Body<Resolve>) -> Reply<Nothing> {
    desk.change(Action::Resolve(resolve)).await?;
    data(Nothing {})
}

fn check(batch: &ReserveBatch) -> Result<(), ApiError> {
    let orders = batch.orders.len();
    if orders > BATCH_ORDERS_MAX {
        let what = format!("a batch has at most {BATCH_ORDERS_MAX} orders, not {orders}");
        return Err(ApiError::new(ErrorCode::BadRequest, what));
    }
    if batch.id.batch == BatchNumber(0) {
        return Err(ApiError::new(ErrorCode::BadRequest, "batches are counted from 1"));
    }
    Ok(())
}

impl Desk {
    fn tenure(&self) -> Result<Arc<Tenure>, ApiError> {
        self.standing.borrow().tenure()
    }

    async fn change(&self, action: Action) -> Result<machine::Reply, ApiError> {
        self.tenure()?.change(action).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use api::Ordinal;
    use replication::{FileStore, ReplicaConfig};
    use service::http::testing;

    use super::*;

    #[tokio::test]
    async fn only_health_and_metrics_are_told_without_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::new("a-long-secret").unwrap();
        let nobody = discovery::fixed(BTreeMap::new());
        let config = ReplicaConfig::new("catalog", Ordinal(1), dir.path().to_owned(), 1, nobody);
        let store = FileStore::new(dir.path().join("state"));
        let replica = Replica::start(config, Catalog::default(), store).await.unwrap();
        let desk = Desk { replica: replica.clone(), standing: watch::channel(Standing::Follows(None)).1 };
        let registry = service::metrics::registry("catalog");
        let requests = RequestMetrics::new(&registry);
        let readiness = Readiness::not_yet("a test");
        let router = service(desk, Frame { token: Some(token.clone()), readiness, registry, requests });
        let open = testing::open_to_strangers(&router, &token).await;
        assert_eq!(open, ["/healthz", "/metrics", "/readyz"].map(str::to_owned).into());
        assert!(testing::paths(&router).len() > open.len());
        replica.shutdown().await;
    }
}
