//! How long a shopper waits.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::time::Instant;

/// A request is answered after that long, with or without success: the promise to shoppers is 5 s.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_millis(4800);

/// When a request must be answered. Taken before its body is read, so that a slow body is part of the promise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(pub(crate) Instant);

impl<S: Send + Sync> FromRequestParts<S> for Deadline {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Instant::now() + ANSWER_WITHIN))
    }
}

/// What is left until `deadline`.
pub(crate) fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
