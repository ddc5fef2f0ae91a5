//! What an order replica does in a term in which it leads: take over, then place orders.

use api::event::Event;
use api::{Ordinal, Term};
use replication::{LEADERSHIP_TRANSFER_TIMEOUT, LeaderWork, Replica};
use service::events::emit;
use service::lifecycle::{ExitCode, fatal};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::catalog_client::CatalogClient;
use crate::data_mismatch::DataMismatch;
use crate::metrics::{OrderMetrics, observe_since};
use crate::order_queue::OrderQueue;
use crate::orders::Orders;
use crate::pipeline::{Pipeline, TermEnd};
use crate::reachability::ReachabilityMonitor;
use crate::takeover::take_over;

/// What a replica needs to lead.
pub(crate) struct OrderLeader {
    pub(crate) replica: Replica<Orders>,
    pub(crate) catalog: CatalogClient,
    pub(crate) reachability: ReachabilityMonitor,
    pub(crate) metrics: OrderMetrics,
    /// Where the handler finds the queue of the current term.
    pub(crate) queue: watch::Sender<Option<OrderQueue>>,
    pub(crate) queue_max: usize,
    pub(crate) batch_orders_max: usize,
}

impl LeaderWork for OrderLeader {
    type End = TermEnd;

    fn follow(&self, leader: Option<Ordinal>) {
        self.close_queue(leader);
        self.catalog.clear_mismatch();
    }

    async fn lead(&self, term: Term) -> TermEnd {
        let queue = OrderQueue::open(term, self.queue_max);
        self.queue.send_replace(Some(queue.clone()));
        let end = tokio::select! {
            end = self.place_orders(&queue) => end,
            never = self.reachability.watch() => match never {},
        };
        let leadership = *self.replica.leadership().borrow();
        self.close_queue(leadership.other_leader());
        end
    }

    async fn drain(&self) {
        let queue = self.queue.borrow().clone();
        if let Some(queue) = queue {
            queue.drain().await;
        }
    }

    async fn may_lead_idle(&self, term: Term, end: &TermEnd) -> bool {
        // There is a newer leader, so nothing waits for this one; if it is cut off, it learns of
        // that late. But if a majority still follows this replica, there is no newer leader: the
        // later term belongs to another history.
        let deposed = *end == TermEnd::Deposed;
        if deposed && self.replica.confirm_leadership().await == Ok(term) {
            self.give_up_term(term).await;
        }
        deposed
    }
}

impl OrderLeader {
    async fn place_orders(&self, queue: &OrderQueue) -> TermEnd {
        let (term, begun) = (queue.term(), Instant::now());
        emit(Event::TakingOver { term });
        if let Err(end) = take_over(term, &self.replica, &self.catalog).await {
            return end;
        }
        observe_since(&self.metrics.take_over, begun);
        emit(Event::TakesOrders { term, elapsed_ms: begun.elapsed().into() });
        Pipeline::new(&self.replica, &self.catalog, &self.metrics, queue, self.batch_orders_max).run().await
    }

    fn close_queue(&self, leader: Option<Ordinal>) {
        if let Some(queue) = self.queue.send_replace(None) {
            queue.close(leader);
            self.metrics.queue_length.set(0);
        }
    }

    /// Reports that this group's history is not the one that the catalog has seen. Only the leader
    /// of a term that passes the fence can compare the pieces, so another replica is elected; the
    /// only replica of a group restarts.
    async fn give_up_term(&self, term: Term) {
        let mismatch = DataMismatch::Term(term);
        self.catalog.report_mismatch(mismatch.clone());
        if self.replica.transfer_leadership(LEADERSHIP_TRANSFER_TIMEOUT).await.is_none()
            && self.replica.status().voters.len() == 1
        {
            fatal(ExitCode::Io, mismatch);
        }
    }
}
