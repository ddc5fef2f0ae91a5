//! Follows the replica's leadership: a [`Tenure`] for each time that it leads.

use std::sync::Arc;
use std::time::Duration;

use api::{ApiError, ErrorCode, NodeId, Ordinal, Product, Term};
use replication::{Leadership, Replica};
use service::call::Caller;
use service::lifecycle::{ExitCode, fatal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::confirmation::confirmations;
use crate::machine::Catalog;
use crate::metrics::CatalogMetrics;
use crate::restock::{Restock, restock};
use crate::tenure::{Office, Tenure, changes};
use crate::writer::Writer;

/// Before the next try to take office: it takes a round trip to peers that are perhaps slow.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// An engine that did not commit knows within some heartbeats (100 ms) that it leads no more. One that still believes it after this
/// would stay a leader that makes no changes: the process ends, and another is elected.
const RESIGN_TIMEOUT: Duration = Duration::from_secs(5);

/// Who answers, as far as this replica knows.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// This replica.
    Leads(Arc<Tenure>),
    /// This replica, as soon as it has taken office.
    TakesOffice,
    /// Another one, if there is one.
    Follows(Option<Ordinal>),
}

impl Standing {
    /// The tenure, or what a caller is told instead.
    pub(crate) fn tenure(&self) -> Result<Arc<Tenure>, ApiError> {
        match self {
            Self::Leads(tenure) => Ok(Arc::clone(tenure)),
            Self::TakesOffice => Err(ApiError::new(ErrorCode::Unavailable, "the catalog's leader is taking office")),
            Self::Follows(leader) => Err(ApiError::not_leader(*leader)),
        }
    }
}

/// What a replica needs to lead.
pub(crate) struct Leader {
    pub(crate) replica: Replica<Catalog>,
    pub(crate) caller: Caller,
    pub(crate) metrics: CatalogMetrics,
    pub(crate) seed: Vec<Product>,
    pub(crate) lease: Duration,
    pub(crate) restock: Restock,
    pub(crate) standing: watch::Sender<Standing>,
}

impl Leader {
    /// Leads whenever the replica is elected, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut leadership = self.replica.leadership();
        loop {
            let now = *leadership.borrow_and_update();
            let changed = async {
                tokio::select! {
                    () = stop.cancelled() => true,
                    changed = leadership.wait_for(|later| *later != now) => changed.is_err(),
                }
            };
            let stopped = match now {
                Leadership::Following { leader } => {
                    self.follow(leader);
                    changed.await
                }
                Leadership::Leading(term) => self.lead(term, changed).await,
            };
            if stopped {
                self.standing.send_replace(Standing::Follows(None));
                return;
            }
        }
    }

    fn follow(&self, leader: Option<NodeId>) {
        self.standing.send_replace(Standing::Follows(leader.map(NodeId::ordinal)));
    }

    /// Leads in `term` until `changed` completes; gives what that gave.
    async fn lead(&self, term: Term, changed: impl Future<Output = bool>) -> bool {
        self.standing.send_replace(Standing::TakesOffice);
        let over = CancellationToken::new();
        // However this ends: whoever waits for an answer of this tenure hears of it.
        let _over = over.clone().drop_guard();
        let stopped = tokio::select! {
            stopped = changed => stopped,
            () = self.serve(term, over) => unreachable!("a tenure ends with its term, or the process does"),
        };
        self.metrics.leads_no_more();
        stopped
    }

    /// The only tenure of `term`.
    ///
    /// There is no second one: frontends keep their caches for as long as their leases are renewed in the same term, but a second
    /// tenure would not know what is in them.
    async fn serve(&self, term: Term, over: CancellationToken) {
        // No earlier tenure, of this replica or another, grants a lease that begins after this.
        let begun = Instant::now();
        let ((confirmations, questions), (sender, receiver)) = (confirmations(), changes());
        let (lease, metrics) = (self.lease, self.metrics.clone());
        let office = Office { term, begun, lease, confirmations, changes: sender, metrics, over: over.clone() };
        let tenure = Arc::new(self.take_office(office).await);
        tracing::info!(term = term.0, opens_in_ms = opens_in(&tenure).as_millis(), "the catalog's leader takes office");
        self.metrics.stock(&self.replica.read(|catalog| catalog.offers().collect::<Vec<_>>()));
        self.standing.send_replace(Standing::Leads(Arc::clone(&tenure)));

        let writer = Writer { replica: &self.replica, tenure: &tenure, caller: &self.caller, metrics: &self.metrics };
        tokio::select! {
            () = writer.run(receiver) => {}
            () = questions.answer(self.replica.clone()) => {}
            () = restock(self.restock, &self.replica, &tenure) => {}
        }
        over.cancel();
        self.standing.send_replace(Standing::Follows(None));
        sleep(RESIGN_TIMEOUT).await;
        fatal(ExitCode::Software, "the engine did not commit an entry, but goes on to lead the same term");
    }

    /// Until it is confirmed that this replica leads; slow peers may need more than one try.
    async fn take_office(&self, office: Office) -> Tenure {
        for attempt in 1.. {
            match Tenure::begin(&self.replica, office.clone(), &self.seed).await {
                Ok(tenure) => return tenure,
                Err(error) if attempt == 1 => tracing::info!(term = office.term.0, %error, "cannot take office yet"),
                Err(error) => tracing::debug!(term = office.term.0, %error, attempt, "cannot take office yet"),
            }
            sleep(RETRY_PAUSE).await;
        }
        unreachable!("there is always another attempt")
    }
}

fn opens_in(tenure: &Tenure) -> Duration {
    tenure.opens.saturating_duration_since(Instant::now())
}
