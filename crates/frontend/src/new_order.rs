//! Parses and checks an order that a client sends, field by field, so that the first response says
//! what is wrong with it. No service is asked about an order that cannot be valid.

use std::fmt;

use api::public::NewOrder;
use api::{ApiError, ErrorCode, ProductName, Quantity};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::errors::no_such_product;

/// A JSON object with the fields of an order and no others, so that a misspelt field is not
/// mistaken for a missing one.
#[derive(Clone, Debug)]
pub(crate) struct RawOrder {
    name: Option<Value>,
    quantity: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: Option<Value>,
    quantity: Option<Value>,
}

impl<'de> Deserialize<'de> for RawOrder {
    /// By hand, because a derived implementation would also accept an array.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with name and quantity")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fields, A::Error> {
                Fields::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Object).map(|Fields { name, quantity }| Self { name, quantity })
    }
}

impl RawOrder {
    /// Checks the fields.
    ///
    /// # Errors
    /// What is wrong with the first bad field.
    pub(crate) fn check(self) -> Result<NewOrder, ApiError> {
        let (name, quantity) = match (self.name, self.quantity) {
            (Some(name), Some(quantity)) => (name, quantity),
            (None, Some(_)) => return Err(bad_request("the order's name is missing: it names the product")),
            (Some(_), None) => return Err(bad_request("the order's quantity is missing: it is the number of pieces")),
            (None, None) => return Err(bad_request("the order's name and quantity are missing")),
        };
        let Value::String(name) = name else { return Err(bad_request("the order's name must be a string")) };
        let quantity = check_quantity(&quantity)?;
        let name = ProductName::new(&name).map_err(|_| no_such_product())?;
        Ok(NewOrder { name, quantity })
    }
}

fn check_quantity(value: &Value) -> Result<Quantity, ApiError> {
    // Zero, which is invalid, stands for a value that is negative, fractional, too large for 64
    // bits, or not a number.
    let pieces = value.as_u64().or_else(|| whole(value.as_f64()?)).unwrap_or(0);
    Quantity::new(pieces).map_err(|invalid| {
        let kind = match value {
            Value::Number(_) => "",
            Value::String(_) => ", not a string",
            _ => ", and a JSON number",
        };
        ApiError::new(ErrorCode::BadQuantity, format!("{invalid}{kind}"))
    })
}

/// The number as an integer, if it is one. JSON does not distinguish integers from other numbers:
/// 3.0 and 3e0 are as valid as 3 (JSON Schema Validation, section 6.1.1).
fn whole(number: f64) -> Option<u64> {
    let fits = number.fract() == 0.0 && (0.0..=f64::from(Quantity::MAX)).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and within bounds")]
    fits.then_some(number as u64)
}

fn bad_request(what: &'static str) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<NewOrder, ApiError> {
        serde_json::from_str::<RawOrder>(json).expect("well-formed").check()
    }

    #[test]
    fn an_order_has_a_name_and_a_quantity() {
        let order = check(r#"{"quantity":3,"name":"Magic 8-Ball"}"#).unwrap();
        assert_eq!((order.name.as_str(), order.quantity.get()), ("Magic 8-Ball", 3));
    }

    #[test]
    fn an_integer_may_be_written_in_any_form() {
        for (text, pieces) in [("3.0", 3), ("3e0", 3), ("1e6", 1_000_000), ("0.1e1", 1), ("1000000.000", 1_000_000)] {
            let order = check(&format!(r#"{{"name":"Tux","quantity":{text}}}"#)).expect(text);
            assert_eq!(order.quantity.get(), pieces, "{text}");
        }
    }

    #[test]
    fn the_error_names_the_wrong_field() {
        use ErrorCode::{BadQuantity, BadRequest, NoSuchProduct};
        let table = [
            ("{}", BadRequest, "name and quantity"),
            (r#"{"name":"Tux"}"#, BadRequest, "quantity is missing"),
            (r#"{"name":"Tux","quantity":null}"#, BadRequest, "quantity is missing"),
            (r#"{"quantity":1}"#, BadRequest, "name is missing"),
            (r#"{"name":7,"quantity":1}"#, BadRequest, "name must be a string"),
            (r#"{"name":"Tux","quantity":0}"#, BadQuantity, "from 1 to 1000000"),
            (r#"{"name":"Tux","quantity":-1}"#, BadQuantity, "from 1 to 1000000"),
            (r#"{"name":"Tux","quantity":1.5}"#, BadQuantity, "whole number"),
            (r#"{"name":"Tux","quantity":1e-1}"#, BadQuantity, "whole number"),
            (r#"{"name":"Tux","quantity":-0.0}"#, BadQuantity, "from 1 to 1000000"),
            (r#"{"name":"Tux","quantity":1e7}"#, BadQuantity, "from 1 to 1000000"),
            (r#"{"name":"Tux","quantity":1e300}"#, BadQuantity, "from 1 to 1000000"),
            (r#"{"name":"Tux","quantity":1000001}"#, BadQuantity, "from 1 to 1000000"),
            (r#"{"name":"Tux","quantity":9223372036854775808}"#, BadQuantity, "from 1 to 1000000"),
            (r#"{"name":"Tux","quantity":99999999999999999999}"#, BadQuantity, "from 1 to 1000000"),
            (r#"{"name":"Tux","quantity":"1"}"#, BadQuantity, "not a string"),
            (r#"{"name":"Tux","quantity":true}"#, BadQuantity, "a JSON number"),
            (r#"{"name":"Tux","quantity":[1]}"#, BadQuantity, "a JSON number"),
            (r#"{"name":"","quantity":1}"#, NoSuchProduct, "no product"),
            (r#"{"name":" Tux","quantity":1}"#, NoSuchProduct, "no product"),
        ];
        for (json, code, words) in table {
            let error = check(json).expect_err(json);
            assert_eq!(error.code, code, "{json}: {error}");
            assert!(error.message.contains(words), "{json}: {error}");
        }
    }

    #[test]
    fn an_unknown_or_repeated_field_is_an_error() {
        for json in [
            r#"{"name":"Tux","quantity":1,"colour":"red"}"#,
            r#"{"name":"Tux","quantity":1,"quantity":2}"#,
            r#"["Tux",1]"#,
            "7",
        ] {
            assert!(serde_json::from_str::<RawOrder>(json).is_err(), "{json}");
        }
    }
}
