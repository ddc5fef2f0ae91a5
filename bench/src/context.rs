//! What all benchmarks are given.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::profile::Profile;
use crate::progress::BenchProgress;

/// What all benchmarks are given.
pub(crate) struct BenchContext {
    /// The store's binary.
    pub(crate) binary: PathBuf,
    /// How much is measured.
    pub(crate) profile: Profile,
    /// Reports progress to the user.
    pub(crate) progress: BenchProgress,
    /// The directory for all files.
    pub(crate) root: PathBuf,
}

impl BenchContext {
    /// Creates a directory for the files of one benchmark.
    pub(crate) fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.root.join(name);
        std::fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }
}
