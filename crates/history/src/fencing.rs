//! I6: a deposed leader can neither take stock nor place an order.
//!
//! From outside this shows in I1 to I4: an order that a deposed leader placed is lost or has its number twice, stock that it took leaks.
//! An observer inside the store, such as a simulation, sees more: each batch as it takes effect. These are judged here.

use std::collections::BTreeMap;

use crate::call::{Act, ActPlace};
use crate::findings::Findings;
use crate::verdict::Violation;

/// In each place terms never go back, batches come in their turn, and a term has one leader.
pub(crate) fn check(acts: &[Act], findings: &mut Findings) {
    let mut last: BTreeMap<ActPlace, Act> = BTreeMap::new();
    let mut led = BTreeMap::new();
    for act in acts {
        if let Some(earlier) = last.get(&act.place).copied() {
            if act.batch.term < earlier.batch.term {
                findings.add(Violation::TermWentBack { earlier, later: *act });
                continue;
            }
            if act.batch <= earlier.batch {
                findings.add(Violation::BatchOutOfTurn { earlier, later: *act });
                continue;
            }
        }
        last.insert(act.place, *act);
        if act.leader.is_some() {
            let earlier: Act = *led.entry(act.batch.term).or_insert(*act);
            if earlier.leader != act.leader {
                findings.add(Violation::TwoLeaders { earlier, later: *act });
            }
        }
    }
}
