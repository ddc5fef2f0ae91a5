//! Where requests come in: takes orders while this replica leads, and finds orders.

use std::time::Duration;

use api::catalog::OrderLine;
use api::public::Order;
use api::{ApiError, ErrorCode, NodeId, OrderNumber, Ordinal};
use replication::{Leadership, ProposeError, Replica};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::intake::{Answer, Intake};
use crate::metrics::OrderMetrics;
use crate::orders::Orders;
use crate::pipeline::repeated;

/// No client waits longer than 5 s for an answer; the frontend gives up a little earlier and repeats the order with the same id.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);

/// A majority's round trip takes milliseconds; a leader that is cut off from it must not keep a reader waiting.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);

/// One replica's front door.
#[derive(Clone)]
pub(crate) struct Desk {
    replica: Replica<Orders>,
    metrics: OrderMetrics,
    /// The intake of the term in which this replica leads.
    intake: watch::Receiver<Option<Intake>>,
}

impl Desk {
    pub(crate) fn new(
        replica: Replica<Orders>,
        metrics: OrderMetrics,
        intake: watch::Receiver<Option<Intake>>,
    ) -> Self {
        Self { replica, metrics, intake }
    }

    /// Places an order, once however often it is asked with the same id.
    pub(crate) async fn place(&self, line: OrderLine) -> Answer {
        let answer = self.try_place(line).await;
        if let Err(error) = &answer {
            self.metrics.refused.with_label_values(&[error.code.as_str()]).inc();
        }
        answer
    }

    async fn try_place(&self, line: OrderLine) -> Answer {
        let Some(intake) = self.intake.borrow().clone() else {
            return Err(ApiError::not_leader(self.known_leader()));
        };
        if let Some(answer) = self.replica.read(|orders| repeated(orders, &line)) {
            self.metrics.repeated.inc();
            return answer;
        }
        if !self.replica.has_room() {
            return Err(no_room());
        }
        let answer = intake.submit(line)?;
        self.metrics.queue_length.set(i64::try_from(intake.queue_length()).unwrap_or(i64::MAX));
        match timeout(PLACE_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer,
            // The intake went with its term; nothing can be said about the order.
            Ok(Err(_)) => Err(unavailable("the order's outcome is unknown: repeat it with the same id")),
            Err(_) => Err(unavailable("the order is not placed yet: repeat it with the same id")),
        }
    }

    /// The order with that number. Only the leader says that there is none.
    pub(crate) async fn find(&self, number: OrderNumber) -> Result<Order, ApiError> {
        let look = || self.replica.read(|orders| orders.get(number));
        if let Some(order) = look() {
            return Ok(order);
        }
        match timeout(CONFIRM_TIMEOUT, self.replica.confirm()).await {
            Ok(Ok(_)) => {
                look().ok_or_else(|| ApiError::new(ErrorCode::NoSuchOrder, format!("there is no order {number}")))
            }
            Ok(Err(ProposeError::NotLeader { leader })) => Err(ApiError::not_leader(leader.map(NodeId::ordinal))),
            Ok(Err(error @ (ProposeError::Stopped | ProposeError::TooLarge { .. }))) => {
                Err(unavailable(error.to_string()))
            }
            Err(_) => Err(unavailable("no majority of the order replicas answers")),
        }
    }

    /// Whose desk this is.
    pub(crate) fn node_id(&self) -> NodeId {
        self.replica.node_id()
    }

    fn known_leader(&self) -> Option<Ordinal> {
        leader_of(*self.replica.leadership().borrow())
    }
}

/// Who leads instead of this replica, if that is known.
pub(crate) fn leader_of(leadership: Leadership) -> Option<Ordinal> {
    match leadership {
        Leadership::Following { leader } => leader.map(NodeId::ordinal),
        Leadership::Leading(_) => None,
    }
}

/// No new order is begun while there is room enough to finish those that are.
pub(crate) fn no_room() -> ApiError {
    ApiError::new(ErrorCode::InsufficientStorage, "nothing was ordered: the store's disks are full; try again later")
}

fn unavailable(what: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, what)
}
