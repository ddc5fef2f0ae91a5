//! The outcome of a benchmark.

use report::Document;
use serde::Serialize;
use serde_json::Value;

use crate::result::BenchResult;

/// The outcome of a benchmark.
#[derive(Debug)]
pub(crate) struct BenchOutcome {
    /// The results; one line each.
    pub(crate) results: Vec<BenchResult>,
    /// Tables and remarks for the page.
    pub(crate) details: Document,
    /// The figures of every round, as JSON.
    pub(crate) raw: Value,
}

impl BenchOutcome {
    /// An outcome with these results.
    ///
    /// # Panics
    /// If `raw` cannot be serialized as JSON.
    pub(crate) fn new(results: Vec<BenchResult>, details: Document, raw: &impl Serialize) -> Self {
        Self { results, details, raw: serde_json::to_value(raw).expect("figures can be serialized") }
    }
}
