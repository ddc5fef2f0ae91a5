//! Properties that must hold for any bytes: nothing panics, the stock accounts stay balanced, and
//! each value that is accepted can be written and read back unchanged.
//!
//! Driven by the property tests here and by the fuzz targets (`fuzz/`), which build this crate with
//! `--cfg fuzzing`.

use crate::seed;
use crate::state_machine::{Action, Catalog};

/// A seed file.
pub fn seed_file(bytes: &[u8]) {
    match seed::parse(bytes, "seed.csv") {
        Ok(products) => {
            assert!(!products.is_empty() && products.len() <= seed::PRODUCTS_MAX);
            assert!(products.is_sorted_by(|a, b| a.name < b.name), "sorted by name, without duplicates");
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["name", "price", "quantity"]).expect("memory");
            for product in &products {
                assert!(product.quantity.0 <= seed::PIECES_MAX);
                let line = [product.name.to_string(), product.price.to_string(), product.quantity.to_string()];
                writer.write_record(line).expect("memory");
            }
            let text = writer.into_inner().expect("memory");
            assert_eq!(seed::parse(&text, "again.csv").as_ref(), Ok(&products));
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty() && mistakes.iter().all(|mistake| mistake.starts_with("seed.csv")));
        }
    }
}

/// Actions that order leaders may request, one after the other, of a catalog that has products.
pub fn actions(bytes: &[u8]) {
    let mut catalog = Catalog::default();
    catalog.act(Action::Seed(seed::initial())).expect("it is empty");
    let mut rest = bytes;
    while let Ok((action, behind)) = postcard::take_from_bytes::<Action>(rest) {
        let again = postcard::to_stdvec(&action).expect("it was decoded");
        assert_eq!(postcard::from_bytes::<Action>(&again).expect("it was encoded"), action);
        rest = behind;
        // The other actions are the catalog's own, within bounds that its settings have.
        if !matches!(action, Action::Seed(_) | Action::Restock { .. } | Action::ExtendLease { .. }) {
            let before = catalog.clone();
            let refused = catalog.act(action).is_err();
            assert!(!refused || catalog == before, "a refusal has changed nothing");
        }
    }
    for account in catalog.statements() {
        assert_eq!(account.initial + account.restocked, account.stock.0 + account.sold + account.reserved, "I4");
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_handled(bytes in vec(any::<u8>(), 0..300)) {
            seed_file(&bytes);
            actions(&bytes);
        }

        #[test]
        fn few_and_small_bytes_are_handled(bytes in vec(0..6_u8, 0..120)) {
            actions(&bytes);
        }

        #[test]
        fn text_that_looks_like_a_seed_is_handled(
            header in "(\u{feff})?(name,price,quantity|quantity, price,name ,sold)\r?\n",
            lines in vec("[A-Cé ,\"]{0,4},-?[0-9]{0,3}(\\.[0-9]{0,3})?,[+-]?[0-9]{0,11}(,7)?\r?\n?", 0..5),
        ) {
            seed_file((header + &lines.concat()).as_bytes());
        }
    }
}
