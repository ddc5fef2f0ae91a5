//! Orders on their way to the leader.

use api::Address;
use api::order::{PlaceOrder, Placement, TOGETHER_PATH};
use api::public::OrderPlaced;
use service::call::{CallError, Caller};
use tokio::time::Instant;

use crate::courier::Errand;
use crate::deadline::remaining;

/// Places orders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placing;

impl Errand for Placing {
    type Question = PlaceOrder;
    type Answer = OrderPlaced;

    async fn alone(
        &self,
        caller: &Caller,
        leader: &Address,
        order: &PlaceOrder,
        deadline: Instant,
    ) -> Result<OrderPlaced, CallError> {
        caller.post(leader, "/orders", order, remaining(deadline)).await
    }

    async fn together(
        &self,
        caller: &Caller,
        leader: &Address,
        orders: &[PlaceOrder],
        deadline: Instant,
    ) -> Result<Vec<Result<OrderPlaced, CallError>>, CallError> {
        let placed: Vec<Placement> = caller.post(leader, TOGETHER_PATH, &orders, remaining(deadline)).await?;
        Ok(placed.into_iter().map(|one| Result::from(one).map_err(CallError::Refused)).collect())
    }
}
