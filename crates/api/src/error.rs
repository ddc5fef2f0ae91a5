//! One vocabulary of failures for all ports.
//!
//! A service answers with an [`ApiError`]; the mapping to an HTTP status is here and nowhere else.
//! Which code to use:
//!
//! * an error of the client that changed nothing: `BadRequest`, `BadQuantity`, `NoSuchProduct`, …
//! * a state of the store that the client may see: `OutOfStock`, `IdempotencyKeyReused`;
//! * retry elsewhere: `NotLeader`; retry at once with what the refusal says: `StaleAttempt`; retry
//!   later: `Overloaded`, `InsufficientStorage` and `DataMismatch` (this request has started
//!   nothing), `Unavailable` (the outcome of an order may be unknown: repeat it with the same key);
//! * an error of the store: `Internal`, whose message shows no internals.
//!
//! `OutOfStock`, `NoSuchProduct` and `IdempotencyKeyReused` in response to an order with an
//! `Idempotency-Key` are final for that key ([`ErrorCode::is_final`], invariant I7). The exception
//! is `NoSuchProduct` for a name that no product can have: no frontend forwards such an order, so
//! its key stays unused. Every other refusal is about one request and says nothing about earlier
//! requests with the same key.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Ordinal;
use crate::decided_counts::DecidedCounts;

/// A failure as it is sent over the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: Cow<'static, str>,
    /// With [`ErrorCode::NotLeader`]: the leader, if this replica knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Ordinal>,
    /// With [`ErrorCode::StaleAttempt`]: how far the group is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<DecidedCounts>,
}

impl ApiError {
    /// An error of `code` with a `message` for people.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), leader: None, decided: None }
    }

    /// "Ask the leader", with the leader's ordinal if it is known.
    pub fn not_leader(leader: Option<Ordinal>) -> Self {
        Self { leader, ..Self::new(ErrorCode::NotLeader, "this replica does not lead its group") }
    }

    /// The order cannot be told from one that was decided and forgotten.
    pub fn stale_attempt(decided: DecidedCounts) -> Self {
        let what = "this attempt is older than the orders that are remembered; it has ordered nothing";
        Self { decided: Some(decided), ..Self::new(ErrorCode::StaleAttempt, what) }
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
        /// The kind of failure. Each kind has one HTTP status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[doc = $doc])* #[serde(rename = $text)] $name,)*
        }

        impl ErrorCode {
            /// Every code, for documents and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The meaning of the code, in a sentence or two.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*).trim_ascii(),)* }
            }

            /// The HTTP status of the code.
            pub const fn status(self) -> http::StatusCode {
                match self { $(Self::$name => http::StatusCode::$status,)* }
            }
        }
    };
}

codes! {
    /// The request is malformed: invalid JSON, a missing field, or a header that is not a UUID.
    BadRequest = "bad_request", BAD_REQUEST;
    /// The quantity is not a whole number within the bounds.
    BadQuantity = "bad_quantity", BAD_REQUEST;
    /// The internal token is missing or wrong.
    Unauthorized = "unauthorized", UNAUTHORIZED;
    /// There is no such path.
    NotFound = "not_found", NOT_FOUND;
    /// The catalog has no product with this name.
    NoSuchProduct = "no_such_product", NOT_FOUND;
    /// There is no order with this number.
    NoSuchOrder = "no_such_order", NOT_FOUND;
    /// The path exists, but it does not support this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED;
    /// The client took too long to send its request.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT;
    /// There is less in stock than was ordered. Nothing was ordered, and nothing will be for this
    /// order's key.
    OutOfStock = "out_of_stock", CONFLICT;
    /// Another live replica has the requested ordinal.
    OrdinalTaken = "ordinal_taken", CONFLICT;
    /// A newer leader has fenced the sender's term.
    StaleTerm = "stale_term", CONFLICT;
    /// The order cannot be told from one that was answered before: its sender has not heard from
    /// the group for too many orders.
    StaleAttempt = "stale_attempt", CONFLICT;
    /// The body is longer than the limit.
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE;
    /// The body is not declared as JSON.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE;
    /// The body is compressed. Send it without compression, as `Accept-Encoding` in the response
    /// says.
    UnsupportedContentEncoding = "unsupported_content_encoding", UNSUPPORTED_MEDIA_TYPE;
    /// The request has an `Expect` header other than `100-continue`.
    ExpectationFailed = "expectation_failed", EXPECTATION_FAILED;
    /// This replica does not lead. The error has the leader's ordinal, if it is known.
    NotLeader = "not_leader", MISDIRECTED_REQUEST;
    /// The port is on the loopback interface, and the `Host` of the request is not this machine.
    WrongHost = "wrong_host", MISDIRECTED_REQUEST;
    /// The idempotency key was used before with a different order.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY;
    /// A bug in the store.
    Internal = "internal", INTERNAL_SERVER_ERROR;
    /// The request uses a feature of HTTP that the store does not implement.
    NotImplemented = "not_implemented", NOT_IMPLEMENTED;
    /// The store is overloaded. This request has started nothing. Retry after `Retry-After`.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE;
    /// The store cannot answer at the moment (no quorum, or an election is in progress). Retry
    /// after `Retry-After`.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE;
    /// The catalog's data and the orders' data do not match: one of them was restored from older
    /// data. This request has started nothing, and no order will be placed until an operator
    /// restores matching data.
    DataMismatch = "data_mismatch", SERVICE_UNAVAILABLE;
    /// The disks are full. The store accepts no new orders, and this request has started nothing.
    /// Reads still work. Retry after `Retry-After`.
    InsufficientStorage = "insufficient_storage", INSUFFICIENT_STORAGE;
}

impl ErrorCode {
    /// Whether the same request may succeed a little later. The response then has a `Retry-After`.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Overloaded | Self::Unavailable | Self::InsufficientStorage | Self::DataMismatch)
    }

    /// Whether this answer to an order is permanent for the order's key.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::OutOfStock | Self::NoSuchProduct | Self::IdempotencyKeyReused)
    }

    /// Whether the request was refused before anything was started for it. This says nothing about
    /// earlier requests with the same key.
    pub const fn nothing_begun(self) -> bool {
        matches!(self, Self::Overloaded | Self::InsufficientStorage | Self::DataMismatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_text_a_status_and_a_meaning() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(code.meaning().ends_with('.'), "{code:?}");
        }
    }
}
