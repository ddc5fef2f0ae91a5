//! A replica's terms as leader: take over, serve, stop; for each term once.

use std::time::Duration;

use replication::{Leadership, Replica};
use service::lifecycle::{ExitCode, fatal};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::desk::leader_of;
use crate::intake::Intake;
use crate::metrics::{OrderMetrics, took};
use crate::orders::Orders;
use crate::pipeline::{Ended, Pipeline};
use crate::reach::WayOut;
use crate::stock::Stock;
use crate::takeover::take_over;

/// An engine that did not commit knows within some heartbeats (100 ms) that it leads no more. One that still believes it after this
/// would stay a leader that takes no orders: the process ends, and another is elected.
const RESIGN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long orders that are inside may take when the process is to stop: far more than a full queue needs. If the catalog is
/// gone, they would not be placed in any time.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// What the leader's work needs.
pub(crate) struct Reign {
    pub(crate) replica: Replica<Orders>,
    pub(crate) stock: Stock,
    pub(crate) way_out: WayOut,
    pub(crate) metrics: OrderMetrics,
    /// Where the desk finds the intake.
    pub(crate) intake: watch::Sender<Option<Intake>>,
    pub(crate) queue_max: usize,
    pub(crate) batch_orders_max: usize,
    /// Take no more orders, place those inside, end.
    pub(crate) stop: CancellationToken,
}

impl Reign {
    /// Works until it is told to stop, and has stopped in good order.
    pub(crate) async fn run(self) {
        let mut leadership = self.replica.leadership();
        while !self.stop.is_cancelled() {
            let now = *leadership.borrow_and_update();
            if let Leadership::Leading(term) = now {
                let intake = Intake::open(term, self.queue_max);
                self.intake.send_replace(Some(intake.clone()));
                let ended = tokio::select! {
                    ended = self.lead(&intake) => Some(ended),
                    _ = leadership.wait_for(|now| *now != Leadership::Leading(term)) => None,
                    () = self.drained(&intake) => None,
                    never = self.way_out.take_when_cut_off() => match never {},
                };
                self.intake.send_replace(None);
                intake.close(leader_of(*leadership.borrow()));
                self.metrics.queue_length.set(0);
                match ended {
                    None => tracing::info!(term = term.0, "leads no more, or stops; takes no more orders"),
                    Some(Ended::Deposed) => tracing::warn!(
                        term = term.0,
                        "takes no more orders: a later order leader has been at the catalog; waiting to hear from it"
                    ),
                    Some(Ended::Lost) => tracing::warn!(term = term.0, "takes no more orders: one was not committed"),
                }
                if let Some(ended) = ended {
                    self.resign(&mut leadership, now, ended).await;
                }
            } else {
                tokio::select! {
                    changed = leadership.changed() => changed.expect("the replica holds the sender"),
                    () = self.stop.cancelled() => {}
                }
            }
        }
    }

    /// Returns when, after the word to stop, all orders inside are answered, or their time is up.
    async fn drained(&self, intake: &Intake) {
        self.stop.cancelled().await;
        if timeout(DRAIN_TIMEOUT, intake.drain()).await.is_err() {
            tracing::warn!(timeout_s = DRAIN_TIMEOUT.as_secs(), "orders are left that could not be placed in time");
        }
    }

    async fn lead(&self, intake: &Intake) -> Ended {
        let (term, begun) = (intake.term(), Instant::now());
        tracing::info!(term = term.0, "leads; taking over");
        if let Err(ended) = take_over(term, &self.replica, &self.stock).await {
            return ended;
        }
        took(&self.metrics.take_over, begun);
        tracing::info!(term = term.0, elapsed_ms = begun.elapsed().as_millis(), "takes orders");
        Pipeline::new(&self.replica, &self.stock, &self.metrics, intake, self.batch_orders_max).run().await
    }

    /// Waits until the engine, too, knows that the term is over: work in it ended for good, and is not begun again.
    async fn resign(&self, leadership: &mut watch::Receiver<Leadership>, office: Leadership, ended: Ended) {
        let resigned = async {
            while timeout(RESIGN_TIMEOUT, leadership.wait_for(|now| *now != office)).await.is_err() {
                match ended {
                    Ended::Lost => fatal(
                        ExitCode::Software,
                        "the engine did not commit an entry, but goes on to lead the same term",
                    ),
                    // A newer leader is there, so nothing waits for us; cut off, we hear of it late. But if a majority still follows us,
                    // there is none: the later term was another history's.
                    Ended::Deposed if self.replica.confirm().await.map(Leadership::Leading) == Ok(office) => fatal(
                        ExitCode::Io,
                        "the catalog has seen a later term than this group's: were the orders' data lost?",
                    ),
                    Ended::Deposed => {}
                }
            }
        };
        tokio::select! {
            () = resigned => {}
            () = self.stop.cancelled() => {}
        }
    }
}
