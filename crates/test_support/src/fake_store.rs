//! A small in-memory store behind a real HTTP server, with faults and bugs on demand.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use api::public::{NewOrder, Order, OrderPlaced};
use api::{
    Address, ErrorCode, IDEMPOTENCY_KEY_HEADER, OrderId, OrderNumber, Price, Product, ProductName, Quantity,
    SESSION_ID_HEADER, Stock,
};
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use service::http::{ErrorResponse, HandlerResult, JsonBody, PathParam, data};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A fault of one request.
#[derive(Clone, Copy, Debug)]
pub enum RequestFault {
    /// None: the request is served, and a later one has the next fault.
    Nothing,
    /// The response is 503.
    Unavailable,
    /// The response is 502, with the HTML page of a proxy.
    BadGateway,
    /// The request is served, but the connection is closed in the middle of the response.
    HangUp,
    /// The request is served, but there is no response.
    Silence,
}

/// A bug that breaks a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Orders are returned with one piece too many.
    Quantity,
    /// Orders are not found.
    Lost,
    /// Every order is number 1.
    OneNumber,
    /// An order with a repeated key is a new order.
    NotIdempotent,
    /// Products are always returned with 100 pieces.
    Stock,
    /// Products are returned under another name.
    Name,
    /// The `Session-ID` is not returned.
    Session,
}

/// A running store, which stops when it is dropped.
pub struct FakeStore {
    /// Where it listens.
    pub address: Address,
    shared: Arc<FakeStoreState>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct FakeStoreState {
    records: Mutex<FakeRecords>,
    bug: Option<Bug>,
    placed: watch::Sender<usize>,
    served: watch::Sender<usize>,
    failed: watch::Sender<usize>,
}

/// What a store has, and what it was asked.
#[derive(Default)]
pub struct FakeRecords {
    stock: BTreeMap<ProductName, Stock>,
    /// Number 1 first.
    pub orders: Vec<(OrderId, Order)>,
    /// The number of each order that was placed.
    pub keys: HashMap<OrderId, OrderNumber>,
    /// The products that were read.
    pub queries: Vec<ProductName>,
    /// Session ids, and the connections that they arrived over.
    pub sessions: BTreeSet<(String, SocketAddr)>,
    faults: VecDeque<(&'static str, RequestFault)>,
}

impl FakeStore {
    /// Starts a store with that stock of each product.
    pub async fn open(stock: &[(&str, u64)], bug: Option<Bug>) -> Self {
        let stock = stock.iter().map(|(name, pieces)| (ProductName::new(name).unwrap(), Stock(*pieces))).collect();
        let records = Mutex::new(FakeRecords { stock, ..FakeRecords::default() });
        let shared = Arc::new(FakeStoreState { records, bug, ..FakeStoreState::default() });
        let router = Router::new()
            .route("/products", get(products))
            .route("/products/{name}", get(product))
            .route("/orders", post(order))
            .route("/orders/{number}", get(placed))
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), inject_fault))
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), echo))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { address: Address::new("127.0.0.1", port), shared, server }
    }

    /// The next requests whose method and path begin with `request` have these faults.
    pub fn faults(&self, request: &'static str, faults: &[RequestFault]) {
        self.shared.records().faults.extend(faults.iter().map(|fault| (request, *fault)));
    }

    /// What the store has now, locked.
    pub fn records(&self) -> MutexGuard<'_, FakeRecords> {
        self.shared.records()
    }

    /// Waits until `count` orders are placed.
    pub async fn has_placed(&self, count: usize) {
        self.shared.placed.subscribe().wait_for(|placed| *placed >= count).await.unwrap();
    }

    /// Waits until `count` product reads and orders were served.
    pub async fn has_served(&self, count: usize) {
        self.shared.served.subscribe().wait_for(|served| *served >= count).await.unwrap();
    }

    /// Waits until `count` requests had a fault.
    pub async fn has_failed(&self, count: usize) {
        self.shared.failed.subscribe().wait_for(|faults| *faults >= count).await.unwrap();
    }
}

impl Drop for FakeStore {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakeStoreState {
    fn records(&self) -> MutexGuard<'_, FakeRecords> {
        self.records.lock().unwrap()
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}

async fn echo(
    State(shared): State<Arc<FakeStoreState>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let Some(session) = request.headers().get(SESSION_ID_HEADER).cloned() else {
        return next.run(request).await;
    };
    shared.records().sessions.insert((session.to_str().unwrap().to_owned(), peer));
    let mut response = next.run(request).await;
    if !shared.has(Bug::Session) {
        response.headers_mut().insert(SESSION_ID_HEADER, session);
    }
    response
}

async fn inject_fault(State(shared): State<Arc<FakeStoreState>>, request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    let fault = {
        let mut records = shared.records();
        let applies = records.faults.front().is_some_and(|(prefix, _)| line.starts_with(prefix));
        if applies { records.faults.pop_front() } else { None }
    };
    if fault.is_some() {
        shared.failed.send_modify(|faults| *faults += 1);
    }
    match fault {
        None | Some((_, RequestFault::Nothing)) => next.run(request).await,
        Some((_, RequestFault::Unavailable)) => ErrorResponse::new(ErrorCode::Unavailable, "no quorum").into_response(),
        Some((_, RequestFault::BadGateway)) => (StatusCode::BAD_GATEWAY, "<html>502</html>").into_response(),
        Some((_, RequestFault::HangUp)) => {
            next.run(request).await;
            let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("the connection is cut"))]);
            axum::body::Body::from_stream(broken).into_response()
        }
        Some((_, RequestFault::Silence)) => {
            next.run(request).await;
            std::future::pending().await
        }
    }
}

fn shown(shared: &FakeStoreState, name: &ProductName, stock: Stock) -> Product {
    let quantity = if shared.has(Bug::Stock) { Stock(100) } else { stock };
    let name = if shared.has(Bug::Name) { ProductName::new("Other").unwrap() } else { name.clone() };
    Product { name, price: Price::from_cents(2599).unwrap(), quantity }
}

async fn products(State(shared): State<Arc<FakeStoreState>>) -> HandlerResult<Vec<Product>> {
    let records = shared.records();
    let product = |(name, stock): (&ProductName, &Stock)| Product {
        name: name.clone(),
        price: Price::from_cents(2599).unwrap(),
        quantity: *stock,
    };
    data(records.stock.iter().map(product).collect())
}

async fn product(
    State(shared): State<Arc<FakeStoreState>>,
    PathParam(name): PathParam<ProductName>,
) -> HandlerResult<Product> {
    let mut records = shared.records();
    let stock =
        *records.stock.get(&name).ok_or_else(|| ErrorResponse::new(ErrorCode::NoSuchProduct, "no such product"))?;
    records.queries.push(name.clone());
    shared.served.send_modify(|served| *served += 1);
    data(shown(&shared, &name, stock))
}

async fn order(
    State(shared): State<Arc<FakeStoreState>>,
    headers: HeaderMap,
    JsonBody(NewOrder { name, quantity }): JsonBody<NewOrder>,
) -> HandlerResult<OrderPlaced> {
    let id: OrderId = headers[IDEMPOTENCY_KEY_HEADER].to_str().unwrap().parse().unwrap();
    let mut records = shared.records();
    if let Some(number) = records.keys.get(&id).filter(|_| !shared.has(Bug::NotIdempotent)) {
        return data(OrderPlaced { order_number: *number });
    }
    let stock =
        records.stock.get_mut(&name).ok_or_else(|| ErrorResponse::new(ErrorCode::NoSuchProduct, "no such product"))?;
    *stock = stock.take(quantity).ok_or_else(|| ErrorResponse::new(ErrorCode::OutOfStock, "not enough in stock"))?;
    let number = OrderNumber::new(records.orders.len() as u64 + 1).unwrap();
    records.orders.push((id, Order { number, name, quantity }));
    records.keys.insert(id, number);
    shared.placed.send_replace(records.orders.len());
    shared.served.send_modify(|served| *served += 1);
    data(OrderPlaced { order_number: if shared.has(Bug::OneNumber) { OrderNumber::FIRST } else { number } })
}

async fn placed(State(shared): State<Arc<FakeStoreState>>, PathParam(number): PathParam<u64>) -> HandlerResult<Order> {
    let records = shared.records();
    let place = usize::try_from(number).unwrap().wrapping_sub(1);
    let (_, mut order) = records
        .orders
        .get(place)
        .filter(|_| !shared.has(Bug::Lost))
        .cloned()
        .ok_or_else(|| ErrorResponse::new(ErrorCode::NoSuchOrder, "no such order"))?;
    if shared.has(Bug::Quantity) {
        order.quantity = Quantity::new(u64::from(order.quantity.get()) + 1).unwrap();
    }
    data(order)
}
