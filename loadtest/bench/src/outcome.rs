//! What a benchmark came to.

use report::Document;
use serde::Serialize;
use serde_json::Value;

use crate::finding::Finding;

/// What a benchmark came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What decides; one line each.
    pub(crate) findings: Vec<Finding>,
    /// Tables and remarks for the page.
    pub(crate) details: Document,
    /// Every round, as JSON.
    pub(crate) raw: Value,
}

impl Outcome {
    /// Puts it together.
    ///
    /// # Panics
    /// If `raw` has no JSON form.
    pub(crate) fn new(findings: Vec<Finding>, details: Document, raw: &impl Serialize) -> Self {
        Self { findings, details, raw: serde_json::to_value(raw).expect("figures have a JSON form") }
    }
}
