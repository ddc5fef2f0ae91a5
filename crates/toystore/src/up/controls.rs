//! What the console of `up` can do to its store: the side of the console.
//!
//! ```text
//!   console ── perform ──► Controls ── at most 16 requests ──► ControlWorker ──► LocalStore
//!           ◄─ state, processes ─┘ ◄──────── watch ─────────────────┘
//! ```
//!
//! The supervisor owns the store. It carries out one request after the other, between its other
//! work (`supervisor.rs`, `control_worker.rs`), and publishes what became of it.

use futures::FutureExt;
use futures::future::BoxFuture;
use store_console::{Control, ControlError, ControlsState, OwnedProcess, StoreControls};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

/// The most requests that wait for their turn: more than a few impatient people click.
const REQUESTS_MAX: usize = 16;

/// The controls of a store that `up` runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Controls {
    requests: mpsc::Sender<ControlRequest>,
    published: watch::Receiver<Published>,
}

/// A request that waits for its turn.
#[derive(Debug)]
pub(super) struct ControlRequest {
    pub(super) control: Control,
    pub(super) answer: oneshot::Sender<Result<(), ControlError>>,
}

/// What everyone may know.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Published {
    pub(super) state: ControlsState,
    pub(super) processes: Vec<OwnedProcess>,
}

/// The other side of [`Controls`].
#[derive(Debug)]
pub(super) struct ControlChannel {
    pub(super) requests: mpsc::Receiver<ControlRequest>,
    pub(super) published: watch::Sender<Published>,
}

impl Controls {
    /// Controls that show what is published from now on.
    pub(super) fn new(published: Published) -> (Self, ControlChannel) {
        let (requests, received) = mpsc::channel(REQUESTS_MAX);
        let (sender, published) = watch::channel(published);
        (Self { requests, published }, ControlChannel { requests: received, published: sender })
    }

    /// Waits until the state or a process has changed since the last call on this clone.
    ///
    /// # Errors
    /// If the store has stopped.
    pub async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        self.published.changed().await
    }
}

impl StoreControls for Controls {
    fn state(&self) -> ControlsState {
        self.published.borrow().state.clone()
    }

    fn processes(&self) -> Vec<OwnedProcess> {
        self.published.borrow().processes.clone()
    }

    fn perform(&self, control: Control) -> BoxFuture<'_, Result<(), ControlError>> {
        let failed = |why: &str| ControlError::Failed(why.to_owned());
        async move {
            let (answer, answered) = oneshot::channel();
            self.requests.try_send(ControlRequest { control, answer }).map_err(|error| match error {
                TrySendError::Full(_) => failed("too many requests are waiting; try again when they are done"),
                TrySendError::Closed(_) => failed("the store is stopping"),
            })?;
            answered.await.unwrap_or_else(|_| Err(failed("the store is stopping")))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use store_console::Shoppers;

    use super::*;

    fn controls() -> (Controls, ControlChannel) {
        let shoppers = Shoppers { count: 0, order_probability: 0.5, hot_product: None };
        let state = ControlsState { shoppers, cache: true, cut: Vec::new(), slow: Vec::new(), full: Vec::new() };
        Controls::new(Published { state, processes: Vec::new() })
    }

    #[tokio::test]
    async fn the_number_of_waiting_requests_is_bounded() {
        let (controls, _channel) = controls();
        let mut waiting: Vec<_> = (0..REQUESTS_MAX).map(|_| controls.perform(Control::HealAll)).collect();
        assert!(waiting.iter_mut().all(|request| request.now_or_never().is_none()));
        let refused = controls.perform(Control::HealAll).await.unwrap_err();
        assert!(refused.to_string().contains("too many requests"), "{refused}");
    }

    #[tokio::test]
    async fn a_stopped_store_carries_nothing_out() {
        let (controls, mut channel) = controls();
        let mut waiting = controls.perform(Control::KillAll);
        assert!((&mut waiting).now_or_never().is_none());
        drop(channel.requests.try_recv());
        drop(channel);
        for refused in [waiting.await, controls.perform(Control::KillAll).await] {
            assert_eq!(refused, Err(ControlError::Failed("the store is stopping".into())));
        }
    }
}
