//! Many orders in little time: sent to the leader's internal port as frontends send them, but always as many together as may travel together.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::order::{PlaceOrder, Placement, TOGETHER_PATH};
use api::{OrderId, ProductName, Quantity, TOGETHER_MAX, Together};
use futures::future::try_join_all;
use tokio::time::{Instant, sleep};
use toystore::local::{Member, Store};

use crate::progress::Progress;
use crate::shop::Shop;

/// Requests under way at the same time. With 128 orders each, several full batches of the leader wait while one is on its way.
const UNDER_WAY: usize = 8;

/// For one request; a leader that checkpoints a large ledger takes its time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// For one request and its repetitions.
const PATIENCE: Duration = Duration::from_mins(1);

/// Before a request is repeated.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two words to people who wait.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Places orders until the ledger has at least so many; gives back how many it has. One order is placed in any case.
///
/// # Errors
/// If an order is refused for a minute.
pub(super) async fn fill(shop: &mut Shop, to: u64, progress: Progress) -> Result<u64> {
    let product = shop.products().first().context("something is sold")?.clone();
    let filling = Filling { store: shop.store(), product, to, highest: Cell::new(0) };
    let begun = Instant::now();
    let tell = async {
        loop {
            sleep(TOLD_EVERY).await;
            progress.line(format!(
                "P5 filling: {} orders after {} s",
                filling.highest.get(),
                begun.elapsed().as_secs()
            ));
        }
    };
    tokio::select! {
        filled = try_join_all((0..UNDER_WAY).map(|_| filling.lane())) => drop(filled?),
        () = tell => {}
    }
    Ok(filling.highest.get())
}

struct Filling<'a> {
    store: &'a Store,
    product: ProductName,
    to: u64,
    /// The highest number that was given.
    highest: Cell<u64>,
}

impl Filling<'_> {
    /// One request after the other.
    async fn lane(&self) -> Result<()> {
        while self.highest.get() < self.to {
            let order =
                |_| PlaceOrder { order_id: OrderId::random(), name: self.product.clone(), quantity: Quantity::ONE };
            let orders: Vec<_> = (0..TOGETHER_MAX).map(order).collect();
            self.place(&Together::try_from(orders)?).await?;
        }
        Ok(())
    }

    /// Repeats a request until all its orders have numbers; those that have one already keep it.
    async fn place(&self, orders: &Together<PlaceOrder>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.attempt(orders).await {
                Ok(highest) => {
                    self.highest.set(self.highest.get().max(highest));
                    return Ok(());
                }
                Err(error) if Instant::now() > deadline => return Err(error.context("orders are not placed")),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// The highest of the orders' numbers.
    async fn attempt(&self, orders: &Together<PlaceOrder>) -> Result<u64> {
        let (_, leader) = self.store.leader().await.context("there is no leader")?;
        let leader = self.store.layout().internal(Member::Order(leader));
        let caller = self.store.caller();
        let placements: Vec<Placement> = caller.post(&leader, TOGETHER_PATH, orders, ANSWER_TIMEOUT).await?;
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
