//! One term of the catalog's leader: from its election until it learns that it no longer leads.
//!
//! # The beginning
//! 1. *Confirm*: a majority confirms that this replica leads, so the state has everything that
//!    earlier leaders committed.
//! 2. *Seed* an empty catalog. No client has ever read it, so no client has cached it: such a term
//!    opens at once.
//! 3. Otherwise *wait for the longest lease* that an earlier leader may have granted, plus a tenth
//!    for the clocks. Until then a frontend may serve what it has cached, while the state may hold
//!    changes that were committed but never invalidated there. So nothing is read and nothing
//!    acknowledged, not even the copy of a batch that an earlier leader committed. Changes become
//!    durable meanwhile, and a fence, which says nothing about stock, is answered at once.
//!
//! # The end
//! The term ends when the replica learns of another leader, or a proposal fails. Waiting requests
//! are told to ask the new leader. A change that was begun may still commit; the next term finds it
//! in the state, and waits for the leases. It cannot take effect *within* a later term without
//! being noticed: a [`CatalogCommand`] counts only in the term in which it was proposed.

use std::time::Duration;

use api::catalog::{
    LeaseGranted, LeaseRequest, ProductList, ProductRead, ProductReadOutcome, ReadProducts, StockAccount,
};
use api::{ApiError, BatchId, ErrorCode, HolderId, Product, ProductName, Term};
use replication::{ProposeError, Replica};
use service::lifecycle::{ExitCode, fatal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::holder_verification::{HolderVerifier, RequestSource};
use crate::lease::{LeaseRefusal, Leases, with_margin};
use crate::metrics::CatalogMetrics;
use crate::state_machine::{Action, Catalog, CatalogCommand, CatalogReply};
use crate::visible_offers::{SharedOffers, VisibleOffers};

/// Longest time that a request waits for an answer; its shopper waits no longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A change on its way to the [writer](crate::writer), and where its outcome goes.
#[derive(Debug)]
pub(crate) struct PendingChange {
    pub(crate) action: Action,
    /// Nothing is changed if the catalog does not know this batch.
    pub(crate) after: Option<BatchId>,
    pub(crate) answer: oneshot::Sender<Result<CatalogReply, ApiError>>,
}

/// The state of one leader term, from which requests are answered.
pub(crate) struct LeaderTerm {
    pub(crate) term: Term,
    /// When the last lease of an earlier leader has expired.
    pub(crate) opens: Instant,
    pub(crate) visible: SharedOffers,
    lease: Duration,
    replica: Replica<Catalog>,
    changes: mpsc::Sender<PendingChange>,
    metrics: CatalogMetrics,
    over: CancellationToken,
}

/// What a leader term needs.
#[derive(Clone)]
pub(crate) struct LeaderContext {
    pub(crate) replica: Replica<Catalog>,
    pub(crate) term: Term,
    pub(crate) begun: Instant,
    pub(crate) lease: Duration,
    pub(crate) changes: mpsc::Sender<PendingChange>,
    pub(crate) metrics: CatalogMetrics,
    /// Cancelled when the term is over.
    pub(crate) over: CancellationToken,
}

impl LeaderTerm {
    /// Takes over: see the module. An empty catalog is filled with `seed`.
    pub(crate) async fn begin(
        context: LeaderContext,
        seed: &Result<Vec<Product>, Vec<String>>,
    ) -> Result<Self, ProposeError> {
        let LeaderContext { replica, term, begun, lease, changes, metrics, over } = context;
        let deposed = ProposeError::NotLeader { leader: None };
        if replica.confirm_leadership().await? != term {
            return Err(deposed);
        }
        let propose = async |action| {
            let (position, outcome) = replica.propose(CatalogCommand { term, action }).await?;
            if position.term == term { Ok(outcome) } else { Err(deposed.clone()) }
        };
        let (fresh, longest) = replica.read(|catalog| (catalog.is_empty(), catalog.longest_lease()));
        if fresh {
            let seed = seed.as_ref().unwrap_or_else(|mistakes| {
                fatal(
                    ExitCode::Usage,
                    format!("the catalog is empty, and CATALOG_FILE cannot be used:\n{}", mistakes.join("\n")),
                )
            });
            let outcome = propose(Action::Seed(seed.clone())).await?;
            tracing::info!(products = seed.len(), ?outcome, "seeded the empty catalog");
        }
        if lease > longest {
            propose(Action::ExtendLease { lease_ms: millis(lease) }).await?.expect("a longer lease is never refused");
        }
        let opens = if fresh { begun } else { begun + with_margin(longest) };
        let offers: Vec<_> = replica.read(|catalog| catalog.offers().collect());
        let visible = SharedOffers::new(VisibleOffers::new(offers, Leases::new(lease)));
        Ok(Self { term, opens, visible, lease, replica, changes, metrics, over })
    }

    /// One product, as of now.
    pub(crate) async fn product(&self, name: &str, holder: Option<HolderId>) -> Result<ProductRead, ApiError> {
        let read = self.as_of_now(|offers, now| offers.read(name, holder, now)).await?;
        read.ok_or_else(|| ApiError::new(ErrorCode::NoSuchProduct, "the catalog has no such product"))
    }

    /// Several products, as of one moment.
    pub(crate) async fn product_batch(
        &self,
        ReadProducts { holder, names }: &ReadProducts,
    ) -> Result<Vec<ProductReadOutcome>, ApiError> {
        self.as_of_now(|offers, now| {
            let read = |name: &ProductName| {
                offers
                    .read(name.as_str(), *holder, now)
                    .map_or(ProductReadOutcome::NoSuchProduct, ProductReadOutcome::Read)
            };
            names.as_slice().iter().map(read).collect()
        })
        .await
    }

    /// All products, as of now.
    pub(crate) async fn products(&self, holder: Option<HolderId>) -> Result<ProductList, ApiError> {
        self.as_of_now(|offers, now| offers.read_all(holder, now)).await
    }

    /// Reads the visible offers at a moment after the call at which no other replica leads.
    async fn as_of_now<T>(&self, read: impl FnOnce(&mut VisibleOffers, Instant) -> T) -> Result<T, ApiError> {
        self.answered(async {
            sleep_until(self.opens).await;
            self.confirm().await?;
            Ok(read(&mut self.visible.lock(), Instant::now()))
        })
        .await
    }

    /// The stock accounts: everything committed, whether or not it is visible yet.
    pub(crate) async fn accounts(&self) -> Result<Vec<StockAccount>, ApiError> {
        self.answered(async {
            self.confirm().await?;
            Ok(self.replica.read(Catalog::statements))
        })
        .await
    }

    /// Grants or renews a lease. It begins while a majority still has no other leader, so it has
    /// expired before a new leader opens. A new holder is verified first.
    pub(crate) async fn lease(
        &self,
        request: LeaseRequest,
        source: RequestSource,
        verifier: &HolderVerifier,
    ) -> Result<LeaseGranted, ApiError> {
        self.answered(async {
            if !self.visible.lock().leases().holds(request.holder, Instant::now()) {
                verifier.verify(&request, source).await?;
            }
            self.confirm().await?;
            let (mut offers, now) = (self.visible.lock(), Instant::now());
            offers.leases().grant(request, now).map_err(|no| match no {
                LeaseRefusal::TooMany => ApiError::new(ErrorCode::Overloaded, "too many frontends hold leases"),
                LeaseRefusal::Moved => {
                    ApiError::new(ErrorCode::BadRequest, "the holder of that lease has another address")
                }
                LeaseRefusal::Suspended => ApiError::new(
                    ErrorCode::Unavailable,
                    "an invalidation is not confirmed yet: the lease is not renewed before it expires",
                ),
            })?;
            self.metrics.leases_held(offers.leases().held(now));
            Ok(LeaseGranted { duration_ms: millis(self.lease), term: self.term })
        })
        .await
    }

    /// Gives up a lease.
    pub(crate) fn release(&self, holder: HolderId) {
        self.visible.lock().leases().release(holder);
    }

    /// Makes a change. The change continues even if no request waits for it any more.
    pub(crate) async fn change(&self, action: Action) -> Result<CatalogReply, ApiError> {
        self.change_after(None, action).await
    }

    /// Makes a change for a client that knows the batch `after`.
    pub(crate) async fn change_after(&self, after: Option<BatchId>, action: Action) -> Result<CatalogReply, ApiError> {
        let (answer, answered) = oneshot::channel();
        self.changes.try_send(PendingChange { action, after, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ApiError::new(ErrorCode::Overloaded, "too many changes are waiting"),
            mpsc::error::TrySendError::Closed(_) => ApiError::not_leader(None),
        })?;
        self.answered(async { answered.await.map_err(|_| ApiError::not_leader(None))? }).await
    }

    /// Completes when this term is over.
    pub(crate) async fn over(&self) {
        self.over.cancelled().await;
    }

    async fn confirm(&self) -> Result<(), ApiError> {
        match self.replica.confirm_leadership().await {
            Ok(term) if term == self.term => Ok(()),
            Ok(_) => Err(ApiError::not_leader(None)),
            Err(error) => Err(refused(&error)),
        }
    }

    /// Bounds the wait, and ends it with the term.
    async fn answered<T>(&self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        tokio::select! {
            () = self.over() => Err(ApiError::not_leader(None)),
            done = timeout(ANSWER_TIMEOUT, work) => done.unwrap_or_else(|_| {
                Err(ApiError::new(ErrorCode::Unavailable, "the catalog could not answer within 5 s"))
            }),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a lease is short")
}

/// The error for a request whose proposal or confirmation failed.
pub(crate) fn refused(error: &ProposeError) -> ApiError {
    match error {
        ProposeError::NotLeader { leader } => ApiError::not_leader(leader.map(api::NodeId::ordinal)),
        ProposeError::Stopped => ApiError::not_leader(None),
        ProposeError::TooLarge { .. } => ApiError::new(ErrorCode::PayloadTooLarge, error.to_string()),
    }
}

/// The channel from a leader term to its writer.
pub(crate) fn changes() -> (mpsc::Sender<PendingChange>, mpsc::Receiver<PendingChange>) {
    /// Changes that wait. An order leader sends one at a time; more come from retries.
    const WAITING_MAX: usize = 64;
    mpsc::channel(WAITING_MAX)
}
