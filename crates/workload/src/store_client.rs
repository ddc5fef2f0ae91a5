//! A client of the store's public REST API: one keep-alive connection, one attempt per call.

use std::time::Duration;

use api::public::{NewOrder, Order, OrderPlaced};
use api::{
    Address, ApiError, Data, ErrorBody, ErrorCode, IDEMPOTENCY_KEY_HEADER, OrderId, OrderNumber, Product, ProductName,
    SESSION_ID_HEADER,
};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// The longest response that is read, in bytes: a list of about 50,000 products.
const RESPONSE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An idle connection is closed before the store would close it (after 30 s).
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreClientError {
    /// The connection could not be opened: the store has not seen the request.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// No response in time. The store may or may not have processed the request.
    #[error("no response within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The connection was lost. The store may or may not have processed the request.
    #[error("the connection was lost: {0}")]
    ConnectionLost(String),
    /// The store, or a proxy in front of it, cannot serve the request now: a 5xx, 408 or 429.
    #[error("status {status}: {what}")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// The error code in the body, if it has one.
        code: Option<ErrorCode>,
        /// The error in the body.
        what: String,
    },
    /// The store refused the request, with a reason.
    #[error("refused: {0}")]
    Refused(ApiError),
    /// The response does not follow the API.
    #[error("invalid response: {0}")]
    InvalidResponse(String),
}

impl StoreClientError {
    /// Whether the same request may succeed when it is sent again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout(_) | Self::ConnectionLost(_) | Self::Unavailable { .. } => true,
            Self::Refused(_) | Self::InvalidResponse(_) => false,
        }
    }

    /// Whether a response arrived.
    pub fn is_response(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Refused(_) | Self::InvalidResponse(_) => true,
            Self::Unreachable(_) | Self::Timeout(_) | Self::ConnectionLost(_) => false,
        }
    }

    /// The store's error code.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Unavailable { code, .. } => *code,
            Self::Refused(error) => Some(error.code),
            Self::Unreachable(_) | Self::Timeout(_) | Self::ConnectionLost(_) | Self::InvalidResponse(_) => None,
        }
    }

    fn is_refusal(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Refused(error) if error.code == code)
    }
}

/// The result of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purchase {
    /// The order was placed under this number.
    Placed(OrderNumber),
    /// Not enough was in stock; nothing was taken.
    SoldOut,
}

/// A client of the store, with a `Session-ID` and a connection of its own.
#[derive(Clone, Debug)]
pub struct StoreClient {
    http: Client,
    base: Url,
    session: HeaderValue,
    request_timeout: Duration,
}

impl StoreClient {
    /// A new client; nothing is sent yet. Each response must be complete within `request_timeout`.
    ///
    /// # Panics
    /// If no HTTP client can be created.
    pub fn new(base: Url, request_timeout: Duration) -> Self {
        let session = HeaderValue::from_str(&Uuid::new_v4().to_string()).expect("a UUID is visible ASCII");
        let http = Client::builder()
            .default_headers(HeaderMap::from_iter([(
                SESSION_ID_HEADER.parse().expect("a valid header name"),
                session.clone(),
            )]))
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("an HTTP client can be created");
        Self { http, base, session, request_timeout }
    }

    /// Lists all products.
    pub async fn products(&self) -> Result<Vec<Product>, StoreClientError> {
        self.send(self.http.get(self.url(&["products"]))).await
    }

    /// Reads one product.
    pub async fn product(&self, name: &ProductName) -> Result<Product, StoreClientError> {
        let product: Product = self.send(self.http.get(self.url(&["products", name.as_str()]))).await?;
        if product.name == *name {
            Ok(product)
        } else {
            Err(StoreClientError::InvalidResponse(format!("requested product {name}, received {}", product.name)))
        }
    }

    /// Places an order. A second order with the same `id` is the same order.
    pub async fn place_order(&self, id: OrderId, order: &NewOrder) -> Result<Purchase, StoreClientError> {
        let request = self.http.post(self.url(&["orders"])).header(IDEMPOTENCY_KEY_HEADER, id.to_string()).json(order);
        purchase(self.send(request).await)
    }

    /// Reads the order with that number; `None` if there is none.
    pub async fn get_order(&self, number: OrderNumber) -> Result<Option<Order>, StoreClientError> {
        match self.send(self.http.get(self.url(&["orders", &number.to_string()]))).await {
            Ok(Order { number: other, .. }) if other != number => {
                Err(StoreClientError::InvalidResponse(format!("requested order {number}, received {other}")))
            }
            Ok(order) => Ok(Some(order)),
            Err(error) if error.is_refusal(ErrorCode::NoSuchOrder) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("an http URL has a path").clear().extend(segments);
        url
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, StoreClientError> {
        let failed = |error| failure(&error, self.request_timeout);
        let response = request.timeout(self.request_timeout).send().await.map_err(failed)?;
        let status = response.status();
        let echoed = response.headers().get(SESSION_ID_HEADER) == Some(&self.session);
        let body = read(response).await.map_err(failed)?.ok_or_else(|| {
            StoreClientError::InvalidResponse(format!(
                "status {status}, and the body is longer than {RESPONSE_BYTES_MAX} bytes"
            ))
        })?;
        if status.is_success() && !echoed {
            return Err(StoreClientError::InvalidResponse(format!("{SESSION_ID_HEADER} was not returned unchanged")));
        }
        evaluate(status, &body)
    }
}

/// The URL that all paths are relative to. The error says why `front` is not a valid address.
pub fn base_url(front: &Address) -> Result<Url, String> {
    let url = Url::parse(&front.url("/")).map_err(|error| format!("{front}: {error}"))?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if bare { Ok(url) } else { Err(format!("{front} is not just a host and a port")) }
}

/// Parses `host:port`. The error says what is wrong with `text`.
pub fn parse_address(text: &str) -> Result<Address, String> {
    let address = text.rsplit_once(':').and_then(|(host, port)| Some(Address::new(host, port.parse().ok()?)));
    address.filter(|address| base_url(address).is_ok()).ok_or_else(|| format!("{text:?} is not host:port"))
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

/// The whole body, or `None` if it is too long.
async fn read(mut response: Response) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > RESPONSE_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
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

fn failure(error: &reqwest::Error, request_timeout: Duration) -> StoreClientError {
    if error.is_timeout() {
        StoreClientError::Timeout(request_timeout)
    } else if error.is_connect() {
        StoreClientError::Unreachable(root_cause(error))
    } else {
        StoreClientError::ConnectionLost(root_cause(error))
    }
}

/// The innermost cause: "connection refused" rather than "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> StoreClient {
        StoreClient::new(base_url(&Address::new("127.0.0.1", 1)).unwrap(), Duration::from_secs(1))
    }

    #[test]
    fn names_are_escaped_in_paths() {
        let path = |name| store().url(&["products", name]).path().to_owned();
        assert_eq!(path("Magic 8-Ball?"), "/products/Magic%208-Ball%3F");
        assert_eq!(path("a/b"), "/products/a%2Fb");
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for host in ["a/b", "a?b", "a#b", "a@b", "a b", ""] {
            assert!(base_url(&Address::new(host, 1110)).is_err(), "{host:?}");
        }
        assert_eq!(base_url(&Address::new("::1", 1110)).unwrap().as_str(), "http://[::1]:1110/");
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
