//! From the queue to the numbers: a leader's two stages, and how a batch is never left in doubt.
//!
//! ```text
//!  queue ──► reserve (catalog) ──► place (log) ──► answers
//!               ▲ batch n+1           batch n │
//!               └───────── settle n ◄─────────┘
//! ```
//! * **Reserve.** Whatever waits when the stage is free becomes the next batch: one order at a time when it is quiet, up to the
//!   bound under load, and no timer. The catalog takes the stock, or refuses, order by order.
//! * **Place.** One log entry per batch. When a majority has it, each order has its number.
//! * **Settle.** The catalog may forget the reservations of placed batches. It is told with the next reserve; alone if none comes.
//!
//! The two stages work at the same time, on neighbouring batches. A third batch is not begun before the first is placed: it would
//! only wait, and be smaller than it could be.
//!
//! # Exactly once
//! * An order id is under way at most once (the [`Intake`]), and an id that has a number is answered from the state before
//!   anything is reserved. So a batch never holds an order that is placed already.
//! * A reserve is repeated with its `(term, batch)` until the catalog has answered; the catalog gives the same answer again.
//! * A place is proposed once. If the engine does not say that it is committed, nobody here guesses: this term's pipeline
//!   ends for good, the reservations stay open, and the next take-over resolves them (see [`crate::takeover`]).
//!
//! [`Intake`]: crate::intake::Intake

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api::catalog::{BatchReserved, OrderLine, Reservation, ReserveBatch, Settle};
use api::{ApiError, BatchId, BatchNumber, ErrorCode, OrderId};
use replication::{ProposeError, Replica};
use service::lifecycle::{ExitCode, fatal};
use service::mutation::{self, Mutation};
use service::trace;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

use crate::desk::no_room;
use crate::intake::{Answer, Intake, key_reused};
use crate::metrics::{OrderMetrics, took};
use crate::orders::{Command, Orders, Placement, Reply};
use crate::stock::{NotReserved, StaleTerm, Stock};

/// The most orders in a batch: what the catalog takes in one request.
pub const BATCH_ORDERS_MAX: usize = 256;

/// A settlement waits so long for a reserve to travel with. Shoppers' next orders come sooner; and nobody waits for a settlement.
const SETTLE_ALONE_AFTER: Duration = Duration::from_millis(50);

/// Why a term's work has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A newer leader has fenced this term.
    Deposed,
    /// The engine did not commit what it was given.
    Lost,
}

impl From<StaleTerm> for Ended {
    fn from(_: StaleTerm) -> Self {
        Self::Deposed
    }
}

impl From<ProposeError> for Ended {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { .. } | ProposeError::Stopped => Self::Lost,
            // 256 orders of the longest names are a tenth of the bound.
            ProposeError::TooLarge { .. } => fatal(ExitCode::Software, format!("a command must fit: {error}")),
        }
    }
}

/// The two stages of one term.
pub(crate) struct Pipeline<'a> {
    pub(crate) replica: &'a Replica<Orders>,
    pub(crate) stock: &'a Stock,
    pub(crate) metrics: &'a OrderMetrics,
    pub(crate) intake: &'a Intake,
    /// From 1 to [`BATCH_ORDERS_MAX`].
    pub(crate) batch_orders_max: usize,
    unsettled: Unsettled,
}

/// A batch whose stock is taken.
struct Reserved {
    id: BatchId,
    orders: Vec<OrderLine>,
}

impl<'a> Pipeline<'a> {
    pub(crate) fn new(
        replica: &'a Replica<Orders>,
        stock: &'a Stock,
        metrics: &'a OrderMetrics,
        intake: &'a Intake,
        batch_orders_max: usize,
    ) -> Self {
        Self { replica, stock, metrics, intake, batch_orders_max, unsettled: Unsettled::default() }
    }

    /// Works until the term is over. Dropping it is safe in so far as the term must be over then.
    pub(crate) async fn run(&self) -> Ended {
        let (reserved, to_place) = mpsc::channel(1);
        let ended = tokio::select! {
            ended = self.reserve_batches(reserved) => ended,
            ended = self.place_batches(to_place) => ended,
        };
        ended.err().unwrap_or(Ended::Lost)
    }

    async fn reserve_batches(&self, to_place: mpsc::Sender<Reserved>) -> Result<(), Ended> {
        let mut batch = 0;
        // The place behind comes first: the later a batch is formed, the larger it is.
        while let Ok(place) = to_place.reserve().await {
            let Some(orders) = self.next_orders().await? else { break };
            if orders.is_empty() {
                continue;
            }
            batch += 1;
            let id = BatchId { term: self.intake.term(), batch: BatchNumber(batch) };
            let orders = self.reserve(id, orders).await?;
            if !orders.is_empty() {
                place.send(Reserved { id, orders });
            }
        }
        Ok(())
    }

    /// What waits and is not placed yet; `None` once the intake is closed. Settles meanwhile if nothing comes.
    async fn next_orders(&self) -> Result<Option<Vec<OrderLine>>, Ended> {
        loop {
            tokio::select! {
                biased;
                taken = self.intake.take(self.batch_orders_max) => return Ok(taken.map(|taken| self.not_placed_yet(taken))),
                settle = self.unsettled.take_when_idle() => {
                    let begun = Instant::now();
                    self.stock.settle(&settle).await?;
                    took(&self.metrics.phases.settle, begun);
                }
            }
        }
    }

    /// Answers those that have their number already.
    fn not_placed_yet(&self, taken: Vec<(OrderLine, Instant)>) -> Vec<OrderLine> {
        self.metrics.queue_length.set(i64::try_from(self.intake.queue_length()).unwrap_or(i64::MAX));
        let mut new = Vec::with_capacity(taken.len());
        let mut answers = Vec::new();
        self.replica.read(|orders| {
            for (line, since) in taken {
                took(&self.metrics.phases.queue, since);
                match repeated(orders, &line) {
                    Some(answer) => answers.push((line.order_id, answer)),
                    None => new.push(line),
                }
            }
        });
        self.metrics.repeated.inc_by(answers.len() as u64);
        self.intake.answer(answers);
        new
    }

    /// Takes the stock; gives the orders that got it, and answers the others.
    async fn reserve(&self, id: BatchId, orders: Vec<OrderLine>) -> Result<Vec<OrderLine>, Ended> {
        self.metrics.batch_size.observe(u32::try_from(orders.len()).map_or(f64::MAX, f64::from));
        let begun = Instant::now();
        let batch = ReserveBatch { id, orders, settle: self.unsettled.take() };
        let span = trace::shared("reserve", self.intake.traces(&batch.orders));
        let answer = trace::within(span.as_ref(), self.stock.reserve(&batch)).await;
        let BatchReserved { outcomes } = match answer {
            Ok(answer) => answer,
            Err(NotReserved::Stale(stale)) => return Err(stale.into()),
            Err(NotReserved::NoRoom) => {
                self.intake.answer(batch.orders.iter().map(|line| (line.order_id, Err(no_room()))));
                if let Some(settle) = batch.settle {
                    self.unsettled.put_back(settle);
                }
                return Ok(Vec::new());
            }
        };
        took(&self.metrics.phases.reserve, begun);
        trace::done(span);
        if outcomes.len() != batch.orders.len() {
            let (asked, answered) = (batch.orders.len(), outcomes.len());
            fatal(ExitCode::Software, format!("batch {id}: the catalog gave {answered} outcomes for {asked} orders"));
        }
        let mut reserved = Vec::with_capacity(outcomes.len());
        let mut refused = Vec::new();
        for (line, outcome) in batch.orders.into_iter().zip(outcomes) {
            match refusal(outcome, &line) {
                None => reserved.push(line),
                Some(error) => refused.push((line.order_id, Err(error))),
            }
        }
        self.intake.answer(refused);
        Ok(reserved)
    }

    async fn place_batches(&self, mut to_place: mpsc::Receiver<Reserved>) -> Result<(), Ended> {
        while let Some(Reserved { id, orders }) = to_place.recv().await {
            self.intake.proposing(&orders);
            let (begun, span) = (Instant::now(), trace::shared("place", self.intake.traces(&orders)));
            let (_, reply) = self.replica.propose(Command::Place { id, orders: orders.clone() }).await?;
            match reply {
                Reply::Placed(placements) => self.placed(id, &orders, placements),
                Reply::StaleTerm => return Err(Ended::Deposed),
                Reply::Begun | Reply::BegunBefore => unreachable!("a batch's reply is no beginning's"),
            }
            took(&self.metrics.phases.place, begun);
            trace::done(span);
        }
        Ok(())
    }

    fn placed(&self, id: BatchId, orders: &[OrderLine], placements: Vec<Placement>) {
        assert_eq!(orders.len(), placements.len(), "batch {id}: an outcome per order");
        let mut released = Vec::new();
        let answers: Vec<(OrderId, Answer)> = orders
            .iter()
            .zip(placements)
            .map(|(line, placement)| match placement {
                Placement::Placed(number) => (line.order_id, Ok(number)),
                Placement::AlreadyPlaced(_) => {
                    released.push(line.order_id);
                    let known = self.replica.read(|orders| repeated(orders, line));
                    (line.order_id, known.expect("an order that was placed before is remembered"))
                }
            })
            .collect();
        self.metrics.placed.inc_by((answers.len() - released.len()) as u64);
        self.intake.answer(answers);
        self.unsettled.add(Settle { term: id.term, through: id.batch, released });
    }
}

/// What to answer if the order's id has a number already.
pub(crate) fn repeated(orders: &Orders, line: &OrderLine) -> Option<Answer> {
    let known = orders.find(line.order_id).filter(|_| !mutation::active(Mutation::PlaceTwice))?;
    let same = known.name == line.name && known.quantity == line.quantity;
    Some(if same { Ok(known.number) } else { Err(key_reused()) })
}

fn refusal(outcome: Reservation, line: &OrderLine) -> Option<ApiError> {
    match outcome {
        Reservation::Reserved => None,
        Reservation::OutOfStock => {
            let what = format!("there are not {} of {:?} in stock", line.quantity, line.name);
            Some(ApiError::new(ErrorCode::OutOfStock, what))
        }
        Reservation::NoSuchProduct => {
            Some(ApiError::new(ErrorCode::NoSuchProduct, format!("there is no product {:?}", line.name)))
        }
    }
}

/// The placed batches that the catalog has not been told of.
#[derive(Default)]
struct Unsettled {
    settle: Mutex<Option<Settle>>,
    added: Notify,
}

impl Unsettled {
    /// One more batch, later than those before. One settlement covers them all.
    fn add(&self, next: Settle) {
        let mut settle = self.settle.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *settle {
            None => *settle = Some(next),
            Some(known) => {
                assert!(known.term == next.term && known.through < next.through, "batches are placed in their order");
                known.through = next.through;
                known.released.extend(next.released);
            }
        }
        self.added.notify_one();
    }

    /// Whoever takes it must see to it that it arrives.
    fn take(&self) -> Option<Settle> {
        self.settle.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What was taken and has certainly not arrived; batches that were placed meanwhile are added to it.
    fn put_back(&self, mut earlier: Settle) {
        let mut settle = self.settle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(later) = settle.take() {
            assert!(later.term == earlier.term && later.through > earlier.through, "batches are placed in their order");
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
