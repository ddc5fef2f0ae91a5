//! Checks what clients observed of a store, real or simulated, against the invariants I1 to I7 of
//! `docs/architecture.md`.
//!
//! An observer records each call: when it began and returned, on *one* clock, and its outcome. The
//! result is a [`History`]; a [`HistoryRecorder`] collects it from many threads. At the end, the
//! observer adds the ledgers and the catalog's stock accounts: an [`EndState`]. [`check`] compares
//! both with the invariants, and returns a [`Verdict`]: what was violated, and by which calls.
//!
//! # What the checkers trust
//! Nothing inside the store. A checker knows the requests, the answers, and the contents of the
//! disks at the end. So the same checkers serve real processes, simulated ones, and handwritten
//! histories.
//!
//! # What an answer means
//! * *Acknowledged*: the order has its number, forever.
//! * *Refused for good* (out of stock, no such product, another order under the key): the key stays
//!   refused, forever.
//! * *Refused*: this request has ordered nothing, but the next one with the same key may. Only
//!   codes that promise this count: see [`OrderOutcome::of_error`].
//! * *Unknown*: everything else. The order may have been placed, may be placed later, or never.
//!
//! # Reading order
//! `call`, `recorder`, `end` and `options` are the input, `verdict` and `findings` the output. Each
//! checker uses `order_index` and `ledger`: `durability` (I1), `numbering` (I2 and I3), `ledger`
//! (I3), `conservation` (I4), `linearizability` (I5), `fencing` (I6) and `finality` (I7).

mod call;
mod conservation;
mod durability;
mod end;
mod fencing;
mod finality;
mod findings;
mod ledger;
mod linearizability;
mod numbering;
mod options;
mod order_index;
mod recorder;
mod verdict;

use findings::Findings;
use order_index::OrderIndex;

pub use call::{
    BatchEffect, ClientId, EffectTarget, History, Moment, OrderCall, OrderOutcome, OrderRead, OrderReadOutcome,
    ProductCall, ProductOutcome,
};
pub use end::{EndState, LedgerFile};
pub use options::{Budget, CheckOptions, Releases};
pub use recorder::{HistoryRecorder, RecorderFull};
pub use verdict::{Allowed, Counts, LedgerLine, Verdict, Violation};

/// Checks a history and the end state of the store against the invariants.
///
/// # Panics
/// If a call returned before it was called (the observer did not use one clock), or if a call
/// without a return has a known outcome.
pub fn check(history: &History, end: &EndState, options: &CheckOptions) -> Verdict {
    check_clock(history);
    let mut findings = Findings::new(options.violations_max);
    let index = OrderIndex::new(history);
    index.count(options, &mut findings);
    let ledgers = ledger::read(&end.ledgers, &mut findings);
    durability::check(history, &index, &ledgers, &mut findings);
    numbering::check(&index, &ledgers, &mut findings);
    finality::check(&index, &ledgers, options, &mut findings);
    ledger::check(&ledgers, &mut findings);
    conservation::check(&index, &ledgers, &end.accounts, options, &mut findings);
    linearizability::check(history, &index, &ledgers, &end.accounts, options, &mut findings);
    fencing::check(&history.effects, &mut findings);
    findings.into_verdict()
}

fn check_clock(history: &History) {
    let orders = history.orders.iter().map(|call| (call.called, call.returned, call.outcome == OrderOutcome::Unknown));
    let products =
        history.products.iter().map(|call| (call.called, call.returned, call.outcome == ProductOutcome::Unknown));
    let reads =
        history.order_reads.iter().map(|call| (call.called, call.returned, call.outcome == OrderReadOutcome::Unknown));
    for (called, returned, unknown) in orders.chain(products).chain(reads) {
        match returned {
            Some(returned) => assert!(called <= returned, "the call at {called} returned earlier, at {returned}"),
            None => assert!(unknown, "the call at {called} never returned, but its outcome is known"),
        }
    }
}
