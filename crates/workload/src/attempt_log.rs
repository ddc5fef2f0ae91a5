//! Records every attempt at a request, for the checkers of the crate [`history`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use api::public::{NewOrder, Order};
use api::{ErrorCode, OrderId, OrderNumber, Product, ProductName};
use history::{
    ClientId, History, HistoryRecorder, Moment, OrderCall, OrderOutcome, OrderRead, OrderReadOutcome, ProductCall,
    ProductOutcome, RecorderFull,
};
use tokio_util::sync::CancellationToken;

use crate::clock::RunClock;
use crate::error::StoreClientError;
use crate::store_client::Purchase;

/// The observer of a run: has the clock of all records, and sees each of them.
pub trait AttemptObserver {
    /// The time since the start of the run. A simulation returns no moment twice, so that the
    /// records show the order of everything that happened.
    fn moment(&self) -> Moment;

    /// An attempt of a client has ended. It is recorded next.
    fn observed(&self, _client: ClientId, _attempt: &dyn fmt::Display) {}
}

/// Only a clock.
impl AttemptObserver for RunClock {
    fn moment(&self) -> Moment {
        self.now()
    }
}

/// All attempts of a run, of all its clients. Shared by reference.
#[derive(Debug)]
pub struct AttemptLog<O = RunClock> {
    clock: O,
    recorder: HistoryRecorder,
    /// Attempts that were not recorded.
    dropped: AtomicU64,
    full: CancellationToken,
    has_products: bool,
}

impl<O: AttemptObserver> AttemptLog<O> {
    /// An empty log for at most `calls_max` attempts of each kind. An attempt takes about 100
    /// bytes; further ones are only counted.
    pub fn new(clock: O, calls_max: usize) -> Self {
        let (recorder, dropped) = (HistoryRecorder::new(calls_max), AtomicU64::new(0));
        Self { clock, recorder, dropped, full: CancellationToken::new(), has_products: true }
    }

    /// A log that does not record product reads. They can be checked with the catalog's stock
    /// accounts only, which the public API does not show.
    #[must_use]
    pub fn without_products(self) -> Self {
        Self { has_products: false, ..self }
    }

    /// The clock of all records.
    pub fn clock(&self) -> &O {
        &self.clock
    }

    /// Records an attempt at an order. A request that was never sent is not an attempt.
    pub fn order(
        &self,
        client: ClientId,
        order_id: OrderId,
        order: NewOrder,
        called: Moment,
        answer: &Result<Purchase, StoreClientError>,
    ) {
        if matches!(answer, Err(StoreClientError::Unreachable(_))) {
            return;
        }
        let (returned, outcome) = (self.returned(answer), order_outcome(answer));
        let NewOrder { name: product, quantity } = order;
        let call = OrderCall { client, order_id, product, quantity, called, returned, outcome };
        self.record(client, call, HistoryRecorder::order);
    }

    /// Records an attempt to read a product.
    pub fn product(
        &self,
        client: ClientId,
        product: &ProductName,
        called: Moment,
        answer: &Result<Product, StoreClientError>,
    ) {
        let outcome = answer.as_ref().map_or(ProductOutcome::Unknown, |found| ProductOutcome::Quantity(found.quantity));
        self.product_read(client, product, called, self.returned(answer), outcome);
    }

    /// Records an attempt to list all products: each product of the list was read.
    pub fn products(&self, client: ClientId, called: Moment, answer: &Result<Vec<Product>, StoreClientError>) {
        let returned = self.returned(answer);
        for Product { name, quantity, .. } in answer.iter().flatten() {
            self.product_read(client, name, called, returned, ProductOutcome::Quantity(*quantity));
        }
    }

    fn product_read(
        &self,
        client: ClientId,
        product: &ProductName,
        called: Moment,
        returned: Option<Moment>,
        outcome: ProductOutcome,
    ) {
        if self.has_products {
            let call = ProductCall { client, product: product.clone(), called, returned, outcome };
            self.record(client, call, HistoryRecorder::product);
        }
    }

    /// Records an attempt to read an order.
    pub fn order_read(
        &self,
        client: ClientId,
        number: OrderNumber,
        called: Moment,
        answer: &Result<Option<Order>, StoreClientError>,
    ) {
        let returned = self.returned(answer);
        let outcome = match answer {
            Ok(Some(order)) => OrderReadOutcome::Found { product: order.name.clone(), quantity: order.quantity },
            Ok(None) => OrderReadOutcome::NotFound,
            Err(_) => OrderReadOutcome::Unknown,
        };
        self.record(client, OrderRead { client, number, called, returned, outcome }, HistoryRecorder::order_read);
    }

    /// Waits until the log is full.
    pub async fn full(&self) {
        self.full.cancelled().await;
    }

    /// Attempts that were not recorded, because there were too many.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Looks at the attempts so far. No attempt is recorded meanwhile.
    pub fn inspect<R>(&self, look: impl FnOnce(&History) -> R) -> R {
        self.recorder.inspect(look)
    }

    /// Returns the attempts so far, and starts an empty list.
    pub fn take(&self) -> History {
        self.recorder.take()
    }

    fn returned<T>(&self, answer: &Result<T, StoreClientError>) -> Option<Moment> {
        answer.as_ref().map_or_else(StoreClientError::is_response, |_| true).then(|| self.clock.moment())
    }

    fn record<C: fmt::Display>(
        &self,
        client: ClientId,
        call: C,
        push: impl FnOnce(&HistoryRecorder, C) -> Result<(), RecorderFull>,
    ) {
        self.clock.observed(client, &call);
        if push(&self.recorder, call).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.full.cancel();
        }
    }
}

/// What a client knows about its order after this answer.
pub fn order_outcome(answer: &Result<Purchase, StoreClientError>) -> OrderOutcome {
    match answer {
        Ok(Purchase::Placed(number)) => OrderOutcome::Acknowledged(*number),
        Ok(Purchase::SoldOut) => OrderOutcome::Refused(ErrorCode::OutOfStock),
        Err(error) => error.code().map_or(OrderOutcome::Unknown, OrderOutcome::of_error),
    }
}

#[cfg(test)]
mod tests {
    use api::{ApiError, Quantity};

    use super::*;

    fn order(log: &AttemptLog, answer: &Result<Purchase, StoreClientError>) {
        let order = NewOrder { name: ProductName::new("Tux").unwrap(), quantity: Quantity::ONE };
        log.order(ClientId(0), OrderId::random(), order, log.clock().now(), answer);
    }

    #[test]
    fn an_answer_says_what_became_of_the_order() {
        let log = AttemptLog::new(RunClock::start(), 10);
        let unavailable = |code| StoreClientError::Unavailable { status: 503, code, what: "busy".into() };
        order(&log, &Ok(Purchase::Placed(OrderNumber::FIRST)));
        order(&log, &Ok(Purchase::SoldOut));
        order(&log, &Err(StoreClientError::Refused(ApiError::new(ErrorCode::NoSuchProduct, "no"))));
        order(&log, &Err(unavailable(Some(ErrorCode::Overloaded))));
        order(&log, &Err(unavailable(Some(ErrorCode::Unavailable))));
        order(&log, &Err(unavailable(None)));
        order(&log, &Err(StoreClientError::ConnectionLost("reset".into())));
        order(&log, &Err(StoreClientError::Unreachable("refused".into())));
        let calls = log.take().orders;
        let expected = [
            OrderOutcome::Acknowledged(OrderNumber::FIRST),
            OrderOutcome::Refused(ErrorCode::OutOfStock),
            OrderOutcome::Refused(ErrorCode::NoSuchProduct),
            OrderOutcome::Refused(ErrorCode::Overloaded),
            OrderOutcome::Unknown,
            OrderOutcome::Unknown,
            OrderOutcome::Unknown,
        ];
        assert_eq!(calls.iter().map(|call| call.outcome).collect::<Vec<_>>(), expected, "the last was never sent");
        assert!(calls[..6].iter().all(|call| call.returned.is_some()) && calls[6].returned.is_none());
    }

    #[test]
    fn a_full_log_counts_what_it_drops() {
        let log = AttemptLog::new(RunClock::start(), 1);
        order(&log, &Ok(Purchase::SoldOut));
        assert_eq!((log.full.is_cancelled(), log.dropped()), (false, 0));
        (0..2).for_each(|_| order(&log, &Ok(Purchase::SoldOut)));
        assert_eq!((log.full.is_cancelled(), log.dropped(), log.take().orders.len()), (true, 2, 1));
    }
}
