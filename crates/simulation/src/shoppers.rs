//! The shoppers, and the history of their calls.
//!
//! They run on a machine that never fails; only its links do. Each shopper makes one call after the
//! other, through any frontend: it reads a product or the list of all products, places an order,
//! reads an order, or repeats an order with a key that was used before, for an order that was
//! placed or that was finally refused. A shopper that does not learn the outcome of an order
//! repeats it with the same key, or gives up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::public::{NewOrder, Order, OrderPlaced};
use api::{
    Address, Data, ErrorBody, ErrorCode, IDEMPOTENCY_KEY_HEADER, OrderId, OrderNumber, Product, ProductName, Quantity,
    Stock,
};
use bytes::Bytes;
use history::{
    ClientId, HistoryRecorder, OrderCall, OrderOutcome, OrderRead, OrderReadOutcome, ProductCall, ProductOutcome,
};
use http::{Request, Response, header};
use serde::de::DeserializeOwned;
use service::world::World;
use tokio::time::{sleep, timeout};

use crate::environment::SimulatedEnvironment;
use crate::member::{PRODUCTS, product_name};
use crate::process_world::ProcessWorld;
use crate::random::Random;
use crate::trace::TraceEvent;

/// More calls of one kind than any run has.
const CALLS_MAX: usize = 100_000;
/// A little more than the store's own deadline of 5 s.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_millis(5500);
/// How often a shopper tries a call whose outcome is unknown.
const ATTEMPTS_MAX: usize = 6;

/// The answer to a call: data or an error code; `None` if there is no answer, or a malformed one.
pub(crate) type Answer<T> = Option<Result<T, ErrorCode>>;

/// What all shoppers share.
#[derive(Debug)]
pub(crate) struct Shopping {
    pub(crate) recorder: HistoryRecorder,
    environment: SimulatedEnvironment,
    frontends: Vec<Address>,
    /// Set when the shoppers stop: calls in progress are finished, but no new ones begin.
    stopped: AtomicBool,
    acknowledged: AtomicU64,
    /// Acknowledged orders, to read and to repeat.
    known: Mutex<Vec<KnownOrder>>,
    /// Finally refused orders, to repeat.
    refused: Mutex<Vec<(OrderId, NewOrder)>>,
}

/// An order that was acknowledged.
#[derive(Clone, Debug)]
struct KnownOrder {
    order_id: OrderId,
    order: NewOrder,
    number: OrderNumber,
}

impl Shopping {
    pub(crate) fn new(environment: SimulatedEnvironment, frontends: Vec<Address>) -> Arc<Self> {
        Arc::new(Self {
            recorder: HistoryRecorder::new(CALLS_MAX),
            environment,
            frontends,
            stopped: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            known: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    /// The number of acknowledgements, including those of repeated orders.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Stops the shoppers.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn pick_known(&self, random: &mut Random) -> Option<KnownOrder> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        (!known.is_empty()).then(|| random.pick(&known).clone())
    }

    fn refused(&self) -> MutexGuard<'_, Vec<(OrderId, NewOrder)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Picks an order that was placed or refused.
    fn pick_answered(&self, random: &mut Random) -> Option<(OrderId, NewOrder)> {
        let refused = self.refused();
        if !refused.is_empty() && random.per_mille(500) {
            return Some(random.pick(&refused).clone());
        }
        drop(refused);
        self.pick_known(random).map(|known| (known.order_id, known.order))
    }

    /// The acknowledged order numbers, each once.
    fn numbers(&self) -> Vec<OrderNumber> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers: std::collections::BTreeSet<_> = known.iter().map(|known| known.number).collect();
        numbers.into_iter().collect()
    }
}

/// One shopper.
pub(crate) struct SimulatedShopper {
    pub(crate) client: usize,
    pub(crate) shopping: Arc<Shopping>,
    pub(crate) random: Random,
    /// The maximum pause between two calls, in ms.
    pub(crate) pause_ms_max: u64,
}

impl SimulatedShopper {
    /// Makes calls until the shoppers stop.
    pub(crate) async fn shop(mut self) {
        while !self.shopping.stopped.load(Ordering::Relaxed) {
            match self.random.below(100) {
                0..36 => self.read_random_product().await,
                36..42 => self.list_random_products().await,
                42..80 => self.place_random_order().await,
                80..90 => self.read_random_order().await,
                90..95 => self.repeat_order(false).await,
                _ => self.repeat_order(true).await,
            }
            let pause = self.random.within(0..=self.pause_ms_max);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Places orders until one is acknowledged.
    pub(crate) async fn order_until_acknowledged(&mut self) {
        let before = self.shopping.acknowledged();
        while self.shopping.acknowledged() == before {
            self.place_random_order().await;
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Reads every acknowledged order; again if there is no response.
    pub(crate) async fn read_all_orders(&mut self) {
        for number in self.shopping.numbers() {
            for _ in 0..ATTEMPTS_MAX {
                if self.read_order(number).await != OrderReadOutcome::Unknown {
                    break;
                }
            }
        }
    }

    /// Repeats every finally refused order: by now, enough may be in stock.
    pub(crate) async fn repeat_all_refused(&mut self) {
        let refused = std::mem::take(&mut *self.shopping.refused());
        for (order_id, order) in refused {
            self.order_until_known(order_id, order).await;
        }
    }

    /// Reads each product through each frontend.
    pub(crate) async fn read_all_products(&mut self) {
        for frontend in self.shopping.frontends.clone() {
            for (name, _) in PRODUCTS {
                self.read_product(&frontend, product_name(name)).await;
            }
        }
    }

    async fn read_random_product(&mut self) {
        let (frontend, (name, _)) = (self.frontend(), *self.random.pick(&PRODUCTS));
        self.read_product(&frontend, product_name(name)).await;
    }

    async fn list_random_products(&mut self) {
        let frontend = self.frontend();
        let _ = self.list_products(&frontend).await;
    }

    /// Lists all products. This counts as a read of each product.
    pub(crate) async fn list_products(&self, frontend: &Address) -> Answer<Vec<Product>> {
        let called = self.shopping.environment.moment();
        let request = Request::get("/products").body(Bytes::new()).expect("a valid request");
        let list = self.send::<Vec<Product>>(frontend, request).await;
        let returned = Some(self.shopping.environment.moment());
        for Product { name, quantity, .. } in list.iter().flatten().flatten() {
            let outcome = ProductOutcome::Quantity(*quantity);
            let call = ProductCall { client: self.id(), product: name.clone(), called, returned, outcome };
            self.record_event(&call);
            self.shopping.recorder.product(call).expect("a run has fewer calls");
        }
        list
    }

    pub(crate) async fn read_product(&self, frontend: &Address, product: ProductName) -> Answer<Stock> {
        let called = self.shopping.environment.moment();
        let request = Request::get(format!("/products/{product}")).body(Bytes::new()).expect("a valid request");
        let response = self.send::<Product>(frontend, request).await;
        let returned = response.as_ref().map(|_| self.shopping.environment.moment());
        let answer = response.map(|response| response.map(|product| product.quantity));
        let outcome = match answer {
            Some(Ok(quantity)) => ProductOutcome::Quantity(quantity),
            Some(Err(_)) | None => ProductOutcome::Unknown,
        };
        let call = ProductCall { client: self.id(), product, called, returned, outcome };
        self.record_event(&call);
        self.shopping.recorder.product(call).expect("a run has fewer calls");
        answer
    }

    async fn place_random_order(&mut self) {
        let (name, _) = *self.random.pick(&PRODUCTS);
        let quantity = Quantity::new(*self.random.pick(&[1, 1, 1, 2, 3])).expect("one or more");
        let order = NewOrder { name: product_name(name), quantity };
        let order_id = OrderId(uuid::Uuid::from_u64_pair(self.random.next(), self.random.next()));
        self.order_until_known(order_id, order).await;
    }

    /// Repeats an order with the same key; or, if `another`, sends another order with that key,
    /// which must be refused.
    async fn repeat_order(&mut self, another: bool) {
        let Some((order_id, mut order)) = self.shopping.pick_answered(&mut self.random) else { return };
        if another {
            order.quantity = Quantity::new(u64::from(order.quantity.get()) + 1).expect("small");
        }
        self.order_until_known(order_id, order).await;
    }

    /// Sends an order until its outcome is known, sometimes through two frontends at the same time.
    async fn order_until_known(&mut self, order_id: OrderId, order: NewOrder) {
        let through_two = self.random.per_mille(100);
        for _ in 0..ATTEMPTS_MAX {
            let is_known = if through_two {
                let (one, other) = (self.frontend(), self.frontend());
                let (one, other) = futures::join!(
                    self.send_order(&one, order_id, &order, REQUEST_TIMEOUT),
                    self.send_order(&other, order_id, &order, REQUEST_TIMEOUT)
                );
                is_known(one) && is_known(other)
            } else {
                let frontend = self.frontend();
                // Some calls are given up early.
                let call_timeout = if self.random.per_mille(100) {
                    Duration::from_millis(self.random.within(2..=300))
                } else {
                    REQUEST_TIMEOUT
                };
                is_known(self.send_order(&frontend, order_id, &order, call_timeout).await)
            };
            if is_known || self.random.per_mille(100) {
                return;
            }
            let pause = self.random.within(1..=300);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Sends an order once.
    pub(crate) async fn send_order(
        &self,
        frontend: &Address,
        order_id: OrderId,
        order: &NewOrder,
        call_timeout: Duration,
    ) -> Answer<OrderNumber> {
        let called = self.shopping.environment.moment();
        let body = serde_json::to_vec(order).expect("an order is JSON");
        let request = Request::post("/orders")
            .header(header::CONTENT_TYPE, "application/json")
            .header(IDEMPOTENCY_KEY_HEADER, order_id.to_string())
            .body(body.into())
            .expect("a valid request");
        let response = timeout(call_timeout, self.send::<OrderPlaced>(frontend, request)).await.ok().flatten();
        let returned = response.as_ref().map(|_| self.shopping.environment.moment());
        let answer = response.map(|response| response.map(|placed| placed.order_number));
        let outcome = order_outcome(answer);
        if let OrderOutcome::Acknowledged(number) = outcome {
            self.shopping.acknowledged.fetch_add(1, Ordering::Relaxed);
            let mut known = self.shopping.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.push(KnownOrder { order_id, order: order.clone(), number });
        }
        if matches!(outcome, OrderOutcome::Refused(code) if code.is_final()) {
            let (mut refused, entry) = (self.shopping.refused(), (order_id, order.clone()));
            if !refused.contains(&entry) {
                refused.push(entry);
            }
        }
        let (product, quantity) = (order.name.clone(), order.quantity);
        let call = OrderCall { client: self.id(), order_id, product, quantity, called, returned, outcome };
        self.record_event(&call);
        self.shopping.recorder.order(call).expect("a run has fewer calls");
        answer
    }

    async fn read_random_order(&mut self) {
        let known = self.shopping.pick_known(&mut self.random).map_or(0, |known| known.number.get());
        // A higher number, which may not exist yet.
        let number = if self.random.per_mille(300) { known + self.random.within(1..=5) } else { known.max(1) };
        self.read_order(OrderNumber::new(number).expect("one or more")).await;
    }

    async fn read_order(&mut self, number: OrderNumber) -> OrderReadOutcome {
        let frontend = self.frontend();
        self.read_order_through(&frontend, number).await
    }

    pub(crate) async fn read_order_through(&self, frontend: &Address, number: OrderNumber) -> OrderReadOutcome {
        let called = self.shopping.environment.moment();
        let request = Request::get(format!("/orders/{number}")).body(Bytes::new()).expect("a valid request");
        let response = self.send::<Order>(frontend, request).await;
        let returned = response.as_ref().map(|_| self.shopping.environment.moment());
        let outcome = match response {
            Some(Ok(order)) => OrderReadOutcome::Found { product: order.name, quantity: order.quantity },
            Some(Err(ErrorCode::NoSuchOrder)) => OrderReadOutcome::NotFound,
            Some(Err(_)) | None => OrderReadOutcome::Unknown,
        };
        let read = OrderRead { client: self.id(), number, called, returned, outcome: outcome.clone() };
        self.record_event(&read);
        self.shopping.recorder.order_read(read).expect("a run has fewer calls");
        outcome
    }

    async fn send<T: DeserializeOwned>(&self, to: &Address, request: Request<Bytes>) -> Answer<T> {
        let world = ProcessWorld::current().expect("shoppers run in their process");
        let response = timeout(REQUEST_TIMEOUT, world.send(to.clone(), request)).await.ok()?.ok()?;
        read(&response)
    }

    fn frontend(&mut self) -> Address {
        self.random.pick(&self.shopping.frontends).clone()
    }

    fn id(&self) -> ClientId {
        ClientId(u32::try_from(self.client).expect("few clients"))
    }

    fn record_event(&self, what: &impl ToString) {
        let world = ProcessWorld::current().expect("shoppers run in their process");
        let event = TraceEvent::Observed { client: self.client, what: what.to_string() };
        self.shopping.environment.note(world.machine(), &event);
    }
}

fn order_outcome(answer: Answer<OrderNumber>) -> OrderOutcome {
    match answer {
        Some(Ok(number)) => OrderOutcome::Acknowledged(number),
        Some(Err(code)) => OrderOutcome::of_error(code),
        None => OrderOutcome::Unknown,
    }
}

/// Whether the outcome of an order is known.
fn is_known(answer: Answer<OrderNumber>) -> bool {
    order_outcome(answer) != OrderOutcome::Unknown
}

/// The data of a response, or its error code.
pub(crate) fn read<T: DeserializeOwned>(response: &Response<Bytes>) -> Answer<T> {
    if response.status().is_success() {
        serde_json::from_slice::<Data<T>>(response.body()).ok().map(|body| Ok(body.data))
    } else {
        serde_json::from_slice::<ErrorBody>(response.body()).ok().map(|body| Err(body.error.code))
    }
}
