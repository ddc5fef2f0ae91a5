//! What comes in: a body, a path's parameter, or a query, each with an error that says what is wrong with it.

use std::time::Duration;

use api::ErrorCode;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::Failure;

/// The longest body that a service reads, in bytes. An order has 100; a batch of 256 with the longest names has 86,272.
/// Public ports narrow it to 16 KiB.
pub const BODY_BYTES_MAX: usize = 128 * 1024;

/// How long a body may take to arrive, once its headers are there. Most come in the same packet; one that was lost is sent again within a
/// second. The rest of the 5 s in which a client is to be answered is for the work.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for a body that is not JSON: some MiB of log entries, from one replica to another.
const RAW_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A request's body, parsed from JSON.
#[derive(Clone, Copy, Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        if !is_json(request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())) {
            let what = "the body must be JSON: send Content-Type: application/json";
            return Err(Failure::new(ErrorCode::UnsupportedMediaType, what));
        }
        let bytes = read(request, state, BODY_TIMEOUT).await?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Failure::new(ErrorCode::BadRequest, format!("the body is not as it should be: {error}")))
    }
}

/// A request's body as it is.
#[derive(Clone, Debug)]
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        read(request, state, RAW_BODY_TIMEOUT).await.map(Self)
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S, within: Duration) -> Result<Bytes, Failure> {
    let late = |_| {
        let what = format!("the body did not arrive within {} s", within.as_secs());
        Failure::new(ErrorCode::RequestTimeout, what)
    };
    let read = tokio::time::timeout(within, Bytes::from_request(request, state)).await.map_err(late)?;
    read.map_err(|rejection| unreadable(&rejection))
}

fn unreadable(rejection: &BytesRejection) -> Failure {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Failure::new(ErrorCode::PayloadTooLarge, "the body is longer than this port takes")
    } else {
        Failure::new(ErrorCode::BadRequest, format!("the body cannot be read: {rejection}"))
    }
}

/// `application/json`, with or without parameters; or any `application/*+json`.
fn is_json(content_type: Option<&str>) -> bool {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The one parameter of a path.
#[derive(Clone, Copy, Debug)]
pub struct PathParam<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParam<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Failure::new(ErrorCode::BadRequest, rejection.body_text())),
        }
    }
}

/// The parameters behind a path's question mark.
#[derive(Clone, Copy, Debug)]
pub struct QueryParams<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Failure::new(ErrorCode::BadRequest, rejection.body_text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_json;

    #[test]
    fn content_types() {
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert!(is_json(Some(good)), "{good}");
        }
        for bad in [None, Some("text/plain"), Some(""), Some("application/jsonp"), Some("text/json+json")] {
            assert!(!is_json(bad), "{bad:?}");
        }
    }
}
