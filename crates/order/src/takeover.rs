//! The takeover of a new leader: it finishes or undoes what its predecessor left half done, before
//! the first order.
//!
//! Orders and catalog share a transaction per batch: the catalog reserves the stock, the log places
//! the orders, and the catalog is told (settle). That is a two-phase commit. The order log is the
//! coordinator's record, the catalog the participant, and the term the fence. A leader that dies
//! leaves *open* reservations: the catalog cannot know whether their orders were placed.
//!
//! # Steps
//! A leader of term *t* accepts orders only after these steps:
//!
//! 1. **Begin.** Its own entry `Begin {t}` has been applied here. So its state has everything that
//!    can ever commit from earlier terms.
//! 2. **Fence.** The catalog has durably recorded *t*, refuses every lower term from then on, and
//!    has answered with the open reservations. Steps 1 and 2 run concurrently.
//! 3. **Resolve.** Each of these reservations is kept if its order id has a number, and released
//!    otherwise; in one command.
//!
//! Between steps 2 and 3 the two sides are compared, so that a leader never builds on older data
//! that was restored on either side (`data_mismatch`).
//!
//! # Why this is correct
//! Let *r* be an open reservation of order *x* in the answer to step 2.
//!
//! * *If x has a number in the state after step 1*, it is placed forever, and keeping *r* is right.
//! * *If not, x never gets a number through r.* Only a `Place` entry assigns a number. A `Place`
//!   entry of an earlier term that is not in the log up to step 1 can never commit: new entries are
//!   appended to this leader's log only, `Begin` follows everything it has from earlier terms, and
//!   a majority refuses the entry of a deposed leader that wakes up (Raft §5.4). If such a batch
//!   were proposed again in a later term, its `id.term` would differ from the term of the entry,
//!   and [`Orders`] refuses it. In term *t* itself nothing is placed before step 3. So releasing
//!   *r* is right.
//! * *No reservation is overlooked.* The fence refuses reservations that an earlier leader makes
//!   after step 2. Those made before step 2 are in the answer, because catalog commands have one
//!   order.
//! * *The steps can be repeated.* A leader that dies anywhere in steps 1 to 3 has changed nothing
//!   that its successor needs: step 2 returns the reservations that are still open, and the
//!   decisions agree, because numbers are permanent.
//!
//! # A term begins once
//! All of this relies on one takeover per term. A replica that restarted and led the same term
//! again would number its batches from 1 again, and a delayed reserve from before the restart would
//! pass the fence. The engine never resumes a term. If it did, `Begin` would be answered with
//! [`BegunBefore`](OrderReply::BegunBefore), and no order would be accepted.
//!
//! # Caveats
//! * Whether *x* has a number is looked up among the last million orders. Open reservations belong
//!   to a leader's last three batches, so their orders are among the last 768.
//! * While the catalog is unreachable, there is no takeover and no order. Stock could not be
//!   reserved then in any case.

use std::time::Duration;

use api::catalog::Resolve;
use api::event::Event;
use api::{OrderId, Term};
use replication::Replica;
use service::events::emit;
use tokio::time::sleep;

use crate::catalog_client::CatalogClient;
use crate::data_mismatch::compare;
use crate::ledger_format::LedgerFormat;
use crate::orders::{OrderCommand, OrderReply, Orders};
use crate::pipeline::TermEnd;

/// The pause before the next comparison, while an operator restores data.
const COMPARE_AGAIN: Duration = Duration::from_millis(500);

/// Runs steps 1 to 3. Retries until it succeeds or the term is over; drop it when leadership is
/// lost.
pub(crate) async fn take_over(term: Term, replica: &Replica<Orders>, catalog: &CatalogClient) -> Result<(), TermEnd> {
    let before = replica.read(Orders::begun);
    let fence = async { catalog.fence(term).await.map_err(TermEnd::from) };
    let ((), mut fenced) = tokio::try_join!(begin(term, replica), fence)?;
    while let Err(mismatch) = replica.read(|orders| compare(orders, before, &fenced, catalog.accepted_difference())) {
        catalog.report_mismatch(mismatch);
        sleep(COMPARE_AGAIN).await;
        fenced = catalog.fence(term).await?;
    }
    catalog.confirm_match(&fenced);
    if fenced.open.is_empty() {
        return Ok(());
    }
    let resolution =
        replica.read(|orders| resolve_reservations(term, fenced.open, |order_id| orders.find(order_id).is_some()));
    let (kept, released) = (resolution.keep.len(), resolution.release.len());
    catalog.resolve(&resolution).await?;
    emit(Event::ReservationsResolved { term, kept, released });
    Ok(())
}

async fn begin(term: Term, replica: &Replica<Orders>) -> Result<(), TermEnd> {
    if replica.read(|orders| orders.begun() == Term(0)) {
        // This may be a new group. If it is not, and its first term is yet to be applied here, the
        // command changes nothing.
        replica.propose(OrderCommand::UseLedgerFormat { format: LedgerFormat::NEWEST }).await?;
    }
    match replica.propose(OrderCommand::Begin { term }).await? {
        (_, OrderReply::Begun) => Ok(()),
        (_, OrderReply::BegunBefore) => {
            tracing::error!(
                term = term.0,
                "this term has begun before: its batches could not be distinguished from the earlier ones"
            );
            Err(TermEnd::NotCommitted)
        }
        (_, OrderReply::StaleTerm) => Err(TermEnd::Deposed),
        (_, OrderReply::Decided { .. } | OrderReply::FormatKnown) => {
            unreachable!("the reply does not match the command")
        }
    }
}

/// Decides which of the `open` reservations are kept and which are released, after steps 1 and 2.
pub fn resolve_reservations(term: Term, open: Vec<OrderId>, is_placed: impl Fn(OrderId) -> bool) -> Resolve {
    let (keep, release) = open.into_iter().partition(|order_id| is_placed(*order_id));
    Resolve { term, keep, release }
}

#[cfg(test)]
mod tests {
    use api::{BatchId, BatchNumber, LogPosition, ProductName, Quantity};
    use replication::StateMachine;

    use super::*;
    use crate::orders::DedupWindow;

    /// The log before, as (term of the entry, command); the open reservations; those that are kept;
    /// those that are released.
    type Case = (&'static str, Vec<(u64, OrderCommand)>, &'static [u128], &'static [u128], &'static [u128]);

    #[test]
    fn reservations_of_numbered_orders_are_kept_and_others_released() {
        let id = |n| OrderId(uuid::Uuid::from_u128(n));
        let place = |term, batch, ids: &[u128]| OrderCommand::Place {
            id: BatchId { term: Term(term), batch: BatchNumber(batch) },
            orders: ids
                .iter()
                .map(|n| api::catalog::OrderLine {
                    order_id: id(*n),
                    name: ProductName::new("Tux").unwrap(),
                    quantity: Quantity::ONE,
                })
                .collect(),
        };
        let begin = |term| OrderCommand::Begin { term: Term(term) };
        let table: [Case; 6] = [
            ("nothing was open", vec![], &[], &[], &[]),
            ("reserved, never proposed", vec![(1, begin(1))], &[1, 2], &[], &[1, 2]),
            ("placed, not settled", vec![(1, begin(1)), (1, place(1, 1, &[1, 2]))], &[1, 2], &[1, 2], &[]),
            (
                "one batch placed, the next one reserved",
                vec![(1, begin(1)), (1, place(1, 1, &[1]))],
                &[1, 2],
                &[1],
                &[2],
            ),
            (
                "the previous leader died during its own takeover",
                vec![(1, begin(1)), (1, place(1, 1, &[1])), (2, begin(2))],
                &[1, 2],
                &[1],
                &[2],
            ),
            (
                "a deposed leader's batch in the log of a later term",
                vec![(1, begin(1)), (3, begin(3)), (3, place(1, 1, &[1]))],
                &[1],
                &[],
                &[1],
            ),
        ];
        for (case, log, open, keep, release) in table {
            let mut orders = Orders::with_dedup_window(DedupWindow { orders: 10, refusals: 10 });
            for (index, (term, command)) in (1..).zip(log) {
                orders.apply(LogPosition { term: Term(term), index }, command);
            }
            orders.apply(LogPosition { term: Term(9), index: 99 }, begin(9));
            let ids = |ns: &[u128]| ns.iter().map(|n| id(*n)).collect::<Vec<_>>();
            let resolution = resolve_reservations(Term(9), ids(open), |order_id| orders.find(order_id).is_some());
            assert_eq!(resolution, Resolve { term: Term(9), keep: ids(keep), release: ids(release) }, "{case}");
        }
    }
}
