//! One change at a time: invalidated in the caches and made durable concurrently, then shown, then
//! acknowledged.
//!
//! Nothing else is proposed in this term. So the state before a change is known exactly, and so is
//! its result: each frontend is told precisely which products change, and the versions that they
//! will have. One change at a time is enough: the longer a batch of orders waits, the larger the
//! next one is.

use api::{ApiError, BatchId, ErrorCode};
use futures::future::{join_all, try_join};
use replication::{ProposeError, Replica};
use service::json_client::JsonClient;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::account::Offer;
use crate::invalidation::Invalidator;
use crate::leader_term::{LeaderTerm, PendingChange, refused};
use crate::lease::AffectedHolder;
use crate::metrics::CatalogMetrics;
use crate::refusal::Refusal;
use crate::state_machine::{Action, Catalog, CatalogCommand, CatalogReply, CatalogResult};
use crate::validation;

/// Makes the changes of a leader term.
pub(crate) struct ChangeWriter<'a> {
    pub(crate) replica: &'a Replica<Catalog>,
    pub(crate) leader_term: &'a LeaderTerm,
    pub(crate) client: &'a JsonClient,
    pub(crate) metrics: &'a CatalogMetrics,
}

impl ChangeWriter<'_> {
    /// Returns when a proposal fails: its outcome is unknown, so the visible offers cannot be
    /// trusted any more.
    pub(crate) async fn run(&self, mut changes: mpsc::Receiver<PendingChange>) {
        let mut reported_after = None;
        while let Some(PendingChange { action, after, answer }) = changes.recv().await {
            if let Err(refusal) = self.check_after(after) {
                if reported_after.replace(after) != Some(after) {
                    tracing::error!(
                        term = self.leader_term.term.0,
                        "{refusal}; nothing is reserved until the newest copy is restored"
                    );
                }
                let _ = answer.send(Err(refusal.into()));
                continue;
            }
            if let Err(invalid) = validation::check(&action, self.replica.read(Catalog::last_batch)) {
                let _ = answer.send(Err(invalid));
                continue;
            }
            if self.begins_new_work(&action) && !self.replica.has_disk_space() {
                let full = ApiError::new(ErrorCode::InsufficientStorage, "the catalog's disks are full");
                let _ = answer.send(Err(full));
                continue;
            }
            let begun = Instant::now();
            let outcome = self.make_change(action).await;
            self.metrics.change_seconds.observe(begun.elapsed().as_secs_f64());
            self.metrics.reservations_open(self.replica.read(Catalog::reservations_open));
            let failed = outcome.as_ref().err().cloned();
            // The client may have given up; the change is made in any case.
            let _ = answer.send(outcome.map_err(|error| refused(&error)).and_then(|outcome| Ok(outcome?)));
            if let Some(error) = failed {
                tracing::info!(term = self.leader_term.term.0, %error, "a change failed: this leader term is over");
                return;
            }
        }
    }

    /// Refuses a request if the catalog does not know the batch `after`: then its data are older
    /// than when it answered that batch.
    fn check_after(&self, after: Option<BatchId>) -> Result<(), Refusal> {
        let last = self.replica.read(Catalog::last_batch);
        match after.filter(|after| last < Some(*after)) {
            Some(after) => Err(Refusal::Behind { last, after }),
            None => Ok(()),
        }
    }

    /// What is refused while the disks are full. Everything else finishes what was begun, and
    /// returns stock.
    fn begins_new_work(&self, action: &Action) -> bool {
        match action {
            Action::Reserve(batch) => self.replica.read(|catalog| !catalog.has_answered(batch.id)),
            Action::Restock { .. } => true,
            Action::Seed(_)
            | Action::Fence(_)
            | Action::Resolve(_)
            | Action::Settle(_)
            | Action::ExtendLease { .. } => false,
        }
    }

    async fn make_change(&self, action: Action) -> Result<CatalogResult, ProposeError> {
        let offers = self.replica.read(|catalog| catalog.preview(&action));
        let outcome = if offers.is_empty() {
            self.make_invisible_change(action).await?
        } else {
            self.make_visible_change(action, offers).await?
        };
        if let Ok(reply) = &outcome {
            self.count(reply);
        }
        Ok(outcome)
    }

    /// Makes a change that alters no offer, so no cache must be invalidated. But it may be the copy
    /// of a change that an earlier leader made and never acknowledged. Caches may hold older values
    /// until their leases have expired, and it must not be acknowledged before. A fence
    /// acknowledges no stock.
    async fn make_invisible_change(&self, action: Action) -> Result<CatalogResult, ProposeError> {
        let opens = if matches!(action, Action::Fence(_)) { Instant::now() } else { self.leader_term.opens };
        let outcome = self.propose(action).await?;
        sleep_until(opens).await;
        Ok(outcome)
    }

    async fn make_visible_change(&self, action: Action, offers: Vec<Offer>) -> Result<CatalogResult, ProposeError> {
        let holders = self.leader_term.visible.lock().begin_change(&offers, Instant::now());
        let invalidated = async {
            self.invalidate(holders, &offers).await;
            sleep_until(self.leader_term.opens).await;
            Ok(())
        };
        let (outcome, ()) = try_join(self.propose(action), invalidated).await?;
        let matches_preview =
            |catalog: &Catalog| offers.iter().all(|offer| catalog.offer(&offer.product.name).as_ref() == Some(offer));
        assert!(self.replica.read(matches_preview), "a change matches its preview");
        self.metrics.stock(&offers);
        self.leader_term.visible.lock().finish_change(offers);
        Ok(outcome)
    }

    async fn propose(&self, action: Action) -> Result<CatalogResult, ProposeError> {
        let term = self.leader_term.term;
        let (position, outcome) = self.replica.propose(CatalogCommand { term, action }).await?;
        // In another term it had no effect, and this leader term is over.
        if position.term == term { Ok(outcome) } else { Err(ProposeError::NotLeader { leader: None }) }
    }

    /// Returns when no frontend may serve the old offers from its cache any more.
    async fn invalidate(&self, holders: Vec<AffectedHolder>, offers: &[Offer]) {
        let invalidator =
            Invalidator { client: self.client, visible: &self.leader_term.visible, metrics: self.metrics };
        join_all(holders.into_iter().map(|target| invalidator.invalidate(target, offers))).await;
    }

    fn count(&self, reply: &CatalogReply) {
        match reply {
            CatalogReply::Reserved(answer) => self.metrics.reserved(answer),
            CatalogReply::Restocked(products) => self.metrics.restocks.inc_by(products.len() as u64),
            CatalogReply::Done | CatalogReply::Fenced(_) => {}
        }
    }
}
