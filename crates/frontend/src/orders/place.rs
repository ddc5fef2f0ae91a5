//! `POST /orders`: one order, one id, as many attempts as fit before the deadline.
//!
//! The order's id is the shopper's `Idempotency-Key`, or is minted here. All attempts carry it, and the order service gives one id at most
//! one number; so an attempt whose answer was lost is simply repeated, with whoever leads by then. When the time is up the
//! shopper is told whether the order may have been placed, and gets the key with which to ask again.

use std::sync::Arc;

use api::order::PlaceOrder;
use api::public::{NewOrder, OrderPlaced};
use api::{ApiError, ErrorCode, IDEMPOTENCY_KEY_HEADER, OrderId};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use discovery::Group;
use prometheus::{IntCounterVec, Opts, Registry};
use service::call::CallError;
use service::http::{Body, Failure, data};
use service::metrics::registered;
use service::world;
use tokio::time::Instant;

use super::errand::Placing;
use super::read::Replicas;
use crate::admission::Admission;
use crate::courier::Courier;
use crate::deadline::ANSWER_WITHIN;
use crate::new_order::RawOrder;
use crate::openapi::PLACE_ERRORS;
use crate::refusal::{internal, unavailable};

/// What counts as an order that was placed.
const PLACED: &str = "placed";

/// What it takes to place and to read orders. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    pub(super) group: Group,
    pub(super) replicas: Arc<Replicas>,
    pub(super) admission: Admission,
    courier: Courier<Placing>,
    outcomes: IntCounterVec,
}

impl Orders {
    /// Through the order service `group`, to whose leader `courier` goes. Registers `toystore_frontend_orders_total`.
    pub(crate) fn new(group: Group, admission: Admission, courier: Courier<Placing>, registry: &Registry) -> Self {
        let opts = Opts::new("toystore_frontend_orders_total", "Orders of shoppers, by what they were told");
        let outcomes = registered(registry, IntCounterVec::new(opts, &["outcome"]));
        for outcome in PLACE_ERRORS.iter().map(|code| code.as_str()).chain([PLACED]) {
            outcomes.with_label_values(&[outcome]);
        }
        Self { group, replicas: Arc::default(), admission, courier, outcomes }
    }

    async fn place(&self, order: &PlaceOrder, deadline: Instant) -> Result<OrderPlaced, Failure> {
        let placed = self.group.ask_leader(deadline, async |caller, leader| {
            // Without a shorter time-out per attempt: a leader that is gone is noticed by its status, and the attempt is abandoned
            // for its successor. One that is merely slow has the order in its queue, and asking twice would not speed it up.
            self.courier.ask(caller, leader, order, deadline).await
        });
        placed.await.map_err(|error| refused(order, error))
    }
}

/// Where orders come in.
pub(crate) const PATH: &str = "/orders";

/// The handler.
pub(crate) async fn place(State(orders): State<Orders>, request: Request) -> Response {
    // Taken before the body is read, so that a slow body is part of the promise.
    let deadline = Instant::now() + ANSWER_WITHIN;
    let order_id = order_id(request.headers());
    let order = match Body::<RawOrder>::from_request(request, &()).await {
        Ok(Body(order)) => order,
        Err(unreadable) => return unreadable.into_response(),
    };
    let order_id = match order_id {
        Ok(order_id) => order_id,
        Err(failure) => return orders.counted(Err(failure)),
    };
    let reply = match order.check() {
        Ok(NewOrder { name, quantity }) => {
            let order = PlaceOrder { order_id, name, quantity };
            orders.admission.orders.admit(orders.place(&order, deadline)).await
        }
        Err(error) => Err(error.into()),
    };
    let mut response = orders.counted(reply);
    let key = HeaderValue::try_from(order_id.to_string()).expect("a UUID is visible ASCII");
    response.headers_mut().insert(HeaderName::from_static(IDEMPOTENCY_KEY_HEADER), key);
    response
}

impl Orders {
    /// The refusal of any order while there is no place for one.
    pub(crate) fn look_for_place(&self) -> Result<(), Failure> {
        self.admission.orders.look()
    }

    fn counted(&self, reply: Result<OrderPlaced, Failure>) -> Response {
        let outcome = reply.as_ref().map_or_else(|failure| failure.0.code.as_str(), |_| PLACED);
        self.outcomes.with_label_values(&[outcome]).inc();
        reply.and_then(data).into_response()
    }
}

/// The shopper's own, or a new one.
fn order_id(headers: &HeaderMap) -> Result<OrderId, Failure> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY_HEADER).iter();
    match (keys.next(), keys.next()) {
        (None, _) => Ok(OrderId(world::random_uuid())),
        (Some(key), None) => key.to_str().ok().and_then(|key| key.parse().ok()).ok_or_else(|| {
            let what = "the header Idempotency-Key must be a UUID, such as 0190b5a4-7f0e-7cc3-98c4-dc0c0c07398f";
            Failure::new(ErrorCode::BadRequest, what)
        }),
        (Some(_), Some(_)) => {
            Err(Failure::new(ErrorCode::BadRequest, "the header Idempotency-Key may be there only once"))
        }
    }
}

/// What the shopper is told.
fn refused(order: &PlaceOrder, error: CallError) -> Failure {
    match error {
        CallError::Refused(ApiError { code, message, .. }) => match code {
            ErrorCode::NoSuchProduct
            | ErrorCode::OutOfStock
            | ErrorCode::IdempotencyKeyReused
            | ErrorCode::BadQuantity
            | ErrorCode::Overloaded
            | ErrorCode::InsufficientStorage => Failure::new(code, message),
            ErrorCode::Unavailable => {
                unavailable("nothing was ordered: the order service has no leader just now; try again later")
            }
            _ => {
                tracing::error!(order_id = %order.order_id, ?code, %message, "an order was refused for no reason of the shopper's");
                internal()
            }
        },
        // `ask_leader` has said so only if no attempt can have been carried out.
        CallError::Unreachable(_) => {
            unavailable("nothing was ordered: the order service cannot be reached; try again later")
        }
        CallError::Unknown { .. } => {
            tracing::warn!(order_id = %order.order_id, %error, "an order's outcome is unknown");
            unavailable(
                "the order may or may not have been placed: repeat it with the Idempotency-Key of this answer to find out, \
                 it will not be placed twice",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(keys: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(IDEMPOTENCY_KEY_HEADER, HeaderValue::from_str(key).unwrap());
        }
        headers
    }

    #[test]
    fn a_key_is_one_uuid_or_is_minted() {
        let key = "0190b5a4-7f0e-7cc3-98c4-dc0c0c07398f";
        assert_eq!(order_id(&headers(&[key])).unwrap().to_string(), key);
        assert_ne!(order_id(&headers(&[])).unwrap(), order_id(&headers(&[])).unwrap());
        for bad in [&["7"][..], &[""], &["é"], &[key, key]] {
            assert_eq!(order_id(&headers(bad)).unwrap_err().0.code, ErrorCode::BadRequest, "{bad:?}");
        }
    }

    #[test]
    fn the_shopper_learns_whether_something_may_have_been_ordered() {
        let order = PlaceOrder {
            order_id: OrderId::random(),
            name: api::ProductName::new("Tux").unwrap(),
            quantity: api::Quantity::ONE,
        };
        let address = api::Address::new("order", 1);
        let told = |error| refused(&order, error).0;
        let unknown = told(CallError::Unknown { address: address.clone(), what: "no answer in time".into() });
        assert_eq!(unknown.code, ErrorCode::Unavailable);
        assert!(unknown.message.contains("may or may not"), "{unknown}");
        let certain = [
            CallError::Unreachable(address),
            CallError::Refused(ApiError::new(ErrorCode::Unavailable, "the order service has no leader just now")),
        ];
        for error in certain {
            let certain = told(error);
            assert_eq!(certain.code, ErrorCode::Unavailable);
            assert!(certain.message.starts_with("nothing was ordered"), "{certain}");
        }
        let ours =
            told(CallError::Refused(ApiError::new(ErrorCode::Unauthorized, "this port wants the internal token")));
        assert_eq!(ours, internal().0, "nothing of the inside is shown");
    }
}
