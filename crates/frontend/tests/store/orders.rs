//! An order service of one replica, in whatever mood the test wants.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use api::order::PlaceOrder;
use api::public::{Order, OrderPlaced};
use api::replica::ReplicaStatus;
use api::{ErrorCode, OrderId, OrderNumber, Term};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use service::http::{Body, Failure, PathParam, Reply, data};
use tokio_util::sync::CancellationToken;

use super::{lone_leader, serve_at_some_port};

/// How the service takes orders.
#[derive(Clone, Copy, Debug)]
pub enum Mood {
    /// It places them.
    Placing,
    /// It refuses them.
    Refusing(ErrorCode),
    /// It places them, and never says so.
    Silent,
    /// It places them, and refuses to say so once; from then on it is in the first mood again.
    UnavailableOnce,
}

#[derive(Clone)]
pub struct Orders {
    pub addr: SocketAddr,
    shared: Arc<Mutex<Ledger>>,
}

struct Ledger {
    mood: Mood,
    placed: BTreeMap<OrderId, (OrderNumber, PlaceOrder)>,
    requests: usize,
}

impl Orders {
    pub fn start(stop: &CancellationToken) -> Self {
        let shared = Arc::new(Mutex::new(Ledger { mood: Mood::Placing, placed: BTreeMap::new(), requests: 0 }));
        let routes = Router::new()
            .route("/status", get(status))
            .route("/orders", post(place))
            .route("/orders/{number}", get(read))
            .with_state(Arc::clone(&shared));
        Self { addr: serve_at_some_port(routes, stop), shared }
    }

    pub fn set_mood(&self, mood: Mood) {
        self.shared.lock().unwrap().mood = mood;
    }

    /// How many orders have a number.
    pub fn placed(&self) -> usize {
        self.shared.lock().unwrap().placed.len()
    }

    /// How often it was asked to place one.
    pub fn requests(&self) -> usize {
        self.shared.lock().unwrap().requests
    }
}

impl Ledger {
    /// One number per id, as the real service gives.
    fn place(&mut self, order: &PlaceOrder) -> Result<OrderNumber, Failure> {
        let next = OrderNumber::new(self.placed.len() as u64 + 1).expect("not zero");
        let (number, known) = self.placed.entry(order.order_id).or_insert_with(|| (next, order.clone()));
        if known != order {
            return Err(Failure::new(ErrorCode::IdempotencyKeyReused, "the key came before with another order"));
        }
        Ok(*number)
    }
}

async fn status() -> Reply<ReplicaStatus> {
    data(lone_leader("order", Term(3)))
}

async fn place(State(shared): State<Arc<Mutex<Ledger>>>, Body(order): Body<PlaceOrder>) -> Reply<OrderPlaced> {
    let answer = {
        let mut ledger = shared.lock().unwrap();
        ledger.requests += 1;
        match ledger.mood {
            Mood::Placing => Some(ledger.place(&order)),
            Mood::Refusing(code) => Some(Err(Failure::new(code, "because the test says so"))),
            Mood::Silent => {
                ledger.place(&order)?;
                None
            }
            Mood::UnavailableOnce => {
                ledger.mood = Mood::Placing;
                ledger.place(&order)?;
                Some(Err(Failure::new(ErrorCode::Unavailable, "not sure")))
            }
        }
    };
    match answer {
        Some(answer) => data(OrderPlaced { order_number: answer? }),
        None => std::future::pending().await,
    }
}

async fn read(State(shared): State<Arc<Mutex<Ledger>>>, PathParam(number): PathParam<OrderNumber>) -> Reply<Order> {
    let ledger = shared.lock().unwrap();
    let found = ledger.placed.values().find(|(placed, _)| *placed == number);
    let (number, order) = found.ok_or_else(|| Failure::new(ErrorCode::NoSuchOrder, "no such order"))?;
    data(Order { number: *number, name: order.name.clone(), quantity: order.quantity })
}
