//! An order service with a single replica, which behaves as the test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use api::order::{BATCH_PATH, PlaceOrder, Placement};
use api::public::{Order, OrderPlaced};
use api::replica::ReplicaStatus;
use api::{ErrorCode, OrderId, OrderNumber, RequestBatch, Term};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use service::http::{ErrorResponse, HandlerResult, JsonBody, PathParam, data};
use service::lifecycle::Task;

use super::{serve_on_free_port, single_leader};

/// What the service does with an order.
#[derive(Clone, Copy, Debug)]
pub enum Behavior {
    /// Places it.
    Place,
    /// Refuses it.
    Refuse(ErrorCode),
    /// Places it, but does not respond.
    PlaceSilently,
    /// Places it, but responds with `unavailable`; later orders are placed normally.
    UnavailableOnce,
}

#[derive(Clone)]
pub struct Orders {
    pub addr: SocketAddr,
    shared: Arc<Mutex<Ledger>>,
    _served: Arc<Task>,
}

struct Ledger {
    behavior: Behavior,
    placed: BTreeMap<OrderId, (OrderNumber, PlaceOrder)>,
    requests: usize,
}

impl Orders {
    pub fn start() -> Self {
        let shared = Arc::new(Mutex::new(Ledger { behavior: Behavior::Place, placed: BTreeMap::new(), requests: 0 }));
        let routes = Router::new()
            .route("/status", get(status))
            .route("/orders", post(place))
            .route(BATCH_PATH, post(place_batch))
            .route("/orders/{number}", get(read))
            .with_state(Arc::clone(&shared));
        let (addr, served) = serve_on_free_port(routes);
        Self { addr, shared, _served: Arc::new(served) }
    }

    pub fn set_behavior(&self, behavior: Behavior) {
        self.shared.lock().unwrap().behavior = behavior;
    }

    /// How many orders were placed.
    pub fn placed(&self) -> usize {
        self.shared.lock().unwrap().placed.len()
    }

    /// How many requests to place an order were received.
    pub fn requests(&self) -> usize {
        self.shared.lock().unwrap().requests
    }
}

impl Ledger {
    /// Gives one number to each id, as the real service does.
    fn place(&mut self, order: &PlaceOrder) -> Result<OrderNumber, ErrorResponse> {
        let next = OrderNumber::new(self.placed.len() as u64 + 1).expect("not zero");
        let (number, known) = self.placed.entry(order.line.order_id).or_insert_with(|| (next, order.clone()));
        if known.line != order.line {
            return Err(ErrorResponse::new(ErrorCode::IdempotencyKeyReused, "the key was used for another order"));
        }
        Ok(*number)
    }
}

async fn status() -> HandlerResult<ReplicaStatus> {
    data(single_leader("order", Term(3)))
}

async fn place(
    State(shared): State<Arc<Mutex<Ledger>>>,
    JsonBody(order): JsonBody<PlaceOrder>,
) -> HandlerResult<OrderPlaced> {
    data(place_one(&shared, &order).await?)
}

async fn place_batch(
    State(shared): State<Arc<Mutex<Ledger>>>,
    JsonBody(orders): JsonBody<RequestBatch<PlaceOrder>>,
) -> HandlerResult<Vec<Placement>> {
    let mut placed = Vec::new();
    for order in Vec::from(orders) {
        placed.push(place_one(&shared, &order).await.map_err(|ErrorResponse(error)| error).into());
    }
    data(placed)
}

async fn place_one(shared: &Mutex<Ledger>, order: &PlaceOrder) -> Result<OrderPlaced, ErrorResponse> {
    let answer = {
        let mut ledger = shared.lock().unwrap();
        ledger.requests += 1;
        match ledger.behavior {
            Behavior::Place => Some(ledger.place(order)),
            Behavior::Refuse(code) => Some(Err(ErrorResponse::new(code, "because the test says so"))),
            Behavior::PlaceSilently => {
                ledger.place(order)?;
                None
            }
            Behavior::UnavailableOnce => {
                ledger.behavior = Behavior::Place;
                ledger.place(order)?;
                Some(Err(ErrorResponse::new(ErrorCode::Unavailable, "not sure")))
            }
        }
    };
    match answer {
        Some(answer) => Ok(OrderPlaced { order_number: answer? }),
        None => std::future::pending().await,
    }
}

async fn read(
    State(shared): State<Arc<Mutex<Ledger>>>,
    PathParam(number): PathParam<OrderNumber>,
) -> HandlerResult<Order> {
    let ledger = shared.lock().unwrap();
    let found = ledger.placed.values().find(|(placed, _)| *placed == number);
    let (number, order) = found.ok_or_else(|| ErrorResponse::new(ErrorCode::NoSuchOrder, "no such order"))?;
    data(Order { number: *number, name: order.line.name.clone(), quantity: order.line.quantity })
}
