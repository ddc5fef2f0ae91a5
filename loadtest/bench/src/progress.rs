//! What is going on, on standard error.

use std::time::Instant;

/// Tells it, with the seconds since the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress(Instant);

impl Progress {
    /// The beginning.
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// One line.
    pub(crate) fn line(self, what: impl AsRef<str>) {
        eprintln!("{:>6.0} s  {}", self.0.elapsed().as_secs_f64(), what.as_ref());
    }
}
