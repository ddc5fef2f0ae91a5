//! The purpose of a request.

use std::fmt;

use serde::Serialize;

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// Reads a product.
    Query,
    /// Places an order.
    Order,
    /// Sends an order again with its key.
    Repeat,
    /// Reads an acknowledged order.
    Check,
}

impl RequestKind {
    /// Every kind, in the order in which a run uses them.
    pub const ALL: [Self; 4] = [Self::Query, Self::Order, Self::Repeat, Self::Check];

    /// The kinds of a visit. The others verify it.
    pub const OF_A_VISIT: [Self; 2] = [Self::Query, Self::Order];

    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Order => "order",
            Self::Repeat => "repeat",
            Self::Check => "check",
        }
    }
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
