//! Collects violations: lists a bounded number of them, and counts all.

use std::collections::BTreeSet;

use api::OrderId;

use crate::verdict::{Counts, Verdict, Violation};

/// The violations and counts that the checkers have found so far.
#[derive(Debug)]
pub(crate) struct Findings {
    violations: Vec<Violation>,
    violations_max: usize,
    lost: BTreeSet<OrderId>,
    duplicated: BTreeSet<OrderId>,
    pub(crate) counts: Counts,
}

impl Findings {
    pub(crate) fn new(violations_max: usize) -> Self {
        Self {
            violations: Vec::new(),
            violations_max,
            lost: BTreeSet::new(),
            duplicated: BTreeSet::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn add(&mut self, violation: Violation) {
        self.counts.violations += 1;
        match &violation {
            Violation::Lost { call, .. }
            | Violation::Overwritten { call, .. }
            | Violation::ReadDiffers { call, .. }
            | Violation::Vanished { call, .. } => _ = self.lost.insert(call.order_id),
            Violation::TwoNumbers { one, .. } | Violation::NumberShared { one, .. } => {
                self.duplicated.insert(one.order_id);
            }
            Violation::PlacedTwice { again, .. } => _ = self.duplicated.insert(again.order_id),
            Violation::StaleRead { .. } => self.counts.stale_reads += 1,
            _ => {}
        }
        if self.violations.len() < self.violations_max {
            self.violations.push(violation);
        }
    }

    pub(crate) fn into_verdict(self) -> Verdict {
        let (lost, duplicated) = (self.lost.len() as u64, self.duplicated.len() as u64);
        Verdict { violations: self.violations, counts: Counts { lost, duplicated, ..self.counts } }
    }
}
