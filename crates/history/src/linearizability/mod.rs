//! I5: product reads are linearizable with the acknowledged orders.
//!
//! A history is linearizable if each call can be assigned one moment between its call and its
//! return at which it takes effect, such that the effects, in the order of these moments, are
//! possible for one stock of one product (Herlihy and Wing: Linearizability, TOPLAS 1990). The
//! search for such moments is the algorithm of Wing and Gong (Testing and Verifying Concurrent
//! Objects, JPDC 1993): linearize any call that began before all others have returned, continue,
//! and backtrack if this leads nowhere. With Lowe's improvement (Testing for linearizability, CCPE
//! 2017), each configuration (the set of linearized calls, and the state) is visited once. Products
//! are independent, so each product is checked by itself (Horn and Kroening: Faster linearizability
//! checking via P-compositionality, FORTE 2015).
//!
//! # The model
//! * An **acknowledged** order takes its quantity once, before it returns. An order without an
//!   answer that is in the ledger takes it too: at the latest when an order with the same or a
//!   higher number was acknowledged, or when it was read.
//! * A **refused** order (out of stock) finds less than its quantity once, between its first
//!   attempt and the first such answer. A later answer repeats this decision (I7).
//! * A **read** returns the stock.
//! * A **restock** adds a fixed number of pieces to a product that is sold out, at any moment, as
//!   often as the stock account says.
//! * In a quiet store, the **final stock** is one more read, after everything else.
//! * **Releases.** If an order leader dies between *reserve* and *place*, its reservation was
//!   visible and is released, and a retry may reserve again. So, with
//!   [`Releases::Anytime`](crate::Releases), any order in flight may or may not hold its quantity,
//!   from moment to moment: an acknowledged one until it is acknowledged, a refused one until it is
//!   refused, and one without an answer from its call on, forever.
//!
//! # Why the search stays small
//! * *Reads and refusals change nothing*, so one that can be linearized now is linearized now. This
//!   makes no later choice impossible.
//! * *With releases, an order takes its quantity for good when it returns*, and not earlier. Until
//!   then it may or may not hold it, which explains everything that an earlier moment would. So the
//!   search need not order these moments: the possible stock is the stock without the orders in
//!   flight, less the sum of *some* of their quantities ([`sums`]). Only the moments of restocks
//!   are a choice.
//! * *Without releases, of several orders with the same quantity the one that returns first takes
//!   it first*: in any linearization, the two could be exchanged.
//!
//! # What is reported
//! If there is no linearization, the report names the call that no linearization gets past, and the
//! stock that was possible there. This call is often, but not always, the wrong one: a restock may
//! have explained a wrong read and then make a later read impossible. A read or a refusal is then
//! excluded, and the rest is checked again, so that one stale read does not hide another.
//!
//! # Reading order
//! [`problem`] (the calls as operations on one stock), [`sums`], and [`search`].

mod problem;
mod search;
mod sums;

use std::collections::BTreeMap;

use api::catalog::StockAccount;

use crate::call::{History, ProductCall, ProductOutcome};
use crate::findings::Findings;
use crate::ledger::ParsedLedger;
use crate::options::CheckOptions;
use crate::order_index::OrderIndex;
use crate::verdict::Violation;

use problem::{Evidence, OperationSource, Problem};
use search::{Contradiction, SearchOutcome, search};

/// How many calls of one product are reported and excluded before its check stops.
const EXCLUDED_MAX: usize = 20;

/// Checks each product by itself. A product without a stock account is undecided, because its
/// initial stock is not known.
pub(crate) fn check(
    history: &History,
    index: &OrderIndex<'_>,
    ledgers: &[ParsedLedger<'_>],
    accounts: &[StockAccount],
    options: &CheckOptions,
    findings: &mut Findings,
) {
    let mut reads: BTreeMap<_, Vec<&ProductCall>> = BTreeMap::new();
    for read in &history.products {
        if matches!(read.outcome, ProductOutcome::Quantity(_)) {
            findings.counts.product_reads += 1;
            reads.entry(&read.product).or_default().push(read);
        }
    }
    let evidence = Evidence::new(history, index, ledgers, options);
    for account in accounts {
        let reads = reads.remove(&account.name).unwrap_or_default();
        check_product(evidence.problem(account, &reads), account, options, findings);
    }
    findings.counts.undecided += reads.len() as u64;
}

fn check_product(mut problem: Problem<'_>, account: &StockAccount, options: &CheckOptions, findings: &mut Findings) {
    let mut budget = options.budget.configurations_max;
    for _ in 0..EXCLUDED_MAX {
        let (answer, visited) = search(&problem, budget);
        budget = budget.saturating_sub(visited);
        findings.counts.configurations += visited;
        match answer {
            SearchOutcome::Linearizable => return,
            SearchOutcome::Undecided => {
                findings.counts.undecided += 1;
                return;
            }
            SearchOutcome::Contradiction(contradiction) => {
                findings.add(violation(&problem, &contradiction, account));
                if !problem.exclude(contradiction.op) {
                    return;
                }
            }
        }
    }
}

fn violation(problem: &Problem<'_>, contradiction: &Contradiction, account: &StockAccount) -> Violation {
    let allowed = contradiction.allowed;
    match problem.op(contradiction.op).source {
        OperationSource::Read(call) => Violation::StaleRead { call: call.clone(), allowed },
        OperationSource::Refusal(call) => Violation::RefusedWithStock { call: call.clone(), allowed },
        OperationSource::Order(call) => Violation::Oversold { call: call.clone(), allowed },
        OperationSource::FinalStock => {
            Violation::EndsWrong { product: account.name.clone(), stock: account.stock.0, allowed }
        }
    }
}
