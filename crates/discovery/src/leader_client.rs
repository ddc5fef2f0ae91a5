//! Calls the current leader, with retries, until it has answered or the deadline has passed.

use std::time::Duration;

use api::{Address, ApiError, ErrorCode, Ordinal};
use service::json_client::{CallError, JsonClient};
use service::world;
use tokio::time::{Instant, sleep, timeout_at};

use crate::group::{Group, Leader};

/// The timeout of one status poll while requests wait. It allows many round trips within a site,
/// and it bounds how long a paused replica (which accepts connections and never answers) delays the
/// next poll.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);

/// The shortest pause before the same replica is called again. It doubles with each failure.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// The longest pause. Each pause is drawn from the upper half of its value, so that many waiting
/// requests do not retry at the same moment.
const PAUSE_MAX: Duration = Duration::from_millis(160);

impl Group {
    /// Calls `request` with the leader's address until it is answered, refused for good, or
    /// `deadline` has passed.
    ///
    /// `request` may be carried out more than once: it must be a read, or have an id by which the
    /// leader recognizes it. It is retried if the replica cannot be reached, does not answer, does
    /// not lead, or is unavailable. An attempt is abandoned as soon as another replica leads. Every
    /// other refusal is final.
    ///
    /// # Errors
    /// * [`CallError::Refused`] with the leader's final refusal.
    /// * [`CallError::Unknown`] at the deadline, if an attempt may have been carried out. A retry
    ///   that is refused before anything was begun (overload, full disks) also ends the call with
    ///   it.
    /// * [`CallError::Refused`] with [`ErrorCode::Unavailable`] at the deadline, if certainly no
    ///   attempt was carried out.
    pub async fn call_leader<T, F, Fut>(&self, deadline: Instant, request: F) -> Result<T, CallError>
    where
        F: Fn(JsonClient, Address) -> Fut,
        Fut: Future<Output = Result<T, CallError>>,
    {
        let mut call = LeaderCall { group: self, failures: 0, hint: None, failed: Vec::new(), unknown: None };
        loop {
            let Ok((ordinal, address)) = timeout_at(deadline, call.next()).await else {
                return Err(call.at_deadline());
            };
            let attempt = call.attempt(ordinal, &address, request(self.client(), address.clone()));
            let error = match timeout_at(deadline, attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(_) => return Err(CallError::Unknown { address, what: "no answer in time".into() }),
            };
            if let Some(error) = call.failed(ordinal, address, error) {
                return Err(error);
            }
        }
    }

    /// Waits until a leader is known. Searches for one unless another request already does.
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

    /// Polls once for a leader, and pauses if there is none. Other requests wait for the lock
    /// meanwhile.
    async fn search(&self) {
        let _searching = self.0.search.lock().await;
        if self.current_leader().is_some() {
            return;
        }
        match self.find_leader(POLL_TIMEOUT).await {
            Some(leader) => self.set_leader(leader),
            None => sleep(jittered(PAUSE_MAX)).await,
        }
    }
}

/// The state of one request and its retries.
struct LeaderCall<'a> {
    group: &'a Group,
    /// The number of failed attempts.
    failures: u32,
    /// The leader that the last replica named.
    hint: Option<Ordinal>,
    /// The replicas that have failed since the last pause. They are called again only after the
    /// next one.
    failed: Vec<Ordinal>,
    /// The last attempt whose outcome is unknown.
    unknown: Option<CallError>,
}

impl LeaderCall<'_> {
    /// The replica to call next.
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
                sleep(self.pause()).await;
                continue;
            }
            if let Some(address) = self.group.address(leader.ordinal) {
                return (leader.ordinal, address);
            }
            // The leader is no longer in the list of replicas.
            self.group.suspect(leader);
            self.failed.push(leader.ordinal);
        }
    }

    /// Waits for `request`, and abandons it once another replica leads.
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
                what: "another replica became the leader before this one answered".into(),
            }),
        }
    }

    /// Records a failure. Returns the error of the whole call if there is no point in a retry.
    fn failed(&mut self, ordinal: Ordinal, address: Address, error: CallError) -> Option<CallError> {
        self.failures += 1;
        self.failed.push(ordinal);
        match &error {
            CallError::Refused(refusal) if refusal.code == ErrorCode::NotLeader => {
                self.hint = refusal.leader.filter(|hint| !self.failed.contains(hint));
                self.suspect(ordinal);
            }
            CallError::Refused(refusal) if refusal.code == ErrorCode::Unavailable => {
                // It leads and cannot serve the request now; another leader could not either. It
                // may have begun the request.
                self.unknown = Some(CallError::Unknown { address, what: refusal.message.to_string() });
            }
            CallError::Refused(refusal) if refusal.code.nothing_begun() => {
                // This attempt has begun nothing, but an earlier one may have.
                return Some(self.unknown.take().unwrap_or(error));
            }
            CallError::Refused(_) => return Some(error),
            CallError::Unreachable(_) | CallError::NotListening(_) => self.suspect(ordinal),
            CallError::Unknown { .. } => {
                self.suspect(ordinal);
                self.unknown = Some(error);
            }
        }
        None
    }

    fn suspect(&self, ordinal: Ordinal) {
        if let Some(leader) = self.group.current_leader().filter(|leader| leader.ordinal == ordinal) {
            self.group.suspect(leader);
        }
    }

    fn pause(&self) -> Duration {
        jittered(PAUSE_MIN.saturating_mul(1 << self.failures.min(8)).min(PAUSE_MAX))
    }

    fn at_deadline(self) -> CallError {
        self.unknown.unwrap_or_else(|| {
            let what = format!("the {} service has no leader at the moment", self.group.name());
            CallError::Refused(ApiError::new(ErrorCode::Unavailable, what))
        })
    }
}

/// A random duration between half of `longest` and `longest`.
fn jittered(longest: Duration) -> Duration {
    longest.mul_f64(0.5 + world::random_fraction() / 2.0)
}
