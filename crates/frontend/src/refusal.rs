//! What shoppers are told when another service does not answer: nothing of the inside.

use std::borrow::Cow;

use api::ErrorCode;
use service::http::Failure;

/// 503, to be tried again after `Retry-After`.
pub(crate) fn unavailable(message: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(ErrorCode::Unavailable, message)
}

/// 500. What is behind it has been logged.
pub(crate) fn internal() -> Failure {
    Failure::new(ErrorCode::Internal, "something is wrong on our side")
}
