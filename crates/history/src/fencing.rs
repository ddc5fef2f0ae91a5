//! I6: a deposed leader can neither reserve stock nor place an order.
//!
//! Clients see a violation as a violation of I1 to I4: an order that a deposed leader placed is
//! lost or shares its number, and stock that it reserved leaks. An observer inside the store, such
//! as the simulation, sees more: each batch as it takes effect. This module checks these effects.

use std::collections::BTreeMap;

use crate::call::{BatchEffect, EffectTarget};
use crate::findings::Findings;
use crate::verdict::Violation;

/// Within each target, terms never go back and batches take effect in order. A term has one leader.
pub(crate) fn check(effects: &[BatchEffect], findings: &mut Findings) {
    let mut last: BTreeMap<EffectTarget, BatchEffect> = BTreeMap::new();
    let mut first_of_term = BTreeMap::new();
    for effect in effects {
        if let Some(earlier) = last.get(&effect.target).copied() {
            if effect.batch.term < earlier.batch.term {
                findings.add(Violation::TermWentBack { earlier, later: *effect });
                continue;
            }
            if effect.batch <= earlier.batch {
                findings.add(Violation::BatchOutOfTurn { earlier, later: *effect });
                continue;
            }
        }
        last.insert(effect.target, *effect);
        if effect.leader.is_some() {
            let earlier: BatchEffect = *first_of_term.entry(effect.batch.term).or_insert(*effect);
            if earlier.leader != effect.leader {
                findings.add(Violation::TwoLeaders { earlier, later: *effect });
            }
        }
    }
}
