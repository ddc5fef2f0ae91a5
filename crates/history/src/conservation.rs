//! I4: every piece is in stock, reserved or sold, and every sold piece was ordered.

use std::collections::BTreeMap;

use api::ProductName;
use api::catalog::StockAccount;

use crate::call::OrderCall;
use crate::findings::Findings;
use crate::ledger::ParsedLedger;
use crate::options::CheckOptions;
use crate::order_index::{OrderIndex, RecordedOrder};
use crate::verdict::Violation;

/// Checks the stock accounts by themselves, and compares them with the orders. Without accounts,
/// nothing is checked.
pub(crate) fn check(
    index: &OrderIndex<'_>,
    ledgers: &[ParsedLedger<'_>],
    accounts: &[StockAccount],
    options: &CheckOptions,
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
        check_account(account, options, findings);
        let in_orders = pieces(&acknowledged.pieces, account);
        // A store that is not quiet still settles orders. It has certainly taken only the pieces of
        // acknowledged orders.
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

/// Checks one account by itself.
fn check_account(account: &StockAccount, options: &CheckOptions, findings: &mut Findings) {
    let added = account.initial.checked_add(account.restocked);
    let present = account.stock.0.checked_add(account.sold).and_then(|pieces| pieces.checked_add(account.reserved));
    if added.is_none() || added != present {
        findings.add(Violation::NotConserved { account: account.clone() });
    }
    if options.quiet {
        let leaked = added.unwrap_or(u64::MAX).saturating_sub(account.stock.0.saturating_add(account.sold));
        findings.counts.leaked_pieces += leaked;
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

/// The acknowledged orders: the pieces of each product, and one call for each product.
struct AcknowledgedPieces<'a> {
    pieces: BTreeMap<&'a ProductName, u64>,
    calls: Vec<&'a OrderCall>,
}

fn acknowledged<'a>(index: &OrderIndex<'a>) -> AcknowledgedPieces<'a> {
    let mut acknowledged = AcknowledgedPieces { pieces: BTreeMap::new(), calls: Vec::new() };
    for call in index.all().filter_map(RecordedOrder::acknowledgement) {
        let pieces = acknowledged.pieces.entry(&call.product).or_insert_with(|| {
            acknowledged.calls.push(call);
            0
        });
        *pieces += u64::from(call.quantity.get());
    }
    acknowledged
}

/// The pieces of each product in a ledger.
fn placed<'a>(ledger: &'a ParsedLedger<'_>) -> BTreeMap<&'a ProductName, u64> {
    let mut pieces = BTreeMap::new();
    for line in &ledger.lines {
        *pieces.entry(&line.product).or_insert(0) += u64::from(line.quantity.get());
    }
    pieces
}
