//! The REST API that shoppers call, on `REST_API_PORT`.
//!
//! | call | body → answer |
//! |---|---|
//! | `GET /products/{name}` | → [`Product`](crate::Product) |
//! | `GET /products` | → all products, by name |
//! | `POST /orders` | [`NewOrder`] → [`OrderPlaced`] |
//! | `GET /orders/{number}` | → [`Order`] |

use serde::{Deserialize, Serialize};

use crate::{OrderNumber, ProductName, Quantity};

/// What a shopper sends to buy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// Which product.
    pub name: ProductName,
    /// How many pieces.
    pub quantity: Quantity,
}

/// The order is on a majority of disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OrderPlaced {
    /// Its number, for ever.
    pub order_number: OrderNumber,
}

/// A placed order; it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Order {
    /// Its number.
    pub number: OrderNumber,
    /// Which product.
    pub name: ProductName,
    /// How many pieces.
    pub quantity: Quantity,
}
