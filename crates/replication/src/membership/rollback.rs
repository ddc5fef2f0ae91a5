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
//! # Caveats
//! * What was acknowledged in the last second before the only replica that knew of it was lost,
//!   too, is known to no replica.
//! * A replica asks once, at its start. If all replicas start within milliseconds of each other,
//!   none may listen yet, and an older copy among them is not noticed: it catches up, and keeps its
//!   vote. To put back a copy, start the other replicas first.

use std::sync::Arc;
use std::time::Duration;

use api::{NodeId, Ordinal};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use service::lifecycle::{ExitCode, fatal};
use service::world;
use tokio::time::{Instant, timeout};

use super::identity::Identity;
use super::progress::{LostData, ReplicaProgress, lost_in};
use crate::consensus::types::LogId;
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
/// Asks all other replicas what they know, and returns what `own` has lost of it. For a starting
/// replica.
pub(super) async fn lost_since_last_start(
    peers: &PeerClient,
    own: NodeId,
    log: &LogStore,
    applied: Option<LogId>,
) -> Option<LostData> {
    let others = peers.ordinals().into_iter().filter(|ordinal| *ordinal != own.ordinal());
    let mut asked: FuturesUnordered<_> = others.map(|ordinal| fetch(peers, ordinal)).collect();
    let all = async { while asked.next().await.is_some() {} };
    // A process that is gone refuses at once; this is for one that is silent, or slow on a busy
    // machine. A silent replica may know more. The leader is asked again while the replica runs.
    let _ = timeout(2 * peers.timing.question, all).await;
    lost_in(log, &peers.progress.of(own)?, applied).await
}

async fn fetch(peers: &PeerClient, ordinal: Ordinal) {
    match peers.fetch_progress(ordinal).await {
        Ok(known) => known.iter().for_each(|progress| _ = peers.progress.learn(progress)),
        Err(error) => tracing::debug!(%error, "cannot fetch what a replica knows of the others"),
    }
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
            let _ = timeout(FETCH_EVERY, self.log_conflict.notified()).await;
            let leadership = *self.leadership.borrow();
            if let Leadership::Following { leader: Some(leader) } = leadership {
                fetch(&self.peers, leader.ordinal()).await;
            }
            // The log is read after the table: what was acknowledged was in the log before.
            let applied = *self.applied.borrow();
            if let Some(known) = self.peers.progress.of(self.node_id)
                && let Some(lost) = lost_in(&self.log, &known, applied).await
            {
                self.give_up_identity(lost);
            }
            if saved.1.elapsed() >= SAVE_EVERY {
                self.save_progress(&mut saved.0).await;
                saved.1 = Instant::now();
            }
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
