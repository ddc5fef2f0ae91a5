//! Why a request failed, and what that says about it.

use std::time::Duration;

use api::{ApiError, ErrorCode};

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreClientError {
    /// The connection could not be opened: the store has not seen the request.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// No response in time. The store may or may not have processed the request.
    #[error("no response within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The connection was lost. The store may or may not have processed the request.
    #[error("the connection was lost: {0}")]
    ConnectionLost(String),
    /// The store, or a proxy in front of it, cannot serve the request now: a 5xx, 408 or 429.
    #[error("status {status}: {what}")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// The error code in the body, if it has one.
        code: Option<ErrorCode>,
        /// The error in the body.
        what: String,
    },
    /// The store refused the request, with a reason.
    #[error("refused: {0}")]
    Refused(ApiError),
    /// The response does not follow the API.
    #[error("invalid response: {0}")]
    InvalidResponse(String),
}

impl StoreClientError {
    /// Whether the same request may succeed when it is sent again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout(_) | Self::ConnectionLost(_) | Self::Unavailable { .. } => true,
            Self::Refused(_) | Self::InvalidResponse(_) => false,
        }
    }

    /// Whether a response arrived.
    pub fn is_response(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Refused(_) | Self::InvalidResponse(_) => true,
            Self::Unreachable(_) | Self::Timeout(_) | Self::ConnectionLost(_) => false,
        }
    }

    /// The store's error code.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Unavailable { code, .. } => *code,
            Self::Refused(error) => Some(error.code),
            Self::Unreachable(_) | Self::Timeout(_) | Self::ConnectionLost(_) | Self::InvalidResponse(_) => None,
        }
    }

    pub(crate) fn is_refusal(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Refused(error) if error.code == code)
    }
}
