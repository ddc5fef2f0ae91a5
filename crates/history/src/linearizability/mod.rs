//! I5: a product read is linearizable with the orders that were acknowledged.
//!
//! A history is linearizable if each call can be given one moment between its call and its return at which it takes effect, so that
//! the effects, in the order of their moments, are what one product on one shelf would do (Herlihy, Wing: Linearizability, TOPLAS
//! 1990). Whether there are such moments is searched for with the algorithm of Wing and Gong (Testing and Verifying Concurrent Objects,
//! JPDC 1993): linearize any call that began before all others have ended, and go on; go back when that does not work. With
//! Lowe's improvement (Testing for linearizability, CCPE 2017): a configuration, which is the set of linearized calls and the
//! state, is visited once. Products are independent, so each is judged by itself (Horn, Kroening: Faster linearizability checking via
//! P-compositionality, FORTE 2015).
//!
//! # The shelf
//! * An **acknowledged** order takes its quantity, once, before it returns. So does an order without an answer that is in the ledger: at the
//!   latest when an order of the same or a higher number was acknowledged, or it was read.
//! * A **refused** order (out of stock) finds less than its quantity. One that is sent again before it was answered joins the attempt that
//!   is under way and gets its answer, which may have been decided before it was sent again.
//! * A **read** tells what is there.
//! * A **restock** brings a product that is sold out to its level, at any moment; in the whole as often as the books say.
//! * In a quiet store, the **books** are one more read, after all else.
//! * **Give-backs.** When an order leader dies between *reserve* and *place*, its reservation was visible and is given back; then it
//!   may be made again. So ([`GiveBacks::Anytime`](crate::GiveBacks)) any order that is under way may hold its quantity or not, from
//!   moment to moment: an acknowledged one until it is acknowledged, a refused one until it is refused, one without an answer from its call
//!   on for ever.
//!
//! # How the search stays small
//! * *Reads and refusals change nothing*: one that can be linearized now, is. No later choice becomes impossible by that.
//! * *With give-backs, an order takes for good when it must*, that is when it returns. Until then it may or may not hold its
//!   quantity, which explains all that an earlier taking would. So no order of takings is searched for; what can be on the shelf is the stock
//!   less the sum of *some* of the orders under way ([`sums`]). Only the moments of restocks are a choice.
//! * *Without them, of several takings of the same quantity the one that returns first goes first*: in any explanation the two could be
//!   exchanged.
//!
//! # What it says
//! When nothing explains a history, the call that no explanation gets past is named, with what it could have said. It is often, but
//! not always, the culprit: a read that was wrong may have been explained by a restock that makes a later one wrong. A read or a refusal
//! is then left out, and the rest is judged again, so that one stale read does not hide another.

mod problem;
mod search;
mod sums;

use std::collections::BTreeMap;

use api::catalog::StockAccount;

use crate::call::{History, ProductCall, ProductOutcome};
use crate::findings::Findings;
use crate::index::Index;
use crate::ledger::Ledger;
use crate::options::Options;
use crate::verdict::Violation;

use problem::{Evidence, Problem, Source};
use search::{Answer, Stuck, search};

/// Calls of one product that are named and left out before the rest is not looked at any more.
const BLAMED_MAX: usize = 20;

/// Each product by itself. A product without books is undecided: nobody knows what it began with.
pub(crate) fn check(
    history: &History,
    index: &Index<'_>,
    ledgers: &[Ledger<'_>],
    accounts: &[StockAccount],
    options: &Options,
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

fn check_product(mut problem: Problem<'_>, account: &StockAccount, options: &Options, findings: &mut Findings) {
    let mut budget = options.budget.configurations_max;
    for _ in 0..BLAMED_MAX {
        let (answer, visited) = search(&problem, budget);
        budget = budget.saturating_sub(visited);
        findings.counts.configurations += visited;
        match answer {
            Answer::Explained => return,
            Answer::Undecided => {
                findings.counts.undecided += 1;
                return;
            }
            Answer::Stuck(stuck) => {
                findings.add(violation(&problem, &stuck, account));
                if !problem.leave_out(stuck.op) {
                    return;
                }
            }
        }
    }
}

fn violation(problem: &Problem<'_>, stuck: &Stuck, account: &StockAccount) -> Violation {
    let allowed = stuck.allowed;
    match problem.op(stuck.op).source {
        Source::Read(call) => Violation::StaleRead { call: call.clone(), allowed },
        Source::Refusal(call) => Violation::RefusedWithStock { call: call.clone(), allowed },
        Source::Order(call) => Violation::Oversold { call: call.clone(), allowed },
        Source::Books => Violation::EndsWrong { product: account.name.clone(), stock: account.stock.0, allowed },
    }
}
