//! What a leader knows of the space on the other replicas' disks.

use std::collections::BTreeMap;
use std::time::Duration;

use api::NodeId;
use tokio::time::Instant;

/// How long a peer's answer is valid.
const ANSWER_VALID_FOR: Duration = Duration::from_secs(2);

/// The other replicas' answers, while this replica leads.
pub(super) struct PeerSpace {
    answers: BTreeMap<NodeId, SpaceAnswer>,
    /// Since when they are asked: before that, no replica has been silent.
    asked_since: Instant,
}

#[derive(Clone, Copy)]
struct SpaceAnswer {
    has_space: bool,
    at: Instant,
}

impl PeerSpace {
    pub(super) fn new() -> Self {
        Self { answers: BTreeMap::new(), asked_since: Instant::now() }
    }

    fn last_answer(&self, id: NodeId) -> Option<bool> {
        self.answers.get(&id).filter(|answer| answer.at.elapsed() < ANSWER_VALID_FOR).map(|answer| answer.has_space)
    }

    pub(super) fn is_known_to_have_space(&self, id: NodeId) -> bool {
        self.last_answer(id) == Some(true)
    }

    /// A new leader has not heard from every replica yet, and must not refuse work because of that.
    pub(super) fn may_have_space(&self, id: NodeId) -> bool {
        self.last_answer(id).unwrap_or_else(|| self.asked_since.elapsed() < ANSWER_VALID_FOR)
    }

    pub(super) fn any_is_full(&self) -> bool {
        self.answers.keys().any(|id| self.last_answer(*id) == Some(false))
    }

    /// Records the answers of one round. They are taken together, so that one full disk never looks
    /// like a majority of them between two answers.
    pub(super) fn heard(&mut self, round: impl IntoIterator<Item = (NodeId, bool)>) {
        let at = Instant::now();
        self.answers.extend(round.into_iter().map(|(peer, has_space)| (peer, SpaceAnswer { has_space, at })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_full_when_it_says_so_or_is_silent_for_too_long() {
        let id = |ordinal| NodeId::new(api::Ordinal(ordinal), 7);
        let (ample, full, silent) = (id(1), id(2), id(3));
        let mut peers = PeerSpace::new();
        assert!(peers.may_have_space(silent), "it has not been asked yet");
        assert!(!peers.any_is_full());
        peers.heard([(ample, true), (full, false)]);
        assert!(peers.any_is_full());
        let judged = [ample, full, silent].map(|id| (peers.may_have_space(id), peers.is_known_to_have_space(id)));
        assert_eq!(judged, [(true, true), (false, false), (true, false)]);
        tokio::time::advance(ANSWER_VALID_FOR).await;
        assert!(!peers.may_have_space(silent) && !peers.may_have_space(ample));
        assert!(!peers.any_is_full(), "the answer has expired");
    }
}
