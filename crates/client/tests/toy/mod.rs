//! A small store in memory, behind a real server, that can be told to misbehave.

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
use service::http::{Body, Failure, PathParam, Reply, data};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// 503 at once.
    Unavailable,
    /// 502 with a proxy's page.
    BadGateway,
    /// The request is served, then the connection breaks within the answer.
    HangUp,
    /// The request is served, then there is no answer.
    Silence,
}

/// How a store breaks its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Orders are shown with one piece more.
    Quantity,
    /// Orders are not found.
    Lost,
    /// Every order is number 1.
    OneNumber,
    /// A repeated key is a new order.
    NotIdempotent,
    /// Products are shown with 100 pieces, always.
    Stock,
    /// A product is shown under another name.
    Name,
    /// The session is not echoed.
    Session,
}

/// A running store; gone when dropped.
pub(crate) struct Toy {
    pub(crate) address: Address,
    shelf: Arc<Shelf>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Shelf {
    books: Mutex<Books>,
    lie: Option<Lie>,
    placed: watch::Sender<usize>,
    misbehaved: watch::Sender<usize>,
}

#[derive(Default)]
pub(crate) struct Books {
    pub(crate) stock: BTreeMap<ProductName, Stock>,
    /// Number 1 first.
    pub(crate) orders: Vec<(OrderId, Order)>,
    pub(crate) keys: HashMap<OrderId, OrderNumber>,
    /// The products that were asked for.
    pub(crate) queries: Vec<ProductName>,
    /// Sessions and the connections that they came over.
    pub(crate) sessions: BTreeSet<(String, SocketAddr)>,
    faults: VecDeque<(&'static str, Fault)>,
}

impl Toy {
    /// Opens a store with so much of each product.
    pub(crate) async fn open(stock: &[(&str, u64)], lie: Option<Lie>) -> Self {
        let stock = stock.iter().map(|(name, pieces)| (ProductName::new(name).unwrap(), Stock(*pieces))).collect();
        let books = Mutex::new(Books { stock, ..Books::default() });
        let shelf = Arc::new(Shelf { books, lie, ..Shelf::default() });
        let router = Router::new()
            .route("/products", get(products))
            .route("/products/{name}", get(product))
            .route("/orders", post(order))
            .route("/orders/{number}", get(placed))
            .layer(middleware::from_fn_with_state(Arc::clone(&shelf), misbehave))
            .layer(middleware::from_fn_with_state(Arc::clone(&shelf), echo))
            .with_state(Arc::clone(&shelf));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { address: Address::new("127.0.0.1", port), shelf, server }
    }

    /// The next requests whose method and path begin like that go wrong.
    pub(crate) fn faults(&self, request: &'static str, faults: &[Fault]) {
        self.shelf.books().faults.extend(faults.iter().map(|fault| (request, *fault)));
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.shelf.books()
    }

    /// Waits until so many orders are placed.
    pub(crate) async fn has_placed(&self, count: usize) {
        self.shelf.placed.subscribe().wait_for(|placed| *placed >= count).await.unwrap();
    }

    /// Waits until so many requests went wrong.
    pub(crate) async fn has_misbehaved(&self, count: usize) {
        self.shelf.misbehaved.subscribe().wait_for(|faults| *faults >= count).await.unwrap();
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shelf {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    fn lies(&self, lie: Lie) -> bool {
        self.lie == Some(lie)
    }
}

async fn echo(
    State(shelf): State<Arc<Shelf>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let Some(session) = request.headers().get(SESSION_ID_HEADER).cloned() else {
        return next.run(request).await;
    };
    shelf.books().sessions.insert((session.to_str().unwrap().to_owned(), peer));
    let mut response = next.run(request).await;
    if !shelf.lies(Lie::Session) {
        response.headers_mut().insert(SESSION_ID_HEADER, session);
    }
    response
}

async fn misbehave(State(shelf): State<Arc<Shelf>>, request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    let fault = {
        let mut books = shelf.books();
        let applies = books.faults.front().is_some_and(|(prefix, _)| line.starts_with(prefix));
        if applies { books.faults.pop_front() } else { None }
    };
    if fault.is_some() {
        shelf.misbehaved.send_modify(|faults| *faults += 1);
    }
    match fault {
        None => next.run(request).await,
        Some((_, Fault::Unavailable)) => Failure::new(ErrorCode::Unavailable, "no quorum").into_response(),
        Some((_, Fault::BadGateway)) => (StatusCode::BAD_GATEWAY, "<html>502</html>").into_response(),
        Some((_, Fault::HangUp)) => {
            next.run(request).await;
            let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("the cable is cut"))]);
            axum::body::Body::from_stream(broken).into_response()
        }
        Some((_, Fault::Silence)) => {
            next.run(request).await;
            std::future::pending().await
        }
    }
}

fn shown(shelf: &Shelf, name: &ProductName, stock: Stock) -> Product {
    let quantity = if shelf.lies(Lie::Stock) { Stock(100) } else { stock };
    let name = if shelf.lies(Lie::Name) { ProductName::new("Other").unwrap() } else { name.clone() };
    Product { name, price: Price::from_cents(2599).unwrap(), quantity }
}

async fn products(State(shelf): State<Arc<Shelf>>) -> Reply<Vec<Product>> {
    let books = shelf.books();
    let product = |(name, stock): (&ProductName, &Stock)| Product {
        name: name.clone(),
        price: Price::from_cents(2599).unwrap(),
        quantity: *stock,
    };
    data(books.stock.iter().map(product).collect())
}

async fn product(State(shelf): State<Arc<Shelf>>, PathParam(name): PathParam<ProductName>) -> Reply<Product> {
    let mut books = shelf.books();
    let stock = *books.stock.get(&name).ok_or_else(|| Failure::new(ErrorCode::NoSuchProduct, "no such product"))?;
    books.queries.push(name.clone());
    data(shown(&shelf, &name, stock))
}

async fn order(
    State(shelf): State<Arc<Shelf>>,
    headers: HeaderMap,
    Body(NewOrder { name, quantity }): Body<NewOrder>,
) -> Reply<OrderPlaced> {
    let id: OrderId = headers[IDEMPOTENCY_KEY_HEADER].to_str().unwrap().parse().unwrap();
    let mut books = shelf.books();
    if let Some(number) = books.keys.get(&id).filter(|_| !shelf.lies(Lie::NotIdempotent)) {
        return data(OrderPlaced { order_number: *number });
    }
    let stock = books.stock.get_mut(&name).ok_or_else(|| Failure::new(ErrorCode::NoSuchProduct, "no such product"))?;
    *stock = stock.take(quantity).ok_or_else(|| Failure::new(ErrorCode::OutOfStock, "not so many"))?;
    let number = OrderNumber::new(books.orders.len() as u64 + 1).unwrap();
    books.orders.push((id, Order { number, name, quantity }));
    books.keys.insert(id, number);
    shelf.placed.send_replace(books.orders.len());
    data(OrderPlaced { order_number: if shelf.lies(Lie::OneNumber) { OrderNumber::FIRST } else { number } })
}

async fn placed(State(shelf): State<Arc<Shelf>>, PathParam(number): PathParam<u64>) -> Reply<Order> {
    let books = shelf.books();
    let place = usize::try_from(number).unwrap().wrapping_sub(1);
    let (_, mut order) = books
        .orders
        .get(place)
        .filter(|_| !shelf.lies(Lie::Lost))
        .cloned()
        .ok_or_else(|| Failure::new(ErrorCode::NoSuchOrder, "no such order"))?;
    if shelf.lies(Lie::Quantity) {
        order.quantity = Quantity::new(u64::from(order.quantity.get()) + 1).unwrap();
    }
    data(order)
}
