//! A catalog for the order service's tests: it keeps real books, in memory, by the rules of design §4.
//!
//! It is no stand-in for the code under test: the order service talks to it over HTTP, as to the real one. It can be told to hold its
//! answers back, and to lose one after it has done what was asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};

use api::catalog::{BatchReserved, Fence, Fenced, Reservation, ReserveBatch, Resolve, Settle};
use api::replica::{ReplicaStatus, Role};
use api::{Address, BatchId, BatchNumber, ErrorCode, NodeId, OrderId, Ordinal, ProductName, Quantity, Term};
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Router, response::IntoResponse};
use service::http::{Body, Failure, Limits, Listener, Reply, data, serve};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// One product's books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) stock: u32,
    pub(crate) sold: u32,
    pub(crate) reserved: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) products: BTreeMap<ProductName, Account>,
    pub(crate) fence: Term,
    open: BTreeMap<OrderId, (BatchId, ProductName, Quantity)>,
    last: Option<(BatchId, BatchReserved)>,
    /// Batches in the order in which they came, each once.
    pub(crate) batches: Vec<(BatchId, usize)>,
    pub(crate) resolutions: Vec<Resolve>,
}

impl Books {
    pub(crate) fn open_orders(&self) -> Vec<OrderId> {
        self.open.keys().copied().collect()
    }

    fn reserve(&mut self, batch: ReserveBatch) -> Result<BatchReserved, Failure> {
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
            assert_eq!(twice, None, "an order's stock is reserved once");
            Reservation::Reserved
        });
        let answer = BatchReserved { outcomes: outcomes.collect() };
        self.last = Some((batch.id, answer.clone()));
        Ok(answer)
    }

    fn settle(&mut self, settle: &Settle) -> Result<(), Failure> {
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
        let account = self.products.get_mut(&name).expect("reserved of a product");
        account.reserved -= quantity.get();
        if sold {
            account.sold += quantity.get();
        } else {
            account.stock += quantity.get();
        }
    }

    fn fence(&mut self, term: Term) -> Result<Fenced, Failure> {
        if term < self.fence {
            return Err(stale());
        }
        self.fence = term;
        Ok(Fenced { open: self.open_orders() })
    }

    fn resolve(&mut self, verdict: Resolve) -> Result<(), Failure> {
        if verdict.term < self.fence {
            return Err(stale());
        }
        verdict.keep.iter().for_each(|order_id| self.close(*order_id, true));
        verdict.release.iter().for_each(|order_id| self.close(*order_id, false));
        self.resolutions.push(verdict);
        Ok(())
    }
}

fn stale() -> Failure {
    Failure::new(ErrorCode::StaleTerm, "a newer leader has fenced this term")
}

/// What one catalog replica believes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Office {
    pub(crate) own: u8,
    pub(crate) leader: u8,
    pub(crate) term: u64,
    pub(crate) voters: u8,
}

/// A running catalog.
#[derive(Clone)]
pub(crate) struct Shelf {
    pub(crate) address: Address,
    books: Arc<Mutex<Books>>,
    changed: watch::Sender<u64>,
    /// Requests wait while this is `true`.
    held: watch::Sender<bool>,
    /// Whom it takes for the catalog's leader; `None` while it is frozen and tells nothing.
    office: watch::Sender<Option<Office>>,
    /// The next reserve is done, and its answer lost.
    lose_answer: Arc<AtomicBool>,
    _stop: Arc<tokio_util::sync::DropGuard>,
}

impl Shelf {
    /// With so many pieces of each product.
    pub(crate) fn start(products: &[(&str, u32)]) -> Self {
        let stop = CancellationToken::new();
        let listener = Listener::bind([127, 0, 0, 1].into(), 0).unwrap();
        let product = |(name, stock): &(&str, u32)| {
            (ProductName::new(name).unwrap(), Account { stock: *stock, ..Account::default() })
        };
        let books = Books { products: products.iter().map(product).collect(), ..Books::default() };
        let shelf = Self {
            address: Address::new("127.0.0.1", listener.local_addr().unwrap().port()),
            books: Arc::new(Mutex::new(books)),
            changed: watch::Sender::new(0),
            held: watch::Sender::new(false),
            office: watch::Sender::new(Some(Office { own: 1, leader: 1, term: 1, voters: 1 })),
            lose_answer: Arc::default(),
            _stop: Arc::new(stop.clone().drop_guard()),
        };
        let routes = Router::new()
            .route("/status", get(status))
            .route("/reservations", post(reservations))
            .route("/settlements", post(settlements))
            .route("/fence", post(fence))
            .route("/resolution", post(resolution))
            .with_state(shelf.clone_unguarded());
        tokio::spawn(serve(listener, routes, Limits::default(), stop));
        shelf
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    pub(crate) fn account(&self, name: &str) -> Account {
        self.books().products[name].clone()
    }

    /// Waits until the books are so.
    pub(crate) async fn until(&self, so: impl Fn(&Books) -> bool) {
        let mut changed = self.changed.subscribe();
        changed.wait_for(|_| so(&self.books())).await.unwrap();
    }

    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    pub(crate) fn let_go(&self) {
        self.held.send_replace(false);
    }

    /// From now on it is one replica of several, and believes this.
    pub(crate) fn believe(&self, office: Office) {
        self.office.send_replace(Some(office));
    }

    /// Answers nothing any more, like a process that is stopped with its sockets open.
    pub(crate) fn freeze(&self) {
        self.hold();
        self.office.send_replace(None);
    }

    pub(crate) fn lose_next_answer(&self) {
        self.lose_answer.store(true, SeqCst);
    }

    /// Leaves an open reservation, as a leader that died would.
    pub(crate) fn reserve_as(&self, term: u64, batch: u64, line: api::catalog::OrderLine) {
        let id = BatchId { term: Term(term), batch: BatchNumber(batch) };
        self.books().reserve(ReserveBatch { id, orders: vec![line], settle: None }).unwrap();
    }

    /// For the routes, which must not keep the server alive.
    fn clone_unguarded(&self) -> Self {
        Self { _stop: Arc::new(CancellationToken::new().drop_guard()), ..self.clone() }
    }

    async fn act<T>(&self, act: impl FnOnce(&mut Books) -> T) -> T {
        self.held.subscribe().wait_for(|held| !held).await.unwrap();
        let done = act(&mut self.books());
        self.changed.send_modify(|changes| *changes += 1);
        done
    }
}

async fn reservations(State(shelf): State<Shelf>, Body(batch): Body<ReserveBatch>) -> axum::response::Response {
    let answer = shelf.act(|books| books.reserve(batch)).await;
    if shelf.lose_answer.swap(false, SeqCst) {
        return Failure::new(ErrorCode::Unavailable, "lost").into_response();
    }
    match answer {
        Ok(answer) => data(answer).into_response(),
        Err(failure) => failure.into_response(),
    }
}

async fn settlements(State(shelf): State<Shelf>, Body(settle): Body<Settle>) -> Reply<serde_json::Value> {
    shelf.act(|books| books.settle(&settle)).await?;
    data(serde_json::json!({}))
}

async fn fence(State(shelf): State<Shelf>, Body(fence): Body<Fence>) -> Reply<Fenced> {
    data(shelf.act(|books| books.fence(fence.term)).await?)
}

async fn resolution(State(shelf): State<Shelf>, Body(verdict): Body<Resolve>) -> Reply<serde_json::Value> {
    shelf.act(|books| books.resolve(verdict)).await?;
    data(serde_json::json!({}))
}

async fn status(State(shelf): State<Shelf>) -> Reply<ReplicaStatus> {
    let mut office = shelf.office.subscribe();
    let office =
        office.wait_for(Option::is_some).await.expect("the shelf holds the sender").expect("it was waited for");
    let id = |seat| NodeId::new(Ordinal(seat), 1);
    data(ReplicaStatus {
        role: if office.own == office.leader { Role::Leader } else { Role::Follower },
        term: Term(office.term),
        leader: Some(id(office.leader)),
        voters: (1..=office.voters).map(id).collect(),
        ..ReplicaStatus::empty("catalog", id(office.own))
    })
}
