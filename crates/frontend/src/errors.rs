//! Errors that several handlers return to clients. They reveal nothing about the services behind
//! the frontend.

use std::borrow::Cow;

use api::{ApiError, ErrorCode};
use service::http::ErrorResponse;

/// Status 404. The message is the same wherever the check is made, for a name that is not valid as
/// for one that the catalog does not know.
pub(crate) fn no_such_product() -> ApiError {
    ApiError::new(ErrorCode::NoSuchProduct, "there is no product of that name")
}

/// Status 503, with `Retry-After`.
pub(crate) fn unavailable(message: impl Into<Cow<'static, str>>) -> ErrorResponse {
    ErrorResponse::new(ErrorCode::Unavailable, message)
}

/// Status 500. The caller has logged the cause.
pub(crate) fn internal() -> ErrorResponse {
    ErrorResponse::new(ErrorCode::Internal, "something is wrong on our side")
}
