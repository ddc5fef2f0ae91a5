//! All processes of one store together.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use api::replica::{ReplicaStatus, STATUS_PATH};
use api::{Ordinal, Term};
use service::call::Caller;
use service::lifecycle::DRAIN_TIMEOUT;
use tokio::time::Instant;

use super::{Layout, LogSink, Member, Process};

/// Between two looks at a process that is not ready yet.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A status comes from memory; a replica that takes longer is as good as gone.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// Over the drain time-out, so that a member that drains to the last is not killed for it.
const STOP_PATIENCE: Duration = DRAIN_TIMEOUT.saturating_add(Duration::from_secs(2));

/// The running processes of one layout.
pub struct Store {
    layout: Layout,
    binary: PathBuf,
    log: LogSink,
    caller: Caller,
    running: BTreeMap<Member, Process>,
}

impl Store {
    /// Nothing runs yet. `binary` is `toystore` itself.
    pub fn new(layout: Layout, binary: impl Into<PathBuf>, log: LogSink) -> Self {
        let token = std::env::var("INTERNAL_TOKEN").ok().and_then(|secret| secret.parse().ok());
        let caller = Caller::new(token.as_ref());
        Self { layout, binary: binary.into(), log, caller, running: BTreeMap::new() }
    }

    /// Where everything is.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// For calls to the members' internal ports.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Starts a member; one that runs already is killed first.
    pub fn start(&mut self, member: Member) -> io::Result<&mut Process> {
        self.running.remove(&member);
        let process = Process::start(&self.binary, &self.layout, member, &self.log)?;
        Ok(self.running.entry(member).or_insert(process))
    }

    /// Lets go of a member that has ended and is not to be waited for any more.
    pub fn forget(&mut self, member: Member) {
        self.running.remove(&member);
    }

    /// Starts everyone.
    pub fn start_all(&mut self) -> io::Result<()> {
        self.layout.members().into_iter().try_for_each(|member| self.start(member).map(drop))
    }

    /// A running member.
    ///
    /// # Panics
    /// If it was never started.
    pub fn process(&mut self, member: Member) -> &mut Process {
        self.running.get_mut(&member).unwrap_or_else(|| panic!("{member} was never started"))
    }

    /// All of them, in starting order.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        self.running.values_mut()
    }

    /// Waits until everyone who runs says that it is ready.
    ///
    /// # Errors
    /// Who is not ready after `patience`, and why not; or who ended meanwhile.
    pub async fn ready(&mut self, patience: Duration) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        let members: Vec<_> = self.running.keys().copied().collect();
        for member in members {
            while let Err(reason) = self.is_ready(member).await {
                if !self.process(member).is_running() {
                    return Err(format!("{member} has ended"));
                }
                if Instant::now() > deadline {
                    return Err(format!("{member} is not ready after {} s: {reason}", patience.as_secs()));
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }

    async fn is_ready(&self, member: Member) -> Result<(), String> {
        self.caller.probe(&self.layout.internal(member), "/readyz", STATUS_TIMEOUT).await
    }

    /// An order replica's word about itself; `None` if it does not answer.
    pub async fn status(&self, ordinal: Ordinal) -> Option<ReplicaStatus> {
        let address = self.layout.internal(Member::Order(ordinal));
        self.caller.get(&address, STATUS_PATH, STATUS_TIMEOUT).await.ok()
    }

    /// The order leader of the highest term that a majority of all replicas agrees on.
    pub async fn leader(&self) -> Option<(Term, Ordinal)> {
        let asked = self.layout.ordinals().map(|ordinal| self.status(ordinal));
        let answers: Vec<_> = futures::future::join_all(asked).await.into_iter().flatten().collect();
        let mut votes = BTreeMap::<_, usize>::new();
        for (term, leader) in answers.iter().filter_map(|status| Some((status.term, status.leader?))) {
            *votes.entry((term, leader.ordinal())).or_default() += 1;
        }
        votes.into_iter().rev().find(|(_, votes)| votes * 2 > self.layout.ordinals().count()).map(|(leader, _)| leader)
    }

    /// Waits until the order group has a leader other than `not`.
    ///
    /// # Errors
    /// If there is none after `patience`.
    pub async fn leader_other_than(&self, not: Option<Ordinal>, patience: Duration) -> Result<Ordinal, String> {
        let deadline = Instant::now() + patience;
        loop {
            match self.leader().await {
                Some((_, leader)) if Some(leader) != not => return Ok(leader),
                _ if Instant::now() > deadline => {
                    return Err(format!("no new leader after {} s", patience.as_secs()));
                }
                _ => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// Stops everyone gracefully, one after the other, in the reverse of the starting order: first those who take requests, then the
    /// orders (a leader hands over to the next), last the stock.
    pub async fn stop(&mut self) {
        while let Some((member, mut process)) = self.running.pop_last() {
            if let Err(error) = process.stop(STOP_PATIENCE).await {
                tracing::warn!(%member, %error, "a process could not be stopped");
            }
        }
    }
}
