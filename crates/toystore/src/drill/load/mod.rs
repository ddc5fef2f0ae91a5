//! Shoppers that record every call: writers place orders, readers read products and orders.
//!
//! A *writer* orders one to three pieces of a few products at a given rate. It repeats an order
//! under the same key, through the next frontend, until the order is answered. Now and then it
//! repeats an order that was already acknowledged, which must return the same number. A *reader*
//! reads products that a writer has just bought, through another frontend than the writer used, and
//! orders that were placed. All calls go into one [`history::History`].
//!
//! Read [`shopper`] first: what writers and readers share.

mod arrivals;
mod observations;
mod reader;
mod shopper;
mod writer;

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{Address, OrderNumber, ProductName};
use history::{ClientId, History};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use workload::{AttemptLog, Latency, RetryPolicy, RetryingClient, RunClock, base_url, verification};

use super::ack_monitor::AckMonitor;
use arrivals::PoissonArrivals;
pub use observations::ErrorCounts;
use observations::Observations;
use reader::DrillReader;
use shopper::{DrillShopper, DrillState};
use writer::DrillWriter;

/// Maximum number of orders that are read again at the end, which takes about a second. The ledgers
/// are compared completely in any case.
const REREAD_MAX: usize = 2000;

/// Maximum calls of each kind in a history: half an hour at full speed. A call takes about 100
/// bytes.
const CALLS_MAX: usize = 6_000_000;

/// Writers per reader. All readers together read as often as all writers write.
const WRITERS_PER_READER: u32 = 4;

/// Reads per second when the rate of writers is unlimited: reads from the cache at full speed would
/// take CPU time from the store.
const READS_PER_S: u32 = 500;

/// How much load to put on the store.
#[derive(Clone, Debug)]
pub(super) struct LoadConfig {
    /// The frontends' public addresses.
    pub(super) frontends: Vec<Address>,
    /// The products to buy.
    pub(super) products: Vec<ProductName>,
    /// Number of writers; there is one reader for every four.
    pub(super) shoppers: u32,
    /// Orders per second of all writers together; 0 is unlimited.
    pub(super) orders_per_s: u32,
    /// Seed for the choice of orders.
    pub(super) seed: u64,
}

/// The running shoppers.
pub(super) struct Load {
    shared: Arc<DrillState>,
    writers: JoinSet<()>,
    readers: JoinSet<()>,
    /// Reads orders once more at the end.
    auditor: RetryingClient<Observations>,
    stop: CancellationToken,
}

/// A load whose shoppers have finished.
pub(super) struct FinishedLoad {
    /// Every call that was made.
    pub(super) history: History,
    /// How many orders were read again at the end, and of how many.
    pub(super) reread: (u64, u64),
}

impl Load {
    /// Starts the shoppers.
    ///
    /// # Errors
    /// If a frontend's address is not valid.
    pub(super) fn start(clock: RunClock, config: &LoadConfig) -> Result<Self, String> {
        let acks = AckMonitor::new(config.frontends.len());
        let log = AttemptLog::new(clock, CALLS_MAX);
        let shared = Arc::new(DrillState::new(log, acks, config.products.clone()));
        let frontends = config.frontends.iter().map(base_url).collect::<Result<Vec<_>, _>>()?;
        let stop = CancellationToken::new();
        let client = |id, policy, stop: &CancellationToken| {
            let observations = Arc::clone(&shared.observations);
            RetryingClient::new(ClientId(id), &frontends, policy, &shared.log, observations, stop.clone())
        };
        let mut seeds = Xoshiro256PlusPlus::seed_from_u64(config.seed);
        let mut shopper = |id, policy, per_s: u32, of_all: u32| DrillShopper {
            client: client(id, policy, &stop),
            random: Xoshiro256PlusPlus::seed_from_u64(seeds.random()),
            arrivals: (per_s > 0).then(|| PoissonArrivals::new(per_s, of_all)),
            shared: Arc::clone(&shared),
        };
        let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
        for id in 0..config.shoppers {
            let writer = DrillWriter::new(shopper(id, writer::placing(), config.orders_per_s, config.shoppers));
            writers.spawn(writer.run(stop.clone()));
        }
        let count = config.shoppers.div_ceil(WRITERS_PER_READER);
        let reads_per_s = if config.orders_per_s > 0 { config.orders_per_s } else { READS_PER_S };
        for id in 0..count {
            let reader = DrillReader(shopper(config.shoppers + id, RetryPolicy::once(), reads_per_s, count));
            readers.spawn(reader.run(stop.clone()));
        }
        // It reads when all others have stopped.
        let auditor = client(config.shoppers + count, RetryPolicy::default(), &CancellationToken::new());
        Ok(Self { shared, writers, readers, auditor, stop })
    }

    pub(super) fn acks(&self) -> &AckMonitor {
        &self.shared.acks
    }

    /// The errors that shoppers have seen so far.
    pub(super) fn errors(&self) -> ErrorCounts {
        self.shared.observations.errors()
    }

    /// How long orders have taken so far, from the first attempt to the acknowledgement.
    pub(super) fn latency(&self) -> Latency {
        self.shared.observations.latency()
    }

    /// Waits until the history is full.
    pub(super) async fn full(&self) {
        self.shared.log.full().await;
    }

    /// Lets all shoppers finish their current requests, then reads up to [`REREAD_MAX`] of the
    /// acknowledged orders once more.
    pub(super) async fn finish(self) -> FinishedLoad {
        self.stop.cancel();
        self.writers.join_all().await;
        self.readers.join_all().await;
        let log = &self.shared.log;
        let mut history = log.take();
        let numbers = verification::acknowledged_numbers(&history.orders);
        let stride = numbers.len() / REREAD_MAX + 1;
        let some: BTreeSet<OrderNumber> = numbers.into_iter().step_by(stride).collect();
        let (reads, unread) = verification::read_orders(vec![self.auditor], log, &some).await;
        history.order_reads.extend(reads);
        let of = some.len() as u64;
        FinishedLoad { history, reread: (of - unread, of) }
    }
}
