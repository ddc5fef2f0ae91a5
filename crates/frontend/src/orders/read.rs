//! `GET /orders/{number}`: answered by any replica that has the order, because an order never
//! changes. Only the leader can say that an order does not exist.

use std::time::Duration;

use api::public::Order;
use api::{ErrorCode, OrderNumber, Ordinal};
use service::http::{ErrorResponse, HandlerResult, Hedge, data};
use service::json_client::{CallError, RequestPath};
use tokio::time::Instant;

use super::place::OrdersApi;
use crate::deadline::{RESPONSE_TIMEOUT, remaining};
use crate::errors::unavailable;

/// Timeout of a read from any one replica, which answers from memory. A paused replica delays one
/// read by this much, and is then avoided for a while.
const REPLICA_TIMEOUT: Duration = Duration::from_millis(200);

/// Timeout of an attempt at the leader, which may have to ask a majority before it says "not
/// found".
const LEADER_TIMEOUT: Duration = Duration::from_millis(1500);

/// The route of one order.
pub(crate) const ROUTE: &str = "/orders/{number}";

impl OrdersApi {
    /// Handles `GET` and `POST /orders/{number}`, which behave the same.
    pub(crate) async fn read(&self, number: &str) -> HandlerResult<Order> {
        let number = parse(number)?;
        let deadline = Instant::now() + RESPONSE_TIMEOUT;
        data(self.admission.reads.admit(self.find(number, deadline)).await?)
    }

    async fn find(&self, number: OrderNumber, deadline: Instant) -> Result<Order, ErrorResponse> {
        if let Some(order) = self.find_on_replicas(number).await {
            return Ok(order);
        }
        let path = path(number);
        let order = self.group.call_leader(deadline, async |client, leader| {
            client
                .hedged(Hedge::STEADY)
                .get(&leader, RequestPath::filled(ROUTE, &path), remaining(deadline).min(LEADER_TIMEOUT))
                .await
        });
        order.await.map_err(|error| failure(number, &error))
    }

    /// The order, if the next replica in the rotation has it. While there is no leader, all
    /// replicas are tried, so that an order can be read as long as one replica that has it is
    /// running.
    async fn find_on_replicas(&self, number: OrderNumber) -> Option<Order> {
        let ordinals = self.rotation.next(self.group.replicas().into_keys().collect());
        let tries = if self.group.current_leader().is_some() { 1 } else { ordinals.len() };
        for ordinal in ordinals.into_iter().take(tries) {
            match self.read_from(ordinal, number).await {
                Ok(order) => return Some(order),
                Err(CallError::Refused(_)) => {}
                Err(CallError::Unreachable(_) | CallError::NotListening(_) | CallError::Unknown { .. }) => {
                    self.rotation.avoid(ordinal);
                }
            }
        }
        None
    }

    async fn read_from(&self, ordinal: Ordinal, number: OrderNumber) -> Result<Order, CallError> {
        let path = path(number);
        let route = RequestPath::filled(ROUTE, &path);
        self.group
            .call_replica(ordinal, async |client, replica| {
                client.hedged(Hedge::QUICK).get(&replica, route, REPLICA_TIMEOUT).await
            })
            .await
    }
}

fn path(number: OrderNumber) -> String {
    format!("/orders/{number}")
}

fn parse(number: &str) -> Result<OrderNumber, ErrorResponse> {
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| number.parse().ok()).flatten().and_then(OrderNumber::new).ok_or_else(|| {
        let what = format!("an order number is a whole number from 1 to {}", u64::MAX);
        ErrorResponse::new(ErrorCode::BadRequest, what)
    })
}

/// What the client is told when the order service refuses a read, or does not answer it.
fn failure(number: OrderNumber, error: &CallError) -> ErrorResponse {
    match error.code() {
        Some(ErrorCode::NoSuchOrder) => {
            ErrorResponse::new(ErrorCode::NoSuchOrder, format!("there is no order {number}"))
        }
        Some(ErrorCode::Overloaded) => {
            ErrorResponse::new(ErrorCode::Overloaded, "the order service is overloaded; try again later")
        }
        _ => {
            tracing::warn!(%error, order_number = number.get(), "the order service did not answer");
            unavailable("the order service cannot be reached; try again later")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_in_digits_from_1_to_the_largest() {
        assert_eq!(parse("10").unwrap().get(), 10);
        assert_eq!(parse("18446744073709551615").unwrap().get(), u64::MAX);
        for bad in ["abc", "0", "-1", "+1", "1.5", "", "18446744073709551616", "1e3", " 1"] {
            assert_eq!(parse(bad).unwrap_err().0.code, ErrorCode::BadRequest, "{bad:?}");
        }
    }
}
