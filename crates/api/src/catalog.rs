//! What the catalog is asked by order leaders and by frontends, on `CATALOG_PORT`.
//!
//! | call | by | body → answer |
//! |---|---|---|
//! | `GET /products/{name}?holder=…` | frontend | → [`ProductRead`] |
//! | `POST /looks` | frontend | [`LookTogether`] → a [`Look`] each |
//! | `GET /products` | frontend | → all [`Product`]s, by name |
//! | `POST /leases` | frontend | [`LeaseRequest`] → [`LeaseGranted`]; grants and renews |
//! | `DELETE /leases/{holder}` | frontend | → `{}`; gives the lease back |
//! | `POST /reservations` | order leader | [`ReserveBatch`] → [`BatchReserved`] |
//! | `POST /settlements` | order leader | [`Settle`] → `{}` |
//! | `POST /fence` | new order leader | [`Fence`] → [`Fenced`] |
//! | `POST /resolution` | new order leader | [`Resolve`] → `{}` |
//! | `GET /accounts` | people, checks | → [`StockAccount`]s, by name |
//!
//! All of them are the leader's to answer, else 421. A term below the fence is refused with
//! [`StaleTerm`](crate::ErrorCode::StaleTerm). The status and election calls of [`crate::replica`] are on the same port.

use serde::{Deserialize, Serialize};

use crate::{
    Address, BatchId, BatchNumber, HolderId, OrderId, Price, Product, ProductName, ProductVersion, Quantity, Stock,
    Term, Together,
};

/// A product, and whether a frontend may keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductRead {
    /// What it is, as of the last change that is visible.
    pub product: Product,
    /// Counts its changes.
    pub version: ProductVersion,
    /// False while a change is under way, or if the asker holds no lease.
    pub cacheable: bool,
}

/// Where several products are looked at with one request.
pub const LOOK_TOGETHER_PATH: &str = "/looks";

/// Looks that travel together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookTogether {
    /// Who wants to cache them, if anybody does.
    #[serde(default)]
    pub holder: Option<HolderId>,
    /// Which products.
    pub names: Together<ProductName>,
}

/// What one of several looks has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// As if it had been asked for alone.
    Read(ProductRead),
    /// There is no such product.
    NoSuchProduct,
}

/// A frontend wants to cache for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// Who.
    pub holder: HolderId,
    /// Where its invalidations go: its `FRONT_PORT`.
    pub address: Address,
}

/// A frontend may serve from its cache for so long, counted from before it sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGranted {
    /// Milliseconds from before the request was sent.
    pub duration_ms: u64,
    /// The catalog leader's term. Under another term than before, the holder clears its cache: the new leader does not
    /// know what it had fetched from the old one.
    pub term: Term,
}

/// Take stock for a batch of orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveBatch {
    /// Which batch. The same again gets the same answer; an older one is refused.
    pub id: BatchId,
    /// What to take, per order. At most 256.
    pub orders: Vec<OrderLine>,
    /// Batches that are placed by now.
    pub settle: Option<Settle>,
}

/// One order within a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// The same on every retry.
    pub order_id: OrderId,
    /// Which product.
    pub name: ProductName,
    /// How many pieces.
    pub quantity: Quantity,
}

/// The answer to a [`ReserveBatch`]: an outcome per order, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchReserved {
    /// As many as there were orders.
    pub outcomes: Vec<Reservation>,
}

/// What became of one order's wish for stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reservation {
    /// Taken, until settled or released.
    Reserved,
    /// Nothing taken: less than that is there.
    OutOfStock,
    /// Nothing taken: no such product.
    NoSuchProduct,
}

/// The batches of `term` up to `through` are placed: their reservations are sold, but for `released`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settle {
    /// The leader's term.
    pub term: Term,
    /// The last batch that is placed.
    pub through: BatchNumber,
    /// Reserved within them but not placed: the stock goes back. Nearly always empty.
    pub released: Vec<OrderId>,
}

/// From now on refuse every term below this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The new leader's term.
    pub term: Term,
}

/// The fence is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// Orders whose stock is taken, and of which the catalog does not know whether they were placed.
    pub open: Vec<OrderId>,
}

/// A new leader's verdict on the reservations that its predecessor left open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve {
    /// The new leader's term.
    pub term: Term,
    /// Placed: sold.
    pub keep: Vec<OrderId>,
    /// Never placed, and never will be: the stock goes back.
    pub release: Vec<OrderId>,
}

/// One product's books. Invariant I4: `initial + restocked = stock + sold + reserved`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockAccount {
    /// Which product.
    pub name: ProductName,
    /// Price of one piece.
    pub price: Price,
    /// Pieces that it began with.
    pub initial: u64,
    /// Pieces that restocking has added since.
    pub restocked: u64,
    /// Pieces that can be ordered.
    pub stock: Stock,
    /// Pieces in settled orders.
    pub sold: u64,
    /// Pieces in reservations that are not settled yet.
    pub reserved: u64,
}
