//! The pipeline from the queue to the order numbers: a leader's two stages.
//!
//! ```text
//!  queue ──► reserve (catalog) ──► place (log) ──► results
//!               ▲ batch n+1           batch n │
//!               └───────── settle n ◄─────────┘
//! ```
//! * **Reserve.** All orders that wait when the stage becomes free form the next batch: a single
//!   order when the store is quiet, up to the bound under load. There is no timer. The catalog
//!   takes the stock, or refuses, order by order.
//! * **Place.** One log entry per batch. Once a majority has it, each order has its number.
//!   Refusals that must be remembered travel in the same entry. A batch that consists of such
//!   refusals only takes an entry, too.
//! * **Settle.** The catalog may forget the reservations of placed batches. The settlement travels
//!   with the next reserve, or by itself if there is none.
//!
//! The two stages work concurrently, on neighboring batches. A third batch is not formed before the
//! first is placed: it would only wait, and be smaller than it could be.
//!
//! # Exactly once
//! * An order id is under way at most once (the [`OrderQueue`]), and an id that has a number is
//!   answered from the state before anything is reserved. So a batch never holds an order that is
//!   already placed.
//! * A reserve is repeated with its `(term, batch)` until the catalog has answered. The catalog
//!   answers the same batch in the same way.
//! * An id that was refused is answered from the state, too, and so is an attempt that is older
//!   than the remembered history. Both are checked when the order arrives, and again when its batch
//!   is formed.
//! * A place is proposed once. If the engine does not report it as committed, nothing is guessed:
//!   this term's pipeline ends for good, the reservations stay open, and the next takeover
//!   resolves them (see [`crate::takeover`]).
//!
//! [`OrderQueue`]: crate::order_queue::OrderQueue

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api::catalog::{BatchReserved, OrderLine, Reservation, ReserveBatch, Settle};
use api::event::Event;
use api::{BatchId, BatchNumber, OrderId, OrderNumber};
use replication::{ProposeError, Replica};
use service::events::emit;
use service::lifecycle::{ExitCode, fatal};
use service::trace;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

use crate::catalog_client::{CatalogClient, ReserveError, StaleTerm};
use crate::metrics::{OrderMetrics, observe_since};
use crate::order_queue::{OrderQueue, QueuedOrder};
use crate::order_result::{OrderResult, decided_result, disk_full, known_result, refusal};
use crate::orders::{FinalAnswer, OrderCommand, OrderReply, Orders, PlaceOutcome, RefusalReason, RefusedOrder};

/// How long a settlement waits for a reserve to travel with. The next orders usually come sooner,
/// and no request waits for a settlement.
const SETTLE_ALONE_AFTER: Duration = Duration::from_millis(50);

/// Why the work of a term has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TermEnd {
    /// A newer leader has fenced this term.
    Deposed,
    /// The engine did not commit an entry that was proposed.
    NotCommitted,
}

impl fmt::Display for TermEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deposed => "a later order leader has fenced the catalog",
            Self::NotCommitted => "an entry was not committed",
        })
    }
}

impl From<StaleTerm> for TermEnd {
    fn from(_: StaleTerm) -> Self {
        Self::Deposed
    }
}

impl From<ProposeError> for TermEnd {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { .. } | ProposeError::Stopped => Self::NotCommitted,
            // 256 orders with the longest names take a tenth of the bound.
            ProposeError::TooLarge { .. } => {
                fatal(ExitCode::Software, format!("a command exceeds the entry size: {error}"))
            }
        }
    }
}

/// The two stages of one term.
pub(crate) struct Pipeline<'a> {
    pub(crate) replica: &'a Replica<Orders>,
    pub(crate) catalog: &'a CatalogClient,
    pub(crate) metrics: &'a OrderMetrics,
    pub(crate) queue: &'a OrderQueue,
    /// From 1 to [`BATCH_ORDERS_MAX`](api::catalog::BATCH_ORDERS_MAX).
    pub(crate) batch_orders_max: usize,
    unsettled: Unsettled,
}

/// A batch that the catalog has answered.
struct Reserved {
    id: BatchId,
    /// The orders whose stock is reserved.
    orders: Vec<OrderLine>,
    /// The refused orders whose refusal must be remembered.
    refused: Vec<RefusedOrder>,
}

impl<'a> Pipeline<'a> {
    pub(crate) fn new(
        replica: &'a Replica<Orders>,
        catalog: &'a CatalogClient,
        metrics: &'a OrderMetrics,
        queue: &'a OrderQueue,
        batch_orders_max: usize,
    ) -> Self {
        Self { replica, catalog, metrics, queue, batch_orders_max, unsettled: Unsettled::default() }
    }

    /// Works until the term is over. Drop it only if the term is over.
    pub(crate) async fn run(&self) -> TermEnd {
        let (reserved, to_place) = mpsc::channel(1);
        let ended = tokio::select! {
            ended = self.reserve_batches(reserved) => ended,
            ended = self.place_batches(to_place) => ended,
        };
        ended.err().unwrap_or(TermEnd::NotCommitted)
    }

    async fn reserve_batches(&self, to_place: mpsc::Sender<Reserved>) -> Result<(), TermEnd> {
        let mut batch = 0;
        // The free slot in the place stage comes first: the later a batch is formed, the larger it
        // is.
        while let Ok(slot) = to_place.reserve().await {
            let Some(orders) = self.next_orders().await? else { break };
            if orders.is_empty() {
                continue;
            }
            batch += 1;
            let id = BatchId { term: self.queue.term(), batch: BatchNumber(batch) };
            let reserved = self.reserve(id, orders).await?;
            if !(reserved.orders.is_empty() && reserved.refused.is_empty()) {
                slot.send(reserved);
            }
        }
        Ok(())
    }

    /// The waiting orders that are not decided yet; `None` once the queue is closed. Settles
    /// meanwhile if no order comes.
    async fn next_orders(&self) -> Result<Option<Vec<OrderLine>>, TermEnd> {
        loop {
            tokio::select! {
                biased;
                taken = self.queue.take(self.batch_orders_max) => return Ok(taken.map(|taken| self.not_decided_yet(taken))),
                settle = self.unsettled.take_when_idle() => {
                    let begun = Instant::now();
                    self.catalog.settle(&settle).await?;
                    observe_since(&self.metrics.phases.settle, begun);
                    emit(Event::BatchSettled { term: settle.term, batch: settle.through });
                }
            }
        }
    }

    /// Answers the orders whose result is known, and returns the others.
    fn not_decided_yet(&self, taken: Vec<QueuedOrder>) -> Vec<OrderLine> {
        self.metrics.queue_length.set(i64::try_from(self.queue.length()).unwrap_or(i64::MAX));
        let mut new = Vec::with_capacity(taken.len());
        let mut answers = Vec::new();
        self.replica.read(|orders| {
            for QueuedOrder { line, known, since } in taken {
                observe_since(&self.metrics.phases.queue, since);
                match known_result(orders, &line, known) {
                    Some(answer) => answers.push((line.order_id, answer)),
                    None => new.push(line),
                }
            }
        });
        self.metrics.repeated.inc_by(answers.len() as u64);
        self.queue.answer(answers);
        new
    }

    /// Reserves the stock of a batch, and answers the orders that did not get it, unless their
    /// refusal must be remembered.
    async fn reserve(&self, id: BatchId, orders: Vec<OrderLine>) -> Result<Reserved, TermEnd> {
        self.metrics.batch_size.observe(u32::try_from(orders.len()).map_or(f64::MAX, f64::from));
        let begun = Instant::now();
        let batch = ReserveBatch { id, orders, settle: self.unsettled.take() };
        let span = trace::shared("reserve", self.queue.traces(&batch.orders));
        let answer = trace::within(span.as_ref(), self.catalog.reserve(&batch)).await;
        let BatchReserved { outcomes } = match answer {
            Ok(answer) => answer,
            Err(ReserveError::Stale(stale)) => return Err(stale.into()),
            Err(ReserveError::DiskFull) => {
                self.queue.answer(batch.orders.iter().map(|line| (line.order_id, Err(disk_full()))));
                if let Some(settle) = batch.settle {
                    self.unsettled.put_back(settle);
                }
                return Ok(Reserved { id, orders: Vec::new(), refused: Vec::new() });
            }
        };
        observe_since(&self.metrics.phases.reserve, begun);
        if let Some(settled) = &batch.settle {
            emit(Event::BatchSettled { term: settled.term, batch: settled.through });
        }
        trace::done(span);
        if outcomes.len() != batch.orders.len() {
            let (asked, answered) = (batch.orders.len(), outcomes.len());
            fatal(
                ExitCode::Software,
                format!("batch {id}: the catalog returned {answered} outcomes for {asked} orders"),
            );
        }
        let mut reserved = Vec::with_capacity(outcomes.len());
        let mut refused = Vec::new();
        for (line, outcome) in batch.orders.into_iter().zip(outcomes) {
            match outcome {
                Reservation::Reserved => reserved.push(line),
                Reservation::OutOfStock => refused.push(RefusedOrder { line, reason: RefusalReason::OutOfStock }),
                Reservation::NoSuchProduct => refused.push(RefusedOrder { line, reason: RefusalReason::NoSuchProduct }),
            }
        }
        emit(Event::BatchReserved {
            term: id.term,
            batch: id.batch,
            reserved: reserved.len(),
            refused: refused.len(),
            elapsed_us: begun.elapsed().into(),
        });
        let refused = self.queue.refuse(refused, |refused| refusal(refused.reason, &refused.line));
        Ok(Reserved { id, orders: reserved, refused })
    }

    async fn place_batches(&self, mut to_place: mpsc::Receiver<Reserved>) -> Result<(), TermEnd> {
        while let Some(Reserved { id, orders, refused }) = to_place.recv().await {
            // Not the refused ones: whatever happens to the entry, it does not place them.
            self.queue.mark_proposed(&orders);
            let (begun, span) = (Instant::now(), trace::shared("place", self.queue.traces(&orders)));
            let command = if refused.is_empty() {
                OrderCommand::Place { id, orders: orders.clone() }
            } else {
                OrderCommand::Decide { id, orders: orders.clone(), refused: refused.clone() }
            };
            let (_, reply) = self.replica.propose(command).await?;
            match reply {
                OrderReply::Decided { orders: outcomes, refused: answers } => {
                    self.answer_refused(&refused, answers);
                    let last = self.answer_placed(id, &orders, outcomes);
                    if let Some(last) = last {
                        let (orders, elapsed_us) = (orders.len(), begun.elapsed().into());
                        emit(Event::BatchPlaced { term: id.term, batch: id.batch, orders, last, elapsed_us });
                    }
                }
                OrderReply::StaleTerm => return Err(TermEnd::Deposed),
                OrderReply::Begun | OrderReply::BegunBefore | OrderReply::FormatKnown => {
                    unreachable!("the reply does not match the command")
                }
            }
            observe_since(&self.metrics.phases.place, begun);
            trace::done(span);
        }
        Ok(())
    }

    /// Answers the refused orders, now that their refusals are durable.
    fn answer_refused(&self, refused: &[RefusedOrder], answers: Vec<FinalAnswer>) {
        let result = |(RefusedOrder { line, .. }, answer): (&RefusedOrder, FinalAnswer)| {
            (line.order_id, decided_result(answer, line))
        };
        self.queue.answer(refused.iter().zip(answers).map(result));
    }

    /// Answers the orders of a committed batch. Returns the highest number among them.
    fn answer_placed(&self, id: BatchId, orders: &[OrderLine], outcomes: Vec<PlaceOutcome>) -> Option<OrderNumber> {
        assert_eq!(orders.len(), outcomes.len(), "batch {id}: one outcome per order");
        if orders.is_empty() {
            return None;
        }
        let mut released = Vec::new();
        let answers: Vec<(OrderId, OrderResult)> = orders
            .iter()
            .zip(outcomes)
            .map(|(line, outcome)| match outcome {
                PlaceOutcome::Placed(number) => (line.order_id, Ok(number)),
                PlaceOutcome::AlreadyDecided(answer) => {
                    released.push(line.order_id);
                    (line.order_id, decided_result(answer, line))
                }
            })
            .collect();
        self.metrics.placed.inc_by((answers.len() - released.len()) as u64);
        let last = answers.iter().filter_map(|(_, result)| result.as_ref().ok().copied()).max();
        self.queue.answer(answers);
        self.unsettled.add(Settle { term: id.term, through: id.batch, released });
        last
    }
}

/// The placed batches that the catalog has not been told about.
#[derive(Default)]
struct Unsettled {
    settle: Mutex<Option<Settle>>,
    added: Notify,
}

impl Unsettled {
    /// Adds a batch later than those before. One settlement covers them all.
    fn add(&self, next: Settle) {
        let mut settle = self.settle.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *settle {
            None => *settle = Some(next),
            Some(known) => {
                assert!(known.term == next.term && known.through < next.through, "batches are placed in order");
                known.through = next.through;
                known.released.extend(next.released);
            }
        }
        self.added.notify_one();
    }

    /// Takes the settlement. The caller must deliver it, or put it back.
    fn take(&self) -> Option<Settle> {
        self.settle.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns a settlement that was certainly not delivered, merged with batches that were placed
    /// in the meantime.
    fn put_back(&self, mut earlier: Settle) {
        let mut settle = self.settle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(later) = settle.take() {
            assert!(later.term == earlier.term && later.through > earlier.through, "batches are placed in order");
            earlier.through = later.through;
            earlier.released.extend(later.released);
        }
        *settle = Some(earlier);
        self.added.notify_one();
    }

    async fn take_when_idle(&self) -> Settle {
        loop {
            sleep(SETTLE_ALONE_AFTER).await;
            if let Some(settle) = self.take() {
                return settle;
            }
            self.added.notified().await;
        }
    }
}
