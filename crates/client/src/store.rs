//! The store as one shopper sees it: the public REST API over a kept-alive connection, one try per call.

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

/// The longest answer that is read, in bytes: a list of some 50,000 products.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An idle connection is dropped before the store (30 s) would.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Why one try gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No connection: the store has seen nothing.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// The time was up. The store may or may not have done it.
    #[error("no answer within {} ms", .0.as_millis())]
    Silent(Duration),
    /// The connection broke. The store may or may not have done it.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The store (or a proxy before it) cannot answer just now: a 5xx, 408 or 429.
    #[error("status {status}: {what}")]
    Failing {
        /// The HTTP status.
        status: u16,
        /// What the body says.
        what: String,
    },
    /// The store says no, with a reason.
    #[error("refused: {0}")]
    Refused(ApiError),
    /// An answer that is not what the interface says.
    #[error("the answer is not as it should be: {0}")]
    Nonsense(String),
}

impl StoreError {
    /// Whether the same request, sent again, may succeed.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Silent(_) | Self::Broken(_) | Self::Failing { .. } => true,
            Self::Refused(_) | Self::Nonsense(_) => false,
        }
    }

    fn is_refusal(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Refused(error) if error.code == code)
    }
}

/// The answer to an order that was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purchase {
    /// Placed under that number.
    Placed(OrderNumber),
    /// Less than that was in stock; nothing was taken.
    SoldOut,
}

/// A connection to the store, under a session id of its own.
#[derive(Clone, Debug)]
pub struct Store {
    http: Client,
    base: Url,
    session: HeaderValue,
    answer_timeout: Duration,
}

impl Store {
    /// A shopper enters the store; nothing is sent yet. Each answer must be complete within `answer_timeout`.
    ///
    /// # Panics
    /// If the process cannot have an HTTP client at all.
    pub fn enter(base: Url, answer_timeout: Duration) -> Self {
        let session = HeaderValue::from_str(&Uuid::new_v4().to_string()).expect("a UUID is visible ASCII");
        let http = Client::builder()
            .default_headers(HeaderMap::from_iter([(
                SESSION_ID_HEADER.parse().expect("a header's name"),
                session.clone(),
            )]))
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("an HTTP client can be made");
        Self { http, base, session, answer_timeout }
    }

    /// All products.
    pub async fn products(&self) -> Result<Vec<Product>, StoreError> {
        self.send(self.http.get(self.url(&["products"]))).await
    }

    /// One product.
    pub async fn product(&self, name: &ProductName) -> Result<Product, StoreError> {
        let product: Product = self.send(self.http.get(self.url(&["products", name.as_str()]))).await?;
        if product.name == *name {
            Ok(product)
        } else {
            Err(StoreError::Nonsense(format!("asked for {name}, it shows {}", product.name)))
        }
    }

    /// Orders; the same `id` is the same order.
    pub async fn order(&self, id: OrderId, order: &NewOrder) -> Result<Purchase, StoreError> {
        let request = self.http.post(self.url(&["orders"])).header(IDEMPOTENCY_KEY_HEADER, id.to_string()).json(order);
        match self.send::<OrderPlaced>(request).await {
            Ok(placed) => Ok(Purchase::Placed(placed.order_number)),
            Err(error) if error.is_refusal(ErrorCode::OutOfStock) => Ok(Purchase::SoldOut),
            Err(error) => Err(error),
        }
    }

    /// The order with that number; `None` if the store has none.
    pub async fn placed(&self, number: OrderNumber) -> Result<Option<Order>, StoreError> {
        match self.send(self.http.get(self.url(&["orders", &number.to_string()]))).await {
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

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, StoreError> {
        let failed = |error| failure(&error, self.answer_timeout);
        let response = request.timeout(self.answer_timeout).send().await.map_err(failed)?;
        let status = response.status();
        let echoed = response.headers().get(SESSION_ID_HEADER) == Some(&self.session);
        let body = read(response).await.map_err(failed)?.ok_or_else(|| {
            StoreError::Nonsense(format!("status {status} with a body of more than {ANSWER_BYTES_MAX} bytes"))
        })?;
        if !status.is_success() {
            return Err(refusal(status, &body));
        }
        if !echoed {
            return Err(StoreError::Nonsense(format!("{SESSION_ID_HEADER} does not come back as it was sent")));
        }
        serde_json::from_slice::<Data<T>>(&body)
            .map(|answer| answer.data)
            .map_err(|error| StoreError::Nonsense(format!("status {status}, but {error}")))
    }
}

/// The URL that all paths are relative to; an error says why `front` is no address.
pub fn base_url(front: &Address) -> Result<Url, String> {
    let url = Url::parse(&front.url("/")).map_err(|error| format!("{front}: {error}"))?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if bare { Ok(url) } else { Err(format!("{front} is more than host and port")) }
}

/// An address as people write it; an error says what is wrong with it.
pub fn parse_address(text: &str) -> Result<Address, String> {
    let address = text.rsplit_once(':').and_then(|(host, port)| Some(Address::new(host, port.parse().ok()?)));
    address.filter(|address| base_url(address).is_ok()).ok_or_else(|| format!("{text:?} is not host:port"))
}

/// The whole body, or `None` if it is too long.
async fn read(mut response: Response) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn refusal(status: StatusCode, body: &[u8]) -> StoreError {
    let error = serde_json::from_slice::<ErrorBody>(body).map(|body| body.error);
    let passing = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if status.is_server_error() || passing {
        let what = error.map_or_else(|_| "not in the store's words".into(), |error| error.to_string());
        return StoreError::Failing { status: status.as_u16(), what };
    }
    match error {
        Ok(error) if error.code.status() == status => StoreError::Refused(error),
        Ok(error) => StoreError::Nonsense(format!("status {status} with the error {error}")),
        Err(_) => StoreError::Nonsense(format!("status {status} without the store's error format")),
    }
}

fn failure(error: &reqwest::Error, answer_timeout: Duration) -> StoreError {
    if error.is_timeout() {
        StoreError::Silent(answer_timeout)
    } else if error.is_connect() {
        StoreError::Unreachable(root_cause(error))
    } else {
        StoreError::Broken(root_cause(error))
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

    fn store() -> Store {
        Store::enter(base_url(&Address::new("127.0.0.1", 1)).unwrap(), Duration::from_secs(1))
    }

    #[test]
    fn names_are_escaped_in_paths() {
        let path = |name| store().url(&["products", name]).path().to_owned();
        assert_eq!(path("Magic 8-Ball?"), "/products/Magic%208-Ball%3F");
        assert_eq!(path("a/b"), "/products/a%2Fb");
    }

    #[test]
    fn an_address_is_host_and_port() {
        for host in ["a/b", "a?b", "a#b", "a@b", "a b", ""] {
            assert!(base_url(&Address::new(host, 1110)).is_err(), "{host:?}");
        }
        assert_eq!(base_url(&Address::new("::1", 1110)).unwrap().as_str(), "http://[::1]:1110/");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let body = |code: ErrorCode| serde_json::to_vec(&ErrorBody { error: ApiError::new(code, "because") }).unwrap();
        for code in ErrorCode::ALL {
            let error = refusal(code.status(), &body(*code));
            let passes = matches!(
                code,
                ErrorCode::Internal
                    | ErrorCode::Overloaded
                    | ErrorCode::Unavailable
                    | ErrorCode::InsufficientStorage
                    | ErrorCode::RequestTimeout
            );
            assert_eq!(error.may_pass(), passes, "{code:?}");
        }
        assert!(refusal(StatusCode::BAD_GATEWAY, b"<html>").may_pass());
        assert!(!refusal(StatusCode::NOT_FOUND, b"<html>").may_pass());
        assert!(!refusal(StatusCode::NOT_FOUND, &body(ErrorCode::OutOfStock)).may_pass());
    }
}
