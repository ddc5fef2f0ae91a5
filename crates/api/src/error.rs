//! One vocabulary of failures for all ports.
//!
//! A service answers with an [`ApiError`]; the mapping to an HTTP status is here and nowhere else. Which to use:
//!
//! * the caller's mistake, nothing has changed: `BadRequest`, `BadQuantity`, `NoSuchProduct`, …
//! * a state of the store that the caller may see: `OutOfStock`, `IdempotencyKeyReused`;
//! * try again elsewhere: `NotLeader`; try again later: `Overloaded` and `InsufficientStorage` (nothing was begun),
//!   `Unavailable` (an order's outcome may be unknown: repeat it with the same key);
//! * our mistake: `Internal`, whose message shows nothing of the inside.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Ordinal;

/// A failure as it crosses the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: Cow<'static, str>,
    /// With [`ErrorCode::NotLeader`]: who leads, if this replica knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Ordinal>,
}

impl ApiError {
    /// An error of `code` that tells a person `message`.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), leader: None }
    }

    /// "Ask the leader", with its seat if that is known.
    pub fn not_leader(leader: Option<Ordinal>) -> Self {
        Self { code: ErrorCode::NotLeader, message: "this replica does not lead its group".into(), leader }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for ApiError {}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal, $status:ident;)*) => {
        /// What kind of failure it is. Each has one HTTP status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[doc = $doc])* #[serde(rename = $text)] $name,)*
        }

        impl ErrorCode {
            /// Every code, for documents and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means, in a sentence or two.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*).trim_ascii(),)* }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> http::StatusCode {
                match self { $(Self::$name => http::StatusCode::$status,)* }
            }
        }
    };
}

codes! {
    /// The request cannot be understood: broken JSON, a missing field, a header that is no UUID.
    BadRequest = "bad_request", BAD_REQUEST;
    /// The quantity is no whole number within the bounds.
    BadQuantity = "bad_quantity", BAD_REQUEST;
    /// The internal token is missing or wrong.
    Unauthorized = "unauthorized", UNAUTHORIZED;
    /// No such path.
    NotFound = "not_found", NOT_FOUND;
    /// The catalog has no product of that name.
    NoSuchProduct = "no_such_product", NOT_FOUND;
    /// No order has that number.
    NoSuchOrder = "no_such_order", NOT_FOUND;
    /// The path exists, but not for this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED;
    /// The client took too long to send its request.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT;
    /// Less in stock than was ordered; nothing was taken.
    OutOfStock = "out_of_stock", CONFLICT;
    /// Another replica that is alive has the seat that was asked for.
    SeatTaken = "seat_taken", CONFLICT;
    /// A newer leader has fenced the sender's term.
    StaleTerm = "stale_term", CONFLICT;
    /// The body is longer than the bound.
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE;
    /// The body is not declared as JSON.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE;
    /// This replica does not lead; the leader's seat is in the error, if known.
    NotLeader = "not_leader", MISDIRECTED_REQUEST;
    /// The same idempotency key came before with another order.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY;
    /// A bug of ours.
    Internal = "internal", INTERNAL_SERVER_ERROR;
    /// A bound is reached; nothing was begun. Try again after `Retry-After`.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE;
    /// The store cannot answer just now (no quorum, election under way). Try again after `Retry-After`.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE;
    /// The disks are full: nothing new is taken, and nothing was begun. Reads go on. Try again after `Retry-After`.
    InsufficientStorage = "insufficient_storage", INSUFFICIENT_STORAGE;
}

impl ErrorCode {
    /// Whether the same request may go through a little later. The answer says so with `Retry-After`.
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Overloaded | Self::Unavailable | Self::InsufficientStorage)
    }

    /// Whether a bound was reached before anything was begun for the request.
    pub const fn nothing_begun(self) -> bool {
        matches!(self, Self::Overloaded | Self::InsufficientStorage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_on_the_wire_is_the_codes_own() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(code.meaning().ends_with('.'), "{code:?}");
        }
    }
}
