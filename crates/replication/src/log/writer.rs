//! The thread that writes the log: everything that has been queued meanwhile goes to the disk at once.

use std::sync::Arc;

use prometheus::Histogram;
use service::lifecycle::{ExitCode, fatal};
use service::world::Worker;

use super::Shared;
use super::disk::{LogError, Written};
use crate::disk_faults::DiskFaults;

/// What was written and is to be synced.
struct Begun {
    written: Written,
    /// The number of the last change in it.
    changes: u64,
    timer: prometheus::HistogramTimer,
}

/// Begins the thread; it ends with the last clone of what is given. `synced` observes how long each write took, in seconds.
///
/// A failed write ends the process: nobody knows what the disk holds then.
pub(super) fn spawn(shared: Arc<Shared>, faults: DiskFaults, synced: Histogram) -> std::io::Result<Worker> {
    let also = Arc::clone(&shared);
    let begin = move || or_end(begin(&also, &synced)).flatten();
    let finish = move |begun| {
        if let Some(delay) = faults.sync_delay() {
            #[expect(
                clippy::disallowed_methods,
                reason = "on the writer's own thread, where a sync takes its time, too"
            )]
            std::thread::sleep(delay);
        }
        or_end(finish(&shared, begun));
    };
    Worker::spawn("replication-log", begin, finish)
}

fn or_end<T>(done: Result<T, LogError>) -> Option<T> {
    match done {
        Ok(done) => Some(done),
        // The engine is being stopped. It must never be told that the write was done.
        Err(LogError::Closed) => None,
        Err(error) => fatal(ExitCode::Io, error),
    }
}

fn begin(shared: &Shared, synced: &Histogram) -> Result<Option<Begun>, LogError> {
    let Some((batch, changes)) = shared.tail_mut().take_queue() else { return Ok(None) };
    let timer = synced.start_timer();
    let written = shared.disk().as_mut().ok_or(LogError::Closed)?.write(batch)?;
    Ok(Some(Begun { written, changes, timer }))
}

fn finish(shared: &Shared, Begun { written, changes, timer }: Begun) -> Result<(), LogError> {
    shared.disk().as_mut().ok_or(LogError::Closed)?.sync(written)?;
    timer.observe_duration();
    shared.is_durable(changes);
    Ok(())
}
