//! Handles requests: places orders while this replica leads, and reads orders.

use std::time::Duration;

use api::order::{LEDGER_LAST_MAX, LedgerEnd, LedgerQuery, PlaceOrder};
use api::public::Order;
use api::{ApiError, ErrorCode, NodeId, OrderNumber, Ordinal};
use replication::{ProposeError, Replica};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::data_mismatch::DataMismatch;
use crate::ledger::LedgerChecksums;
use crate::metrics::OrderMetrics;
use crate::order_queue::OrderQueue;
use crate::order_result::{OrderResult, disk_full, known_result};
use crate::orders::Orders;

/// No client waits longer than 5 s for a response. The frontend gives up slightly earlier and
/// repeats the order with the same id.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);

/// A round trip to a majority takes milliseconds. A leader that is cut off from the majority must
/// not keep a reader waiting.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);

/// Handles the requests to one replica. Clones share it.
#[derive(Clone)]
pub(crate) struct OrderHandler {
    replica: Replica<Orders>,
    metrics: OrderMetrics,
    /// The queue of the term in which this replica leads.
    queue: watch::Receiver<Option<OrderQueue>>,
    mismatch: watch::Receiver<Option<DataMismatch>>,
    checksums: LedgerChecksums,
}

impl OrderHandler {
    pub(crate) fn new(
        replica: Replica<Orders>,
        metrics: OrderMetrics,
        queue: watch::Receiver<Option<OrderQueue>>,
        mismatch: watch::Receiver<Option<DataMismatch>>,
        checksums: LedgerChecksums,
    ) -> Self {
        Self { replica, metrics, queue, mismatch, checksums }
    }

    /// Places an order, at most once however often it is requested with the same id.
    pub(crate) async fn place(&self, order: PlaceOrder) -> OrderResult {
        let answer = self.try_place(order).await;
        if let Err(error) = &answer {
            self.metrics.refused.with_label_values(&[error.code.as_str()]).inc();
        }
        answer
    }

    async fn try_place(&self, order: PlaceOrder) -> OrderResult {
        let mismatch = || self.mismatch.borrow().as_ref().map(DataMismatch::refusal);
        let Some(queue) = self.queue.borrow().clone() else {
            return Err(mismatch().unwrap_or_else(|| ApiError::not_leader(self.known_leader())));
        };
        if let Some(answer) = self.replica.read(|orders| known_result(orders, &order.line, order.known)) {
            if !matches!(&answer, Err(error) if error.code == ErrorCode::StaleAttempt) {
                self.metrics.repeated.inc();
            }
            return answer;
        }
        if let Some(refusal) = mismatch() {
            return Err(refusal);
        }
        if !self.replica.has_disk_space() {
            return Err(disk_full());
        }
        let answer = queue.submit(order)?;
        self.metrics.queue_length.set(i64::try_from(queue.length()).unwrap_or(i64::MAX));
        match timeout(PLACE_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer,
            // The queue was dropped with its term; the outcome is unknown.
            Ok(Err(_)) => Err(unavailable("the outcome of the order is unknown: repeat it with the same id")),
            Err(_) => Err(unavailable("the order has not been placed yet: repeat it with the same id")),
        }
    }

    /// The order with that number. Only the leader can say that there is none.
    pub(crate) async fn find(&self, number: OrderNumber) -> Result<Order, ApiError> {
        let read = || self.replica.read(|orders| orders.get(number));
        if let Some(order) = read() {
            return Ok(order);
        }
        match timeout(CONFIRM_TIMEOUT, self.replica.confirm_leadership()).await {
            Ok(Ok(_)) => {
                read().ok_or_else(|| ApiError::new(ErrorCode::NoSuchOrder, format!("there is no order {number}")))
            }
            Ok(Err(ProposeError::NotLeader { leader })) => Err(ApiError::not_leader(leader.map(NodeId::ordinal))),
            Ok(Err(error @ (ProposeError::Stopped | ProposeError::TooLarge { .. }))) => {
                Err(unavailable(error.to_string()))
            }
            Err(_) => Err(unavailable("no majority of the order replicas responds")),
        }
    }

    /// The end of this replica's ledger.
    pub(crate) fn ledger_end(&self, query: LedgerQuery) -> LedgerEnd {
        let orders = self.checksums.orders();
        let checksum = query.at.and_then(|at| self.checksums.after(at));
        let first = orders.saturating_sub(query.last.min(LEDGER_LAST_MAX)) + 1;
        let numbers = (first..=orders).filter_map(OrderNumber::new);
        let tail = self.replica.read(|state| numbers.filter_map(|number| state.get(number)).collect());
        LedgerEnd { orders, tail, checksum }
    }

    /// The replica's node id.
    pub(crate) fn node_id(&self) -> NodeId {
        self.replica.node_id()
    }

    fn known_leader(&self) -> Option<Ordinal> {
        self.replica.leadership().borrow().other_leader()
    }
}

fn unavailable(what: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, what)
}
