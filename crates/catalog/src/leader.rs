//! What a catalog replica does in a term in which it leads: one [`LeaderTerm`].

use std::sync::Arc;
use std::time::Duration;

use api::event::Event;
use api::{ApiError, ErrorCode, Ordinal, Product, Term};
use replication::{LeaderWork, Replica};
use service::events::emit;
use service::json_client::JsonClient;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::leader_term::{LeaderContext, LeaderTerm, changes};
use crate::metrics::CatalogMetrics;
use crate::restock::{Restock, restock};
use crate::state_machine::Catalog;
use crate::writer::ChangeWriter;

/// The pause before the next attempt to take over, which needs a round trip to peers that may be
/// slow.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Which replica answers, as far as this one knows.
#[derive(Clone)]
pub(crate) enum LeaderState {
    /// This replica.
    Leading(Arc<LeaderTerm>),
    /// This replica, as soon as it has taken over.
    TakingOver,
    /// Another replica, if there is a leader.
    Following(Option<Ordinal>),
}

impl LeaderState {
    /// The current term, or the error for requests if this replica does not lead.
    pub(crate) fn leader_term(&self) -> Result<Arc<LeaderTerm>, ApiError> {
        match self {
            Self::Leading(leader_term) => Ok(Arc::clone(leader_term)),
            Self::TakingOver => {
                Err(ApiError::new(ErrorCode::Unavailable, "the catalog's leader is taking over; try again later"))
            }
            Self::Following(leader) => Err(ApiError::not_leader(*leader)),
        }
    }
}

/// What a replica needs to lead.
pub(crate) struct CatalogLeader {
    pub(crate) replica: Replica<Catalog>,
    pub(crate) client: JsonClient,
    pub(crate) metrics: CatalogMetrics,
    /// The first products, or why there are none.
    pub(crate) seed: Result<Vec<Product>, Vec<String>>,
    pub(crate) lease: Duration,
    pub(crate) restock: Restock,
    pub(crate) state: watch::Sender<LeaderState>,
}

impl LeaderWork for CatalogLeader {
    type End = &'static str;

    fn follow(&self, leader: Option<Ordinal>) {
        self.state.send_replace(LeaderState::Following(leader));
        self.metrics.clear();
    }

    /// A term is served once: frontends keep their caches as long as their leases are renewed in
    /// the same term, and a second run would not know what they have cached.
    async fn lead(&self, term: Term) -> &'static str {
        self.state.send_replace(LeaderState::TakingOver);
        // No lease that an earlier leader grants begins after this.
        let begun = Instant::now();
        let over = CancellationToken::new();
        // However this ends, the requests that wait for this term are answered.
        let _over = over.clone().drop_guard();
        let (sender, receiver) = changes();
        let (replica, lease, metrics) = (self.replica.clone(), self.lease, self.metrics.clone());
        let context = LeaderContext { replica, term, begun, lease, changes: sender, metrics, over };
        let leader_term = Arc::new(self.take_over(context).await);
        emit(Event::CatalogLeads { term, opens_in_ms: opens_in(&leader_term).into() });
        self.metrics.stock(&self.replica.read(|catalog| catalog.offers().collect::<Vec<_>>()));
        self.state.send_replace(LeaderState::Leading(Arc::clone(&leader_term)));

        let writer = ChangeWriter {
            replica: &self.replica,
            leader_term: &leader_term,
            client: &self.client,
            metrics: &self.metrics,
        };
        tokio::select! {
            () = writer.run(receiver) => {}
            () = restock(self.restock, &self.replica, &leader_term) => {}
        }
        self.state.send_replace(LeaderState::Following(None));
        "an entry was not committed"
    }
}

impl CatalogLeader {
    /// Retries until a majority confirms that this replica leads; slow peers may need more than one
    /// attempt.
    async fn take_over(&self, context: LeaderContext) -> LeaderTerm {
        for attempt in 1.. {
            match LeaderTerm::begin(context.clone(), &self.seed).await {
                Ok(leader_term) => return leader_term,
                Err(error) if attempt == 1 => tracing::info!(term = context.term.0, %error, "cannot take over yet"),
                Err(error) => tracing::debug!(term = context.term.0, %error, attempt, "cannot take over yet"),
            }
            sleep(RETRY_PAUSE).await;
        }
        unreachable!("there is always another attempt")
    }
}

fn opens_in(leader_term: &LeaderTerm) -> Duration {
    leader_term.opens.saturating_duration_since(Instant::now())
}
