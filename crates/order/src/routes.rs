//! Every route of the service's port.

use api::catalog::OrderLine;
use api::order::{PlaceOrder, Placement, REACH_PATH, Reach, TOGETHER_PATH};
use api::public::{Order, OrderPlaced};
use api::{ApiError, OrderNumber, Together};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use futures::future::join_all;
use service::Token;
use service::http::{Body, PathParam, Reply, data, guard};

use crate::desk::Desk;
use crate::stock::Stock;

/// Orders, and whatever the replica answers, for those with the token; `health` for everyone.
pub(crate) fn service(desk: Desk, stock: Stock, replica: Router, health: Router, token: Option<Token>) -> Router {
    let reach = Router::new().route(REACH_PATH, get(reach)).with_state((desk.clone(), stock));
    let orders = Router::new()
        .route("/orders", post(place))
        .route(TOGETHER_PATH, post(place_together))
        .route("/orders/{number}", get(find))
        .with_state(desk);
    guard(orders.merge(reach).merge(replica), token).merge(health)
}

async fn place(State(desk): State<Desk>, Body(order): Body<PlaceOrder>) -> Reply<OrderPlaced> {
    data(place_one(&desk, order).await?)
}

async fn place_together(State(desk): State<Desk>, Body(orders): Body<Together<PlaceOrder>>) -> Reply<Vec<Placement>> {
    // All of them are in the queue before any is waited for.
    let placed = Vec::from(orders).into_iter().map(async |order| place_one(&desk, order).await.into());
    data(join_all(placed).await)
}

async fn place_one(desk: &Desk, PlaceOrder { order_id, name, quantity }: PlaceOrder) -> Result<OrderPlaced, ApiError> {
    let order_number = desk.place(OrderLine { order_id, name, quantity }).await?;
    Ok(OrderPlaced { order_number })
}

async fn find(State(desk): State<Desk>, PathParam(number): PathParam<OrderNumber>) -> Reply<Order> {
    data(desk.find(number).await?)
}

async fn reach(State((desk, stock)): State<(Desk, Stock)>) -> Reply<Reach> {
    data(Reach { node_id: desk.node_id(), catalog: stock.is_in_reach().await })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use api::Ordinal;
    use replication::{Replica, ReplicaConfig};
    use service::health::{self, Readiness};
    use service::http::{RequestMetrics, harden, testing};
    use tokio::sync::watch;

    use super::*;
    use crate::ledger::Ledger;
    use crate::metrics::OrderMetrics;
    use crate::orders::Orders;

    #[tokio::test]
    async fn only_health_and_metrics_are_told_without_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let (registry, token) = (service::metrics::registry("order"), Token::new("a-long-secret").unwrap());
        let ledger = Ledger::open(&dir.path().join("log.csv"), dir.path()).unwrap();
        let nobody = discovery::fixed(BTreeMap::new());
        let config = ReplicaConfig::new("order", Ordinal(1), dir.path().to_owned(), 1, nobody);
        let replica = Replica::start(config, Orders::default(), ledger).await.unwrap();
        let desk = Desk::new(replica.clone(), OrderMetrics::new(&registry), watch::channel(None).1);
        let requests = RequestMetrics::new(&registry);
        let health = health::routes(Readiness::not_yet("a test"), registry);
        let caller = service::call::Caller::new(None);
        let stock = Stock::new(discovery::Group::new("catalog", discovery::fixed(BTreeMap::new()), caller));
        let router = service(desk, stock, replica.status_routes(), health, Some(token.clone()));
        let router = harden(router, requests.port("order"));
        let open = testing::open_to_strangers(&router, &token).await;
        assert_eq!(open, ["/healthz", "/metrics", "/readyz"].map(str::to_owned).into());
        assert!(testing::paths(&router).len() > open.len());
        replica.shutdown().await;
    }
}
