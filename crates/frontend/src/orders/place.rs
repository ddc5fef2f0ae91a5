//! `POST /orders`: one order, one id, and as many attempts as fit before the deadline.
//!
//! The order's id is the client's `Idempotency-Key`, or is generated here. All attempts carry it,
//! and the order service gives an id at most one number. So an attempt whose answer was lost is
//! repeated, with whichever replica leads by then. At the deadline the client is told whether the
//! order may have been placed, and gets the key with which to ask again.
//!
//! # What is final
//! A key keeps its first final answer (invariant I7 in `docs/architecture.md`): a number,
//! `out_of_stock`, `no_such_product` or `idempotency_key_reused`. The order service makes these
//! durable before it answers. The exception is the refusal of an order that came without a key and
//! was sent once. It need not be durable, because the client is not told the id of such an order
//! and so cannot order again under it. Every other answer concerns only this request, which may be
//! the second one with its key: it never says that *nothing* was ordered under the key.

use std::sync::Arc;

use api::catalog::OrderLine;
use api::order::PlaceOrder;
use api::public::{NewOrder, OrderPlaced};
use api::{ApiError, ErrorCode, IDEMPOTENCY_KEY_HEADER, OrderId};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use discovery::Group;
use prometheus::{IntCounterVec, Opts, Registry};
use service::http::{ErrorResponse, data, read_json};
use service::json_client::CallError;
use service::metrics::registered;
use service::world;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::attempts::{Attempts, DecidedCounters, SECOND_ATTEMPTS_MAX};
use super::batch_request::PlaceOrders;
use super::idempotency_key::IdempotencyKey;
use super::rotation::ReplicaRotation;
use crate::admission::Admission;
use crate::batcher::Batcher;
use crate::deadline::RESPONSE_TIMEOUT;
use crate::errors::{internal, unavailable};
use crate::new_order::RawOrder;
use crate::openapi::PLACE_ERRORS;

/// The route on which orders are placed.
pub(crate) const PATH: &str = "/orders";

/// The longest body of an order, in bytes. It usually has about 100.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// The value of the metric's label `outcome` for an order that was placed.
const PLACED: &str = "placed";

/// Places and reads orders. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct OrdersApi {
    pub(super) group: Group,
    pub(super) rotation: Arc<ReplicaRotation>,
    pub(super) admission: Admission,
    batcher: Batcher<PlaceOrders>,
    decided: Arc<DecidedCounters>,
    /// Permits for second attempts.
    second_attempts: Arc<Semaphore>,
    outcomes: IntCounterVec,
}

impl OrdersApi {
    /// Sends orders to the leader of `group`, the order service, through `batcher`. Registers
    /// `toystore_frontend_orders_total`.
    pub(crate) fn new(group: Group, admission: Admission, batcher: Batcher<PlaceOrders>, registry: &Registry) -> Self {
        let opts = Opts::new("toystore_frontend_orders_total", "Orders of clients, by outcome");
        let outcomes = registered(registry, IntCounterVec::new(opts, &["outcome"]));
        for outcome in PLACE_ERRORS.iter().map(|code| code.as_str()).chain([PLACED]) {
            outcomes.with_label_values(&[outcome]);
        }
        let second_attempts = Arc::new(Semaphore::new(SECOND_ATTEMPTS_MAX));
        let (rotation, decided) = (Arc::default(), Arc::default());
        Self { group, rotation, admission, batcher, decided, second_attempts, outcomes }
    }

    /// How many orders are in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        self.admission.orders.in_flight()
    }

    /// Refuses any order while the concurrency limit is reached.
    pub(crate) fn check_limit(&self) -> Result<(), ErrorResponse> {
        self.admission.orders.check()
    }

    /// Handles `POST /orders`. A body without a Content-Type is read as JSON; a body with another
    /// type is refused.
    pub(crate) async fn handle(&self, mut request: Request) -> Response {
        // Starts before the body is read, so that a slow body does not extend the deadline.
        let deadline = Instant::now() + RESPONSE_TIMEOUT;
        // Read before anything can be decided about this order.
        let known = self.decided.get();
        let key = IdempotencyKey::of(request.headers());
        request.headers_mut().entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        let order = match read_json::<RawOrder>(request, BODY_BYTES_MAX).await {
            Ok(order) => order,
            Err(unreadable) => return unreadable.into_response(),
        };
        let key = match key {
            Ok(key) => key,
            Err(wrong) => return self.counted_response(Err(ErrorResponse::new(ErrorCode::BadRequest, wrong))),
        };
        let order_id = key.as_ref().map_or_else(|| OrderId(world::random_uuid()), |key| key.order_id);
        let reply = match order.check() {
            Ok(NewOrder { name, quantity }) => {
                let line = OrderLine { order_id, name, quantity };
                let order = PlaceOrder { line, known, only_attempt: key.is_none() };
                self.admission.orders.admit(self.place(&order, deadline)).await
            }
            Err(error) => Err(error.into()),
        };
        let hides_id = key.is_none() && matches!(&reply, Err(ErrorResponse(error)) if error.code.is_final());
        let mut response = self.counted_response(reply);
        if hides_id {
            return response;
        }
        let generated = || HeaderValue::try_from(order_id.to_string()).expect("a UUID is visible ASCII");
        let key = key.map_or_else(generated, |key| key.sent);
        response.headers_mut().insert(HeaderName::from_static(IDEMPOTENCY_KEY_HEADER), key);
        response
    }

    async fn place(&self, order: &PlaceOrder, deadline: Instant) -> Result<OrderPlaced, ErrorResponse> {
        let attempts = Attempts::new(order, &self.decided);
        let placed = self.group.call_leader(deadline, async |client, leader| {
            // An attempt has no shorter timeout of its own. If the leader is gone, the leader
            // monitor notices it by its status, and the attempt is abandoned in favor of the next
            // leader. If the leader is merely slow, the order may be in its queue or may be lost; a
            // second attempt covers both cases, since the leader recognizes the order.
            let send = |attempt| {
                let (client, leader) = (client.clone(), leader.clone());
                async move { self.batcher.submit(client, leader, &attempt, deadline).await }
            };
            attempts.send_hedged(send, &leader, &self.second_attempts).await
        });
        placed.await.map_err(|error| failure(order, error))
    }

    fn counted_response(&self, reply: Result<OrderPlaced, ErrorResponse>) -> Response {
        let outcome = reply.as_ref().map_or_else(|failure| failure.0.code.as_str(), |_| PLACED);
        self.outcomes.with_label_values(&[outcome]).inc();
        reply.and_then(data).into_response()
    }
}

/// What the client is told about an order that was not placed, or may not have been.
fn failure(order: &PlaceOrder, error: CallError) -> ErrorResponse {
    match error {
        CallError::Refused(ApiError { code, message, .. }) => match code {
            ErrorCode::NoSuchProduct
            | ErrorCode::OutOfStock
            | ErrorCode::IdempotencyKeyReused
            | ErrorCode::BadQuantity
            | ErrorCode::Overloaded
            | ErrorCode::InsufficientStorage
            | ErrorCode::DataMismatch => ErrorResponse::new(code, message),
            ErrorCode::Unavailable => unavailable(
                "this request has ordered nothing: the order service has no leader at the moment; try again later",
            ),
            _ => {
                tracing::error!(
                    order_id = %order.line.order_id,
                    ?code,
                    %message,
                    "the order service refused an order with an unexpected error"
                );
                internal()
            }
        },
        // `call_leader` returns these only if no attempt can have been carried out.
        CallError::Unreachable(_) | CallError::NotListening(_) => {
            unavailable("this request has ordered nothing: the order service cannot be reached; try again later")
        }
        CallError::Unknown { .. } => {
            tracing::warn!(order_id = %order.line.order_id, %error, "the outcome of an order is unknown");
            unavailable(
                "the order may or may not have been placed: to find out, repeat it with the Idempotency-Key of \
                 this response; it will not be placed twice",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_learns_whether_the_order_may_have_been_placed() {
        let name = api::ProductName::new("Tux").unwrap();
        let order = PlaceOrder::new(OrderId::random(), name, api::Quantity::ONE);
        let address = api::Address::new("order", 1);
        let told = |error| failure(&order, error).0;
        let unknown = told(CallError::Unknown { address: address.clone(), what: "no answer in time".into() });
        assert_eq!(unknown.code, ErrorCode::Unavailable);
        assert!(unknown.message.contains("may or may not"), "{unknown}");
        let certain = [
            CallError::Unreachable(address.clone()),
            CallError::NotListening(address),
            CallError::Refused(ApiError::new(ErrorCode::Unavailable, "the order service has no leader just now")),
        ];
        for error in certain {
            let certain = told(error);
            assert_eq!(certain.code, ErrorCode::Unavailable);
            assert!(certain.message.starts_with("this request has ordered nothing"), "{certain}");
        }
        let unexpected =
            told(CallError::Refused(ApiError::new(ErrorCode::Unauthorized, "this port requires the internal token")));
        assert_eq!(unexpected, internal().0, "the client learns nothing about the services behind");
    }
}
