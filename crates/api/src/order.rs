//! What frontends ask of an order replica, on `ORDER_PORT_n`.
//!
//! | call | body → answer |
//! |---|---|
//! | `POST /orders` | [`PlaceOrder`] → [`OrderPlaced`]; the leader only, else 421 |
//! | `POST /orders/together` | [`Together`], [`PlaceOrder`]s → a [`Placement`] each; every replica |
//! | `GET /orders/{number}` | → [`Order`](crate::public::Order); any replica that has it; 404 by the leader only, else 421 |
//! | `GET /reach` | → [`Reach`]; asked by the other replicas |
//!
//! The status and election calls of [`crate::replica`] are on the same port.

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use crate::Together;
use crate::public::OrderPlaced;
use crate::{ApiError, NodeId, OrderId, ProductName, Quantity};

/// Where several orders are placed with one request.
pub const TOGETHER_PATH: &str = "/orders/together";

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

/// What became of one of several orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// It has a number.
    Placed(OrderPlaced),
    /// As if it had come alone.
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
    use crate::{ErrorCode, TOGETHER_MAX};

    #[test]
    fn as_many_as_fit_into_a_body_travel_together() {
        // In JSON the longest characters are a quotation mark's two and a character's four.
        let name = ProductName::new(&"\u{1f9f8}".repeat(ProductName::CHARS_MAX)).unwrap();
        let order = PlaceOrder { order_id: OrderId::random(), name, quantity: Quantity::new(1_000_000).unwrap() };
        let json = serde_json::to_vec(&vec![order; TOGETHER_MAX]).unwrap();
        assert!(json.len() < 128 * 1024, "{}", json.len());
    }

    #[test]
    fn each_has_its_own_fate() {
        let refused = ApiError::new(ErrorCode::OutOfStock, "not enough");
        let json = serde_json::to_string(&Placement::from(Err(refused.clone()))).unwrap();
        assert!(json.starts_with(r#"{"refused":{"#), "{json}");
        let placement: Placement = serde_json::from_str(&json).unwrap();
        assert_eq!(Result::from(placement), Err(refused));
    }
}
