//! The shoppers, and the history of their calls.
//!
//! They run on a machine that never fails; only its links do. Each shopper makes one call after the
//! other, through any frontend: it reads a product or the list of all products, places an order,
//! reads an order, or repeats an order with a key that was used before, for an order that was
//! placed or that was finally refused. A shopper that does not learn the outcome of an order
//! repeats it with the same key, or gives up.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::public::NewOrder;
use api::{Address, OrderId, OrderNumber, Quantity};
use bytes::Bytes;
use history::{ClientId, Moment, OrderCall, OrderOutcome};
use http::{Request, Response};
use service::world::World;
use tokio::time::sleep;
use workload::verification::acknowledged_numbers;
use workload::{
    AttemptLog, AttemptObserver, Purchase, RecordingClient, StoreClient, StoreClientError, Transport, order_outcome,
};

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

/// What all shoppers share.
#[derive(Debug)]
pub(crate) struct Shopping {
    pub(crate) log: Arc<AttemptLog<SimulatedEnvironment>>,
    frontends: Vec<Address>,
    /// Set when the shoppers stop: calls in progress are finished, but no new ones begin.
    stopped: AtomicBool,
}

impl Shopping {
    pub(crate) fn new(environment: SimulatedEnvironment, frontends: Vec<Address>) -> Arc<Self> {
        let log = Arc::new(AttemptLog::new(environment, CALLS_MAX));
        Arc::new(Self { log, frontends, stopped: AtomicBool::new(false) })
    }

    /// The number of acknowledgements, including those of repeated orders.
    pub(crate) fn acknowledged(&self) -> usize {
        self.log.inspect(|history| history.orders.iter().filter_map(OrderCall::number).count())
    }

    /// Stops the shoppers.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Picks an acknowledgement.
    fn pick_known(&self, random: &mut Random) -> Option<OrderCall> {
        self.log.inspect(|history| {
            let known: Vec<_> = history.orders.iter().filter(|call| call.number().is_some()).collect();
            (!known.is_empty()).then(|| (*random.pick(&known)).clone())
        })
    }

    /// The finally refused orders, each once.
    fn refused(&self) -> Vec<(OrderId, NewOrder)> {
        let is_refused = |call: &&OrderCall| matches!(call.outcome, OrderOutcome::Refused(code) if code.is_final());
        self.log.inspect(|history| {
            let mut refused = Vec::new();
            for call in history.orders.iter().filter(is_refused) {
                let order = (call.order_id, call.order());
                if !refused.contains(&order) {
                    refused.push(order);
                }
            }
            refused
        })
    }

    /// Picks an order that was placed or refused.
    fn pick_answered(&self, random: &mut Random) -> Option<(OrderId, NewOrder)> {
        let refused = self.refused();
        if !refused.is_empty() && random.per_mille(500) {
            return Some(random.pick(&refused).clone());
        }
        self.pick_known(random).map(|known| (known.order_id, known.order()))
    }
}

/// A client of one frontend.
pub(crate) type SimulatedClient = RecordingClient<SimulatedTransport, SimulatedEnvironment>;

/// One shopper.
pub(crate) struct SimulatedShopper {
    shopping: Arc<Shopping>,
    frontends: Vec<SimulatedClient>,
    random: Random,
    pause_ms_max: u64,
}

impl SimulatedShopper {
    /// A shopper that pauses for up to `pause_ms_max` between two calls.
    pub(crate) fn new(client: u32, shopping: Arc<Shopping>, random: Random, pause_ms_max: u64) -> Self {
        let session = format!("shopper-{client}");
        let through = |frontend: &Address| {
            let store = StoreClient::over(SimulatedTransport(frontend.clone()), &session, REQUEST_TIMEOUT);
            RecordingClient::new(ClientId(client), store, Arc::clone(&shopping.log))
        };
        Self { frontends: shopping.frontends.iter().map(through).collect(), shopping, random, pause_ms_max }
    }

    /// The client of a frontend, from 1.
    pub(crate) fn through(&self, frontend: u8) -> &SimulatedClient {
        &self.frontends[usize::from(frontend) - 1]
    }

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
        for number in self.shopping.log.inspect(|history| acknowledged_numbers(&history.orders)) {
            for _ in 0..ATTEMPTS_MAX {
                if self.frontend().get_order(number).await.is_ok() {
                    break;
                }
            }
        }
    }

    /// Repeats every finally refused order: by now, enough may be in stock.
    pub(crate) async fn repeat_all_refused(&mut self) {
        for (order_id, order) in self.shopping.refused() {
            self.order_until_known(order_id, order).await;
        }
    }

    /// Reads each product through each frontend. The log has the answers.
    pub(crate) async fn read_all_products(&mut self) {
        for frontend in &self.frontends {
            for (name, _) in PRODUCTS {
                let _ = frontend.product(&product_name(name)).await;
            }
        }
    }

    async fn read_random_product(&mut self) {
        let (frontend, (name, _)) = (self.frontend(), *self.random.pick(&PRODUCTS));
        let _ = frontend.product(&product_name(name)).await;
    }

    async fn list_random_products(&mut self) {
        let _ = self.frontend().products().await;
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
                let (one, other) =
                    futures::join!(one.place_order(order_id, &order), other.place_order(order_id, &order));
                is_known(&one) && is_known(&other)
            } else {
                let mut frontend = self.frontend();
                // Some calls are given up early.
                if self.random.per_mille(100) {
                    frontend = frontend.with_request_timeout(Duration::from_millis(self.random.within(2..=300)));
                }
                is_known(&frontend.place_order(order_id, &order).await)
            };
            if is_known || self.random.per_mille(100) {
                return;
            }
            let pause = self.random.within(1..=300);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn read_random_order(&mut self) {
        let known = self.shopping.pick_known(&mut self.random);
        let known = known.and_then(|call| call.number()).map_or(0, OrderNumber::get);
        // A higher number, which may not exist yet.
        let number = if self.random.per_mille(300) { known + self.random.within(1..=5) } else { known.max(1) };
        let _ = self.frontend().get_order(OrderNumber::new(number).expect("one or more")).await;
    }

    fn frontend(&mut self) -> SimulatedClient {
        self.random.pick(&self.frontends).clone()
    }
}

/// Whether the outcome of an order is known.
fn is_known(answer: &Result<Purchase, StoreClientError>) -> bool {
    order_outcome(answer) != OrderOutcome::Unknown
}

impl AttemptObserver for SimulatedEnvironment {
    fn moment(&self) -> Moment {
        self.moment()
    }

    fn observed(&self, client: ClientId, attempt: &dyn fmt::Display) {
        let world = ProcessWorld::current().expect("shoppers run in their process");
        self.note(world.machine(), &TraceEvent::Observed { client, what: attempt.to_string() });
    }
}

/// The simulated network between the shoppers and one frontend.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedTransport(Address);

impl Transport for SimulatedTransport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, StoreClientError> {
        let world = ProcessWorld::current().expect("shoppers run in their process");
        // Even if the connection was refused, a copy of the request may arrive later.
        let response = world.send(self.0.clone(), request).await;
        response.map_err(|error| StoreClientError::ConnectionLost(error.to_string()))
    }
}
