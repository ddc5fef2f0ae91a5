//! One change at a time: announced to the caches and made durable side by side, then shown, then acknowledged.
//!
//! Since nothing else is proposed in this term, the state before a change is known exactly, and so is what the change will show: each
//! frontend is told of precisely the products that change, with the versions that they will have. One change at a time is enough:
//! the next batch of orders is as large as the wait was long.

use api::{ApiError, ErrorCode};
use futures::future::{join_all, try_join};
use replication::{ProposeError, Replica};
use service::call::Caller;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::account::Offer;
use crate::invalidation::Invalidator;
use crate::lease::Audience;
use crate::machine::{Action, Catalog, Command, Outcome, Reply};
use crate::metrics::CatalogMetrics;
use crate::tenure::{Change, Tenure, refused};

/// Makes a tenure's changes.
pub(crate) struct Writer<'a> {
    pub(crate) replica: &'a Replica<Catalog>,
    pub(crate) tenure: &'a Tenure,
    pub(crate) caller: &'a Caller,
    pub(crate) metrics: &'a CatalogMetrics,
}

impl Writer<'_> {
    /// Returns when a proposal fails: what became of it is not known, so the window cannot be trusted any more.
    pub(crate) async fn run(&self, mut changes: mpsc::Receiver<Change>) {
        while let Some(Change { action, answer }) = changes.recv().await {
            if self.begins_something(&action) && !self.replica.has_room() {
                let full = ApiError::new(ErrorCode::InsufficientStorage, "the catalog's disks are full");
                let _ = answer.send(Err(full));
                continue;
            }
            let begun = Instant::now();
            let outcome = self.make(action).await;
            self.metrics.change_seconds.observe(begun.elapsed().as_secs_f64());
            self.metrics.reservations_open(self.replica.read(Catalog::reservations_open));
            let failed = outcome.as_ref().err().cloned();
            // Whoever asked may have given up; the change is made all the same.
            let _ = answer.send(outcome.map_err(|error| refused(&error)).and_then(|outcome| Ok(outcome?)));
            if let Some(error) = failed {
                tracing::info!(term = self.tenure.term.0, %error, "a change failed: this tenure is over");
                return;
            }
        }
    }

    /// What is turned away while the disks are full. The rest finishes what was begun, and gives stock back.
    fn begins_something(&self, action: &Action) -> bool {
        match action {
            Action::Reserve(batch) => self.replica.read(|catalog| !catalog.has_answered(batch.id)),
            Action::Restock { .. } => true,
            Action::Seed(_) | Action::Fence(_) | Action::Resolve(_) | Action::Settle(_) | Action::Lengthen { .. } => {
                false
            }
        }
    }

    async fn make(&self, action: Action) -> Result<Outcome, ProposeError> {
        let offers = self.replica.read(|catalog| catalog.preview(&action));
        let outcome =
            if offers.is_empty() { self.make_unseen(action).await? } else { self.make_visible(action, offers).await? };
        if let Ok(reply) = &outcome {
            self.count(reply);
        }
        Ok(outcome)
    }

    /// Nothing that anyone sees changes, so nobody has to be told. But it may be the copy of a change that an earlier leader made and
    /// never acknowledged: caches may be stale in it until their leases are over, and it must not be acknowledged before. A fence
    /// acknowledges no stock.
    async fn make_unseen(&self, action: Action) -> Result<Outcome, ProposeError> {
        let opens = if matches!(action, Action::Fence(_)) { Instant::now() } else { self.tenure.opens };
        let outcome = self.propose(action).await?;
        sleep_until(opens).await;
        Ok(outcome)
    }

    async fn make_visible(&self, action: Action, offers: Vec<Offer>) -> Result<Outcome, ProposeError> {
        let audience = self.tenure.window.lock().announce(&offers, Instant::now());
        let known = async {
            self.tell(audience, &offers).await;
            sleep_until(self.tenure.opens).await;
            Ok(())
        };
        let (outcome, ()) = try_join(self.propose(action), known).await?;
        let as_foreseen =
            |catalog: &Catalog| offers.iter().all(|offer| catalog.offer(&offer.product.name).as_ref() == Some(offer));
        assert!(self.replica.read(as_foreseen), "a change does what its preview did");
        self.metrics.stock(&offers);
        self.tenure.window.lock().show(offers);
        Ok(outcome)
    }

    async fn propose(&self, action: Action) -> Result<Outcome, ProposeError> {
        let tenure = self.tenure.term;
        let (position, outcome) = self.replica.propose(Command { tenure, action }).await?;
        // Of another term, it had no effect, and this tenure is over.
        if position.term == tenure { Ok(outcome) } else { Err(ProposeError::NotLeader { leader: None }) }
    }

    /// Returns when nobody may serve the old offers from a cache any more.
    async fn tell(&self, audience: Vec<Audience>, offers: &[Offer]) {
        let invalidator = Invalidator { caller: self.caller, window: &self.tenure.window, metrics: self.metrics };
        join_all(audience.into_iter().map(|audience| invalidator.invalidate(audience, offers))).await;
    }

    fn count(&self, reply: &Reply) {
        match reply {
            Reply::Reserved(answer) => self.metrics.reserved(answer),
            Reply::Restocked(products) => self.metrics.restocks.inc_by(products.len() as u64),
            Reply::Done | Reply::Fenced(_) => {}
        }
    }
}
