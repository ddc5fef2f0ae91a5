//! How orders are sent to the leader of the order service, one by one or as a batch.

use api::Address;
use api::order::{BATCH_PATH, PlaceOrder, Placement};
use api::public::OrderPlaced;
use service::json_client::{CallError, JsonClient};
use tokio::time::Instant;

use crate::batcher::BatchRequest;
use crate::deadline::remaining;

/// Places orders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaceOrders;

impl BatchRequest for PlaceOrders {
    type Item = PlaceOrder;
    type Response = OrderPlaced;

    async fn send_one(
        &self,
        client: &JsonClient,
        leader: &Address,
        order: &PlaceOrder,
        deadline: Instant,
    ) -> Result<OrderPlaced, CallError> {
        client.post(leader, "/orders", order, remaining(deadline)).await
    }

    async fn send_batch(
        &self,
        client: &JsonClient,
        leader: &Address,
        orders: &[PlaceOrder],
        deadline: Instant,
    ) -> Result<Vec<Result<OrderPlaced, CallError>>, CallError> {
        let placed: Vec<Placement> = client.post(leader, BATCH_PATH, &orders, remaining(deadline)).await?;
        Ok(placed.into_iter().map(|one| Result::from(one).map_err(CallError::Refused)).collect())
    }
}
