//! How a new leader takes over: what its predecessor left half done is finished or undone, before the first order.
//!
//! Order and catalog share a transaction per batch: the catalog takes the stock (reserve), the log decides (place), the catalog is told
//! (settle). That is two-phase commit; the order log is the coordinator's record, the catalog the participant, and the term the
//! fence. A leader that dies leaves *open* reservations: the catalog cannot know whether their orders were placed.
//!
//! # What is done
//! A leader of term *t* takes orders only after:
//!
//! * (a) **Begin.** Its own entry `Begin {t}` is applied here. So its state has all that can ever commit of earlier terms.
//! * (b) **Fence.** The catalog has durably recorded *t*, refuses every lower term from then on, and has answered with the
//!   open reservations. (a) and (b) go on at the same time.
//! * (c) **Resolve.** Each of those is kept if its order id has a number, else released; in one command.
//!
//! # Why that is right
//! Let *r* be an open reservation of order *x*, in the answer to (b).
//!
//! * *If x has a number in the state after (a)*, it is placed, for ever: to keep *r* is right.
//! * *If not, it never gets one through r.* A number comes from a `Place` entry alone. One of an earlier term that is not in the log
//!   up to (a) can never commit: this leader's log is the only one that new entries are appended to, `Begin` is behind all it
//!   has from earlier terms, and the entry of a deposed leader that wakes up is refused by a majority (Raft §5.4). If
//!   such a batch were proposed again in a later term, its `id.term` would not be the entry's own: [`Orders`] refuses it. And
//!   in term *t* nothing is placed before (c). So to release *r* is right.
//! * *No reservation is overlooked.* One that an earlier leader makes after (b) is refused by the fence. One that was made before (b)
//!   is in the answer, because catalog commands have one order.
//! * *It may be done again.* A leader that dies anywhere in (a) to (c) has changed nothing that its successor needs: (b) gives the
//!   reservations that are still open, and verdicts agree, because numbers are for ever.
//!
//! # A term is begun once
//! All of that counts on a term having one take-over. A replica that was restarted, and led the same term again, would number its
//! batches from 1 once more, and a delayed reserve of its former life would pass the fence. The engine never resumes a term; and
//! if it did, `Begin` would be answered with [`BegunBefore`](Reply::BegunBefore), and no order be taken.
//!
//! # Caveats
//! * Whether *x* has a number is looked up among the last million orders. Open reservations belong to a leader's last
//!   three batches, so their orders are among the last 768.
//! * While the catalog cannot be reached, there is no take-over and no order: stock cannot be taken then in any case.

use api::catalog::Resolve;
use api::{OrderId, Term};
use replication::Replica;

use crate::orders::{Command, Orders, Reply};
use crate::pipeline::Ended;
use crate::stock::Stock;

/// Steps (a) to (c). Tries until it is done or the term is over; drop it when leadership is lost.
pub(crate) async fn take_over(term: Term, replica: &Replica<Orders>, stock: &Stock) -> Result<(), Ended> {
    let fence = async { stock.fence(term).await.map_err(Ended::from) };
    let ((), fenced) = tokio::try_join!(begin(term, replica), fence)?;
    if fenced.open.is_empty() {
        return Ok(());
    }
    let verdict = replica.read(|orders| judge(term, fenced.open, |order_id| orders.find(order_id).is_some()));
    let (kept, released) = (verdict.keep.len(), verdict.release.len());
    stock.resolve(&verdict).await?;
    tracing::info!(term = term.0, kept, released, "reservations of the leader before are resolved");
    Ok(())
}

async fn begin(term: Term, replica: &Replica<Orders>) -> Result<(), Ended> {
    match replica.propose(Command::Begin { term }).await? {
        (_, Reply::Begun) => Ok(()),
        (_, Reply::BegunBefore) => {
            tracing::error!(
                term = term.0,
                "this term was begun before: its batches cannot be told from the earlier ones"
            );
            Err(Ended::Lost)
        }
        (_, Reply::StaleTerm) => Err(Ended::Deposed),
        (_, Reply::Placed(_)) => unreachable!("a beginning's reply is no batch's"),
    }
}

/// Which of the `open` reservations are kept and which released, after (a) and (b).
pub fn judge(term: Term, open: Vec<OrderId>, is_placed: impl Fn(OrderId) -> bool) -> Resolve {
    let (keep, release) = open.into_iter().partition(|order_id| is_placed(*order_id));
    Resolve { term, keep, release }
}

#[cfg(test)]
mod tests {
    use api::{BatchId, BatchNumber, LogPosition, ProductName, Quantity};
    use replication::StateMachine;

    use super::*;

    /// The log before, as (term of the entry, command); what is open; what of it is kept; what released.
    type Case = (&'static str, Vec<(u64, Command)>, &'static [u128], &'static [u128], &'static [u128]);

    #[test]
    fn what_has_a_number_is_kept_and_nothing_else() {
        let id = |n| OrderId(uuid::Uuid::from_u128(n));
        let place = |term, batch, ids: &[u128]| Command::Place {
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
        let begin = |term| Command::Begin { term: Term(term) };
        let table: [Case; 6] = [
            ("nothing was open", vec![], &[], &[], &[]),
            ("reserved, never proposed", vec![(1, begin(1))], &[1, 2], &[], &[1, 2]),
            ("placed, not settled", vec![(1, begin(1)), (1, place(1, 1, &[1, 2]))], &[1, 2], &[1, 2], &[]),
            ("one batch placed, the next reserved", vec![(1, begin(1)), (1, place(1, 1, &[1]))], &[1, 2], &[1], &[2]),
            (
                "the leader before died in its own take-over",
                vec![(1, begin(1)), (1, place(1, 1, &[1])), (2, begin(2))],
                &[1, 2],
                &[1],
                &[2],
            ),
            (
                "a deposed leader's batch that came into a later term's log",
                vec![(1, begin(1)), (3, begin(3)), (3, place(1, 1, &[1]))],
                &[1],
                &[],
                &[1],
            ),
        ];
        for (case, log, open, keep, release) in table {
            let mut orders = Orders::remembering(10);
            for (index, (term, command)) in (1..).zip(log) {
                orders.apply(LogPosition { term: Term(term), index }, command);
            }
            orders.apply(LogPosition { term: Term(9), index: 99 }, begin(9));
            let ids = |ns: &[u128]| ns.iter().map(|n| id(*n)).collect::<Vec<_>>();
            let verdict = judge(Term(9), ids(open), |order_id| orders.find(order_id).is_some());
            assert_eq!(verdict, Resolve { term: Term(9), keep: ids(keep), release: ids(release) }, "{case}");
        }
    }
}
