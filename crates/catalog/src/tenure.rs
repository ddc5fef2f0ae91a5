//! One leader's time: from its election to the moment when it learns that it leads no more.
//!
//! # How it begins
//! 1. *Confirm*: the machine has everything that earlier leaders committed.
//! 2. *Seed* an empty catalog. What nobody ever read, nobody has cached: such a tenure opens at once.
//! 3. Any other *waits for the longest lease* that an earlier leader may have granted, a tenth longer for the clocks. Until then a
//!    frontend may serve what it had cached, while the state may hold changes that were committed but never announced. So
//!    nothing is read and nothing acknowledged, not even the copy of a batch that an earlier leader had committed. Changes become
//!    durable meanwhile; and a fence, which speaks of no stock, is answered at once.
//!
//! # How it ends
//! When the replica hears of another leader, or a proposal fails. Whoever waits is told to ask the new leader. What was begun may still
//! commit; the next tenure finds it in the state, and waits for the leases. It cannot take effect *within* a later tenure, unseen by its
//! window: a [`Command`] counts only in the term in which it was proposed.

use std::time::Duration;

use api::catalog::{LeaseGranted, LeaseRequest, Look, LookTogether, ProductRead, StockAccount};
use api::{ApiError, ErrorCode, HolderId, Product, ProductName, Term};
use replication::{ProposeError, Replica};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::confirmation::Confirmations;
use crate::lease::{Leases, NoLease, with_margin};
use crate::machine::{Action, Catalog, Command, Reply};
use crate::metrics::CatalogMetrics;
use crate::window::{SharedWindow, Window};

/// Longest that anyone waits for an answer: the shopper at the other end waits no longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A change on its way to the [writer](crate::writer), and where its outcome goes.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) action: Action,
    pub(crate) answer: oneshot::Sender<Result<Reply, ApiError>>,
}

/// What a leader answers from.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) term: Term,
    /// When the last lease of an earlier leader is over.
    pub(crate) opens: Instant,
    pub(crate) window: SharedWindow,
    lease: Duration,
    confirmations: Confirmations,
    changes: mpsc::Sender<Change>,
    metrics: CatalogMetrics,
    over: CancellationToken,
}

/// What a tenure is made of, besides the state.
#[derive(Clone, Debug)]
pub(crate) struct Office {
    pub(crate) term: Term,
    pub(crate) begun: Instant,
    pub(crate) lease: Duration,
    pub(crate) confirmations: Confirmations,
    pub(crate) changes: mpsc::Sender<Change>,
    pub(crate) metrics: CatalogMetrics,
    /// Cancelled when the tenure is over.
    pub(crate) over: CancellationToken,
}

impl Tenure {
    /// Takes office: see the module. An empty catalog is filled with `seed`.
    pub(crate) async fn begin(
        replica: &Replica<Catalog>,
        office: Office,
        seed: &[Product],
    ) -> Result<Self, ProposeError> {
        let Office { term, begun, lease, confirmations, changes, metrics, over } = office;
        let deposed = ProposeError::NotLeader { leader: None };
        if replica.confirm().await? != term {
            return Err(deposed);
        }
        let propose = async |action| {
            let (position, outcome) = replica.propose(Command { tenure: term, action }).await?;
            if position.term == term { Ok(outcome) } else { Err(deposed.clone()) }
        };
        let (fresh, longest) = replica.read(|catalog| (catalog.is_empty(), catalog.longest_lease()));
        if fresh {
            let outcome = propose(Action::Seed(seed.to_vec())).await?;
            tracing::info!(products = seed.len(), ?outcome, "an empty catalog was filled with its seed");
        }
        if lease > longest {
            propose(Action::Lengthen { lease_ms: millis(lease) }).await?.expect("a longer lease is never refused");
        }
        let opens = if fresh { begun } else { begun + with_margin(longest) };
        let offers: Vec<_> = replica.read(|catalog| catalog.offers().collect());
        let window = SharedWindow::new(Window::new(offers, Leases::new(lease)));
        Ok(Self { term, opens, window, lease, confirmations, changes, metrics, over })
    }

    /// One product as of now.
    pub(crate) async fn product(&self, name: &str, holder: Option<HolderId>) -> Result<ProductRead, ApiError> {
        let read = self.as_of_now(|window, now| window.read(name, holder, now)).await?;
        read.ok_or_else(|| ApiError::new(ErrorCode::NoSuchProduct, "the catalog has no such product"))
    }

    /// Several products as of one moment.
    pub(crate) async fn together(&self, LookTogether { holder, names }: &LookTogether) -> Result<Vec<Look>, ApiError> {
        self.as_of_now(|window, now| {
            let look =
                |name: &ProductName| window.read(name.as_str(), *holder, now).map_or(Look::NoSuchProduct, Look::Read);
            names.as_slice().iter().map(look).collect()
        })
        .await
    }

    /// All products as of now, by name.
    pub(crate) async fn products(&self) -> Result<Vec<Product>, ApiError> {
        self.as_of_now(|window, _| window.read_all()).await
    }

    /// What the window shows, at a moment after the call at which nobody else leads.
    async fn as_of_now<T>(&self, read: impl FnOnce(&mut Window, Instant) -> T) -> Result<T, ApiError> {
        self.answered(async {
            sleep_until(self.opens).await;
            self.confirm().await?;
            Ok(read(&mut self.window.lock(), Instant::now()))
        })
        .await
    }

    /// The books: committed, whether or not they are shown yet.
    pub(crate) async fn accounts(&self, replica: &Replica<Catalog>) -> Result<Vec<StockAccount>, ApiError> {
        self.answered(async {
            self.confirm().await?;
            Ok(replica.read(Catalog::statements))
        })
        .await
    }

    /// Grants or renews a lease. It begins when a majority still had no other leader, so it is over before a new one opens.
    pub(crate) async fn lease(&self, request: LeaseRequest) -> Result<LeaseGranted, ApiError> {
        self.answered(async {
            self.confirm().await?;
            let (mut window, now) = (self.window.lock(), Instant::now());
            window.leases().grant(request, now).map_err(|no| match no {
                NoLease::TooMany => ApiError::new(ErrorCode::Overloaded, "too many frontends hold leases"),
                NoLease::Suspended => {
                    ApiError::new(ErrorCode::Unavailable, "an invalidation is not confirmed: the lease runs out first")
                }
            })?;
            self.metrics.leases_held(window.leases().held(now));
            Ok(LeaseGranted { duration_ms: millis(self.lease), term: self.term })
        })
        .await
    }

    /// Gives a lease back.
    pub(crate) fn release(&self, holder: HolderId) {
        self.window.lock().leases().release(holder);
    }

    /// Makes a change. It goes on although nobody waits for it any more.
    pub(crate) async fn change(&self, action: Action) -> Result<Reply, ApiError> {
        let (answer, answered) = oneshot::channel();
        self.changes.try_send(Change { action, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ApiError::new(ErrorCode::Overloaded, "too many changes wait"),
            mpsc::error::TrySendError::Closed(_) => ApiError::not_leader(None),
        })?;
        self.answered(async { answered.await.map_err(|_| ApiError::not_leader(None))? }).await
    }

    /// Completes when this tenure is over.
    pub(crate) async fn over(&self) {
        self.over.cancelled().await;
    }

    async fn confirm(&self) -> Result<(), ApiError> {
        match self.confirmations.confirm().await {
            Ok(term) if term == self.term => Ok(()),
            Ok(_) => Err(ApiError::not_leader(None)),
            Err(error) => Err(refused(&error)),
        }
    }

    /// Bounds the wait, and ends it with the tenure.
    async fn answered<T>(&self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        tokio::select! {
            () = self.over() => Err(ApiError::not_leader(None)),
            done = timeout(ANSWER_TIMEOUT, work) => done.unwrap_or_else(|_| {
                Err(ApiError::new(ErrorCode::Unavailable, "the catalog cannot answer within 5 s"))
            }),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a lease is short")
}

/// How a caller is told that a proposal or a confirmation failed.
pub(crate) fn refused(error: &ProposeError) -> ApiError {
    match error {
        ProposeError::NotLeader { leader } => ApiError::not_leader(leader.map(api::NodeId::ordinal)),
        ProposeError::Stopped => ApiError::not_leader(None),
        ProposeError::TooLarge { .. } => ApiError::new(ErrorCode::PayloadTooLarge, error.to_string()),
    }
}

/// An office's two ends: what the tenure sends into, and what its writer takes from.
pub(crate) fn changes() -> (mpsc::Sender<Change>, mpsc::Receiver<Change>) {
    /// Changes that wait. An order leader sends one at a time; what is more comes from retries.
    const WAITING_MAX: usize = 64;
    mpsc::channel(WAITING_MAX)
}
