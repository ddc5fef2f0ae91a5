//! What is sold out comes back: every interval, to a level.

use std::time::Duration;

use api::Stock;
use replication::Replica;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::machine::{Action, Catalog, Reply};
use crate::tenure::Tenure;

/// How often, and to how many pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restock {
    /// Between two looks at the stock; zero: never look.
    pub interval: Duration,
    /// What a sold-out product comes back to; 1 or more.
    pub level: Stock,
}

/// Restocks for as long as it is polled; the leader alone does. Nothing is written while nothing is sold out.
pub(crate) async fn restock(restock: Restock, replica: &Replica<Catalog>, tenure: &Tenure) {
    let Restock { interval, level } = restock;
    if interval.is_zero() {
        return std::future::pending().await;
    }
    let mut ticks = interval_at(Instant::now() + interval, interval);
    // After a pause (a leader that was stopped) one look is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !replica.read(Catalog::has_sold_out) {
            continue;
        }
        match tenure.change(Action::Restock { level }).await {
            Ok(Reply::Restocked(products)) => {
                let products = products.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                tracing::info!(products, pieces = level.0, "restocked");
            }
            Ok(reply) => unreachable!("a restock is answered with what was restocked, not {reply:?}"),
            Err(error) => tracing::warn!(%error, "not restocked; the next time will do"),
        }
    }
}
