//! A client of the store's public REST API: one attempt per call.

use std::time::Duration;

use api::public::{NewOrder, Order, OrderPlaced};
use api::{
    Data, ErrorBody, ErrorCode, IDEMPOTENCY_KEY_HEADER, OrderId, OrderNumber, Product, ProductName, SESSION_ID_HEADER,
};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, StatusCode, request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use uuid::Uuid;

use crate::error::StoreClientError;
use crate::transport::{HttpTransport, Transport};

/// The result of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purchase {
    /// The order was placed under this number.
    Placed(OrderNumber),
    /// Not enough was in stock; nothing was taken.
    SoldOut,
}

/// A client of the store, with a `Session-ID` of its own.
#[derive(Clone, Debug)]
pub struct StoreClient<T = HttpTransport> {
    transport: T,
    session: HeaderValue,
    request_timeout: Duration,
}

impl StoreClient {
    /// A client with a connection of its own; nothing is sent yet. Each response must be complete
    /// within `request_timeout`.
    ///
    /// # Panics
    /// If no HTTP client can be created.
    pub fn new(base: Url, request_timeout: Duration) -> Self {
        Self::over(HttpTransport::new(base), &Uuid::new_v4().to_string(), request_timeout)
    }
}

impl<T: Transport> StoreClient<T> {
    /// A client whose requests go through `transport`, with this `Session-ID`.
    ///
    /// # Panics
    /// If the `Session-ID` is not visible ASCII.
    pub fn over(transport: T, session: &str, request_timeout: Duration) -> Self {
        let session = HeaderValue::from_str(session).expect("a session is visible ASCII");
        Self { transport, session, request_timeout }
    }

    /// The same client, with another timeout.
    #[must_use]
    pub fn with_request_timeout(self, request_timeout: Duration) -> Self {
        Self { request_timeout, ..self }
    }

    /// Lists all products.
    pub async fn products(&self) -> Result<Vec<Product>, StoreClientError> {
        self.send(Request::get("/products"), Bytes::new()).await
    }

    /// Reads one product.
    pub async fn product(&self, name: &ProductName) -> Result<Product, StoreClientError> {
        let product: Product = self.send(Request::get(product_path(name)), Bytes::new()).await?;
        if product.name == *name {
            Ok(product)
        } else {
            Err(StoreClientError::InvalidResponse(format!("requested product {name}, received {}", product.name)))
        }
    }

    /// Places an order. A second order with the same `id` is the same order.
    pub async fn place_order(&self, id: OrderId, order: &NewOrder) -> Result<Purchase, StoreClientError> {
        let request = Request::post("/orders")
            .header(CONTENT_TYPE, "application/json")
            .header(IDEMPOTENCY_KEY_HEADER, id.to_string());
        let body = serde_json::to_vec(order).expect("an order has a JSON form");
        purchase(self.send(request, body.into()).await)
    }

    /// Reads the order with that number; `None` if there is none.
    pub async fn get_order(&self, number: OrderNumber) -> Result<Option<Order>, StoreClientError> {
        match self.send(Request::get(format!("/orders/{number}")), Bytes::new()).await {
            Ok(Order { number: other, .. }) if other != number => {
                Err(StoreClientError::InvalidResponse(format!("requested order {number}, received {other}")))
            }
            Ok(order) => Ok(Some(order)),
            Err(error) if error.is_refusal(ErrorCode::NoSuchOrder) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn send<D: DeserializeOwned>(&self, request: request::Builder, body: Bytes) -> Result<D, StoreClientError> {
        let request = request.header(SESSION_ID_HEADER, &self.session).body(body).expect("a valid request");
        let response = timeout(self.request_timeout, self.transport.send(request)).await;
        let response = response.map_err(|_| StoreClientError::Timeout(self.request_timeout))??;
        if response.status().is_success() && response.headers().get(SESSION_ID_HEADER) != Some(&self.session) {
            return Err(StoreClientError::InvalidResponse(format!("{SESSION_ID_HEADER} was not returned unchanged")));
        }
        evaluate(response.status(), response.body())
    }
}

/// The path of a product.
pub(crate) fn product_path(name: &ProductName) -> String {
    format!("/products/{}", utf8_percent_encode(name.as_str(), NON_ALPHANUMERIC))
}

/// What a response says about an order.
pub(crate) fn evaluate_order(status: u16, body: &[u8]) -> Result<Purchase, StoreClientError> {
    let status = StatusCode::from_u16(status);
    purchase(
        status
            .map_err(|_| StoreClientError::InvalidResponse("no valid status".into()))
            .and_then(|status| evaluate(status, body)),
    )
}

fn purchase(answer: Result<OrderPlaced, StoreClientError>) -> Result<Purchase, StoreClientError> {
    match answer {
        Ok(placed) => Ok(Purchase::Placed(placed.order_number)),
        Err(error) if error.is_refusal(ErrorCode::OutOfStock) => Ok(Purchase::SoldOut),
        Err(error) => Err(error),
    }
}

/// What a response says.
fn evaluate<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, StoreClientError> {
    if !status.is_success() {
        return Err(refusal(status, body));
    }
    serde_json::from_slice::<Data<T>>(body)
        .map(|body| body.data)
        .map_err(|error| StoreClientError::InvalidResponse(format!("status {status}, but {error}")))
}

fn refusal(status: StatusCode, body: &[u8]) -> StoreClientError {
    let error = serde_json::from_slice::<ErrorBody>(body).map(|body| body.error);
    let is_temporary = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    // A server that does not implement a request will not implement it the next time either.
    let is_permanent = status == StatusCode::NOT_IMPLEMENTED;
    if (status.is_server_error() && !is_permanent) || is_temporary {
        let code = error.as_ref().ok().map(|error| error.code);
        let what =
            error.map_or_else(|_| "the body is not in the store's error format".into(), |error| error.to_string());
        return StoreClientError::Unavailable { status: status.as_u16(), code, what };
    }
    match error {
        Ok(error) if error.code.status() == status => StoreClientError::Refused(error),
        Ok(error) => StoreClientError::InvalidResponse(format!("status {status} with the error {error}")),
        Err(_) => StoreClientError::InvalidResponse(format!("status {status} without the store's error format")),
    }
}

#[cfg(test)]
mod tests {
    use api::ApiError;

    use super::*;

    #[test]
    fn names_are_escaped_in_paths() {
        let path = |name| product_path(&ProductName::new(name).unwrap());
        assert_eq!(path("Magic 8-Ball?"), "/products/Magic%208%2DBall%3F");
        assert_eq!(path("a/b"), "/products/a%2Fb");
    }

    #[test]
    fn only_temporary_errors_are_retryable() {
        let body = |code: ErrorCode| serde_json::to_vec(&ErrorBody { error: ApiError::new(code, "because") }).unwrap();
        for code in ErrorCode::ALL {
            let error = refusal(code.status(), &body(*code));
            let is_temporary = matches!(
                code,
                ErrorCode::Internal
                    | ErrorCode::Overloaded
                    | ErrorCode::Unavailable
                    | ErrorCode::InsufficientStorage
                    | ErrorCode::DataMismatch
                    | ErrorCode::RequestTimeout
            );
            assert_eq!(error.is_retryable(), is_temporary, "{code:?}");
        }
        assert!(refusal(StatusCode::BAD_GATEWAY, b"<html>").is_retryable());
        assert!(!refusal(StatusCode::NOT_FOUND, b"<html>").is_retryable());
        assert!(!refusal(StatusCode::NOT_FOUND, &body(ErrorCode::OutOfStock)).is_retryable());
    }
}
