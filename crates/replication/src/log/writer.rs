//! The thread that writes the log.

use std::sync::Arc;
use std::thread;

use prometheus::Histogram;
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::disk::{Change, LogError};

/// The engine waits for each write before the next; the rest is room for the few writes of a start and an end.
const QUEUE_MAX: usize = 8;

struct Order {
    change: Change,
    done: oneshot::Sender<Result<(), LogError>>,
}

/// Where writes are ordered. The thread ends with its last clone.
#[derive(Clone)]
pub(super) struct Writer(mpsc::Sender<Order>);

impl Writer {
    pub(super) fn spawn(shared: Arc<Shared>, synced: Histogram) -> std::io::Result<Self> {
        let (orders, mut queue) = mpsc::channel::<Order>(QUEUE_MAX);
        thread::Builder::new().name("replication-log".to_owned()).spawn(move || {
            while let Some(Order { change, done }) = queue.blocking_recv() {
                let timer = synced.start_timer();
                let written = shared.write(change);
                timer.observe_duration();
                // Who ordered it may have been stopped meanwhile.
                let _ = done.send(written);
            }
        })?;
        Ok(Self(orders))
    }

    /// Returns when `change` is durable.
    pub(super) async fn write(&self, change: Change) -> Result<(), LogError> {
        let (done, written) = oneshot::channel();
        // The thread lives as long as its orderers, unless it panicked.
        self.0.send(Order { change, done }).await.map_err(|_| LogError::WriterGone)?;
        written.await.map_err(|_| LogError::WriterGone)?
    }
}
