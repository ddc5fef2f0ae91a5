//! What must hold for any bytes that a client may send: nothing panics, and an accepted order is
//! within its bounds.
//!
//! Called by the property tests below, and by the fuzz targets in `fuzz/`, which build this crate
//! with `--cfg fuzzing`.

use api::Quantity;
use api::public::NewOrder;

use crate::new_order::RawOrder;

/// Checks a body of `POST /orders`.
pub fn new_order(bytes: &[u8]) {
    let accepted = serde_json::from_slice::<RawOrder>(bytes).ok().and_then(|order| order.check().ok());
    // The derived parser is stricter than that of the public API, which accepts 3.0 for 3. So
    // whatever it accepts, the other one must accept, too.
    let strict = serde_json::from_slice::<NewOrder>(bytes).ok();
    match (accepted, strict) {
        (Some(accepted), strict) => {
            assert!((1..=Quantity::MAX).contains(&accepted.quantity.get()));
            assert!(strict.is_none_or(|strict| strict == accepted));
            let text = serde_json::to_vec(&accepted).expect("an order has a JSON form");
            assert_eq!(serde_json::from_slice::<NewOrder>(&text).expect("it is the JSON of an order"), accepted);
        }
        (None, Some(strict)) => {
            // A derived struct also accepts an array.
            assert_eq!(bytes.trim_ascii_start().first(), Some(&b'['), "{strict:?}");
        }
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_handled(bytes in vec(any::<u8>(), 0..100)) {
            new_order(&bytes);
        }

        #[test]
        fn any_name_and_number_are_handled(name in any::<String>(), quantity in "-?[0-9]{1,21}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?") {
            let name = serde_json::to_string(&name).unwrap();
            new_order(format!(r#"{{"name":{name},"quantity":{quantity}}}"#).as_bytes());
        }

        #[test]
        fn every_valid_order_is_accepted(name in "[A-Za-zé]([ -~é]{0,62}[!-~])?", quantity in 1..=Quantity::MAX) {
            let json = serde_json::json!({ "name": name, "quantity": quantity });
            let order = serde_json::from_value::<RawOrder>(json).unwrap().check().unwrap();
            prop_assert_eq!((order.name.as_str(), order.quantity.get()), (name.as_str(), quantity));
        }
    }
}
