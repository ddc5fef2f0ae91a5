//! The gate that proposals pass: closed while leadership is transferred.

use tokio::sync::watch;

/// Lets proposals in while it is open, and counts those in flight. While it is closed it holds them
/// back: a transfer that fails costs them some time, and one that succeeds sends them to the new
/// leader.
pub(crate) struct ProposalGate {
    closed: watch::Sender<bool>,
    in_flight: watch::Sender<usize>,
}

/// One proposal in flight.
pub(crate) struct ProposalGuard<'a>(&'a ProposalGate);

impl ProposalGate {
    pub(crate) fn open() -> Self {
        Self { closed: watch::Sender::new(false), in_flight: watch::Sender::new(0) }
    }

    /// Waits while the gate is closed.
    pub(crate) async fn enter(&self) -> ProposalGuard<'_> {
        loop {
            // Count first, then check: after the gate was closed and no proposal is in flight, none
            // can enter.
            self.in_flight.send_modify(|in_flight| *in_flight += 1);
            let guard = ProposalGuard(self);
            if !*self.closed.borrow() {
                return guard;
            }
            drop(guard);
            // The sender is in `self`, so it cannot be gone.
            let _ = self.closed.subscribe().wait_for(|closed| !closed).await;
        }
    }

    pub(super) fn close(&self) -> ClosedGate<'_> {
        self.closed.send_replace(true);
        ClosedGate(self)
    }

    /// Returns when no proposal is in flight.
    pub(super) async fn drained(&self) {
        let mut in_flight = self.in_flight.subscribe();
        // The sender is in `self`, so it cannot be gone.
        let _ = in_flight.wait_for(|in_flight| *in_flight == 0).await;
    }
}

/// Opens the gate again when it is dropped, also if the transfer is cancelled.
pub(super) struct ClosedGate<'a>(&'a ProposalGate);

impl Drop for ClosedGate<'_> {
    fn drop(&mut self) {
        self.0.closed.send_replace(false);
    }
}

impl Drop for ProposalGuard<'_> {
    fn drop(&mut self) {
        self.0.in_flight.send_modify(|in_flight| *in_flight -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_gate_drains_and_opens_again() {
        let gate = ProposalGate::open();
        let in_flight = gate.enter().await;
        let closed = gate.close();
        let late = gate.enter();
        tokio::pin!(late);
        assert!(futures::poll!(&mut late).is_pending(), "it waits");
        let drained = gate.drained();
        tokio::pin!(drained);
        assert!(futures::poll!(&mut drained).is_pending(), "one is still in flight");
        drop(in_flight);
        drained.await;
        drop(closed);
        late.await;
    }
}
