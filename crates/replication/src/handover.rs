//! Giving leadership away in good order, before a leader stops.
//!
//! It takes no more commands, waits for those in flight, and picks the voter that has the whole log (the highest seat, if
//! several have). That one stands for election, and the leader itself gives it its vote: with three voters that is the
//! majority, at once. Where it is not, or where the leader was elected so lately that it still holds its vote back, the heir's
//! higher term ends the old reign all the same, no more heartbeats are sent, and a later try finds the votes free.
//!
//! Nothing is lost if any of this fails: the vote decides, as always, and at worst the next leader is elected when this one
//! is gone.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use api::NodeId;
use tokio::sync::watch;

use crate::core::{Core, Leadership};

/// Lets commands in while it is open, and counts those inside. Closed, it holds them up: a hand-over that fails costs them
/// some time, and one that succeeds sends them to the new leader.
pub(crate) struct Gate {
    closed: watch::Sender<bool>,
    inside: watch::Sender<usize>,
}

/// One command inside the gate.
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    pub(crate) fn open() -> Self {
        Self { closed: watch::Sender::new(false), inside: watch::Sender::new(0) }
    }

    /// Waits while it is closed.
    pub(crate) async fn enter(&self) -> Pass<'_> {
        loop {
            // Counted first, asked then: whoever closes and then sees nobody inside has shut out all who come later.
            self.inside.send_modify(|inside| *inside += 1);
            let pass = Pass(self);
            if !*self.closed.borrow() {
                return pass;
            }
            drop(pass);
            // The sender is in `self`: it cannot be gone.
            let _ = self.closed.subscribe().wait_for(|closed| !closed).await;
        }
    }

    fn close(&self) -> Closed<'_> {
        self.closed.send_replace(true);
        Closed(self)
    }

    async fn emptied(&self) {
        let mut inside = self.inside.subscribe();
        // The sender is in `self`: it cannot be gone.
        let _ = inside.wait_for(|inside| *inside == 0).await;
    }
}

/// Open again when it is dropped, also where a hand-over is given up half-way.
struct Closed<'a>(&'a Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.closed.send_replace(false);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.inside.send_modify(|inside| *inside -= 1);
    }
}

impl Core {
    /// See [`Replica::hand_over`](crate::Replica::hand_over).
    pub(crate) async fn hand_over(self: &Arc<Self>, within: Duration) -> Option<NodeId> {
        self.hand_over_to(within, |_| true).await
    }

    /// The same, to one of those who are `fit`.
    pub(crate) async fn hand_over_to(
        self: &Arc<Self>,
        within: Duration,
        fit: impl Fn(NodeId) -> bool,
    ) -> Option<NodeId> {
        let has_heirs = self.membership().voter_ids().any(|id| id != self.node_id && fit(id));
        if !has_heirs || !matches!(*self.leadership.borrow(), Leadership::Leading(_)) {
            return self.leader().filter(|leader| *leader != self.node_id);
        }
        let closed = self.gate.close();
        let successor = tokio::time::timeout(within, self.pass_on(fit)).await;
        drop(closed);
        match successor {
            Ok(Some(successor)) => tracing::info!(%successor, "leadership handed over"),
            Ok(None) => tracing::info!("there is nobody to hand leadership over to"),
            Err(_) => tracing::warn!(within_ms = within.as_millis(), "leadership was not handed over in time"),
        }
        successor.ok().flatten()
    }

    async fn pass_on(self: &Arc<Self>, fit: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        self.gate.emptied().await;
        // Chosen once: a try that fails may still have ended this reign, and with it the view of who has the whole log.
        let heirs = self.heirs(fit).await?;
        let mut leadership = self.leadership.subscribe();
        loop {
            self.first_to_stand(&heirs).await?;
            let elected = leadership.wait_for(|now| matches!(now, Leadership::Following { leader: Some(_) }));
            // Until then all votes of one try are in or lost, and those that were held back are free.
            if let Ok(now) = tokio::time::timeout(self.config.timing.election_timeout_max, elected).await {
                return match *now.ok()? {
                    Leadership::Following { leader } => leader,
                    Leadership::Leading(_) => None,
                };
            }
        }
    }

    /// The first of the heirs that answers; the others may have stopped before this replica does.
    async fn first_to_stand(&self, heirs: &[NodeId]) -> Option<NodeId> {
        for heir in heirs {
            match self.peers.stand(*heir).await {
                Ok(()) => return Some(*heir),
                Err(error) => tracing::debug!(%heir, %error, "the heir does not stand"),
            }
        }
        None
    }

    /// Waits until another voter that is fit has the whole log; gives those that have, the highest seat first.
    async fn heirs(&self, fit: impl Fn(NodeId) -> bool) -> Option<Vec<NodeId>> {
        let mut heirs = Vec::new();
        let mut metrics = self.raft.metrics();
        let found = metrics.wait_for(|metrics| {
            let Some(progress) = &metrics.replication else {
                return true; // It leads no more.
            };
            let others = metrics.membership_config.voter_ids().filter(|id| *id != self.node_id && fit(*id));
            let whole = |id: &NodeId| progress.get(id).copied().flatten().map(|at| at.index) == metrics.last_log_index;
            heirs = others.filter(whole).collect();
            heirs.sort_by_key(|id| Reverse(id.ordinal()));
            !heirs.is_empty()
        });
        found.await.ok()?;
        Some(heirs).filter(|heirs| !heirs.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_gate_empties_and_lets_in_later() {
        let gate = Gate::open();
        let inside = gate.enter().await;
        let closed = gate.close();
        let late = gate.enter();
        tokio::pin!(late);
        assert!(futures::poll!(&mut late).is_pending(), "it waits");
        let emptied = gate.emptied();
        tokio::pin!(emptied);
        assert!(futures::poll!(&mut emptied).is_pending(), "one is still inside");
        drop(inside);
        emptied.await;
        drop(closed);
        late.await;
    }
}
