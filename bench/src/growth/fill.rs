//! Places many orders quickly: sends them to the leader's internal port, like a frontend, but
//! always in request batches of the maximum size.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::order::{BATCH_PATH, PlaceOrder, Placement};
use api::{OrderId, ProductName, Quantity, REQUEST_BATCH_MAX, RequestBatch};
use futures::future::try_join_all;
use tokio::time::{Instant, sleep};
use toystore::local::{LocalStore, StoreMember};

use crate::progress::BenchProgress;
use crate::store::BenchStore;

/// Concurrent requests. With 128 orders each, several full batches wait at the leader while it
/// replicates one.
const IN_FLIGHT: usize = 8;

/// The timeout of one request. A leader that writes a checkpoint of a large ledger takes seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout of one request including its retries.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The pause before a retry.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// How often progress is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Places orders until the ledger has at least `to`, and returns how many it has. At least one
/// order is placed.
///
/// # Errors
/// If an order is still refused after a minute.
pub(super) async fn fill(store: &mut BenchStore, to: u64, progress: BenchProgress) -> Result<u64> {
    let product = store.products().first().context("the store has no products")?.clone();
    let filling = Filling { store: store.local(), product, to, highest: Cell::new(0) };
    let begun = Instant::now();
    let report = async {
        loop {
            sleep(REPORT_INTERVAL).await;
            progress.line(format!(
                "P5 filling: {} orders after {} s",
                filling.highest.get(),
                begun.elapsed().as_secs()
            ));
        }
    };
    tokio::select! {
        filled = try_join_all((0..IN_FLIGHT).map(|_| filling.lane())) => drop(filled?),
        () = report => {}
    }
    Ok(filling.highest.get())
}

struct Filling<'a> {
    store: &'a LocalStore,
    product: ProductName,
    to: u64,
    /// The highest order number so far.
    highest: Cell<u64>,
}

impl Filling<'_> {
    /// Sends one request after the other.
    async fn lane(&self) -> Result<()> {
        while self.highest.get() < self.to {
            let order = |_| PlaceOrder::new(OrderId::random(), self.product.clone(), Quantity::ONE);
            let orders: Vec<_> = (0..REQUEST_BATCH_MAX).map(order).collect();
            self.place(&RequestBatch::try_from(orders)?).await?;
        }
        Ok(())
    }

    /// Repeats a request until all its orders have numbers. Orders that already have one keep it.
    async fn place(&self, orders: &RequestBatch<PlaceOrder>) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.attempt(orders).await {
                Ok(highest) => {
                    self.highest.set(self.highest.get().max(highest));
                    return Ok(());
                }
                Err(error) if Instant::now() > deadline => return Err(error.context("orders are not placed")),
                Err(_) => sleep(RETRY_DELAY).await,
            }
        }
    }

    /// Sends a request once, and returns the highest order number of the response.
    async fn attempt(&self, orders: &RequestBatch<PlaceOrder>) -> Result<u64> {
        let (_, leader) = self.store.leader().await.context("there is no leader")?;
        let leader = self.store.layout().internal(StoreMember::Order(leader));
        let client = self.store.json_client();
        let placements: Vec<Placement> = client.post(&leader, BATCH_PATH, orders, REQUEST_TIMEOUT).await?;
        let mut highest = 0;
        for placement in placements {
            match placement {
                Placement::Placed(placed) => highest = highest.max(placed.order_number.get()),
                Placement::Refused(error) => bail!("an order was refused: {error}"),
            }
        }
        Ok(highest)
    }
}
