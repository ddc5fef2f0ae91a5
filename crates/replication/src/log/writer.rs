//! The thread that writes the log. Everything queued while it works goes to disk together.

use std::sync::Arc;

use prometheus::Histogram;
use service::lifecycle::{ExitCode, fatal};
use service::world::BlockingWorker;

use super::error::LogError;
use super::segments::UnsyncedBatch;
use super::shared::Shared;
use crate::disk_space::faults::DiskFaults;

/// A batch that is written and has to be synced.
struct PendingSync {
    written: UnsyncedBatch,
    /// The number of the last change in it.
    changes: u64,
    timer: prometheus::HistogramTimer,
}

/// Starts the thread; it ends when the last clone of the handle is dropped. `synced` observes how
/// long each write took, in seconds.
///
/// A failed write ends the process, since the content of the disk is unknown then.
pub(super) fn spawn(shared: Arc<Shared>, faults: DiskFaults, synced: Histogram) -> std::io::Result<BlockingWorker> {
    let also = Arc::clone(&shared);
    let begin = move || or_end(begin(&also, &synced)).flatten();
    let finish = move |begun| {
        if let Some(delay) = faults.sync_delay() {
            #[expect(
                clippy::disallowed_methods,
                reason = "the writer has a thread of its own, which blocks in a sync anyway"
            )]
            std::thread::sleep(delay);
        }
        or_end(finish(&shared, begun));
    };
    BlockingWorker::spawn("replication-log", begin, finish)
}

fn or_end<T>(done: Result<T, LogError>) -> Option<T> {
    match done {
        Ok(done) => Some(done),
        // openraft is being stopped. It must never hear that the write was made.
        Err(LogError::Closed) => None,
        Err(error) => fatal(ExitCode::Io, error),
    }
}

fn begin(shared: &Shared, synced: &Histogram) -> Result<Option<PendingSync>, LogError> {
    let Some((batch, changes)) = shared.recent_mut().take_queue() else { return Ok(None) };
    let timer = synced.start_timer();
    let written = shared.segments().as_mut().ok_or(LogError::Closed)?.write(batch)?;
    Ok(Some(PendingSync { written, changes, timer }))
}

fn finish(shared: &Shared, PendingSync { written, changes, timer }: PendingSync) -> Result<(), LogError> {
    shared.segments().as_mut().ok_or(LogError::Closed)?.sync(written)?;
    timer.observe_duration();
    shared.note_flushed(changes);
    Ok(())
}
