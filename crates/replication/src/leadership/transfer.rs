//! Leadership transfer: a leader passes leadership on before it stops.
//!
//! It accepts no more proposals, waits for those in flight, and picks the voter that has the whole
//! log (the one with the highest ordinal, if there are several). That one stands for election, and
//! the leader itself votes for it: with three voters this is a majority at once. Where it is not,
//! or where the leader was elected so recently that it still withholds its vote, the candidate's
//! higher term nevertheless ends the old term, no more heartbeats are sent, and a later try finds
//! the votes free.
//!
//! Nothing is lost if any of this fails. Votes decide, as always, and at worst the next leader is
//! elected after this one has stopped.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use api::NodeId;
use api::event::Event;
use futures::future::join_all;
use service::events::emit;

use crate::core::{Core, Leadership};
use crate::peer::client::PeerError;

/// How long a leadership transfer may take: some round trips and two synced votes, on a slow disk.
/// Commands wait meanwhile.
pub const LEADERSHIP_TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);

/// After this many rounds without any answer, a transfer is given up.
const SILENT_ROUNDS: u32 = 2;

/// The pause between two rounds.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(50);

impl Core {
    /// See [`Replica::transfer_leadership`](crate::Replica::transfer_leadership).
    pub(crate) async fn transfer_leadership(self: &Arc<Self>, within: Duration) -> Option<NodeId> {
        self.transfer_leadership_to(within, |_| true).await
    }

    /// Transfers leadership to an `eligible` voter.
    pub(crate) async fn transfer_leadership_to(
        self: &Arc<Self>,
        within: Duration,
        eligible: impl Fn(NodeId) -> bool,
    ) -> Option<NodeId> {
        let has_candidates = self.membership().voter_ids().any(|id| id != self.node_id && eligible(id));
        if !has_candidates || !self.is_leading() {
            return self.leader().filter(|leader| *leader != self.node_id);
        }
        let successor = tokio::time::timeout(within, self.elect_successor(eligible)).await;
        match successor {
            Ok(Some(successor)) => emit(Event::LeadershipTransferred { successor }),
            Ok(None) => tracing::info!("leadership not transferred: no other replica can lead"),
            Err(_) => tracing::warn!(within_ms = within.as_millis(), "leadership not transferred in time"),
        }
        successor.ok().flatten()
    }

    async fn elect_successor(self: &Arc<Self>, eligible: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let drained_candidates = async {
            let no_proposals = self.proposals.write().await;
            Some((no_proposals, self.candidates(&eligible).await?))
        };
        // Chosen once: a failed try may already have ended this term, and with it this replica's
        // view of who has the whole log.
        let (_no_proposals, candidates) = tokio::select! {
            candidates = drained_candidates => candidates?,
            () = self.no_voter_answers(&eligible) => return None,
        };
        let mut leadership = self.leadership.subscribe();
        loop {
            self.first_to_stand(&candidates).await?;
            let elected = leadership.wait_for(|now| matches!(now, Leadership::Following { leader: Some(_) }));
            // By then all votes of one try have arrived or are lost, and withheld votes are free.
            if let Ok(now) = tokio::time::timeout(self.config.timing.election_timeout_max, elected).await {
                return match *now.ok()? {
                    Leadership::Following { leader } => leader,
                    Leadership::Leading(_) => None,
                };
            }
        }
    }

    /// Makes the first candidate that answers stand for election; others may have stopped already.
    async fn first_to_stand(&self, candidates: &[NodeId]) -> Option<NodeId> {
        for candidate in candidates {
            match self.peers.stand_for_election(*candidate).await {
                Ok(()) => return Some(*candidate),
                Err(error) => tracing::debug!(%candidate, %error, "the candidate does not stand for election"),
            }
        }
        None
    }

    /// Returns once no eligible voter answers any more. When a whole store is stopped, its last
    /// replicas have no successor to wait for.
    async fn no_voter_answers(&self, eligible: impl Fn(NodeId) -> bool) {
        let mut silent_rounds = 0;
        while silent_rounds < SILENT_ROUNDS {
            let others =
                self.membership().voter_ids().filter(|id| *id != self.node_id && eligible(*id)).collect::<Vec<_>>();
            let answers = join_all(others.iter().map(|id| self.peers.status(id.ordinal()))).await;
            let silent = answers.iter().all(|answer| match answer {
                Ok(_) | Err(PeerError::Refused { .. }) => false,
                Err(PeerError::Unreachable { .. } | PeerError::NotListening(_) | PeerError::NoAddress(_)) => true,
            });
            silent_rounds = if silent { silent_rounds + 1 } else { 0 };
            tokio::time::sleep(BETWEEN_ROUNDS).await;
        }
    }

    /// Waits until an eligible voter has the whole log; returns those that have it, highest ordinal
    /// first.
    async fn candidates(&self, eligible: impl Fn(NodeId) -> bool) -> Option<Vec<NodeId>> {
        let mut candidates = Vec::new();
        let mut metrics = self.raft.metrics();
        let found = metrics.wait_for(|metrics| {
            let Some(progress) = &metrics.replication else {
                return true; // It no longer leads.
            };
            let others = metrics.membership_config.voter_ids().filter(|id| *id != self.node_id && eligible(*id));
            let whole = |id: &NodeId| progress.get(id).copied().flatten().map(|at| at.index) == metrics.last_log_index;
            candidates = others.filter(whole).collect();
            candidates.sort_by_key(|id| Reverse(id.ordinal()));
            !candidates.is_empty()
        });
        found.await.ok()?;
        Some(candidates).filter(|candidates| !candidates.is_empty())
    }
}
