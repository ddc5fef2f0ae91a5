//! All processes of one store.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use api::replica::{ReplicaStatus, STATUS_PATH};
use api::{Ordinal, Term};
use service::json_client::JsonClient;
use service::lifecycle::DRAIN_TIMEOUT;
use tokio::time::Instant;

use super::layout::{StoreLayout, StoreMember};
use super::process::{ChildProcess, LogSink};

/// How often readiness and leadership are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A status comes from memory; a replica that takes longer counts as dead.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// Longer than the drain timeout, so that a draining member is not killed.
const STOP_TIMEOUT: Duration = DRAIN_TIMEOUT.saturating_add(Duration::from_secs(2));

/// The running processes of a layout.
pub struct LocalStore {
    layout: StoreLayout,
    binary: PathBuf,
    log: LogSink,
    client: JsonClient,
    running: BTreeMap<StoreMember, ChildProcess>,
}

impl LocalStore {
    /// A store of which no process runs yet. `binary` is the path of `toystore`.
    pub fn new(layout: StoreLayout, binary: impl Into<PathBuf>, log: LogSink) -> Self {
        let client = JsonClient::new(layout.token());
        Self { layout, binary: binary.into(), log, client, running: BTreeMap::new() }
    }

    /// The members, their ports and their files.
    pub fn layout(&self) -> &StoreLayout {
        &self.layout
    }

    /// Changes the layout. A member that runs sees the change when it is started again.
    pub fn change_layout(&mut self, change: impl FnOnce(StoreLayout) -> StoreLayout) {
        self.layout = change(self.layout.clone());
    }

    /// A client for the members' internal ports.
    pub fn json_client(&self) -> &JsonClient {
        &self.client
    }

    /// Starts a member. If it is already running, it is killed first.
    pub fn start(&mut self, member: StoreMember) -> io::Result<&mut ChildProcess> {
        self.running.remove(&member);
        let process = ChildProcess::start(&self.binary, &self.layout, member, &self.log)?;
        Ok(self.running.entry(member).or_insert(process))
    }

    /// Removes a member that has exited and is not to be restarted.
    pub fn forget(&mut self, member: StoreMember) {
        self.running.remove(&member);
    }

    /// Starts all members.
    pub fn start_all(&mut self) -> io::Result<()> {
        self.layout.members().into_iter().try_for_each(|member| self.start(member).map(drop))
    }

    /// A running member.
    ///
    /// # Panics
    /// If it was never started.
    pub fn process(&mut self, member: StoreMember) -> &mut ChildProcess {
        self.started(member).unwrap_or_else(|| panic!("{member} was never started"))
    }

    /// A member that was started and not [forgotten](Self::forget); it may have exited.
    pub fn started(&mut self, member: StoreMember) -> Option<&mut ChildProcess> {
        self.running.get_mut(&member)
    }

    /// Whether a member runs; a frozen one does.
    pub fn is_running(&mut self, member: StoreMember) -> bool {
        self.started(member).is_some_and(ChildProcess::is_running)
    }

    /// All processes, in the order in which they are started.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut ChildProcess> {
        self.running.values_mut()
    }

    /// The first member that has exited, and how; `None` if all are running.
    pub fn exited(&mut self) -> Option<String> {
        self.processes().find_map(|process| {
            let status = process.exit_status()?;
            Some(format!("{} has exited ({status})", process.member()))
        })
    }

    /// Waits until all running members report that they are ready.
    ///
    /// # Errors
    /// Names the member that is not ready after `timeout`, and why, or the member that has exited.
    pub async fn ready(&mut self, timeout: Duration) -> Result<(), String> {
        let deadline = Instant::now() + timeout;
        let members: Vec<_> = self.running.keys().copied().collect();
        for member in members {
            while let Err(reason) = self.is_ready(member).await {
                if let Some(exited) = self.exited() {
                    return Err(exited);
                }
                if Instant::now() > deadline {
                    return Err(format!("{member} is not ready after {} s: {reason}", timeout.as_secs()));
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// Waits until one member reports that it is ready.
    ///
    /// # Errors
    /// Why it is not after `timeout`.
    pub async fn member_ready(&self, member: StoreMember, timeout: Duration) -> Result<(), String> {
        let deadline = Instant::now() + timeout;
        while let Err(reason) = self.is_ready(member).await {
            if Instant::now() > deadline {
                return Err(format!("{member} is not ready after {} s: {reason}", timeout.as_secs()));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    async fn is_ready(&self, member: StoreMember) -> Result<(), String> {
        self.client.probe(&self.layout.internal(member), "/readyz", STATUS_TIMEOUT).await
    }

    /// The status of an order replica; `None` if it does not answer.
    pub async fn status(&self, ordinal: Ordinal) -> Option<ReplicaStatus> {
        status(&self.layout, &self.client, ordinal).await
    }

    /// The order leader of the highest term that a majority of the replicas agrees on.
    pub async fn leader(&self) -> Option<(Term, Ordinal)> {
        leader(&self.layout, &self.client).await
    }

    /// Waits until the order group has a leader other than `not`.
    ///
    /// # Errors
    /// If there is none after `timeout`.
    pub async fn leader_other_than(&self, not: Option<Ordinal>, timeout: Duration) -> Result<Ordinal, String> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.leader().await {
                Some((_, leader)) if Some(leader) != not => return Ok(leader),
                _ if Instant::now() > deadline => {
                    return Err(format!("no new leader after {} s", timeout.as_secs()));
                }
                _ => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// Stops all members gracefully: the frontends first, then the order replicas, then the
    /// catalog. Members of one kind stop concurrently, because none has to take over from another.
    pub async fn stop(&mut self) {
        while let Some((last, _)) = self.running.last_key_value() {
            let kind = std::mem::discriminant(last);
            let (these, others) =
                std::mem::take(&mut self.running).into_iter().partition(|(it, _)| std::mem::discriminant(it) == kind);
            self.running = others;
            let stopped = BTreeMap::into_iter(these).map(async |(member, mut process): (StoreMember, ChildProcess)| {
                if let Err(error) = process.stop(STOP_TIMEOUT).await {
                    tracing::warn!(%member, %error, "cannot stop a process");
                }
            });
            futures::future::join_all(stopped).await;
        }
    }
}

async fn status(layout: &StoreLayout, client: &JsonClient, ordinal: Ordinal) -> Option<ReplicaStatus> {
    client.get(&layout.internal(StoreMember::Order(ordinal)), STATUS_PATH, STATUS_TIMEOUT).await.ok()
}

/// See [`LocalStore::leader`]; for callers that do not own the [`LocalStore`].
pub(crate) async fn leader(layout: &StoreLayout, client: &JsonClient) -> Option<(Term, Ordinal)> {
    let asked = layout.ordinals().map(|ordinal| status(layout, client, ordinal));
    let answers: Vec<_> = futures::future::join_all(asked).await.into_iter().flatten().collect();
    let mut votes = BTreeMap::<_, usize>::new();
    for (term, leader) in answers.iter().filter_map(|status| Some((status.term, status.leader?))) {
        *votes.entry((term, leader.ordinal())).or_default() += 1;
    }
    votes.into_iter().rev().find(|(_, votes)| votes * 2 > layout.ordinals().count()).map(|(leader, _)| leader)
}
