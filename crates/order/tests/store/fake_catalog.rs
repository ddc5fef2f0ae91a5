//! A catalog for the tests of the order service. It keeps real stock accounts in memory, by the
//! rules of the catalog's `reservation` module.
//!
//! It does not replace any code under test: the order service talks to it over HTTP, as to the real
//! catalog. A test can make it hold back its answers, or lose one after it has done what was
//! requested.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};

use api::catalog::{BatchReserved, Fence, Fenced, Reservation, ReserveBatch, Resolve, Settle};
use api::replica::{ReplicaStatus, Role};
use api::{Address, BatchId, BatchNumber, ErrorCode, NodeId, OrderId, Ordinal, ProductName, Quantity, Term};
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Router, response::IntoResponse};
use service::http::{ErrorResponse, HandlerResult, JsonBody, Limits, Listener, data, serve};
use service::lifecycle::Task;
use tokio::sync::watch;

/// The stock account of one product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) stock: u32,
    pub(crate) sold: u32,
    pub(crate) reserved: u32,
}

#[derive(Debug, Default)]
pub(crate) struct FakeState {
    pub(crate) products: BTreeMap<ProductName, Account>,
    pub(crate) fence: Term,
    open: BTreeMap<OrderId, (BatchId, ProductName, Quantity)>,
    last: Option<(BatchId, BatchReserved)>,
    /// Each batch once, in the order in which they arrived.
    pub(crate) batches: Vec<(BatchId, usize)>,
    /// The one of each term.
    pub(crate) resolutions: Vec<Resolve>,
}

impl FakeState {
    pub(crate) fn open_orders(&self) -> Vec<OrderId> {
        self.open.keys().copied().collect()
    }

    fn reserve(&mut self, batch: ReserveBatch) -> Result<BatchReserved, ErrorResponse> {
        if let Some((id, answer)) = &self.last
            && *id == batch.id
        {
            return Ok(answer.clone());
        }
        if batch.id.term < self.fence || self.last.as_ref().is_some_and(|(id, _)| batch.id < *id) {
            return Err(stale());
        }
        if let Some(settle) = batch.settle {
            self.settle(&settle)?;
        }
        self.batches.push((batch.id, batch.orders.len()));
        let outcomes = batch.orders.iter().map(|line| {
            let Some(account) = self.products.get_mut(&line.name) else { return Reservation::NoSuchProduct };
            let Some(left) = account.stock.checked_sub(line.quantity.get()) else { return Reservation::OutOfStock };
            account.stock = left;
            account.reserved += line.quantity.get();
            let twice = self.open.insert(line.order_id, (batch.id, line.name.clone(), line.quantity));
            assert_eq!(twice, None, "an order is reserved once");
            Reservation::Reserved
        });
        let answer = BatchReserved { outcomes: outcomes.collect() };
        self.last = Some((batch.id, answer.clone()));
        Ok(answer)
    }

    fn settle(&mut self, settle: &Settle) -> Result<(), ErrorResponse> {
        if settle.term < self.fence {
            return Err(stale());
        }
        let through = BatchId { term: settle.term, batch: settle.through };
        let done: Vec<_> = self.open.iter().filter(|(_, (id, ..))| *id <= through).map(|(id, _)| *id).collect();
        for order_id in done {
            self.close(order_id, !settle.released.contains(&order_id));
        }
        Ok(())
    }

    fn close(&mut self, order_id: OrderId, sold: bool) {
        let Some((_, name, quantity)) = self.open.remove(&order_id) else { return };
        let account = self.products.get_mut(&name).expect("only products are reserved");
        account.reserved -= quantity.get();
        if sold {
            account.sold += quantity.get();
        } else {
            account.stock += quantity.get();
        }
    }

    fn fence(&mut self, term: Term) -> Result<Fenced, ErrorResponse> {
        if term < self.fence {
            return Err(stale());
        }
        self.fence = term;
        Ok(Fenced { open: self.open_orders(), position: None })
    }

    fn resolve(&mut self, resolution: Resolve) -> Result<(), ErrorResponse> {
        if resolution.term < self.fence {
            return Err(stale());
        }
        resolution.keep.iter().for_each(|order_id| self.close(*order_id, true));
        resolution.release.iter().for_each(|order_id| self.close(*order_id, false));
        // A request that is answered late is sent twice.
        if self.resolutions.last().is_none_or(|last| last.term != resolution.term) {
            self.resolutions.push(resolution);
        }
        Ok(())
    }
}

fn stale() -> ErrorResponse {
    ErrorResponse::new(ErrorCode::StaleTerm, "a newer leader has fenced this term")
}

/// What one catalog replica believes about the leader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaderView {
    pub(crate) own: u8,
    pub(crate) leader: u8,
    pub(crate) term: u64,
    pub(crate) voters: u8,
}

/// A running catalog. Clones share it.
#[derive(Clone)]
pub(crate) struct FakeCatalog {
    pub(crate) address: Address,
    state: Arc<Mutex<FakeState>>,
    changed: watch::Sender<u64>,
    /// Requests wait while this is `true`.
    held: watch::Sender<bool>,
    /// What it believes about the leader; `None` while it is frozen and answers nothing.
    view: watch::Sender<Option<LeaderView>>,
    /// The next reserve is carried out, and its answer is lost.
    lose_answer: Arc<AtomicBool>,
    /// Not in the clone that the routes have, which must not keep the server alive.
    served: Option<Arc<Task>>,
}

impl FakeCatalog {
    /// Starts a catalog with these products and their stock.
    pub(crate) fn start(products: &[(&str, u32)]) -> Self {
        let listener = Listener::bind([127, 0, 0, 1].into(), 0).unwrap();
        let product = |(name, stock): &(&str, u32)| {
            (ProductName::new(name).unwrap(), Account { stock: *stock, ..Account::default() })
        };
        let state = FakeState { products: products.iter().map(product).collect(), ..FakeState::default() };
        let mut catalog = Self {
            address: Address::new("127.0.0.1", listener.address().port()),
            state: Arc::new(Mutex::new(state)),
            changed: watch::Sender::new(0),
            held: watch::Sender::new(false),
            view: watch::Sender::new(Some(LeaderView { own: 1, leader: 1, term: 1, voters: 1 })),
            lose_answer: Arc::default(),
            served: None,
        };
        let routes = Router::new()
            .route("/status", get(status))
            .route("/reservations", post(reservations))
            .route("/settlements", post(settlements))
            .route("/fence", post(fence))
            .route("/resolution", post(resolution))
            .with_state(catalog.clone());
        catalog.served = Some(Arc::new(serve(listener, routes, Limits::default())));
        catalog
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, FakeState> {
        self.state.lock().unwrap()
    }

    pub(crate) fn account(&self, name: &str) -> Account {
        self.state().products[name].clone()
    }

    /// Waits until the state satisfies a condition.
    pub(crate) async fn until(&self, so: impl Fn(&FakeState) -> bool) {
        let mut changed = self.changed.subscribe();
        changed.wait_for(|_| so(&self.state())).await.unwrap();
    }

    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.held.send_replace(false);
    }

    /// From now on it is one of several replicas, and believes this.
    pub(crate) fn set_view(&self, view: LeaderView) {
        self.view.send_replace(Some(view));
    }

    /// Answers nothing any more, like a stopped process whose sockets are open.
    pub(crate) fn freeze(&self) {
        self.hold();
        self.view.send_replace(None);
    }

    pub(crate) fn lose_next_answer(&self) {
        self.lose_answer.store(true, SeqCst);
    }

    /// Leaves an open reservation, as a leader that died would.
    pub(crate) fn reserve_as(&self, term: u64, batch: u64, line: api::catalog::OrderLine) {
        let id = BatchId { term: Term(term), batch: BatchNumber(batch) };
        self.state().reserve(ReserveBatch { id, orders: vec![line], settle: None }).unwrap();
    }

    async fn act<T>(&self, act: impl FnOnce(&mut FakeState) -> T) -> T {
        self.held.subscribe().wait_for(|held| !held).await.unwrap();
        let done = act(&mut self.state());
        self.changed.send_modify(|changes| *changes += 1);
        done
    }
}

async fn reservations(
    State(catalog): State<FakeCatalog>,
    JsonBody(batch): JsonBody<ReserveBatch>,
) -> axum::response::Response {
    let answer = catalog.act(|state| state.reserve(batch)).await;
    if catalog.lose_answer.swap(false, SeqCst) {
        return ErrorResponse::new(ErrorCode::Unavailable, "lost").into_response();
    }
    match answer {
        Ok(answer) => data(answer).into_response(),
        Err(failure) => failure.into_response(),
    }
}

async fn settlements(
    State(catalog): State<FakeCatalog>,
    JsonBody(settle): JsonBody<Settle>,
) -> HandlerResult<serde_json::Value> {
    catalog.act(|state| state.settle(&settle)).await?;
    data(serde_json::json!({}))
}

async fn fence(State(catalog): State<FakeCatalog>, JsonBody(fence): JsonBody<Fence>) -> HandlerResult<Fenced> {
    data(catalog.act(|state| state.fence(fence.term)).await?)
}

async fn resolution(
    State(catalog): State<FakeCatalog>,
    JsonBody(resolution): JsonBody<Resolve>,
) -> HandlerResult<serde_json::Value> {
    catalog.act(|state| state.resolve(resolution)).await?;
    data(serde_json::json!({}))
}

async fn status(State(catalog): State<FakeCatalog>) -> HandlerResult<ReplicaStatus> {
    let mut view = catalog.view.subscribe();
    let view = view
        .wait_for(Option::is_some)
        .await
        .expect("this catalog holds the sender")
        .expect("the condition was awaited");
    let id = |ordinal| NodeId::new(Ordinal(ordinal), 1);
    data(ReplicaStatus {
        role: if view.own == view.leader { Role::Leader } else { Role::Follower },
        term: Term(view.term),
        leader: Some(id(view.leader)),
        voters: (1..=view.voters).map(id).collect(),
        ..ReplicaStatus::empty("catalog", id(view.own))
    })
}
