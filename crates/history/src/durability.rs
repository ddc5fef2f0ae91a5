//! I1: an acknowledged order is never lost and never changes.

use std::collections::BTreeMap;

use api::OrderNumber;

use crate::call::{History, OrderCall, OrderRead, OrderReadOutcome};
use crate::findings::Findings;
use crate::ledger::ParsedLedger;
use crate::order_index::{OrderIndex, returned_at};
use crate::verdict::{LedgerLine, Violation};

/// Checks that each acknowledged order is in every ledger that is long enough, and in the longest
/// one. Each read of an order must agree with its acknowledgement, with the longest ledger, and
/// with other reads.
pub(crate) fn check(history: &History, index: &OrderIndex<'_>, ledgers: &[ParsedLedger<'_>], findings: &mut Findings) {
    for (number, calls) in &index.by_number {
        let first_of_its_order =
            |(at, call): &(usize, &&OrderCall)| !calls[..*at].iter().any(|c| c.order_id == call.order_id);
        for (_, call) in calls.iter().enumerate().filter(first_of_its_order) {
            in_ledgers(*number, call, ledgers, findings);
        }
    }
    let mut reads: BTreeMap<OrderNumber, Vec<&OrderRead>> = BTreeMap::new();
    for read in history.order_reads.iter().filter(|read| read.outcome != OrderReadOutcome::Unknown) {
        findings.counts.order_reads += 1;
        reads.entry(read.number).or_default().push(read);
    }
    for (number, reads) in reads {
        let acknowledged = index.by_number.get(&number).map(|calls| calls[0]);
        match acknowledged {
            Some(call) => agree_with_acknowledgement(call, &reads, findings),
            None => agree_with_each_other(&reads, findings),
        }
        if let Some(longest) = ledgers.first().filter(|_| acknowledged.is_none()) {
            agree_with_ledger(longest, &reads, findings);
        }
    }
}

fn in_ledgers(number: OrderNumber, call: &OrderCall, ledgers: &[ParsedLedger<'_>], findings: &mut Findings) {
    let Some((longest, _)) = ledgers.split_first() else { return };
    if longest.get(number).is_none() {
        let (ledger, lines) = (longest.ordinal, longest.lines.len() as u64);
        findings.add(Violation::Lost { call: call.clone(), ledger, lines });
    }
    for ledger in ledgers {
        let same = |line: &&LedgerLine| {
            (line.number, line.order_id, &line.product, line.quantity)
                == (number, call.order_id, &call.product, call.quantity)
        };
        if let Some(found) = ledger.get(number).filter(|line| !same(line)) {
            let (call, ledger, found) = (call.clone(), ledger.ordinal, found.clone());
            findings.add(Violation::Overwritten { call, ledger, found });
        }
    }
}

fn agree_with_acknowledgement(call: &OrderCall, reads: &[&OrderRead], findings: &mut Findings) {
    for read in reads {
        match &read.outcome {
            OrderReadOutcome::Found { product, quantity } if *product == call.product && *quantity == call.quantity => {
            }
            OrderReadOutcome::Found { .. } => {
                findings.add(Violation::ReadDiffers { call: call.clone(), read: (*read).clone() });
            }
            OrderReadOutcome::NotFound if returned_at(call) < read.called => {
                findings.add(Violation::Vanished { call: call.clone(), read: (*read).clone() });
            }
            OrderReadOutcome::NotFound | OrderReadOutcome::Unknown => {}
        }
    }
}

/// Once an order was found, it must be found forever, and unchanged.
fn agree_with_each_other(reads: &[&OrderRead], findings: &mut Findings) {
    let found = |read: &&&OrderRead| matches!(read.outcome, OrderReadOutcome::Found { .. });
    let Some(first) = reads.iter().filter(found).min_by_key(|read| read.returned) else { return };
    for later in reads {
        let differs = match later.outcome {
            OrderReadOutcome::Found { .. } => later.outcome != first.outcome,
            OrderReadOutcome::NotFound => first.returned.is_some_and(|returned| returned < later.called),
            OrderReadOutcome::Unknown => false,
        };
        if differs {
            findings.add(Violation::ReadsDiffer { earlier: (*first).clone(), later: (*later).clone() });
        }
    }
}

/// An order that was read must be in the longest ledger, because it was committed.
fn agree_with_ledger(longest: &ParsedLedger<'_>, reads: &[&OrderRead], findings: &mut Findings) {
    for read in reads {
        let OrderReadOutcome::Found { product, quantity } = &read.outcome else { continue };
        let found = longest.get(read.number);
        if !found.is_some_and(|line| line.product == *product && line.quantity == *quantity) {
            let (read, ledger, found) = ((*read).clone(), longest.ordinal, found.cloned());
            findings.add(Violation::ReadNotInLedger { read, ledger, found });
        }
    }
}
