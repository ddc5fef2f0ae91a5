//! One shopper: one session after the other.

use std::sync::Arc;
use std::time::Duration;

use api::public::NewOrder;
use api::{OrderId, ProductName, Quantity};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;
use workload::{ClientStats, Purchase, RequestKind, RetryingClient};

use crate::config::Config;
use crate::orders_file::{AcknowledgedOrder, OrdersFileSender};

/// How many of the visits are for the product that nearly everyone wants.
const HOT_SHARE: f64 = 0.9;

/// What one session does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedSession {
    /// The product to read, and how many pieces to order if there are enough.
    pub(crate) order: NewOrder,
    /// Whether to order it.
    pub(crate) buys: bool,
}

/// The endless sequence of a shopper's sessions. Each session draws the same number of random
/// values, so that no answer of the store shifts the later sessions.
#[derive(Clone, Debug)]
pub(crate) struct SessionPlan {
    /// Yields the same numbers on every machine and with every release of its crate.
    random: Xoshiro256PlusPlus,
    products: Arc<[ProductName]>,
    hot_product: Option<ProductName>,
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
            hot_product: None,
            order_probability,
            quantity_max,
        })
    }

    /// The same plan with a product that most of the sessions are about.
    pub(crate) fn with_hot_product(self, hot_product: Option<ProductName>) -> Self {
        Self { hot_product, ..self }
    }
}

impl Iterator for SessionPlan {
    type Item = PlannedSession;

    fn next(&mut self) -> Option<PlannedSession> {
        let mut name = self.products[self.random.random_range(0..self.products.len())].clone();
        let buys = self.random.random_bool(self.order_probability);
        let pieces = self.random.random_range(1..=self.quantity_max.get());
        let quantity = Quantity::new(u64::from(pieces)).expect("within the bounds of a quantity");
        if let Some(hot) = &self.hot_product
            && self.random.random_bool(HOT_SHARE)
        {
            name = hot.clone();
        }
        Some(PlannedSession { order: NewOrder { name, quantity }, buys })
    }
}

/// What a shopper does about orders.
#[derive(Debug)]
pub(crate) enum Buying {
    /// It orders nothing.
    Never,
    /// It orders, and its acknowledged orders are recorded.
    Recorded(OrdersFileSender),
    /// It orders, and remembers nothing.
    Unrecorded,
}

/// A shopper before its first session.
#[derive(Debug)]
pub(crate) struct Shopper {
    /// Its client of the store.
    pub(crate) client: RetryingClient<ClientStats>,
    /// What it reads and orders.
    pub(crate) plan: SessionPlan,
    /// What it does about orders.
    pub(crate) buying: Buying,
    /// The frontend to which its next request goes: the one that answered last.
    pub(crate) frontend: usize,
}

impl Shopper {
    /// Runs `sessions` sessions; fewer if `deadline` passes, the run is stopped, the store is dead,
    /// or the file can no longer be written. Returns the client, with its connection still open.
    pub(crate) async fn shop(
        mut self,
        sessions: u32,
        deadline: Option<Instant>,
        think_time: Duration,
    ) -> RetryingClient<ClientStats> {
        for _ in 0..sessions {
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if is_over || !self.client.should_continue() || !self.run_session().await {
                break;
            }
            self.client.think(think_time).await;
        }
        self.client
    }

    /// Reads a product and perhaps orders it. The statistics count failures. False if the file can
    /// no longer be written.
    pub(crate) async fn run_session(&mut self) -> bool {
        let PlannedSession { order, buys } = self.plan.next().expect("a plan is endless");
        let Ok(product) = self.client.product(self.frontend, &order.name).await else { return true };
        self.frontend = product.frontend;
        if !buys || matches!(self.buying, Buying::Never) || product.value.quantity.take(order.quantity).is_none() {
            return true;
        }
        let order_id = OrderId::random();
        let placed = self.client.place_order(RequestKind::Order, self.frontend, order_id, &order).await;
        let Ok(answer) = placed else { return true };
        self.frontend = answer.frontend;
        match (answer.value, &self.buying) {
            (Purchase::Placed(number), Buying::Recorded(orders_file)) => {
                let NewOrder { name, quantity } = order;
                orders_file.record(AcknowledgedOrder { number, name, quantity, order_id }).await
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(seed: u64, order_probability: f64) -> Vec<Vec<PlannedSession>> {
        let quantity_max = Quantity::new(3).unwrap();
        let config = Config { shoppers: 3, order_probability, quantity_max, ..Config::default() };
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
            .map(|session| format!("{} {} {}", session.order.quantity, session.order.name, session.buys))
            .collect();
        assert_eq!(first, ["3 Tux false", "1 Uno true", "2 Uno false", "2 Uno true", "3 Tux false"]);
    }

    #[test]
    fn most_sessions_are_about_the_hot_product() {
        let products = ["Tux", "Uno", "Whale"].map(|name| ProductName::new(name).unwrap());
        let plan = SessionPlan::for_shoppers(&Config::default(), 7, &products.clone().into()).next().unwrap();
        let about = |name: &ProductName| {
            let plan = plan.clone().with_hot_product(Some(products[1].clone()));
            plan.take(1000).filter(|session| session.order.name == *name).count()
        };
        let [tux, uno, whale] = [0, 1, 2].map(|n| about(&products[n]));
        assert!((900..970).contains(&uno) && tux > 10 && whale > 10, "{tux} {uno} {whale}");
    }

    #[test]
    fn the_probability_affects_orders_and_nothing_else() {
        let products = |sessions: Vec<Vec<PlannedSession>>| {
            sessions.concat().into_iter().map(|session| session.order).collect::<Vec<_>>()
        };
        assert!(sessions(7, 0.0).concat().iter().all(|session| !session.buys));
        assert!(sessions(7, 1.0).concat().iter().all(|session| session.buys));
        assert_eq!(products(sessions(7, 0.1)), products(sessions(7, 0.9)));
        for name in ["Tux", "Uno", "Whale"] {
            assert!(
                sessions(7, 0.5).concat().iter().any(|session| session.order.name.as_str() == name && session.buys),
                "{name}"
            );
        }
    }
}
