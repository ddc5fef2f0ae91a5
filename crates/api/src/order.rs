//! The order replicas' API for frontends, on `ORDER_PORT_n`.
//!
//! | request | body → response |
//! |---|---|
//! | `POST /orders` | [`PlaceOrder`] → [`OrderPlaced`]; the leader only, else 421 |
//! | `POST /orders/batch` | [`RequestBatch`] of [`PlaceOrder`]s → one [`Placement`] each; any replica; those that do not lead refuse each order |
//! | `GET /orders/{number}` | → [`Order`]; any replica that has it. Without it the leader answers 404, other replicas 421 |
//! | `GET /ledger?last=8&at=N` | → [`LedgerEnd`] of this replica, for those who watch the store |
//! | `GET /catalog-reachability` | → [`CatalogReachability`]; sent by the other replicas |
//!
//! The status and election requests of [`crate::replica`] are on the same port.
//!
//! # Late attempts
//! An attempt can reach the leader long after its sender gave up: a partition may hold back the
//! bytes of a connection. By then, another attempt of the same order may have been answered. The
//! leader recognizes a repeated order by its id, but remembers ids only for a bounded number of
//! later orders. Beyond this bound it recognizes that the attempt is *old* by what its sender
//! [knew](PlaceOrder::known). It refuses such an attempt with
//! [`StaleAttempt`](crate::ErrorCode::StaleAttempt), which says how far the group is now.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

#[cfg(doc)]
use crate::RequestBatch;
use crate::catalog::OrderLine;
pub use crate::decided_counts::DecidedCounts;
use crate::public::{Order, OrderPlaced};
use crate::{ApiError, NodeId, OrderId, ProductName, Quantity};

/// Path that places several orders with one request.
pub const BATCH_PATH: &str = "/orders/batch";

/// Path that tells whether a replica reaches the catalog.
pub const CATALOG_REACHABILITY_PATH: &str = "/catalog-reachability";

/// Path of the end of a replica's ledger.
pub const LEDGER_PATH: &str = "/ledger";

/// The most orders in a [`LedgerEnd`].
pub const LEDGER_LAST_MAX: u64 = 64;

/// Asks for the end of a replica's ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerQuery {
    /// How many of the newest orders to return, at most [`LEDGER_LAST_MAX`].
    #[serde(default)]
    pub last: u64,
    /// After how many orders to return the checksum, if it is still known.
    pub at: Option<u64>,
}

/// The end of one replica's ledger. The replica may be behind the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEnd {
    /// How many orders the ledger has.
    pub orders: u64,
    /// The newest of them, the newest last.
    pub tail: Vec<Order>,
    /// The checksum for which the request asked. `None` if the ledger is shorter, or so much longer
    /// that the checksum is no longer kept.
    pub checksum: Option<LedgerChecksum>,
}

/// The checksum of a ledger after some number of orders. It is chained: it covers all lines up to
/// there, so two ledgers with the same one are equal up to there. (It is a CRC: it shows
/// differences that were not made on purpose, except for one in four billion.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerChecksum {
    /// How many orders it covers.
    pub orders: u64,
    /// CRC32C over their lines.
    pub crc32c: u32,
}

/// Whether a replica could reserve stock if it were the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogReachability {
    /// The replica.
    pub node_id: NodeId,
    /// Whether the replica has just found the catalog's leader.
    pub catalog: bool,
}

/// A request to place an order. On the wire, the fields of its line are not nested.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "FlatPlaceOrder")]
pub struct PlaceOrder {
    /// The order.
    pub line: OrderLine,
    /// A lower bound of how far the group was before any attempt of this order reached the sender.
    /// Too low a value is safe, too high a value is not.
    pub known: DecidedCounts,
    /// The sender generated the id and has not shared or sent it before. So a refusal answers the
    /// only attempt there will ever be, and need not be remembered.
    pub only_attempt: bool,
}

/// [`PlaceOrder`] as it is received. (`serde(flatten)` would not refuse unknown fields.)
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FlatPlaceOrder {
    order_id: OrderId,
    name: ProductName,
    quantity: Quantity,
    #[serde(default)]
    known: DecidedCounts,
    #[serde(default)]
    only_attempt: bool,
}

impl From<FlatPlaceOrder> for PlaceOrder {
    fn from(order: FlatPlaceOrder) -> Self {
        let FlatPlaceOrder { order_id, name, quantity, known, only_attempt } = order;
        Self { line: OrderLine { order_id, name, quantity }, known, only_attempt }
    }
}

impl Serialize for PlaceOrder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let OrderLine { order_id, name, quantity } = &self.line;
        let mut flat = serializer.serialize_struct("PlaceOrder", 5)?;
        flat.serialize_field("order_id", order_id)?;
        flat.serialize_field("name", name)?;
        flat.serialize_field("quantity", quantity)?;
        flat.serialize_field("known", &self.known)?;
        flat.serialize_field("only_attempt", &self.only_attempt)?;
        flat.end()
    }
}

impl PlaceOrder {
    /// An order from a sender that knows nothing about the group and may retry.
    pub fn new(order_id: OrderId, name: ProductName, quantity: Quantity) -> Self {
        Self { line: OrderLine { order_id, name, quantity }, known: DecidedCounts::default(), only_attempt: false }
    }
}

/// The outcome of one order of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// The order has a number.
    Placed(OrderPlaced),
    /// The same refusal as for this order alone.
    Refused(ApiError),
}

impl From<Result<OrderPlaced, ApiError>> for Placement {
    fn from(answer: Result<OrderPlaced, ApiError>) -> Self {
        answer.map_or_else(Self::Refused, Self::Placed)
    }
}

impl From<Placement> for Result<OrderPlaced, ApiError> {
    fn from(placement: Placement) -> Self {
        match placement {
            Placement::Placed(placed) => Ok(placed),
            Placement::Refused(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorCode, REQUEST_BATCH_MAX};

    #[test]
    fn the_largest_batch_fits_into_a_body() {
        // In JSON, a quotation mark takes two bytes; the longest other characters take four.
        let name = ProductName::new(&"\u{1f9f8}".repeat(ProductName::CHARS_MAX)).unwrap();
        let known = DecidedCounts { placed: u64::MAX, refused: u64::MAX };
        let quantity = Quantity::new(1_000_000).unwrap();
        let order = PlaceOrder { known, ..PlaceOrder::new(OrderId::random(), name, quantity) };
        let json = serde_json::to_vec(&vec![order; REQUEST_BATCH_MAX]).unwrap();
        assert!(json.len() < 128 * 1024, "{}", json.len());
    }

    #[test]
    fn an_order_is_flat_on_the_wire() {
        let order_id: OrderId = "6f1c0000-0000-4000-8000-000000000001".parse().unwrap();
        let order = PlaceOrder {
            known: DecidedCounts { placed: 7, refused: 1 },
            only_attempt: true,
            ..PlaceOrder::new(order_id, ProductName::new("Tux").unwrap(), Quantity::ONE)
        };
        let json = concat!(
            r#"{"order_id":"6f1c0000-0000-4000-8000-000000000001","name":"Tux","quantity":1,"#,
            r#""known":{"placed":7,"refused":1},"only_attempt":true}"#
        );
        assert_eq!(serde_json::to_string(&order).unwrap(), json);
        assert_eq!(serde_json::from_str::<PlaceOrder>(json).unwrap(), order);
        let short = r#"{"order_id":"6f1c0000-0000-4000-8000-000000000001","name":"Tux","quantity":1}"#;
        let expected = PlaceOrder { known: DecidedCounts::default(), only_attempt: false, ..order };
        assert_eq!(serde_json::from_str::<PlaceOrder>(short).unwrap(), expected);
        let unknown = json.replace("only_attempt", "only");
        assert!(serde_json::from_str::<PlaceOrder>(&unknown).is_err());
    }

    #[test]
    fn a_placement_keeps_the_refusal_of_its_order() {
        let refused = ApiError::new(ErrorCode::OutOfStock, "not enough");
        let json = serde_json::to_string(&Placement::from(Err(refused.clone()))).unwrap();
        assert!(json.starts_with(r#"{"refused":{"#), "{json}");
        let placement: Placement = serde_json::from_str(&json).unwrap();
        assert_eq!(Result::from(placement), Err(refused));
    }
}
