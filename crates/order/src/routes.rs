//! Every route of the service's port.

use api::OrderNumber;
use api::catalog::OrderLine;
use api::order::PlaceOrder;
use api::public::{Order, OrderPlaced};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use service::http::{Body, PathParam, Reply, data};

use crate::desk::Desk;

pub(crate) fn routes(desk: Desk) -> Router {
    Router::new().route("/orders", post(place)).route("/orders/{number}", get(find)).with_state(desk)
}

async fn place(State(desk): State<Desk>, Body(order): Body<PlaceOrder>) -> Reply<OrderPlaced> {
    let PlaceOrder { order_id, name, quantity } = order;
    let order_number = desk.place(OrderLine { order_id, name, quantity }).await?;
    data(OrderPlaced { order_number })
}

async fn find(State(desk): State<Desk>, PathParam(number): PathParam<OrderNumber>) -> Reply<Order> {
    data(desk.find(number).await?)
}
