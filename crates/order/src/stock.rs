//! The catalog as the order leader sees it: the participant that takes stock, sells it, gives it back.
//!
//! Every call is repeated, the same, until the catalog has answered it for good. None is given up for an error: a batch whose answer
//! is not known can be neither placed nor forgotten. What ends a call is the fence (a newer leader has come, so the
//! answer does not matter any more), or that the caller drops it because leadership is lost.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::catalog::{BatchReserved, Fence, Fenced, ReserveBatch, Resolve, Settle};
use api::{ApiError, ErrorCode, Term};
use discovery::Group;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use service::call::CallError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// One attempt at the catalog's leader. Longer than a cache lease (about 1 s, and as much again when the catalog has just come up): it
/// answers only when no frontend can serve the old stock any more.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Attempts are made for so long before it is logged that there is no answer; then it goes on.
const ROUND_TIMEOUT: Duration = Duration::from_secs(5);

/// Before a refused request is repeated: the catalog is full, or something is wrong that a person must look at.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// How long an answer is outstanding before others are asked whether they lead, and then how often: an election takes about that
/// long, and an answer that waits for leases may take ten times that.
const LOOK_AFTER: Duration = Duration::from_millis(250);

/// For the statuses, which come from memory.
const LOOK_TIMEOUT: Duration = Duration::from_millis(200);

/// A newer leader has fenced this one's term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a newer leader has fenced this term")]
pub(crate) struct StaleTerm;

/// Why no stock was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotReserved {
    #[error(transparent)]
    Stale(#[from] StaleTerm),
    /// The catalog's disks are full, and it has certainly not seen this batch before: nothing is reserved for it, and nothing will be.
    #[error("the catalog's disks are full")]
    NoRoom,
}

/// A client of the catalog group. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Stock {
    group: Group,
    /// Since when the catalog owes an answer.
    unanswered: watch::Sender<Option<Instant>>,
}

impl Stock {
    /// While an answer is outstanding: a catalog leader that is frozen or cut off says nothing, and the attempt at it would last to
    /// its time-out. Another one that a majority follows is adopted at once, and the attempt is abandoned for it.
    async fn look_for_successors(&self) -> Infallible {
        loop {
            sleep(LOOK_AFTER).await;
            if self.group.replicas().len() > 1
                && let Some(leader) = self.group.find_leader(LOOK_TIMEOUT).await
            {
                self.group.adopt(leader);
            }
        }
    }

    pub(crate) fn new(catalog: Group) -> Self {
        Self { group: catalog, unanswered: watch::Sender::new(None) }
    }

    /// Since when the catalog has not answered a request, whatever its answer: `None` while it does, or is asked nothing.
    pub(crate) fn unanswered(&self) -> watch::Receiver<Option<Instant>> {
        self.unanswered.subscribe()
    }

    /// Whether the catalog's leader can be asked from here, just now.
    pub(crate) async fn is_in_reach(&self) -> bool {
        self.group.find_leader(LOOK_TIMEOUT).await.is_some()
    }

    /// Takes the stock for a batch.
    ///
    /// A batch that the catalog refuses for want of space is repeated like any other: an earlier copy may have been carried out, or may be
    /// on its way still. Only where the refusal answers the one and only request for the batch is it the last word.
    pub(crate) async fn reserve(&self, batch: &ReserveBatch) -> Result<BatchReserved, NotReserved> {
        let attempts = AtomicUsize::new(0);
        let refused = |refusal: &ApiError| {
            refusal.code == ErrorCode::InsufficientStorage && attempts.load(Ordering::Relaxed) == 1
        };
        let answered = self.until_answered_unless("/reservations", batch, &attempts, refused).await?;
        answered.ok_or(NotReserved::NoRoom)
    }

    /// Reservations of placed batches become sales.
    pub(crate) async fn settle(&self, settle: &Settle) -> Result<(), StaleTerm> {
        self.until_answered("/settlements", settle).await.map(|IgnoredAny| ())
    }

    /// Shuts out all earlier terms; gives the reservations that they left open.
    pub(crate) async fn fence(&self, term: Term) -> Result<Fenced, StaleTerm> {
        self.until_answered("/fence", &Fence { term }).await
    }

    /// Says what becomes of those.
    pub(crate) async fn resolve(&self, verdict: &Resolve) -> Result<(), StaleTerm> {
        self.until_answered("/resolution", verdict).await.map(|IgnoredAny| ())
    }

    async fn until_answered<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: &B,
    ) -> Result<T, StaleTerm> {
        let answered = self.until_answered_unless(path, body, &AtomicUsize::new(0), |_| false).await?;
        Ok(answered.expect("no refusal is the last word"))
    }

    /// `None` at a refusal that is the `last_word`. `attempts` counts the requests that were sent.
    async fn until_answered_unless<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: &B,
        attempts: &AtomicUsize,
        last_word: impl Fn(&ApiError) -> bool,
    ) -> Result<Option<T>, StaleTerm> {
        let owed = Owed(&self.unanswered);
        loop {
            owed.begin();
            let deadline = Instant::now() + ROUND_TIMEOUT;
            let post = async |caller: service::call::Caller, address| {
                attempts.fetch_add(1, Ordering::Relaxed);
                caller.post(&address, path, body, ATTEMPT_TIMEOUT).await
            };
            let answered = tokio::select! {
                answered = self.group.ask_leader(deadline, post) => answered,
                never = self.look_for_successors() => match never {},
            };
            match answered {
                Ok(answer) => return Ok(Some(answer)),
                Err(CallError::Refused(refusal)) if refusal.code == ErrorCode::StaleTerm => return Err(StaleTerm),
                Err(CallError::Refused(refusal)) if last_word(&refusal) => return Ok(None),
                Err(CallError::Refused(refusal)) => {
                    owed.end();
                    tracing::warn!(%refusal, path, "the catalog refuses; asking again");
                }
                Err(error) => tracing::warn!(%error, path, "the catalog does not answer; asking again"),
            }
            sleep(REFUSED_PAUSE).await;
        }
    }
}

/// An answer that is owed; not any more when it is dropped, be it that it came, or that nobody wants it.
struct Owed<'a>(&'a watch::Sender<Option<Instant>>);

impl Owed<'_> {
    /// The time counts from the first request that was not answered.
    fn begin(&self) {
        self.0.send_if_modified(|since| {
            let first = since.is_none();
            since.get_or_insert_with(Instant::now);
            first
        });
    }

    fn end(&self) {
        self.0.send_if_modified(|since| since.take().is_some());
    }
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
