//! JSON schemas of the checked values: their bounds, taken from where they are checked.
//!
//! The bodies made of them derive theirs.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{ErrorCode, OrderId, OrderNumber, Price, ProductName, Quantity, Stock};

macro_rules! schema {
    ($name:ident, $schema:expr) => {
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

schema!(ProductName, {
    json_schema!({
        "description": "A product's name: no control character, no white space at either end.",
        "type": "string",
        "minLength": 1,
        "maxLength": ProductName::CHARS_MAX,
        "pattern": r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$",
        "examples": ["Tux"],
    })
});

schema!(Quantity, {
    json_schema!({
        "description": "How many pieces an order takes.",
        "type": "integer",
        "minimum": 1,
        "maximum": Quantity::MAX,
        "examples": [1],
    })
});

schema!(Stock, {
    json_schema!({
        "description": "Pieces in stock.",
        "type": "integer",
        "minimum": 0,
        "examples": [100],
    })
});

schema!(Price, {
    json_schema!({
        "description": "A price, with two decimals at most.",
        "type": "number",
        "minimum": 0,
        "maximum": Price::CENTS_MAX / 100,
        "examples": [25.99],
    })
});

schema!(OrderNumber, {
    json_schema!({
        "description": "The store's number of an order: 1, 2, 3 … without gaps.",
        "type": "integer",
        "minimum": 1,
        "maximum": u64::MAX,
        "examples": [1],
    })
});

schema!(OrderId, {
    json_schema!({
        "description": "What makes an order the same order on every repetition.",
        "type": "string",
        "format": "uuid",
        "examples": ["0190b5a4-7f0e-7cc3-98c4-dc0c0c07398f"],
    })
});

schema!(ErrorCode, {
    let codes: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| json_schema!({ "const": code.as_str(), "description": code.meaning() }))
        .collect();
    json_schema!({ "description": "What kind of failure it is.", "type": "string", "oneOf": codes })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_checks() {
        let schema = Quantity::json_schema(&mut SchemaGenerator::default());
        for (bound, beyond) in [("minimum", 0), ("maximum", u64::from(Quantity::MAX) + 1)] {
            assert!(Quantity::new(schema.get(bound).unwrap().as_u64().unwrap()).is_ok());
            assert!(Quantity::new(beyond).is_err());
        }
        let schema = ProductName::json_schema(&mut SchemaGenerator::default());
        let longest = usize::try_from(schema.get("maxLength").unwrap().as_u64().unwrap()).unwrap();
        assert!(ProductName::new(&"é".repeat(longest)).is_ok());
        assert!(ProductName::new(&"é".repeat(longest + 1)).is_err());
        let schema = Price::json_schema(&mut SchemaGenerator::default());
        let dearest = schema.get("maximum").unwrap().as_u64().unwrap();
        assert!(Price::from_cents(dearest * 100).is_ok() && Price::from_cents(dearest * 100 + 1).is_err());
    }
}
