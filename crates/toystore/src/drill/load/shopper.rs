//! What writers and readers share: one clock, one history, one list of recent orders.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{OrderNumber, ProductName};
use history::Moment;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use tokio_util::sync::CancellationToken;
use workload::{AttemptLog, RetryingClient};

use super::arrivals::PoissonArrivals;
use super::observations::Observations;
use crate::drill::ack_monitor::AckMonitor;

/// Readers choose among this many of the latest orders: those of the last tens of milliseconds.
const RECENT_MAX: usize = 32;

/// The state that all shoppers share.
pub(super) struct DrillState {
    pub(super) log: Arc<AttemptLog>,
    pub(super) acks: AckMonitor,
    pub(super) observations: Arc<Observations>,
    recent: Mutex<VecDeque<RecentOrder>>,
    pub(super) products: Vec<ProductName>,
}

/// An order that has just been acknowledged.
#[derive(Clone, Debug)]
pub(super) struct RecentOrder {
    pub(super) product: ProductName,
    pub(super) number: OrderNumber,
    pub(super) frontend: usize,
}

/// One shopper: a writer or a reader.
pub(super) struct DrillShopper {
    /// Its client of all frontends.
    pub(super) client: RetryingClient<Observations>,
    pub(super) random: Xoshiro256PlusPlus,
    /// `None` if the rate is unlimited.
    pub(super) arrivals: Option<PoissonArrivals>,
    pub(super) shared: Arc<DrillState>,
}

impl DrillState {
    pub(super) fn new(log: AttemptLog, acks: AckMonitor, products: Vec<ProductName>) -> Self {
        Self { log: Arc::new(log), acks, observations: Arc::default(), recent: Mutex::default(), products }
    }

    pub(super) fn acknowledged(&self, at: Moment, order: RecentOrder) {
        self.acks.record(at, order.frontend);
        let mut recent = self.recent();
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(order);
    }

    pub(super) fn recent(&self) -> MutexGuard<'_, VecDeque<RecentOrder>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DrillShopper {
    /// Waits until the next request is due; `false` if the shopper has to stop.
    pub(super) async fn wait_for_next(&mut self, stop: &CancellationToken) -> bool {
        let Self { arrivals, random, shared, .. } = self;
        let due = async {
            match arrivals {
                Some(arrivals) => arrivals.next(random).await,
                // Without it, shoppers that are answered at once would starve other tasks.
                None => tokio::task::yield_now().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = shared.log.full() => false,
            () = due => true,
        }
    }

    pub(super) fn any_frontend(&mut self) -> usize {
        self.random.random_range(0..self.client.frontends())
    }
}
