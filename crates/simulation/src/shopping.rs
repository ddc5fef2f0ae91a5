//! The shoppers, and what they saw.
//!
//! They live on a machine of their own, which has no faults: only the way to the frontends has. Each does one thing after the other, through
//! any frontend: looks at a product, orders, asks for an order, orders again with a key that it has used. Whoever does not
//! learn what became of an order repeats it with the same key, or gives up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::public::{NewOrder, Order, OrderPlaced};
use api::{
    Address, Data, ErrorBody, ErrorCode, IDEMPOTENCY_KEY_HEADER, OrderId, OrderNumber, Product, ProductName, Quantity,
};
use bytes::Bytes;
use history::{ClientId, OrderCall, OrderOutcome, OrderRead, OrderReadOutcome, ProductCall, ProductOutcome, Recorder};
use http::{Request, Response, header};
use serde::de::DeserializeOwned;
use service::world::World;
use tokio::time::{sleep, timeout};

use crate::member::{PRODUCTS, product_name};
use crate::outside::Outside;
use crate::process_world::ProcessWorld;
use crate::random::Random;
use crate::trace::Event;

/// More calls of one kind than a run has.
const CALLS_MAX: usize = 100_000;
/// A little more than the 5 s within which a shopper is answered.
const PATIENCE: Duration = Duration::from_millis(5500);
/// How often a shopper repeats an order of which it knows nothing.
const REPEATS_MAX: usize = 6;

/// What all shoppers share.
#[derive(Debug)]
pub(crate) struct Shopping {
    pub(crate) recorder: Recorder,
    outside: Outside,
    frontends: Vec<Address>,
    /// No new wishes from now on; those under way are seen to their end.
    closing: AtomicBool,
    acknowledged: AtomicU64,
    /// Orders that someone has been told of, to ask for and to repeat.
    known: Mutex<Vec<Known>>,
}

/// An order that was acknowledged.
#[derive(Clone, Debug)]
struct Known {
    order_id: OrderId,
    order: NewOrder,
    number: OrderNumber,
}

impl Shopping {
    pub(crate) fn new(outside: Outside, frontends: Vec<Address>) -> Arc<Self> {
        Arc::new(Self {
            recorder: Recorder::new(CALLS_MAX),
            outside,
            frontends,
            closing: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            known: Mutex::default(),
        })
    }

    /// Orders that were acknowledged, repetitions included.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// No new wishes.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn pick_known(&self, random: &mut Random) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        (!known.is_empty()).then(|| random.pick(&known).clone())
    }

    /// The numbers that were acknowledged, each once.
    fn numbers(&self) -> Vec<OrderNumber> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers: std::collections::BTreeSet<_> = known.iter().map(|known| known.number).collect();
        numbers.into_iter().collect()
    }
}

/// One shopper.
pub(crate) struct Shopper {
    pub(crate) client: usize,
    pub(crate) shopping: Arc<Shopping>,
    pub(crate) random: Random,
    /// Between two wishes, in ms, at most.
    pub(crate) pause_ms_max: u64,
}

impl Shopper {
    /// Shops until the shop closes.
    pub(crate) async fn shop(mut self) {
        while !self.shopping.closing.load(Ordering::Relaxed) {
            match self.random.below(100) {
                0..42 => self.look().await,
                42..80 => self.buy().await,
                80..90 => self.ask_for_an_order().await,
                90..95 => self.repeat_an_old_order(false).await,
                _ => self.repeat_an_old_order(true).await,
            }
            let pause = self.random.within(0..=self.pause_ms_max);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Buys until an order is acknowledged.
    pub(crate) async fn buy_for_sure(&mut self) {
        let before = self.shopping.acknowledged();
        while self.shopping.acknowledged() == before {
            self.buy().await;
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks for every order that was acknowledged; again where there is no answer.
    pub(crate) async fn ask_for_all(&mut self) {
        for number in self.shopping.numbers() {
            for _ in 0..REPEATS_MAX {
                if self.ask_for(number).await != OrderReadOutcome::Unknown {
                    break;
                }
            }
        }
    }

    /// Looks at each product through each frontend.
    pub(crate) async fn look_at_all(&mut self) {
        for frontend in self.shopping.frontends.clone() {
            for (name, _) in PRODUCTS {
                self.look_at(&frontend, product_name(name)).await;
            }
        }
    }

    async fn look(&mut self) {
        let (frontend, (name, _)) = (self.frontend(), *self.random.pick(&PRODUCTS));
        self.look_at(&frontend, product_name(name)).await;
    }

    async fn look_at(&mut self, frontend: &Address, product: ProductName) {
        let called = self.shopping.outside.moment();
        let request = Request::get(format!("/products/{product}")).body(Bytes::new()).expect("a good request");
        let answer = self.send::<Product>(frontend, request).await;
        let returned = answer.as_ref().map(|_| self.shopping.outside.moment());
        let outcome = match answer {
            Some(Ok(product)) => ProductOutcome::Quantity(product.quantity),
            Some(Err(_)) | None => ProductOutcome::Unknown,
        };
        let call = ProductCall { client: self.id(), product, called, returned, outcome };
        self.note(&call);
        self.shopping.recorder.product(call).expect("a run has fewer calls");
    }

    async fn buy(&mut self) {
        let (name, _) = *self.random.pick(&PRODUCTS);
        let quantity = Quantity::new(*self.random.pick(&[1, 1, 1, 2, 3])).expect("one or more");
        let order = NewOrder { name: product_name(name), quantity };
        let order_id = OrderId(uuid::Uuid::from_u64_pair(self.random.next(), self.random.next()));
        self.order_until_told(order_id, order).await;
    }

    /// The same key again. As `another` order, which must be refused, or by two ways at once.
    async fn repeat_an_old_order(&mut self, another: bool) {
        let Some(mut known) = self.shopping.pick_known(&mut self.random) else { return };
        if another {
            known.order.quantity = Quantity::new(u64::from(known.order.quantity.get()) + 1).expect("small");
        }
        self.order_until_told(known.order_id, known.order).await;
    }

    async fn order_until_told(&mut self, order_id: OrderId, order: NewOrder) {
        let at_once = self.random.per_mille(100);
        for _ in 0..REPEATS_MAX {
            let told = if at_once {
                let (one, other) = (self.frontend(), self.frontend());
                let (one, other) = futures::join!(
                    self.order_through(&one, order_id, &order, PATIENCE),
                    self.order_through(&other, order_id, &order, PATIENCE)
                );
                one && other
            } else {
                let frontend = self.frontend();
                // Some are impatient, and hang up.
                let patience = if self.random.per_mille(100) {
                    Duration::from_millis(self.random.within(2..=300))
                } else {
                    PATIENCE
                };
                self.order_through(&frontend, order_id, &order, patience).await
            };
            if told || self.random.per_mille(100) {
                return;
            }
            let pause = self.random.within(1..=300);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// True if it is known what became of the order.
    async fn order_through(&self, frontend: &Address, order_id: OrderId, order: &NewOrder, patience: Duration) -> bool {
        let called = self.shopping.outside.moment();
        let body = serde_json::to_vec(order).expect("an order is JSON");
        let request = Request::post("/orders")
            .header(header::CONTENT_TYPE, "application/json")
            .header(IDEMPOTENCY_KEY_HEADER, order_id.to_string())
            .body(body.into())
            .expect("a good request");
        let answer = timeout(patience, self.send::<OrderPlaced>(frontend, request)).await.ok().flatten();
        let returned = answer.as_ref().map(|_| self.shopping.outside.moment());
        let outcome = match answer {
            Some(Ok(placed)) => OrderOutcome::Acknowledged(placed.order_number),
            Some(Err(code)) => OrderOutcome::of_error(code),
            None => OrderOutcome::Unknown,
        };
        if let OrderOutcome::Acknowledged(number) = outcome {
            self.shopping.acknowledged.fetch_add(1, Ordering::Relaxed);
            let mut known = self.shopping.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.push(Known { order_id, order: order.clone(), number });
        }
        let (product, quantity) = (order.name.clone(), order.quantity);
        let call = OrderCall { client: self.id(), order_id, product, quantity, called, returned, outcome };
        self.note(&call);
        self.shopping.recorder.order(call).expect("a run has fewer calls");
        outcome != OrderOutcome::Unknown
    }

    async fn ask_for_an_order(&mut self) {
        let known = self.shopping.pick_known(&mut self.random).map_or(0, |known| known.number.get());
        // A number further on: there may be none yet.
        let number = if self.random.per_mille(300) { known + self.random.within(1..=5) } else { known.max(1) };
        self.ask_for(OrderNumber::new(number).expect("one or more")).await;
    }

    async fn ask_for(&mut self, number: OrderNumber) -> OrderReadOutcome {
        let frontend = self.frontend();
        let called = self.shopping.outside.moment();
        let request = Request::get(format!("/orders/{number}")).body(Bytes::new()).expect("a good request");
        let answer = self.send::<Order>(&frontend, request).await;
        let returned = answer.as_ref().map(|_| self.shopping.outside.moment());
        let outcome = match answer {
            Some(Ok(order)) => OrderReadOutcome::Found { product: order.name, quantity: order.quantity },
            Some(Err(ErrorCode::NoSuchOrder)) => OrderReadOutcome::NotFound,
            Some(Err(_)) | None => OrderReadOutcome::Unknown,
        };
        let read = OrderRead { client: self.id(), number, called, returned, outcome: outcome.clone() };
        self.note(&read);
        self.shopping.recorder.order_read(read).expect("a run has fewer calls");
        outcome
    }

    /// `None` if nobody answered, or with nothing that can be read.
    async fn send<T: DeserializeOwned>(&self, to: &Address, request: Request<Bytes>) -> Option<Result<T, ErrorCode>> {
        let world = ProcessWorld::current().expect("shoppers run in their process");
        let answer = timeout(PATIENCE, world.carry(to.clone(), request)).await.ok()?.ok()?;
        read(&answer)
    }

    fn frontend(&mut self) -> Address {
        self.random.pick(&self.shopping.frontends).clone()
    }

    fn id(&self) -> ClientId {
        ClientId(u32::try_from(self.client).expect("few clients"))
    }

    fn note(&self, what: &impl ToString) {
        let world = ProcessWorld::current().expect("shoppers run in their process");
        let event = Event::Told { client: self.client, what: what.to_string() };
        self.shopping.outside.note(world.machine(), &event);
    }
}

/// Data, or the error's code.
pub(crate) fn read<T: DeserializeOwned>(answer: &Response<Bytes>) -> Option<Result<T, ErrorCode>> {
    if answer.status().is_success() {
        serde_json::from_slice::<Data<T>>(answer.body()).ok().map(|body| Ok(body.data))
    } else {
        serde_json::from_slice::<ErrorBody>(answer.body()).ok().map(|body| Err(body.error.code))
    }
}
