//! What a shopper wants: drawn from the seed, whatever the store will answer.

use std::sync::Arc;

use api::{ProductName, Quantity};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::Config;

/// One session's wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The product to look at.
    pub(crate) product: ProductName,
    /// Whether to order it if there is enough.
    pub(crate) order: bool,
    /// How many pieces.
    pub(crate) quantity: Quantity,
}

/// A shopper's wishes, without end. Every wish draws the same number of random values, so that no answer shifts the later ones.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    /// The same numbers on every machine and with every release of its crate.
    random: Xoshiro256PlusPlus,
    products: Arc<[ProductName]>,
    order_probability: f64,
    quantity_max: Quantity,
}

impl Wishes {
    /// The wishes of each of the run's shoppers.
    ///
    /// # Panics
    /// If there is no product.
    pub(crate) fn of_all(config: &Config, seed: u64, products: &Arc<[ProductName]>) -> impl Iterator<Item = Self> {
        assert!(!products.is_empty(), "shoppers need something to wish for");
        let mut seeds = Xoshiro256PlusPlus::seed_from_u64(seed);
        let (order_probability, quantity_max) = (config.order_probability, config.quantity_max);
        (0..config.shoppers).map(move |_| Self {
            random: Xoshiro256PlusPlus::seed_from_u64(seeds.random()),
            products: Arc::clone(products),
            order_probability,
            quantity_max,
        })
    }
}

impl Iterator for Wishes {
    type Item = Wish;

    fn next(&mut self) -> Option<Wish> {
        let product = self.products[self.random.random_range(0..self.products.len())].clone();
        let order = self.random.random_bool(self.order_probability);
        let pieces = self.random.random_range(1..=self.quantity_max.get());
        let quantity = Quantity::new(u64::from(pieces)).expect("within the bounds of a quantity");
        Some(Wish { product, order, quantity })
    }
}

#[cfg(test)]
mod tests {
    use api::Address;

    use super::*;
    use crate::{Patience, RunType};

    fn wishes(seed: u64, order_probability: f64) -> Vec<Vec<Wish>> {
        let config = Config {
            front: Address::new("127.0.0.1", 1110),
            shoppers: 3,
            sessions: 1,
            order_probability,
            run_type: RunType::Session,
            quantity_max: Quantity::new(3).unwrap(),
            orders_file: "orders.csv".into(),
            summary_file: None,
            seed: None,
            patience: Patience::default(),
            time_limit: None,
            is_shown: false,
        };
        let products = ["Tux", "Uno", "Whale"].map(|name| ProductName::new(name).unwrap()).into();
        Wishes::of_all(&config, seed, &products).map(|wishes| wishes.take(200).collect()).collect()
    }

    #[test]
    fn one_seed_gives_the_same_wishes_and_each_shopper_has_its_own() {
        let (one, again, other) = (wishes(7, 0.5), wishes(7, 0.5), wishes(8, 0.5));
        assert_eq!(one, again);
        assert_ne!(one, other);
        assert!(one[0] != one[1] && one[1] != one[2]);
    }

    #[test]
    fn a_seed_means_the_same_with_every_release() {
        let first: Vec<_> = wishes(42, 0.5)[0][..5]
            .iter()
            .map(|wish| format!("{} {} {}", wish.quantity, wish.product, wish.order))
            .collect();
        assert_eq!(first, ["3 Tux false", "1 Uno true", "2 Uno false", "2 Uno true", "3 Tux false"]);
    }

    #[test]
    fn the_probability_decides_on_orders_and_shifts_nothing_else() {
        let products = |wishes: Vec<Vec<Wish>>| {
            wishes.concat().into_iter().map(|wish| (wish.product, wish.quantity)).collect::<Vec<_>>()
        };
        assert!(wishes(7, 0.0).concat().iter().all(|wish| !wish.order));
        assert!(wishes(7, 1.0).concat().iter().all(|wish| wish.order));
        assert_eq!(products(wishes(7, 0.1)), products(wishes(7, 0.9)));
        for name in ["Tux", "Uno", "Whale"] {
            assert!(wishes(7, 0.5).concat().iter().any(|wish| wish.product.as_str() == name && wish.order), "{name}");
        }
    }
}
