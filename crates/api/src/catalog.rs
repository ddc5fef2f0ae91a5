//! The catalog's API for order leaders and frontends, on `CATALOG_PORT`.
//!
//! | request | sent by | body → response |
//! |---|---|---|
//! | `GET /products/{name}?holder=…` | operators, frontends of earlier versions | → [`ProductRead`] |
//! | `POST /products/batch` | frontend | [`ReadProducts`] → one [`ProductReadOutcome`] per name |
//! | `GET /products?holder=…` | frontend | → [`ProductList`] |
//! | `POST /leases` | frontend | [`LeaseRequest`] → [`LeaseGranted`]; grants or renews a lease |
//! | `DELETE /leases/{holder}` | frontend | → `{}`; gives the lease back |
//! | `POST /reservations` | order leader | [`ReserveBatch`] → [`BatchReserved`] |
//! | `POST /settlements` | order leader | [`Settle`] → `{}` |
//! | `POST /fence` | new order leader | [`Fence`] → [`Fenced`] |
//! | `POST /resolution` | new order leader | [`Resolve`] → `{}` |
//! | `GET /accounts` | operators, checks | → [`StockAccount`]s, by name |
//! | `GET /stock` | console | → [`LocalStock`]; any replica, which may be behind |
//!
//! Except for its first request, an order leader says which batch was the last that the catalog
//! answered ([`LastAnsweredBatch`]). A catalog that does not know this batch has gone back to older
//! data, and refuses the request with [`DataMismatch`](crate::ErrorCode::DataMismatch).
//!
//! Except for `GET /stock`, only the leader serves these requests; other replicas answer 421. A
//! request with a term below the fence is refused with
//! [`StaleTerm`](crate::ErrorCode::StaleTerm). The status and election requests of
//! [`crate::replica`] are on the same port.

use serde::{Deserialize, Serialize};

use crate::{
    Address, BatchId, BatchNumber, HolderId, OrderId, Price, Product, ProductName, ProductVersion, Quantity,
    RequestBatch, Stock, Term,
};

/// A product, and whether a frontend may cache it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductRead {
    /// The product as of the last visible change.
    pub product: Product,
    /// The number of changes to the product.
    pub version: ProductVersion,
    /// False while a change is in progress, or if the requester holds no lease.
    pub cacheable: bool,
}

/// All products at one moment, and whether a frontend may cache them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductList {
    /// The products, by name.
    pub products: Vec<Product>,
    /// False while a change to any product is in progress, or if the requester holds no lease. A
    /// cached list must be dropped when any product is invalidated.
    pub cacheable: bool,
}

/// Path of the stock as one replica has it.
pub const STOCK_PATH: &str = "/stock";

/// The most products in a [`LocalStock`].
pub const STOCK_PRODUCTS_MAX: usize = 20;

/// The stock as one replica has it, for those who watch the store. The replica may be behind the
/// others, and a change may not be visible to shoppers yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalStock {
    /// The first products by name, at most [`STOCK_PRODUCTS_MAX`].
    pub products: Vec<Product>,
    /// How many products there are.
    pub count: usize,
}

/// Path that reads several products with one request.
pub const PRODUCT_BATCH_PATH: &str = "/products/batch";

/// Reads several products.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadProducts {
    /// The lease holder that wants to cache the products, if any.
    #[serde(default)]
    pub holder: Option<HolderId>,
    /// The products to read.
    pub names: RequestBatch<ProductName>,
}

/// The result of one read of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductReadOutcome {
    /// The same as a read of this product alone.
    Read(ProductRead),
    /// There is no such product.
    NoSuchProduct,
}

/// A frontend asks for a cache lease, or renews it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// The frontend process.
    pub holder: HolderId,
    /// Where to send its invalidations: its `FRONT_PORT`.
    pub address: Address,
}

/// A frontend may serve from its cache for this long, counted from just before it sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGranted {
    /// The duration of the lease, in milliseconds.
    pub duration_ms: u64,
    /// The catalog leader's term. When the term changes, the holder clears its cache: the new
    /// leader does not know what the holder fetched from the old one.
    pub term: Term,
}

/// The most orders in a batch. It keeps the response to a batch and its log entry small.
pub const BATCH_ORDERS_MAX: usize = 256;

/// Reserves stock for a batch of orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveBatch {
    /// Identifies the batch. A repeated batch gets the same response; an older batch is refused.
    pub id: BatchId,
    /// What to reserve, per order. At most [`BATCH_ORDERS_MAX`].
    pub orders: Vec<OrderLine>,
    /// Batches that have been placed in the meantime.
    pub settle: Option<Settle>,
}

/// One order within a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// Identifies the order; the same on every retry.
    pub order_id: OrderId,
    /// The product.
    pub name: ProductName,
    /// The number of pieces.
    pub quantity: Quantity,
}

/// The response to a [`ReserveBatch`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchReserved {
    /// One outcome per order of the batch, in the same order.
    pub outcomes: Vec<Reservation>,
}

/// The outcome of reserving stock for one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reservation {
    /// The stock is reserved until it is settled or released.
    Reserved,
    /// Nothing is reserved: there is too little stock.
    OutOfStock,
    /// Nothing is reserved: there is no such product.
    NoSuchProduct,
}

/// The batches of `term` up to `through` are placed: their reservations count as sold, except for
/// `released`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settle {
    /// The leader's term.
    pub term: Term,
    /// The last placed batch.
    pub through: BatchNumber,
    /// Orders of these batches that were not placed: their stock becomes available again. Nearly
    /// always empty.
    pub released: Vec<OrderId>,
}

/// Makes the catalog refuse every lower term from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The new leader's term.
    pub term: Term,
}

/// The fence is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// Orders with reserved stock of which the catalog does not know whether they were placed.
    pub open: Vec<OrderId>,
    /// What the catalog knows about the orders; `None` from an earlier release that did not send
    /// it. The name on the wire is that of earlier releases.
    #[serde(default, rename = "books")]
    pub position: Option<CatalogPosition>,
}

/// How far the catalog's state has advanced, for comparison with the orders' state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogPosition {
    /// Pieces sold so far, of all products: those of all placed orders that are not open.
    pub sold: u64,
    /// The last batch that the catalog answered.
    pub last: Option<BatchId>,
}

/// The last batch that the sender knows the catalog answered, as the query of a request:
/// `?term=…&batch=…`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAnsweredBatch {
    /// The term of the leader that sent the batch.
    pub term: Option<Term>,
    /// The number of the batch in that term.
    pub batch: Option<BatchNumber>,
}

impl LastAnsweredBatch {
    /// The batch, if the sender knows one.
    pub fn batch_id(self) -> Option<BatchId> {
        Some(BatchId { term: self.term?, batch: self.batch? })
    }
}

/// A new leader's decision on the reservations that its predecessor left open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve {
    /// The new leader's term.
    pub term: Term,
    /// Orders that were placed: their stock is sold.
    pub keep: Vec<OrderId>,
    /// Orders that were not placed and never will be: their stock becomes available again.
    pub release: Vec<OrderId>,
}

/// The stock account of one product. Invariant I4: `initial + restocked = stock + sold + reserved`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockAccount {
    /// The product.
    pub name: ProductName,
    /// The price of one piece.
    pub price: Price,
    /// Pieces at the start.
    pub initial: u64,
    /// Pieces added by restocking.
    pub restocked: u64,
    /// Pieces that can be ordered.
    pub stock: Stock,
    /// Pieces in settled orders.
    pub sold: u64,
    /// Pieces in reservations that are not settled yet.
    pub reserved: u64,
}
