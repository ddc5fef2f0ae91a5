//! What frontends ask of an order replica, on `ORDER_PORT_n`.
//!
//! | call | body → answer |
//! |---|---|
//! | `POST /orders` | [`PlaceOrder`] → [`OrderPlaced`](crate::public::OrderPlaced); the leader only, else 421 |
//! | `GET /orders/{number}` | → [`Order`](crate::public::Order); any replica that has it; 404 by the leader only, else 421 |
//!
//! | `GET /reach` | → [`Reach`]; asked by the other replicas |
//!
//! The status and election calls of [`crate::replica`] are on the same port.

use serde::{Deserialize, Serialize};

use crate::{NodeId, OrderId, ProductName, Quantity};

/// Where a replica tells whether it reaches the catalog.
pub const REACH_PATH: &str = "/reach";

/// Whether a replica could take stock, if it led.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Who says it.
    pub node_id: NodeId,
    /// It has just found the catalog's leader.
    pub catalog: bool,
}

/// An order on its way to a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrder {
    /// The same on every retry.
    pub order_id: OrderId,
    /// Which product.
    pub name: ProductName,
    /// How many pieces.
    pub quantity: Quantity,
}
