//! The thread that writes the log.

use std::sync::Arc;

use prometheus::Histogram;
use service::world::Worker;

use super::Shared;
use super::disk::{Change, LogError};

/// Where writes are ordered. The thread ends with its last clone.
#[derive(Clone)]
pub(super) struct Writer(Worker<Change, Result<(), LogError>>);

impl Writer {
    pub(super) fn spawn(shared: Arc<Shared>, synced: Histogram) -> std::io::Result<Self> {
        let write = move |change| {
            let _timer = synced.start_timer();
            shared.write(change)
        };
        Worker::spawn("replication-log", write).map(Self)
    }

    /// Returns when `change` is durable.
    pub(super) async fn write(&self, change: Change) -> Result<(), LogError> {
        // The thread lives as long as its orderers, unless it panicked.
        self.0.run(change).await.unwrap_or(Err(LogError::WriterGone))
    }
}
