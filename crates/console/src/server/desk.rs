//! Carries controls out, one after the other.

use std::sync::Arc;

use service::events::now_us;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};

use crate::control::{Control, ControlError, StoreControls};

/// The most controls that wait for their turn.
pub(super) const WAITING_MAX: usize = 16;

/// Carries controls out, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct ControlDesk {
    controls: Arc<dyn StoreControls>,
    /// Where clicks are shown, with their times.
    clicked: mpsc::Sender<(Control, u64)>,
    turn: Arc<Mutex<()>>,
    waiting: Arc<Semaphore>,
}

impl ControlDesk {
    pub(crate) fn new(controls: Arc<dyn StoreControls>, clicked: mpsc::Sender<(Control, u64)>) -> Self {
        Self { controls, clicked, turn: Arc::default(), waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// A place to wait for one's turn; `None` if all are taken.
    pub(super) fn queue(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiting).try_acquire_owned().ok()
    }

    /// Waits for its turn, and carries a control out.
    pub(super) async fn perform(self, control: Control) -> Result<(), ControlError> {
        let _turn = self.turn.lock().await;
        // A full queue of clicks only means that this one is not shown.
        let _ = self.clicked.try_send((control.clone(), now_us()));
        self.controls.perform(control).await
    }
}
