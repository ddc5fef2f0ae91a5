//! Extractors for bodies, path parameters and queries, with errors that say what is wrong.

use std::time::Duration;

use api::ErrorCode;
use axum::Extension;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde::de::DeserializeOwned;

use super::json_response::ErrorResponse;

/// The longest body that a service reads, in bytes. An order has 100 bytes, and a batch of 256
/// orders with the longest names has 86,272. Public ports lower this limit to 16 KiB.
pub const BODY_BYTES_MAX: usize = 128 * 1024;

/// A layer that sets the longest body of its routes, in bytes, instead of [`BODY_BYTES_MAX`]. The
/// innermost layer counts.
pub fn body_limit(bytes_max: usize) -> Extension<BodyLimit> {
    Extension(BodyLimit(bytes_max))
}

/// See [`body_limit`].
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit(usize);

/// How long a body may take to arrive after the headers. Most bodies come in the same packet, and a
/// lost packet is retransmitted within a second. The rest of the 5 s in which a client must be
/// answered is for the work.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for a raw body: some MiB of log entries that one replica sends to another.
const RAW_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A request's body, parsed from JSON.
#[derive(Clone, Copy, Debug)]
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ErrorResponse;

    async fn from_request(request: Request, _: &S) -> Result<Self, ErrorResponse> {
        let bytes_max = bytes_max(&request);
        read_json(request, bytes_max).await.map(Self)
    }
}

/// Reads a body of at most `bytes_max` bytes, and parses it from JSON.
///
/// # Errors
/// If the body has another type or a content coding, or if it is too long, late or not valid.
pub async fn read_json<T: DeserializeOwned>(request: Request, bytes_max: usize) -> Result<T, ErrorResponse> {
    if !is_json(request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())) {
        let what = "the body must be JSON: send Content-Type: application/json";
        return Err(ErrorResponse::new(ErrorCode::UnsupportedMediaType, what));
    }
    let bytes = read(request, bytes_max, BODY_TIMEOUT).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ErrorResponse::new(ErrorCode::BadRequest, format!("the body is not valid: {error}")))
}

/// A request's body, unparsed.
#[derive(Clone, Debug)]
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ErrorResponse;

    async fn from_request(request: Request, _: &S) -> Result<Self, ErrorResponse> {
        let bytes_max = bytes_max(&request);
        read(request, bytes_max, RAW_BODY_TIMEOUT).await.map(Self)
    }
}

/// The longest body of the request's route.
fn bytes_max(request: &Request) -> usize {
    request.extensions().get::<BodyLimit>().map_or(BODY_BYTES_MAX, |limit| limit.0)
}

/// Reads a body. A body that is too long or compressed according to the head is refused before
/// anything is read, so a client that expects `100 Continue` gets the refusal at once and need not
/// send the body.
async fn read(request: Request, bytes_max: usize, within: Duration) -> Result<Bytes, ErrorResponse> {
    if !is_plain(request.headers()) {
        let what = "the body must not be compressed: send it without Content-Encoding";
        return Err(ErrorResponse::new(ErrorCode::UnsupportedContentEncoding, what));
    }
    let body = request.into_body();
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_long(bytes_max));
    }
    let late = |_| {
        let what = format!("the body did not arrive within {} s", within.as_secs());
        ErrorResponse::new(ErrorCode::RequestTimeout, what)
    };
    let read = tokio::time::timeout(within, Limited::new(body, bytes_max).collect()).await.map_err(late)?;
    read.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<LengthLimitError>() {
            too_long(bytes_max)
        } else {
            ErrorResponse::new(ErrorCode::BadRequest, format!("the body cannot be read: {error}"))
        }
    })
}

fn too_long(bytes_max: usize) -> ErrorResponse {
    let what = format!("the body is too long: this port accepts at most {bytes_max} bytes");
    ErrorResponse::new(ErrorCode::PayloadTooLarge, what)
}

/// Whether the body has no content coding (RFC 9110 §8.4).
fn is_plain(headers: &HeaderMap) -> bool {
    let is_identity = |coding: &str| coding.trim().is_empty() || coding.trim().eq_ignore_ascii_case("identity");
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings.all(|codings| codings.to_str().is_ok_and(|codings| codings.split(',').all(is_identity)))
}

/// `application/json` or any `application/*+json`, with or without parameters.
fn is_json(content_type: Option<&str>) -> bool {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The only parameter of a path.
#[derive(Clone, Copy, Debug)]
pub struct PathParam<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParam<T> {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(ErrorResponse::new(ErrorCode::BadRequest, rejection.body_text())),
        }
    }
}

/// The parameters of the query string.
#[derive(Clone, Copy, Debug)]
pub struct QueryParams<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParams<T> {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(ErrorResponse::new(ErrorCode::BadRequest, rejection.body_text())),
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
