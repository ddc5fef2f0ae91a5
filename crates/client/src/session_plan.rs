//! What each shopper reads and orders: drawn from the seed, whatever the store answers.

use std::sync::Arc;

use api::{ProductName, Quantity};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::config::Config;

/// What one session does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedSession {
    /// The product to read.
    pub(crate) product: ProductName,
    /// Whether to order it if enough is in stock.
    pub(crate) order: bool,
    /// How many pieces to order.
    pub(crate) quantity: Quantity,
}

/// The endless sequence of a shopper's sessions. Each session draws the same number of random
/// values, so that no answer of the store shifts the later sessions.
#[derive(Clone, Debug)]
pub(crate) struct SessionPlan {
    /// Yields the same numbers on every machine and with every release of its crate.
    random: Xoshiro256PlusPlus,
    products: Arc<[ProductName]>,
    order_probability: f64,
    quantity_max: Quantity,
}

impl SessionPlan {
    /// One plan for each shopper of the run.
    ///
    /// # Panics
    /// If there are no products.
    pub(crate) fn for_shoppers(
        config: &Config,
        seed: u64,
        products: &Arc<[ProductName]>,
    ) -> impl Iterator<Item = Self> {
        assert!(!products.is_empty(), "a plan needs at least one product");
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

impl Iterator for SessionPlan {
    type Item = PlannedSession;

    fn next(&mut self) -> Option<PlannedSession> {
        let product = self.products[self.random.random_range(0..self.products.len())].clone();
        let order = self.random.random_bool(self.order_probability);
        let pieces = self.random.random_range(1..=self.quantity_max.get());
        let quantity = Quantity::new(u64::from(pieces)).expect("within the bounds of a quantity");
        Some(PlannedSession { product, order, quantity })
    }
}

#[cfg(test)]
mod tests {
    use api::Address;
    use workload::RetryPolicy;

    use super::*;
    use crate::config::RunType;

    fn sessions(seed: u64, order_probability: f64) -> Vec<Vec<PlannedSession>> {
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
            retry_policy: RetryPolicy::default(),
            time_limit: None,
            think_time: std::time::Duration::ZERO,
            show_progress: false,
        };
        let products = ["Tux", "Uno", "Whale"].map(|name| ProductName::new(name).unwrap()).into();
        SessionPlan::for_shoppers(&config, seed, &products).map(|sessions| sessions.take(200).collect()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_sessions_and_each_shopper_has_its_own() {
        let (one, again, other) = (sessions(7, 0.5), sessions(7, 0.5), sessions(8, 0.5));
        assert_eq!(one, again);
        assert_ne!(one, other);
        assert!(one[0] != one[1] && one[1] != one[2]);
    }

    #[test]
    fn a_seed_means_the_same_with_every_release() {
        let first: Vec<_> = sessions(42, 0.5)[0][..5]
            .iter()
            .map(|session| format!("{} {} {}", session.quantity, session.product, session.order))
            .collect();
        assert_eq!(first, ["3 Tux false", "1 Uno true", "2 Uno false", "2 Uno true", "3 Tux false"]);
    }

    #[test]
    fn the_probability_affects_orders_and_nothing_else() {
        let products = |sessions: Vec<Vec<PlannedSession>>| {
            sessions.concat().into_iter().map(|session| (session.product, session.quantity)).collect::<Vec<_>>()
        };
        assert!(sessions(7, 0.0).concat().iter().all(|session| !session.order));
        assert!(sessions(7, 1.0).concat().iter().all(|session| session.order));
        assert_eq!(products(sessions(7, 0.1)), products(sessions(7, 0.9)));
        for name in ["Tux", "Uno", "Whale"] {
            assert!(
                sessions(7, 0.5).concat().iter().any(|session| session.product.as_str() == name && session.order),
                "{name}"
            );
        }
    }
}
