//! Restocks sold-out products at a regular interval.

use std::time::Duration;

use api::Stock;
use api::event::{Event, Text};
use replication::Replica;
use service::events::emit;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::leader_term::LeaderTerm;
use crate::state_machine::{Action, Catalog, CatalogReply};

/// How often, and to how many pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restock {
    /// The time between two checks of the stock; zero disables restocking.
    pub interval: Duration,
    /// The stock that a sold-out product is restocked to; 1 or more.
    pub level: Stock,
}

/// Restocks for as long as it is polled, which only the leader does. Nothing is written while
/// nothing is sold out.
pub(crate) async fn restock(restock: Restock, replica: &Replica<Catalog>, leader_term: &LeaderTerm) {
    let Restock { interval, level } = restock;
    if interval.is_zero() {
        return std::future::pending().await;
    }
    let mut ticks = interval_at(Instant::now() + interval, interval);
    // After a pause (a leader that was stopped), one check is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !replica.read(Catalog::has_sold_out) {
            continue;
        }
        match leader_term.change(Action::Restock { level }).await {
            Ok(CatalogReply::Restocked(products)) => {
                let products = products.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                emit(Event::Restocked { products: Text::of(products), pieces: level.0 });
            }
            Ok(reply) => unreachable!("unexpected reply to a restock: {reply:?}"),
            Err(error) => tracing::warn!(%error, "not restocked; will be retried at the next interval"),
        }
    }
}
