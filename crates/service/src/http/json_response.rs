//! JSON responses: `{"data": …}` or `{"error": …}`.

use std::borrow::Cow;

use api::{ApiError, Data, ErrorBody, ErrorCode};
use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::world;

/// The result of a handler.
pub type HandlerResult<T> = Result<Json<Data<T>>, ErrorResponse>;

/// A successful response with `value` as its data.
pub fn data<T: Serialize>(value: T) -> HandlerResult<T> {
    Ok(Json(Data::new(value)))
}

/// A failure as a response: status, body, and `Retry-After` with a 503 or 507.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse(pub ApiError);

impl ErrorResponse {
    /// See [`ApiError::new`].
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(ApiError::new(code, message))
    }
}

impl From<ApiError> for ErrorResponse {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

/// The seconds that a client should wait after a 503 or 507. An election takes far less time, a
/// restart about that long. After an overload, clients get different times, so that they do not all
/// return at once.
fn retry_after(code: ErrorCode) -> HeaderValue {
    let drawn = if code == ErrorCode::Overloaded { world::random_fraction() } else { 0.0 };
    HeaderValue::from_static(if drawn < 1.0 / 3.0 {
        "1"
    } else if drawn < 2.0 / 3.0 {
        "2"
    } else {
        "3"
    })
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let code = self.0.code;
        let retry = code.is_transient().then(|| (header::RETRY_AFTER, retry_after(code)));
        let mut response = (code.status(), Json(ErrorBody { error: self.0 })).into_response();
        response.headers_mut().extend(retry);
        if code == ErrorCode::UnsupportedContentEncoding {
            // The only content coding that the server accepts (RFC 9110 §12.5.3).
            response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        response
    }
}
