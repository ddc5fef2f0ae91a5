//! Progress messages on standard error.

use std::time::Instant;

/// Writes progress messages with the seconds since its creation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BenchProgress(Instant);

impl BenchProgress {
    /// Starts counting the seconds.
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Writes one line.
    pub(crate) fn line(self, what: impl AsRef<str>) {
        eprintln!("{:>6.0} s  {}", self.0.elapsed().as_secs_f64(), what.as_ref());
    }
}
