//! What is around every body: success is `{"data": …}`, failure is `{"error": …}`.

use serde::{Deserialize, Serialize};

use crate::ApiError;

/// The body of every success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data<T> {
    /// What was asked for.
    pub data: T,
}

impl<T> Data<T> {
    /// Wraps an answer.
    pub fn new(data: T) -> Self {
        Self { data }
    }
}

/// The body of every failure; the HTTP status is its code's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ApiError,
}
