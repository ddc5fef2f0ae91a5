//! The log of a drill: the log lines of all members in one file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use workload::RunClock;

use crate::local::LogSink;

/// Collects the log lines of all members. Cheap to clone.
#[derive(Clone)]
pub(super) struct DrillLog {
    clock: RunClock,
    file: Arc<Mutex<BufWriter<File>>>,
}

impl DrillLog {
    /// Creates the file, or truncates it.
    pub(super) fn begin(path: &Path, clock: RunClock) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        Ok(Self { clock, file: Arc::new(Mutex::new(file)) })
    }

    /// The sink for the members' log lines.
    pub(super) fn sink(&self) -> LogSink {
        let log = self.clone();
        Arc::new(move |member, line| {
            let now = log.clock.now();
            // A full disk must not stop the drill.
            let _ = writeln!(log.file(), "{now:>16} {:>10} | {line}", member.to_string());
        })
    }

    /// Adds a line of the drill itself, and flushes the file: this process may be killed next.
    pub(super) fn note(&self, line: &str) {
        let now = self.clock.now();
        let mut file = self.file();
        let _ = writeln!(file, "{now:>16} {:>10} | {line}", "drill");
        let _ = file.flush();
    }

    fn file(&self) -> MutexGuard<'_, BufWriter<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
