use std::net::{Ipv4Addr, SocketAddr};

use api::order::{PlaceOrder, Placement, TOGETHER_PATH};
use api::public::OrderPlaced;
use api::{ApiError, ErrorCode, OrderId, OrderNumber, ProductName, Quantity, TOGETHER_MAX};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use futures::FutureExt;
use futures::future::join_all;
use service::http::{Body, Limits, Listener, Reply, data, serve};
use tokio::net::TcpSocket;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::orders::Placing;

type Answer = Answered<Placing>;

const UNDER_WAY_MAX: usize = 4;

/// A replica that gives an order its quantity as its number, has none of what is ordered a thousand times, and answers when it may.
struct Replica {
    address: Address,
    /// How many orders each request has brought.
    requests: mpsc::Receiver<usize>,
    may_answer: watch::Sender<bool>,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Shared {
    requests: mpsc::Sender<usize>,
    may_answer: watch::Receiver<bool>,
}

impl Shared {
    async fn take(mut self, orders: usize) {
        self.requests.try_send(orders).unwrap();
        self.may_answer.wait_for(|may| *may).await.unwrap();
    }
}

fn number(order: &PlaceOrder) -> Result<OrderPlaced, ApiError> {
    let quantity = order.quantity.get();
    let order_number = OrderNumber::new(quantity.into()).filter(|_| quantity != 1000);
    let out_of_stock = || ApiError::new(ErrorCode::OutOfStock, "not so many");
    order_number.map(|order_number| OrderPlaced { order_number }).ok_or_else(out_of_stock)
}

async fn place(State(shared): State<Shared>, Body(order): Body<PlaceOrder>) -> Reply<OrderPlaced> {
    shared.take(1).await;
    data(number(&order)?)
}

async fn place_together(State(shared): State<Shared>, Body(orders): Body<Vec<PlaceOrder>>) -> Reply<Vec<Placement>> {
    shared.take(orders.len()).await;
    data(orders.iter().map(|order| number(order).into()).collect())
}

impl Replica {
    fn start() -> Self {
        let (requests, asked) = mpsc::channel(2 * TOGETHER_MAX);
        let (may_answer, wait) = watch::channel(true);
        let router = Router::new().route("/orders", post(place)).route(TOGETHER_PATH, post(place_together));
        let router = router.with_state(Shared { requests, may_answer: wait });
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let at: SocketAddr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, router, Limits::default(), stop.clone()));
        let address = Address::new(&at.ip().to_string(), at.port());
        Self { address, requests: asked, may_answer, _stop: stop.drop_guard() }
    }

    /// From now on answers wait for [`Replica::release`].
    fn hold(&self) {
        self.may_answer.send_replace(false);
    }

    fn release(&self) {
        self.may_answer.send_replace(true);
    }
}

/// One to which no request of a test is slow, however busy the machine is.
fn courier(under_way_max: usize) -> Courier<Placing> {
    Courier::with_slow(Placing, under_way_max, Duration::from_mins(1))
}

/// Does not borrow: who waits for an answer can also look at the requests.
fn go(courier: &Courier<Placing>, to: &Replica, quantity: u64) -> impl Future<Output = Answer> + use<> {
    go_to(courier.clone(), to.address.clone(), quantity)
}

async fn go_to(courier: Courier<Placing>, to: Address, quantity: u64) -> Answer {
    let (order_id, name) = (OrderId::random(), ProductName::new("Tux").unwrap());
    let order = PlaceOrder { order_id, name, quantity: Quantity::new(quantity).unwrap() };
    let deadline = Instant::now() + Duration::from_secs(30);
    courier.ask(Caller::new(None), to, &order, deadline).await
}

fn placed(number: u64) -> OrderPlaced {
    OrderPlaced { order_number: OrderNumber::new(number).unwrap() }
}

/// Lets as many requests leave as may be under way.
async fn occupy(courier: &Courier<Placing>, replica: &mut Replica) -> Vec<tokio::task::JoinHandle<Answer>> {
    replica.hold();
    let mut under_way = Vec::new();
    for _ in 0..UNDER_WAY_MAX {
        // As many as are under way, or the first.
        let together = under_way.len().max(1);
        for _ in 0..together {
            assert!(replica.requests.try_recv().is_err(), "they wait until they are {together}");
            let mut order = Box::pin(go(courier, replica, 1));
            assert!((&mut order).now_or_never().is_none());
            under_way.push(tokio::spawn(order));
        }
        assert_eq!(replica.requests.recv().await, Some(together));
    }
    under_way
}

#[tokio::test]
async fn who_comes_alone_travels_alone_and_nothing_is_left_behind() {
    let (courier, mut replica) = (courier(UNDER_WAY_MAX), Replica::start());
    for quantity in 1..=5 {
        assert_eq!(go(&courier, &replica, quantity).await, Ok(placed(quantity)));
        assert_eq!(replica.requests.recv().await, Some(1));
    }
    // The last coach looks once more whether somebody waits.
    while !courier.ways().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn those_who_wait_travel_together_and_each_has_its_own_fate() {
    let (courier, mut replica) = (courier(UNDER_WAY_MAX), Replica::start());
    let first = occupy(&courier, &mut replica).await;
    let quantities = [7, 1000, 8];
    let mut together = Box::pin(join_all(quantities.map(|quantity| go(&courier, &replica, quantity))));
    assert!((&mut together).now_or_never().is_none());
    replica.release();
    let answers = together.await;
    assert_eq!(replica.requests.recv().await, Some(3));
    assert_eq!((&answers[0], &answers[2]), (&Ok(placed(7)), &Ok(placed(8))));
    assert_eq!(answers[1].as_ref().unwrap_err().code(), Some(ErrorCode::OutOfStock));
    for answer in join_all(first).await {
        assert_eq!(answer.unwrap(), Ok(placed(1)));
    }
}

#[tokio::test]
async fn no_more_go_together_than_fit() {
    let (courier, mut replica) = (courier(UNDER_WAY_MAX), Replica::start());
    let first = occupy(&courier, &mut replica).await;
    let mut crowd = Box::pin(join_all((0..=TOGETHER_MAX).map(|_| go(&courier, &replica, 2))));
    assert!((&mut crowd).now_or_never().is_none());
    replica.release();
    assert!(crowd.await.iter().all(|answer| *answer == Ok(placed(2))));
    let mut sizes = [replica.requests.recv().await.unwrap(), replica.requests.recv().await.unwrap()];
    sizes.sort_unstable();
    assert_eq!(sizes, [1, TOGETHER_MAX]);
    join_all(first).await;
}

#[tokio::test]
async fn who_gets_off_before_it_leaves_is_not_sent() {
    let (courier, mut replica) = (courier(UNDER_WAY_MAX), Replica::start());
    let first = occupy(&courier, &mut replica).await;
    let mut stays = Box::pin(go(&courier, &replica, 2));
    let mut leaves = Box::pin(go(&courier, &replica, 3));
    assert!((&mut stays).now_or_never().is_none() && (&mut leaves).now_or_never().is_none());
    drop(leaves);
    replica.release();
    assert_eq!(stays.await, Ok(placed(2)));
    assert_eq!(replica.requests.recv().await, Some(1));
    join_all(first).await;
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_is_given_up_and_the_next_leaves() {
    let (courier, mut replica) = (courier(1), Replica::start());
    replica.hold();
    let first = tokio::spawn(go(&courier, &replica, 1));
    assert_eq!(replica.requests.recv().await, Some(1));
    let mut next = Box::pin(go(&courier, &replica, 2));
    assert!((&mut next).now_or_never().is_none());
    first.abort();
    tokio::select! {
        sent = replica.requests.recv() => assert_eq!(sent, Some(1)),
        answer = &mut next => panic!("{answer:?}"),
    }
    replica.release();
    assert_eq!(next.await, Ok(placed(2)));
}

#[tokio::test]
async fn slow_requests_keep_nobody_from_leaving() {
    let (courier, mut replica) = (Courier::with_slow(Placing, 2, Duration::from_millis(100)), Replica::start());
    replica.hold();
    let mut first = Vec::new();
    for _ in 0..2 {
        // Alone, whether or not the one before is slow already.
        first.push(tokio::spawn(go(&courier, &replica, 1)));
        assert_eq!(replica.requests.recv().await, Some(1));
    }
    let mut next = Box::pin(go(&courier, &replica, 2));
    // None of the first is answered, and yet it goes.
    tokio::select! {
        sent = replica.requests.recv() => assert_eq!(sent, Some(1)),
        answer = &mut next => panic!("{answer:?}"),
    }
    assert!(first.iter().all(|first| !first.is_finished()));
    replica.release();
    assert_eq!(next.await, Ok(placed(2)));
    for answer in join_all(first).await {
        assert_eq!(answer.unwrap(), Ok(placed(1)), "a slow one is answered all the same");
    }
    while !courier.ways().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_that_fails_fails_all_who_are_aboard() {
    let courier = courier(UNDER_WAY_MAX);
    // Bound, but not listening: the port is ours, and connections are refused.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = Address::new("127.0.0.1", nobody.local_addr().unwrap().port());
    let gone = Replica { address: address.clone(), ..Replica::start() };
    let failed = join_all((0..2 * UNDER_WAY_MAX as u64).map(|n| go(&courier, &gone, n + 1))).await;
    assert!(failed.iter().all(|answer| *answer == Err(CallError::Unreachable(address.clone()))), "{failed:?}");
}
