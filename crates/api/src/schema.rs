//! JSON schemas of the checked values, with bounds taken from the checks themselves.
//!
//! The bodies that consist of these values derive their schemas.

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
    // Without look-ahead, which not every regular-expression engine supports.
    let any = r"[^\x00-\x1f\x7f-\x9f]";
    let end = r"[^\s\x00-\x1f\x7f-\x9f]";
    let no_dot = r"[^\s.\x00-\x1f\x7f-\x9f]";
    json_schema!({
        "description": "A product's name: no control characters, no white space at either end, and neither `.` nor `..`.",
        "type": "string",
        "minLength": 1,
        "maxLength": ProductName::CHARS_MAX,
        "pattern": format!(r"^({no_dot}{end}?|\.{no_dot}|{end}{any}+{end})$"),
        "examples": ["Tux"],
    })
});

schema!(Quantity, {
    json_schema!({
        "description": "The number of pieces in an order.",
        "type": "integer",
        "format": "int32",
        "minimum": 1,
        "maximum": Quantity::MAX,
        "examples": [1],
    })
});

schema!(Stock, {
    json_schema!({
        "description": "Pieces in stock.",
        "type": "integer",
        "format": "int64",
        "minimum": 0,
        "examples": [100],
    })
});

schema!(Price, {
    json_schema!({
        "description": "A price with at most two decimals.",
        "type": "number",
        "format": "double",
        "minimum": 0,
        "maximum": Price::CENTS_MAX / 100,
        "examples": [25.99],
    })
});

schema!(OrderNumber, {
    json_schema!({
        "description": "The number of an order: 1, 2, 3 … without gaps.",
        "type": "integer",
        "format": "int64",
        "minimum": 1,
        // The store counts up to 2^64, but generated clients use signed integers.
        "maximum": i64::MAX,
        "examples": [1],
    })
});

schema!(OrderId, {
    // The format is inside `allOf`: test tools find it there. A client generator that sees it
    // directly makes a type of its own, which some Python clients cannot put into a header.
    json_schema!({
        "description": "Identifies an order across retries: a UUID.",
        "type": "string",
        "allOf": [{ "format": "uuid" }],
        "examples": ["0190b5a4-7f0e-7cc3-98c4-dc0c0c07398f"],
    })
});

schema!(ErrorCode, {
    // A plain enum: client generators make no type of a `oneOf` of constants.
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let meanings: Vec<_> =
        ErrorCode::ALL.iter().map(|code| format!("* `{}`: {}", code.as_str(), code.meaning())).collect();
    let description = format!("The kind of failure.\n\n{}", meanings.join("\n"));
    json_schema!({ "description": description, "type": "string", "enum": codes })
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
