//! Shoppers who keep shopping until they are told to stop.

use std::sync::Arc;
use std::time::Duration;

use api::{Address, ProductName};
use history::ClientId;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use workload::{AttemptLog, RetryPolicy, RetryingClient, RunClock, base_url};

use crate::config::Config;
use crate::shopper::{Buying, SessionPlan, Shopper};

/// The longest pause between two sessions; the mean is half of it. A shopper then has about twenty
/// sessions per second: one is calm, some hundred keep a laptop busy.
const THINK_TIME_MAX: Duration = Duration::from_millis(100);

/// The probability that a shopper chooses a frontend anew. Otherwise it stays with the one that
/// answered last, as with a connection that is kept open. So it waits for a dead frontend rarely,
/// and one that is back has shoppers again within a second or two.
const REBALANCE: f64 = 0.05;

/// These shoppers wait for a dead store, with little effort: about three attempts per second each.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// Who shops, and where.
#[derive(Clone, Debug)]
pub struct ContinuousConfig {
    /// The public ports of the store; at least one.
    pub frontends: Vec<Address>,
    /// What the store sells; at least one product.
    pub products: Arc<[ProductName]>,
    /// Concurrent shoppers. Each has a task, and a connection to each frontend.
    pub shoppers: u16,
    /// The probability that a shopper orders a product that is in stock: 0 to 1.
    pub order_probability: f64,
    /// The product of nine sessions out of ten; `None` if all are equally popular.
    pub hot_product: Option<ProductName>,
}

/// Running shoppers. Dropping them breaks off their requests.
#[derive(Debug)]
pub struct ContinuousShoppers {
    stop: CancellationToken,
    _tasks: JoinSet<()>,
}

impl ContinuousShoppers {
    /// Starts shoppers. They outlive any failure of the store.
    ///
    /// # Errors
    /// If an address is malformed, or there is no frontend or no product.
    pub fn start(config: &ContinuousConfig) -> Result<Self, String> {
        let frontends = config.frontends.iter().map(base_url).collect::<Result<Vec<_>, _>>()?;
        if frontends.is_empty() || config.products.is_empty() {
            return Err("shoppers need a frontend and a product".into());
        }
        let policy = RetryPolicy {
            tries: u32::MAX,
            retry_delay: RETRY_DELAY,
            retry_jitter: RETRY_DELAY,
            ..RetryPolicy::default()
        };
        // It keeps nothing: nothing is verified.
        let log = Arc::new(AttemptLog::new(RunClock::start(), 0).without_products());
        let (stats, stop) = (Arc::default(), CancellationToken::new());
        let plans = Config {
            shoppers: config.shoppers.into(),
            order_probability: config.order_probability,
            ..Config::default()
        };
        let mut tasks = JoinSet::new();
        for (id, plan) in (0..).zip(SessionPlan::for_shoppers(&plans, rand::random(), &config.products)) {
            let (log, stats) = (Arc::clone(&log), Arc::clone(&stats));
            let client = RetryingClient::new(ClientId(id), &frontends, policy, &log, stats, stop.clone());
            let plan = plan.with_hot_product(config.hot_product.clone());
            let frontend = id as usize % frontends.len();
            let shopper = Shopper { client, plan, buying: Buying::Unrecorded, frontend };
            tasks.spawn(shop(shopper, stop.clone()));
        }
        Ok(Self { stop, _tasks: tasks })
    }

    /// Lets the shoppers wait for the responses to their current requests. They send no others.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

async fn shop(mut shopper: Shopper, stop: CancellationToken) {
    loop {
        // First, so that the shoppers do not come all at once.
        shopper.client.think(THINK_TIME_MAX.mul_f64(rand::random())).await;
        if stop.is_cancelled() {
            return;
        }
        if rand::random_bool(REBALANCE) {
            shopper.frontend = rand::random_range(0..shopper.client.frontends());
        }
        shopper.run_session().await;
    }
}
