//! A shopper that reads products and orders that another shopper has just bought, through another
//! frontend.

use rand::RngExt;
use tokio_util::sync::CancellationToken;

use super::shopper::{DrillShopper, RecentOrder};

/// Probability that a reader reads an order instead of a product.
const ORDER_READS: f64 = 0.2;

pub(super) struct DrillReader(pub(super) DrillShopper);

impl DrillReader {
    /// The client records the answers.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while self.0.wait_for_next(&stop).await {
            let Some(bought) = self.recently_bought() else { continue };
            if self.0.random.random_bool(ORDER_READS) {
                let frontend = self.0.any_frontend();
                let _ = self.0.client.get_order(frontend, bought.number).await;
            } else {
                let frontend = self.0.client.next_frontend(bought.frontend);
                let _ = self.0.client.product(frontend, &bought.product).await;
            }
        }
    }

    fn recently_bought(&mut self) -> Option<RecentOrder> {
        let DrillShopper { random, shared, .. } = &mut self.0;
        let recent = shared.recent();
        (!recent.is_empty()).then(|| recent[random.random_range(0..recent.len())].clone())
    }
}
