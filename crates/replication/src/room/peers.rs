//! What a leader knows of the room on the others' disks.

use std::collections::BTreeMap;
use std::time::Duration;

use api::NodeId;
use tokio::time::Instant;

/// For so long the last answer of a peer is believed.
const ANSWER_LASTS: Duration = Duration::from_secs(2);

/// What the others have said, while this replica leads.
pub(super) struct Peers {
    answers: BTreeMap<NodeId, Answer>,
    /// Since when they are asked: not before that has anybody been silent.
    asked_since: Instant,
}

#[derive(Clone, Copy)]
struct Answer {
    has_room: bool,
    at: Instant,
}

impl Peers {
    pub(super) fn nobody_asked_yet() -> Self {
        Self { answers: BTreeMap::new(), asked_since: Instant::now() }
    }

    fn said(&self, id: NodeId) -> Option<bool> {
        self.answers.get(&id).filter(|answer| answer.at.elapsed() < ANSWER_LASTS).map(|answer| answer.has_room)
    }

    pub(super) fn is_known_to_have_room(&self, id: NodeId) -> bool {
        self.said(id) == Some(true)
    }

    /// A new leader has not heard of everybody, and must not turn work away for that.
    pub(super) fn may_have_room(&self, id: NodeId) -> bool {
        self.said(id).unwrap_or_else(|| self.asked_since.elapsed() < ANSWER_LASTS)
    }

    pub(super) fn any_is_full(&self) -> bool {
        self.answers.keys().any(|id| self.said(*id) == Some(false))
    }

    /// What was answered in one round: between two answers, one full disk must not look like a majority of them.
    pub(super) fn heard(&mut self, round: impl IntoIterator<Item = (NodeId, bool)>) {
        let at = Instant::now();
        self.answers.extend(round.into_iter().map(|(peer, has_room)| (peer, Answer { has_room, at })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_full_when_it_says_so_or_has_long_been_silent() {
        let id = |ordinal| NodeId::new(api::Ordinal(ordinal), 7);
        let (roomy, full, silent) = (id(1), id(2), id(3));
        let mut peers = Peers::nobody_asked_yet();
        assert!(peers.may_have_room(silent), "it has not been asked yet");
        assert!(!peers.any_is_full());
        peers.heard([(roomy, true), (full, false)]);
        assert!(peers.any_is_full());
        let judged = [roomy, full, silent].map(|id| (peers.may_have_room(id), peers.is_known_to_have_room(id)));
        assert_eq!(judged, [(true, true), (false, false), (true, false)]);
        tokio::time::advance(ANSWER_LASTS).await;
        assert!(!peers.may_have_room(silent) && !peers.may_have_room(roomy));
        assert!(!peers.any_is_full(), "nobody says so any more");
    }
}
