//! JSON out: `{"data": …}` or `{"error": …}`.

use std::borrow::Cow;

use api::{ApiError, Data, ErrorBody, ErrorCode};
use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::world;

/// What a handler answers with.
pub type Reply<T> = Result<Json<Data<T>>, Failure>;

/// A success.
pub fn data<T: Serialize>(value: T) -> Reply<T> {
    Ok(Json(Data::new(value)))
}

/// A failure, ready to be sent: status, body, and `Retry-After` with a 503 or 507.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub ApiError);

impl Failure {
    /// See [`ApiError::new`].
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(ApiError::new(code, message))
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

/// Seconds that a client is asked to wait after a 503 or 507: an election takes far less, a restart about that. Those who are refused because there are
/// too many of them get different ones, so that they do not come back all at once.
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

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.0.code.status();
        let retry = self.0.code.may_pass().then(|| (header::RETRY_AFTER, retry_after(self.0.code)));
        let mut response = (status, Json(ErrorBody { error: self.0 })).into_response();
        response.headers_mut().extend(retry);
        response
    }
}
