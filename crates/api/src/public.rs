//! The REST API that clients call, on `REST_API_PORT`.
//!
//! | request | body → response |
//! |---|---|
//! | `GET /products/{name}` | → [`Product`](crate::Product) |
//! | `GET /products` | → all products, by name |
//! | `POST /orders` | [`NewOrder`] → [`OrderPlaced`] |
//! | `GET /orders/{number}`, `POST /orders/{number}` | → [`Order`] |
//!
//! A path may end with a slash.

use serde::{Deserialize, Serialize};

use crate::{OrderNumber, ProductName, Quantity};

/// A new order, as a client sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// The product.
    pub name: ProductName,
    /// The number of pieces.
    pub quantity: Quantity,
}

/// The order is durable on a majority of disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OrderPlaced {
    /// The permanent number of the order.
    pub order_number: OrderNumber,
}

/// A placed order; it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Order {
    /// The number of the order.
    pub number: OrderNumber,
    /// The product.
    pub name: ProductName,
    /// The number of pieces.
    pub quantity: Quantity,
}
