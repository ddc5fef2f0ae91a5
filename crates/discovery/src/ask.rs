//! Asking the leader, whoever that is by now, until it has answered or the time is up.

use std::time::Duration;

use api::{Address, ApiError, ErrorCode, Ordinal};
use service::call::{CallError, Caller};
use service::world;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{Group, Leader};

/// For one round of statuses while requests wait: many round trips within a site, and yet a paused replica (it accepts a
/// connection and never answers) delays the next look by no more than this.
const SURVEY_TIMEOUT: Duration = Duration::from_millis(200);

/// Before the same replica is asked again: from this, doubled with each failure …
const BACK_OFF_MIN: Duration = Duration::from_millis(10);
/// … to this; each is drawn from its upper half, so that many waiting requests do not come back as one.
const BACK_OFF_MAX: Duration = Duration::from_millis(160);

impl Group {
    /// Calls `request` with the leader's address until it is answered, refused for good, or `deadline` has come.
    ///
    /// `request` may be carried out more than once: it must be a read, or bear an id by which the leader knows it again. It
    /// is asked again if the replica could not be reached, gave no answer, does not lead, or is unavailable; and
    /// abandoned for a new leader as soon as there is one. Every other refusal is final.
    ///
    /// # Errors
    /// * [`CallError::Refused`] with the leader's own final refusal;
    /// * [`CallError::Unknown`] at the deadline (or if a retry is refused at a bound: overload, full disks), if some attempt may have
    ///   been carried out;
    /// * [`CallError::Refused`] with [`ErrorCode::Unavailable`] at the deadline, if certainly none was.
    pub async fn ask_leader<T, F, Fut>(&self, deadline: Instant, request: F) -> Result<T, CallError>
    where
        F: Fn(Caller, Address) -> Fut,
        Fut: Future<Output = Result<T, CallError>>,
    {
        let mut asking = Asking { group: self, failures: 0, hint: None, failed: Vec::new(), unknown: None };
        loop {
            let Ok((ordinal, address)) = timeout_at(deadline, asking.next()).await else {
                return Err(asking.at_deadline());
            };
            let attempt = asking.attempt(ordinal, &address, request(self.caller(), address.clone()));
            let error = match timeout_at(deadline, attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(_) => return Err(CallError::Unknown { address, what: "no answer in time".into() }),
            };
            if let Some(last_word) = asking.failed(ordinal, address, error) {
                return Err(last_word);
            }
        }
    }

    /// Waits until a leader is known; looks for one itself if nobody else does.
    async fn known_leader(&self) -> Leader {
        let mut leader = self.leader();
        loop {
            if let Some(leader) = *leader.borrow_and_update() {
                return leader;
            }
            tokio::select! {
                changed = leader.changed() => changed.expect("the group itself holds the sender"),
                () = self.search() => {}
            }
        }
    }

    /// One look for a leader, and a pause if there is none. Whoever comes meanwhile waits for its turn.
    async fn search(&self) {
        let _turn = self.0.search.lock().await;
        if self.current_leader().is_some() {
            return;
        }
        match self.find_leader(SURVEY_TIMEOUT).await {
            Some(leader) => self.adopt(leader),
            None => sleep(jittered(BACK_OFF_MAX)).await,
        }
    }
}

/// One request on its way through the group.
struct Asking<'a> {
    group: &'a Group,
    /// Attempts so far.
    failures: u32,
    /// Whom the last replica named as the leader.
    hint: Option<Ordinal>,
    /// Who has failed since the last pause: asked again only after the next one.
    failed: Vec<Ordinal>,
    /// An attempt whose outcome is unknown.
    unknown: Option<CallError>,
}

impl Asking<'_> {
    /// Whom to ask next.
    async fn next(&mut self) -> (Ordinal, Address) {
        if let Some(ordinal) = self.hint.take()
            && let Some(address) = self.group.address(ordinal)
        {
            return (ordinal, address);
        }
        loop {
            let leader = self.group.known_leader().await;
            if self.failed.contains(&leader.ordinal) {
                self.failed.clear();
                sleep(self.back_off()).await;
                continue;
            }
            if let Some(address) = self.group.address(leader.ordinal) {
                return (leader.ordinal, address);
            }
            // It led, and is on the list no more.
            self.group.doubt(leader);
            self.failed.push(leader.ordinal);
        }
    }

    /// `request`, abandoned once another replica leads.
    async fn attempt<T>(
        &self,
        ordinal: Ordinal,
        address: &Address,
        request: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let mut leader = self.group.leader();
        tokio::select! {
            biased;
            answer = request => answer,
            _ = leader.wait_for(|now| now.is_some_and(|now| now.ordinal != ordinal)) => Err(CallError::Unknown {
                address: address.clone(),
                what: "another replica leads before it has answered".into(),
            }),
        }
    }

    /// Takes note of a failure; gives it back, or what it means, if it is the last word.
    fn failed(&mut self, ordinal: Ordinal, address: Address, error: CallError) -> Option<CallError> {
        self.failures += 1;
        self.failed.push(ordinal);
        match &error {
            CallError::Refused(refusal) if refusal.code == ErrorCode::NotLeader => {
                self.hint = refusal.leader.filter(|hint| !self.failed.contains(hint));
                self.doubt(ordinal);
            }
            CallError::Refused(refusal) if refusal.code == ErrorCode::Unavailable => {
                // It leads and cannot do it just now: another leader could not either. What it has begun may come to pass.
                self.unknown = Some(CallError::Unknown { address, what: refusal.message.to_string() });
            }
            CallError::Refused(refusal) if refusal.code.nothing_begun() => {
                // Nothing was begun now, but an earlier attempt may have been.
                return Some(self.unknown.take().unwrap_or(error));
            }
            CallError::Refused(_) => return Some(error),
            CallError::Unreachable(_) => self.doubt(ordinal),
            CallError::Unknown { .. } => {
                self.doubt(ordinal);
                self.unknown = Some(error);
            }
        }
        None
    }

    fn doubt(&self, ordinal: Ordinal) {
        if let Some(leader) = self.group.current_leader().filter(|leader| leader.ordinal == ordinal) {
            self.group.doubt(leader);
        }
    }

    fn back_off(&self) -> Duration {
        jittered(BACK_OFF_MIN.saturating_mul(1 << self.failures.min(8)).min(BACK_OFF_MAX))
    }

    fn at_deadline(self) -> CallError {
        self.unknown.unwrap_or_else(|| {
            let what = format!("the {} service has no leader just now", self.group.name());
            CallError::Refused(ApiError::new(ErrorCode::Unavailable, what))
        })
    }
}

/// Between a half and the whole of `longest`.
fn jittered(longest: Duration) -> Duration {
    longest.mul_f64(0.5 + world::random_fraction() / 2.0)
}
