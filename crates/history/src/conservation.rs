//! I4: every piece is in stock, reserved or sold, and what is sold was ordered.

use std::collections::BTreeMap;

use api::ProductName;
use api::catalog::StockAccount;

use crate::call::OrderCall;
use crate::findings::Findings;
use crate::index::{Index, Wish};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::verdict::Violation;

/// Judges the catalog's books by themselves, and by the orders. Without books it says nothing.
pub(crate) fn check(
    index: &Index<'_>,
    ledgers: &[Ledger<'_>],
    accounts: &[StockAccount],
    options: &Options,
    findings: &mut Findings,
) {
    if accounts.is_empty() {
        return;
    }
    let acknowledged = acknowledged(index);
    let placed = ledgers.first().map(placed);
    let pieces = |by_product: &BTreeMap<&ProductName, u64>, account: &StockAccount| {
        by_product.get(&account.name).copied().unwrap_or(0)
    };
    for account in accounts {
        by_itself(account, options, findings);
        let in_orders = pieces(&acknowledged.pieces, account);
        // Orders go on being settled in a store that is not quiet: only what was acknowledged before is known to have been taken.
        let (pieces, agrees) = match &placed {
            Some(placed) if options.quiet => (pieces(placed, account), account.sold == pieces(placed, account)),
            _ => (in_orders, account.sold.saturating_add(account.reserved) >= in_orders),
        };
        if !agrees {
            findings.add(Violation::SoldDiffers { account: account.clone(), pieces });
        }
    }
    for call in acknowledged.calls.iter().filter(|call| !accounts.iter().any(|account| account.name == call.product)) {
        findings.add(Violation::NoAccount { call: (*call).clone() });
    }
}

fn by_itself(account: &StockAccount, options: &Options, findings: &mut Findings) {
    let came = account.initial.checked_add(account.restocked);
    let went = account.stock.0.checked_add(account.sold).and_then(|pieces| pieces.checked_add(account.reserved));
    if came.is_none() || came != went {
        findings.add(Violation::NotConserved { account: account.clone() });
    }
    if options.quiet {
        let gone = came.unwrap_or(u64::MAX).saturating_sub(account.stock.0.saturating_add(account.sold));
        findings.counts.leaked_pieces += gone;
        if account.reserved > 0 {
            findings.add(Violation::Leaked { account: account.clone() });
        }
    }
    let level = options.restock_level.map_or(0, |level| level.0);
    match account.restocked.checked_rem(level) {
        Some(0) => findings.counts.restocks += account.restocked / level,
        None if account.restocked == 0 => {}
        _ => findings.add(Violation::RestockedInPart { account: account.clone(), level }),
    }
}

/// What was acknowledged: pieces by product, and one call for each product.
struct Acknowledged<'a> {
    pieces: BTreeMap<&'a ProductName, u64>,
    calls: Vec<&'a OrderCall>,
}

fn acknowledged<'a>(index: &Index<'a>) -> Acknowledged<'a> {
    let mut acknowledged = Acknowledged { pieces: BTreeMap::new(), calls: Vec::new() };
    for call in index.all().filter_map(Wish::acknowledgement) {
        let pieces = acknowledged.pieces.entry(&call.product).or_insert_with(|| {
            acknowledged.calls.push(call);
            0
        });
        *pieces += u64::from(call.quantity.get());
    }
    acknowledged
}

fn placed<'a>(ledger: &'a Ledger<'_>) -> BTreeMap<&'a ProductName, u64> {
    let mut pieces = BTreeMap::new();
    for line in &ledger.lines {
        *pieces.entry(&line.product).or_insert(0) += u64::from(line.quantity.get());
    }
    pieces
}
