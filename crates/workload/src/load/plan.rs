//! What a load is: targets, connections, stages, and the requests of a visit.

use std::time::Duration;

use api::{Address, ProductName};

use super::popularity::Popularity;
use super::schedule::Stage;

/// How long a response is waited for: longer than the store's own deadline of 5 s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(6);

/// The requests of one visit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Visit {
    /// One request: an order with that probability, otherwise a product read.
    OneRequest {
        /// 0 to 1.
        order_share: f64,
    },
    /// A product read, and with that probability an order for it as soon as the response arrives.
    ReadThenOrder {
        /// 0 to 1.
        purchase_probability: f64,
    },
}

/// A load.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// The public ports that the connections are spread over; at least one.
    pub targets: Vec<Address>,
    /// The number of connections; at least one, and at least as many as any stage has shoppers.
    pub connections: usize,
    /// Whether connections stay open from one request to the next.
    pub keep_alive: bool,
    /// At least one.
    pub stages: Vec<Stage>,
    /// The requests of a visit.
    pub visit: Visit,
    /// The products that are read and ordered; at least one.
    pub products: Vec<ProductName>,
    /// How the visits are distributed over the products.
    pub popularity: Popularity,
    /// A request without a response within this time counts as timed out, and its connection is
    /// closed.
    pub request_timeout: Duration,
    /// Determines which products are read and ordered.
    pub seed: u64,
}

impl LoadPlan {
    /// Visits of one request each, over keep-alive connections to one port. A request is an order
    /// with probability `order_share`.
    pub fn single_requests(target: Address, products: Vec<ProductName>, order_share: f64, stages: Vec<Stage>) -> Self {
        let connections = stages.iter().filter_map(Stage::shoppers).max().unwrap_or(1);
        Self {
            targets: vec![target],
            connections,
            keep_alive: true,
            stages,
            visit: Visit::OneRequest { order_share },
            products,
            popularity: Popularity::Uniform,
            request_timeout: REQUEST_TIMEOUT,
            seed: rand::random(),
        }
    }

    /// The length of all stages together.
    pub fn length(&self) -> Duration {
        self.stages.iter().map(|stage| stage.length).sum()
    }
}
