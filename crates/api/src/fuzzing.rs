//! Properties that hold for any bytes as a body, a response or a text value: nothing panics, and a
//! value that is accepted survives a round trip.
//!
//! The property tests below and the fuzz targets in `fuzz/` call these functions. The fuzz targets
//! build this crate with `--cfg fuzzing`.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::catalog::{
    BatchReserved, Fence, Fenced, LeaseGranted, LeaseRequest, ProductRead, ProductReadOutcome, ReadProducts,
    ReserveBatch, Resolve, Settle, StockAccount,
};
use crate::frontend::{CacheContents, Invalidate};
use crate::order::{PlaceOrder, Placement};
use crate::public::{NewOrder, Order, OrderPlaced};
use crate::replica::{ReplicaStatus, StandForElection};
use crate::{Data, ErrorBody, HolderId, OrderId, OrderNumber, Price, Product, ProductName, RequestBatch};

/// Decodes `json` as every body that some port accepts or sends.
pub fn body(json: &[u8]) {
    round_trip::<NewOrder>(json);
    round_trip::<PlaceOrder>(json);
    round_trip::<RequestBatch<PlaceOrder>>(json);
    round_trip::<ReserveBatch>(json);
    round_trip::<Settle>(json);
    round_trip::<Fence>(json);
    round_trip::<Resolve>(json);
    round_trip::<ReadProducts>(json);
    round_trip::<LeaseRequest>(json);
    round_trip::<Invalidate>(json);
    round_trip::<StandForElection>(json);
    round_trip::<Data<OrderPlaced>>(json);
    round_trip::<Data<Vec<Placement>>>(json);
    round_trip::<Data<Order>>(json);
    round_trip::<Data<Vec<Product>>>(json);
    round_trip::<Data<ProductRead>>(json);
    round_trip::<Data<Vec<ProductReadOutcome>>>(json);
    round_trip::<Data<BatchReserved>>(json);
    round_trip::<Data<Fenced>>(json);
    round_trip::<Data<LeaseGranted>>(json);
    round_trip::<Data<Vec<StockAccount>>>(json);
    round_trip::<Data<CacheContents>>(json);
    round_trip::<Data<ReplicaStatus>>(json);
    round_trip::<ErrorBody>(json);
}

/// Parses `text` as every value of a path, a header or a CSV field.
pub fn value(text: &str) {
    text_round_trip::<OrderId>(text);
    text_round_trip::<HolderId>(text);
    text_round_trip::<Price>(text);
    if let Ok(name) = ProductName::new(text) {
        assert_eq!(name.as_str(), text);
        round_trip::<ProductName>(&serde_json::to_vec(&name).expect("a name is text"));
    }
    round_trip::<OrderNumber>(text.as_bytes());
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(json: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(json) {
        let text = serde_json::to_vec(&value).expect("it was decoded");
        assert_eq!(serde_json::from_slice::<T>(&text).expect("it was encoded"), value);
    }
}

fn text_round_trip<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>().expect("its own text"), value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Pieces of which the bodies are made.
    const PIECES: &str = r#"(\{|\}|\[|\]|,|:|"name"|"quantity"|"price"|"data"|"error"|"term"|"id"|"orders"|"Tux"|"0190b5a4-7f0e-7cc3-98c4-dc0c0c07398f"|null|true|1|0|-1|1\.5|1e9|18446744073709551615|"é"){0,24}"#;

    proptest! {
        #[test]
        fn any_bytes_are_handled(bytes in vec(any::<u8>(), 0..100)) {
            body(&bytes);
        }

        #[test]
        fn pieces_of_json_are_handled(json in PIECES) {
            body(json.as_bytes());
        }

        #[test]
        fn any_text_is_handled(text in any::<String>()) {
            value(&text);
        }

        #[test]
        fn text_that_looks_like_a_value_is_handled(text in "[0-9a-f-]{32,38}|[0-9]{0,12}\\.?[0-9]{0,3}|[ -~]{0,66}") {
            value(&text);
        }

        #[test]
        fn every_price_survives_json(cents in 0..=Price::CENTS_MAX) {
            let price = Price::from_cents(cents).unwrap();
            let json = serde_json::to_string(&price).unwrap();
            prop_assert_eq!(serde_json::from_str::<Price>(&json).unwrap(), price);
            prop_assert_eq!(price.to_string().parse::<Price>().unwrap(), price);
        }
    }
}
