//! What an observer writes down: calls, when they lasted, and what came of them.

use std::fmt;
use std::time::Duration;

use api::{BatchId, ErrorCode, NodeId, OrderId, OrderNumber, ProductName, Quantity, Stock};
use serde::{Deserialize, Serialize};

/// A moment on the observer's one clock: nanoseconds since it began to look. The clock must be monotonic, and the same for all clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// After everything that was observed.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment so long after the observer began.
    pub fn after(elapsed: Duration) -> Self {
        Self(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Milliseconds, with microseconds behind the point.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER {
            return f.write_str("never");
        }
        write!(f, "{}.{:03} ms", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}

/// Who called. A client need not wait for one call's answer before the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u32);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.0)
    }
}

/// One `POST /orders`. Every attempt with the same order id is a call of its own; the checkers put them together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCall {
    /// Who.
    pub client: ClientId,
    /// The `Idempotency-Key`, the same on every attempt. It has to be sent: the checkers know no order by anything else.
    pub order_id: OrderId,
    /// Which product.
    pub product: ProductName,
    /// How many pieces.
    pub quantity: Quantity,
    /// Before the request was sent.
    pub called: Moment,
    /// After the answer was received; `None` if there was none (yet).
    pub returned: Option<Moment>,
    /// What came of it; [`OrderOutcome::Unknown`] if there was no answer.
    pub outcome: OrderOutcome,
}

/// What a client knows of its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderOutcome {
    /// It has this number, for ever.
    Acknowledged(OrderNumber),
    /// Nothing was ordered, for this reason.
    Refused(ErrorCode),
    /// No answer, or one that leaves it open: the order may have been placed, may be placed later, or never.
    Unknown,
}

impl OrderOutcome {
    /// What an error in answer to `POST /orders` says about the order.
    ///
    /// `Unavailable` counts as unknown: its message tells whether something was begun, its code does not.
    pub fn of_error(code: ErrorCode) -> Self {
        match code {
            ErrorCode::BadRequest
            | ErrorCode::BadQuantity
            | ErrorCode::NotFound
            | ErrorCode::NoSuchProduct
            | ErrorCode::MethodNotAllowed
            | ErrorCode::OutOfStock
            | ErrorCode::PayloadTooLarge
            | ErrorCode::UnsupportedMediaType
            | ErrorCode::IdempotencyKeyReused => Self::Refused(code),
            _ if code.nothing_begun() => Self::Refused(code),
            _ => Self::Unknown,
        }
    }
}

/// One read of a product, by itself or as a part of `GET /products`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductCall {
    /// Who.
    pub client: ClientId,
    /// Which product.
    pub product: ProductName,
    /// Before the request was sent.
    pub called: Moment,
    /// After the answer was received; `None` if there was none.
    pub returned: Option<Moment>,
    /// What it said.
    pub outcome: ProductOutcome,
}

/// What a read of a product said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductOutcome {
    /// So many pieces are in stock.
    Quantity(Stock),
    /// No answer, or an error: it tells nothing about the stock.
    Unknown,
}

/// One `GET /orders/{number}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRead {
    /// Who.
    pub client: ClientId,
    /// Which order.
    pub number: OrderNumber,
    /// Before the request was sent.
    pub called: Moment,
    /// After the answer was received; `None` if there was none.
    pub returned: Option<Moment>,
    /// What it said.
    pub outcome: OrderReadOutcome,
}

/// What a read of an order said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderReadOutcome {
    /// It is there, as this.
    Found {
        /// Which product.
        product: ProductName,
        /// How many pieces.
        quantity: Quantity,
    },
    /// There is no such order (the code `no_such_order`).
    NotFound,
    /// No answer, or another error: it tells nothing.
    Unknown,
}

/// Something that an order leader did durably, as an observer inside of the store saw it. In the order in which it took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// When it was seen.
    pub at: Moment,
    /// Where it took effect.
    pub place: ActPlace,
    /// The order leader's term, and which of its batches. A batch that is answered a second time from memory takes no effect, and is no act.
    pub batch: BatchId,
    /// Who led, if the observer knows.
    pub leader: Option<NodeId>,
}

/// Where an order leader's act takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActPlace {
    /// Stock was taken for the batch.
    Catalog,
    /// The batch's orders got their numbers.
    OrderLog,
}

/// All that was observed. The order within each list does not matter, but for the acts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Every attempt at an order, *all* of them: an order that is not in here cannot explain why stock went down.
    pub orders: Vec<OrderCall>,
    /// Reads of products; as many as one likes.
    pub products: Vec<ProductCall>,
    /// Reads of orders; as many as one likes.
    pub order_reads: Vec<OrderRead>,
    /// What order leaders did, in the order in which it took effect; empty if nobody looked.
    pub acts: Vec<Act>,
}

/// From when to when a call lasted, for people.
struct During(Moment, Option<Moment>);

impl fmt::Display for During {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(returned) => write!(f, "from {} to {returned}", self.0),
            None => write!(f, "at {}", self.0),
        }
    }
}

impl fmt::Display for OrderCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, order_id, product, quantity, called, returned, outcome } = self;
        write!(f, "{client} ordered {quantity} × {product} ({order_id}) {}: ", During(*called, *returned))?;
        match outcome {
            OrderOutcome::Acknowledged(number) => write!(f, "acknowledged as order {number}"),
            OrderOutcome::Refused(code) => write!(f, "refused, {}", code.as_str()),
            OrderOutcome::Unknown => f.write_str("outcome unknown"),
        }
    }
}

impl fmt::Display for ProductCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, product, called, returned, outcome } = self;
        write!(f, "{client} read {product} {}: ", During(*called, *returned))?;
        match outcome {
            ProductOutcome::Quantity(stock) => write!(f, "{stock} in stock"),
            ProductOutcome::Unknown => f.write_str("no answer"),
        }
    }
}

impl fmt::Display for OrderRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, number, called, returned, outcome } = self;
        write!(f, "{client} read order {number} {}: ", During(*called, *returned))?;
        match outcome {
            OrderReadOutcome::Found { product, quantity } => write!(f, "{quantity} × {product}"),
            OrderReadOutcome::NotFound => f.write_str("not found"),
            OrderReadOutcome::Unknown => f.write_str("no answer"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.place {
            ActPlace::Catalog => "the reservation of",
            ActPlace::OrderLog => "the placing of",
        };
        write!(f, "{what} batch {} at {}", self.batch, self.at)?;
        self.leader.map_or(Ok(()), |leader| write!(f, " by {leader}"))
    }
}
