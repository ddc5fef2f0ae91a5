//! What the handlers of the console's port share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::desk::ControlDesk;
use crate::hub::Frames;

/// The most pages at once. Each of them gets every frame.
pub(super) const FEEDS_MAX: usize = 32;

/// What the handlers need.
#[derive(Clone, Debug)]
pub(crate) struct ConsoleServer {
    pub(crate) frames: Frames,
    pub(crate) store_url: Option<String>,
    /// `None`: read-only.
    pub(crate) controls: Option<ControlDesk>,
    pub(super) feeds: Arc<Semaphore>,
}

impl ConsoleServer {
    /// The state of a new port.
    pub(crate) fn new(frames: Frames, store_url: Option<String>, controls: Option<ControlDesk>) -> Self {
        Self { frames, store_url, controls, feeds: Arc::new(Semaphore::new(FEEDS_MAX)) }
    }
}
