//! What must hold for any bytes in the place of a body, an answer, or a value of text: nothing panics, and what is taken is written and read
//! again as the same.
//!
//! Driven by the property tests here and by the fuzz targets (`fuzz/`), which build this crate with `--cfg fuzzing`.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::catalog::{
    BatchReserved, Fence, Fenced, LeaseGranted, LeaseRequest, Look, LookTogether, ProductRead, ReserveBatch, Resolve,
    Settle, StockAccount,
};
use crate::frontend::{CacheContents, Invalidate};
use crate::order::{PlaceOrder, Placement};
use crate::public::{NewOrder, Order, OrderPlaced};
use crate::replica::{ReplicaStatus, StandForElection};
use crate::{Data, ErrorBody, HolderId, OrderId, OrderNumber, Price, Product, ProductName, Together};

/// JSON, as any of the bodies that one port or another takes or answers with.
pub fn body(json: &[u8]) {
    same_again::<NewOrder>(json);
    same_again::<PlaceOrder>(json);
    same_again::<Together<PlaceOrder>>(json);
    same_again::<ReserveBatch>(json);
    same_again::<Settle>(json);
    same_again::<Fence>(json);
    same_again::<Resolve>(json);
    same_again::<LookTogether>(json);
    same_again::<LeaseRequest>(json);
    same_again::<Invalidate>(json);
    same_again::<StandForElection>(json);
    same_again::<Data<OrderPlaced>>(json);
    same_again::<Data<Vec<Placement>>>(json);
    same_again::<Data<Order>>(json);
    same_again::<Data<Vec<Product>>>(json);
    same_again::<Data<ProductRead>>(json);
    same_again::<Data<Vec<Look>>>(json);
    same_again::<Data<BatchReserved>>(json);
    same_again::<Data<Fenced>>(json);
    same_again::<Data<LeaseGranted>>(json);
    same_again::<Data<Vec<StockAccount>>>(json);
    same_again::<Data<CacheContents>>(json);
    same_again::<Data<ReplicaStatus>>(json);
    same_again::<ErrorBody>(json);
}

/// Text of a path, a header or a CSV field.
pub fn value(text: &str) {
    same_text::<OrderId>(text);
    same_text::<HolderId>(text);
    same_text::<Price>(text);
    if let Ok(name) = ProductName::new(text) {
        assert_eq!(name.as_str(), text);
        same_again::<ProductName>(&serde_json::to_vec(&name).expect("a name is text"));
    }
    same_again::<OrderNumber>(text.as_bytes());
}

fn same_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(json: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(json) {
        let text = serde_json::to_vec(&value).expect("it was decoded");
        assert_eq!(serde_json::from_slice::<T>(&text).expect("it was encoded"), value);
    }
}

fn same_text<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>().expect("its own text"), value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Scraps of which the bodies are made.
    const SCRAPS: &str = r#"(\{|\}|\[|\]|,|:|"name"|"quantity"|"price"|"data"|"error"|"term"|"id"|"orders"|"Tux"|"0190b5a4-7f0e-7cc3-98c4-dc0c0c07398f"|null|true|1|0|-1|1\.5|1e9|18446744073709551615|"é"){0,24}"#;

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in vec(any::<u8>(), 0..100)) {
            body(&bytes);
        }

        #[test]
        fn scraps_of_json_are_borne(json in SCRAPS) {
            body(json.as_bytes());
        }

        #[test]
        fn any_text_is_borne(text in any::<String>()) {
            value(&text);
        }

        #[test]
        fn text_that_looks_like_a_value_is_borne(text in "[0-9a-f-]{32,38}|[0-9]{0,12}\\.?[0-9]{0,3}|[ -~]{0,66}") {
            value(&text);
        }

        #[test]
        fn every_price_passes_through_json(cents in 0..=Price::CENTS_MAX) {
            let price = Price::from_cents(cents).unwrap();
            let json = serde_json::to_string(&price).unwrap();
            prop_assert_eq!(serde_json::from_str::<Price>(&json).unwrap(), price);
            prop_assert_eq!(price.to_string().parse::<Price>().unwrap(), price);
        }
    }
}
