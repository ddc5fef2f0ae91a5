//! Noticing that a disk went back in time.
//!
//! A disk can come back as it was some time ago: an old copy of its directory, a volume restored
//! from a snapshot, a lost end of the log. Nothing in the directory need show it. But the other
//! replicas know what it had acknowledged ([`progress`](super::progress)).
//!
//! A replica asks all others when it starts, before it votes or answers anyone. While it runs, it
//! asks its leader every second, and whenever the leader's entries conflict with its log. If it has
//! lost anything, it gives up its id as if its disk had been wiped. It rejoins as a new member,
//! which receives what is missing and only then takes over the vote ([`join`](super::join)).
//! Nothing that the old id had promised is counted, and a leader sends nothing more to it
//! ([`RaftConnection`](crate::consensus::raft_network::RaftConnection)). If a majority went back,
//! no change of membership commits. The group waits rather than lose what it has acknowledged, and
//! its leader says so.
//!
//! # Until a leader has confirmed its log
//! That is not enough. When all replicas start at the same moment, none listens yet when the others
//! ask. And if a leader is killed before any other replica has its table, what its follower had
//! acknowledged is forgotten: the entries are in the leader's log, but nothing says that the
//! follower had them, or even that they were committed. So until a leader has confirmed its log, a
//! replica asks all others again whenever it is to vote or to stand ([`Core::may_elect`]): what
//! they know of its disk, and where their logs end. It helps to elect no candidate whose log is
//! shorter than that of a voter that answers. If it is the candidate, it stands only to be free to
//! vote, and asks for no votes.
//!
//! *Why this suffices.* An acknowledged entry is on a majority of the disks, and one of them goes
//! back. The other replicas that have the entry vote for no candidate without it. So such a
//! candidate wins only with the vote of the replica that went back, or is that replica. No leader
//! has confirmed its log, so it asks. Hence the entry is lost only if every other replica that has
//! it is away at that moment, and then no replica that is there can know better.
//!
//! *Why it blocks no group.* A replica that is away is not waited for. One that answers and has the
//! longest log can win, and frontends choose it. If it does not lead after [`LONGER_LOG_WAIT`] (no
//! frontend reaches it, say), a leader is elected without it.
//!
//! *What confirms a log:* a leader that says that it leads now, an entry of its term at the end of
//! this log, and nothing missing of what the leader knows. What was acknowledged in earlier terms
//! and committed comes before that entry in the leader's log, and so in this one. What was
//! acknowledged in this term, this leader knows. A replica that leads needs no other to confirm
//! its log.
//!
//! # Caveats
//! * An entry can still be lost if no replica remembers that the disk had it, and every other one
//!   that has it is away while the rest elects a leader. A replica that has applied it stops when
//!   it comes back ([`Core::append_entries`]).
//! * Only entries are protected by what is in the others' logs. A vote that no replica remembers is
//!   forgotten: the replica may vote again in the same term, or follow an earlier leader that has
//!   not heard of the later one yet.
//! * A replica waits for the longest log once, not once for each election:
//!   [`Core::longer_log_since`] is never reset. [`LONGER_LOG_WAIT`] after it first refused a
//!   candidate, it elects any candidate until its log is confirmed or it restarts.
//! * An older copy that lacks nothing that another replica remembers catches up under its old id.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::replica::ReplicaStatus;
use api::{NodeId, Ordinal, Term};
use futures::future::join_all;
use service::lifecycle::{ExitCode, fatal};
use service::mutation::{self, Mutation};
use service::world;
use tokio::time::{Instant, timeout};

use super::identity::Identity;
use super::progress::{LostData, ReplicaProgress, lost_in};
use crate::consensus::types::{LogId, position};
use crate::core::{Core, Leadership};
use crate::error::StartError;
use crate::log::LogStore;
use crate::peer::client::PeerClient;

/// Begins the message with which a replica exits because its disk was replaced by an older copy.
pub const DISK_WENT_BACK: &str = "this replica's disk went back in time";

/// How often a follower fetches its leader's table.
const FETCH_EVERY: Duration = Duration::from_secs(1);
/// How often the table is saved, if it has changed.
const SAVE_EVERY: Duration = Duration::from_secs(10);
/// How long a replica waits for the others' answers before it votes or stands. They answer from
/// memory, and its own answer has to arrive within the timeout of a vote.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(150);
/// How long a replica waits for another one with a longer log to become the leader: as long as an
/// order waits for one.
const LONGER_LOG_WAIT: Duration = Duration::from_secs(5);

/// Asks all other replicas what they know, and returns what `own` has lost of it. For a starting
/// replica.
pub(super) async fn lost_since_last_start(
    peers: &PeerClient,
    own: NodeId,
    log: &LogStore,
    applied: Option<LogId>,
) -> Option<LostData> {
    let others = peers.ordinals().into_iter().filter(|ordinal| *ordinal != own.ordinal());
    // A process that is gone refuses at once; this is for one that is silent, or slow on a busy
    // machine. A silent replica may know more, and is asked again before this one votes.
    let _ = timeout(2 * peers.timing.question, join_all(others.map(|ordinal| fetch(peers, ordinal)))).await;
    lost_in(log, &peers.progress.of(own)?, applied).await
}

/// Returns false if the replica with that ordinal does not answer.
async fn fetch(peers: &PeerClient, ordinal: Ordinal) -> bool {
    let answer = peers.fetch_progress(ordinal).await;
    match &answer {
        Ok(known) => known.iter().for_each(|progress| _ = peers.progress.learn(progress)),
        Err(error) => tracing::debug!(%error, "cannot fetch what a replica knows of the others"),
    }
    answer.is_ok()
}

impl Core {
    /// Compares this replica's log with what its leader knows of it, and saves what is known of all
    /// replicas. Runs as long as the replica.
    pub(crate) async fn watch_for_rollback(self: Arc<Self>) {
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = self.check_for_rollback() => {}
        }
        self.save_progress(&mut Vec::new()).await;
    }

    async fn check_for_rollback(&self) {
        let mut saved = (self.peers.progress.all(), Instant::now());
        loop {
            let pause =
                if self.log_confirmed.load(Ordering::Relaxed) { FETCH_EVERY } else { self.config.timing.heartbeat };
            let _ = timeout(pause, self.log_conflict.notified()).await;
            let leadership = *self.leadership.borrow();
            let leader_term = match leadership {
                Leadership::Following { leader: Some(leader) } => self.ask_leader(leader).await,
                Leadership::Following { leader: None } => None,
                Leadership::Leading(term) => Some(term),
            };
            self.check_own_log().await;
            let last_term = self.log.metadata().last.map(|last| position(&last).term);
            if leader_term.is_some() && leader_term == last_term {
                self.log_confirmed.store(true, Ordering::Relaxed);
            }
            if saved.1.elapsed() >= SAVE_EVERY {
                self.save_progress(&mut saved.0).await;
                saved.1 = Instant::now();
            }
        }
    }

    /// Whether this replica may take part in electing a candidate whose log ends at `last`, which
    /// may be itself.
    pub(crate) async fn may_elect(&self, last: Option<LogId>) -> bool {
        if self.log_confirmed.load(Ordering::Relaxed) || mutation::active(Mutation::TrustOldDisk) {
            return true;
        }
        let answers = self.ask_others().await;
        let last = last.as_ref().map(position);
        let is_longer = |peer: &ReplicaStatus| peer.voters.contains(&peer.node_id) && peer.last_log > last;
        let Some(longer) = answers.into_iter().find(is_longer) else { return true };
        let waited = self.longer_log_since.get_or_init(Instant::now).elapsed();
        let elects = waited >= LONGER_LOG_WAIT;
        tracing::info!(node_id = %longer.node_id, ?waited, elects, "another replica has a longer log than a candidate");
        elects
    }

    /// Fetches the tables of all other replicas that answer, compares this replica's log with them,
    /// and returns the others' statuses. All requests of one election share the answers.
    async fn ask_others(&self) -> Vec<ReplicaStatus> {
        let mut last = self.last_answers.lock().await;
        if let Some((asked, answers)) = &*last
            && asked.elapsed() < self.config.timing.election_timeout_max
        {
            return answers.clone();
        }
        let asked = Instant::now();
        let others = self.peers.ordinals().into_iter().filter(|ordinal| *ordinal != self.ordinal());
        let answers = join_all(others.map(async |ordinal| {
            let status = timeout(ANSWER_TIMEOUT, self.peers.status(ordinal));
            let (status, _) = tokio::join!(status, timeout(ANSWER_TIMEOUT, fetch(&self.peers, ordinal)));
            Some(status.ok()?.ok()?.status)
        }));
        let answers: Vec<_> = answers.await.into_iter().flatten().collect();
        self.check_own_log().await;
        *last = Some((asked, answers.clone()));
        answers
    }

    /// Fetches the leader's table. Returns the leader's term if it leads, as it says now, and this
    /// replica's log is not confirmed yet.
    async fn ask_leader(&self, leader: NodeId) -> Option<Term> {
        let ordinal = leader.ordinal();
        let leading = if self.log_confirmed.load(Ordering::Relaxed) {
            None
        } else {
            self.peers.status(ordinal).await.ok().map(|peer| peer.status)
        };
        let has_table = fetch(&self.peers, ordinal).await;
        let leading = leading.filter(|status| has_table && status.node_id == leader && status.leads());
        leading.map(|status| status.term)
    }

    /// Gives up this replica's id if its log lacks anything that the table says it had.
    async fn check_own_log(&self) {
        // The log is read after the table: what was acknowledged was in the log before.
        let applied = *self.applied.borrow();
        if let Some(known) = self.peers.progress.of(self.node_id)
            && let Some(lost) = lost_in(&self.log, &known, applied).await
        {
            self.give_up_identity(lost);
        }
    }

    async fn save_progress(&self, saved: &mut Vec<ReplicaProgress>) {
        let now = self.peers.progress.all();
        if *saved == now {
            return;
        }
        let (progress, dir) = (self.peers.progress.clone(), self.config.data_dir.clone());
        match world::blocking("saving what is known of the other replicas", move || progress.save(&dir)).await {
            Ok(()) => *saved = now,
            Err(error) => tracing::warn!(%error, "cannot save what is known of the other replicas"),
        }
    }

    /// Writes a new identity and ends the process, so it cannot start under the old one.
    fn give_up_identity(&self, lost: LostData) -> ! {
        let renewed = Identity::load(&self.config.data_dir).and_then(|known| {
            let known = known.ok_or_else(|| StartError::damaged(&self.config.data_dir, "it has no identity"))?;
            known.rolled_back(lost).save(&self.config.data_dir)
        });
        if let Err(error) = renewed {
            fatal(ExitCode::Io, format!("{DISK_WENT_BACK}, and its identity cannot be renewed: {error}"));
        }
        fatal(ExitCode::Failure, format!("{DISK_WENT_BACK}: it has to restart, to join as a new member"));
    }
}
