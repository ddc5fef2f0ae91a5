//! What must hold for any bytes that a shopper may send: nothing panics, and an order that is taken is within its bounds.
//!
//! Driven by the property tests here and by the fuzz targets (`fuzz/`), which build this crate with `--cfg fuzzing`.

use api::Quantity;
use api::public::NewOrder;

use crate::new_order::RawOrder;

/// A body of `POST /orders`.
pub fn new_order(bytes: &[u8]) {
    let taken = serde_json::from_slice::<RawOrder>(bytes).ok().and_then(|order| order.check().ok());
    // Stricter than the shopper's way in, which takes 3.0 for 3; so it takes nothing that the other does not.
    let strict = serde_json::from_slice::<NewOrder>(bytes).ok();
    match (taken, strict) {
        (Some(taken), strict) => {
            assert!((1..=Quantity::MAX).contains(&taken.quantity.get()));
            assert!(strict.is_none_or(|strict| strict == taken));
            let text = serde_json::to_vec(&taken).expect("it was decoded");
            assert_eq!(serde_json::from_slice::<NewOrder>(&text).expect("it was encoded"), taken);
        }
        (None, Some(strict)) => {
            // A derived struct takes an array, too.
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
        fn any_bytes_are_borne(bytes in vec(any::<u8>(), 0..100)) {
            new_order(&bytes);
        }

        #[test]
        fn any_name_and_number_are_borne(name in any::<String>(), quantity in "-?[0-9]{1,21}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?") {
            let name = serde_json::to_string(&name).unwrap();
            new_order(format!(r#"{{"name":{name},"quantity":{quantity}}}"#).as_bytes());
        }

        #[test]
        fn whatever_is_an_order_is_taken(name in "[A-Za-zé]([ -~é]{0,62}[!-~])?", quantity in 1..=Quantity::MAX) {
            let json = serde_json::json!({ "name": name, "quantity": quantity });
            let order = serde_json::from_value::<RawOrder>(json).unwrap().check().unwrap();
            prop_assert_eq!((order.name.as_str(), order.quantity.get()), (name.as_str(), quantity));
        }
    }
}
