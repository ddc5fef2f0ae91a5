//! JSON out: `{"data": …}` or `{"error": …}`.

use std::borrow::Cow;

use api::{ApiError, Data, ErrorBody, ErrorCode};
use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What a handler answers with.
pub type Reply<T> = Result<Json<Data<T>>, Failure>;

/// A success.
pub fn data<T: Serialize>(value: T) -> Reply<T> {
    Ok(Json(Data::new(value)))
}

/// Seconds that a client is asked to wait after a 503 or 507: an election takes far less, a restart about that.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

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

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.0.code.status();
        let retry = self.0.code.may_pass().then_some((header::RETRY_AFTER, RETRY_AFTER_S));
        let mut response = (status, Json(ErrorBody { error: self.0 })).into_response();
        response.headers_mut().extend(retry);
        response
    }
}
