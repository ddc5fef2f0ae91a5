//! Names of things. A bare integer never crosses a function's edge.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A leader's reign: at most one leader per term, and terms only grow (Raft §5.1).
    Term(u64)
}
number! {
    /// A batch's place within its leader's term; the first one is 1.
    BatchNumber(u64)
}
number! {
    /// Counts the changes of one product's stock; grows by one with each.
    ProductVersion(u64)
}
number! {
    /// A replica's seat in its group: 1, 2, 3 … The seat outlives the disk; the [`NodeId`] does not.
    Ordinal(u8)
}
/// One disk's identity in a replication group. A replica whose disk was wiped returns under a new one.
///
/// The low eight bits are the [`Ordinal`]; the rest tells incarnations of that seat apart. The whole stays below 2^53, so that
/// it passes unharmed through JSON readers that have no integers. Shown to people as seat and incarnation: `2-9f3a6c01d4`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The identity of the `incarnation`-th disk in the seat `ordinal`. Only the low 40 bits of
    /// `incarnation` are used.
    pub fn new(ordinal: Ordinal, incarnation: u64) -> Self {
        Self((incarnation & 0xff_ffff_ffff) << 8 | u64::from(ordinal.0))
    }

    /// The seat that this disk serves.
    pub fn ordinal(self) -> Ordinal {
        Ordinal((self.0 & 0xff) as u8)
    }

    /// Which of the seat's disks this is.
    pub fn incarnation(self) -> u64 {
        self.0 >> 8
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.ordinal(), self.incarnation())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<u64> for NodeId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

/// The store's number of an order: 1, 2, 3 … without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderNumber(NonZeroU64);

impl OrderNumber {
    /// The first order's number.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// `None` for 0, which is no order's number.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The bare number, 1 or more.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The number of the order after this one.
    ///
    /// # Panics
    /// After 2^64 − 1 orders.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("fewer than 2^64 orders"))
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh random one.
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// What makes an order the same order on every retry: the shopper's `Idempotency-Key`, or minted by the frontend.
    OrderId
}
uuid_id! {
    /// A frontend process as the holder of a cache lease. Minted at its start, so a restarted frontend is another holder.
    HolderId
}

/// One batch of orders: the leader's term, and its place within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BatchId {
    /// The leader's term.
    pub term: Term,
    /// Counts from 1 within the term.
    pub batch: BatchNumber,
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.term, self.batch)
    }
}

/// A place in a replicated log. Ordered as Raft orders logs: by term, then by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogPosition {
    /// Term of the leader that wrote the entry.
    pub term: Term,
    /// Place of the entry in the log.
    pub index: u64,
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}

/// Where a port can be reached: `host:port`, the host a name or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// Joins host and port; an IPv6 host gets its brackets.
    pub fn new(host: &str, port: u16) -> Self {
        if host.contains(':') && !host.starts_with('[') {
            Self(format!("[{host}]:{port}"))
        } else {
            Self(format!("{host}:{port}"))
        }
    }

    /// `http://host:port` + `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0)
    }

    /// The `host:port` text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_keeps_its_seat_and_incarnation() {
        let id = NodeId::new(Ordinal(3), 0xf2_3456_789a);
        assert_eq!((id.ordinal(), id.incarnation()), (Ordinal(3), 0xf2_3456_789a));
        assert_eq!(id.to_string(), "3-f23456789a");
    }

    #[test]
    fn log_positions_are_ordered_by_term_first() {
        let at = |term, index| LogPosition { term: Term(term), index };
        assert!(at(2, 1) > at(1, 900));
        assert!(at(2, 2) > at(2, 1));
    }

    #[test]
    fn an_ipv6_host_gets_brackets() {
        assert_eq!(Address::new("::1", 1110).url("/x"), "http://[::1]:1110/x");
        assert_eq!(Address::new("order-0.peers", 1).as_str(), "order-0.peers:1");
    }
}
