use std::net::Ipv4Addr;

use api::order::{BATCH_PATH, PlaceOrder, Placement};
use api::public::OrderPlaced;
use api::{ApiError, ErrorCode, OrderId, OrderNumber, ProductName, Quantity, REQUEST_BATCH_MAX};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use futures::FutureExt;
use futures::future::join_all;
use service::http::{HandlerResult, JsonBody, Limits, Listener, data, serve};
use service::lifecycle::Task;
use tokio::net::TcpSocket;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::orders::PlaceOrders;

type OrderResult = ItemResult<PlaceOrders>;

const REQUESTS_IN_FLIGHT_MAX: usize = 4;

/// A replica that uses an order's quantity as its number, is out of stock for a quantity of 1000,
/// and responds only while the test allows it.
struct Replica {
    address: Address,
    /// The number of orders in each HTTP request.
    requests: mpsc::Receiver<usize>,
    may_respond: watch::Sender<bool>,
    _served: Task,
}

#[derive(Clone)]
struct Shared {
    requests: mpsc::Sender<usize>,
    may_respond: watch::Receiver<bool>,
}

impl Shared {
    async fn take(mut self, orders: usize) {
        self.requests.try_send(orders).unwrap();
        self.may_respond.wait_for(|may| *may).await.unwrap();
    }
}

fn number(order: &PlaceOrder) -> Result<OrderPlaced, ApiError> {
    let quantity = order.line.quantity.get();
    let order_number = OrderNumber::new(quantity.into()).filter(|_| quantity != 1000);
    let out_of_stock = || ApiError::new(ErrorCode::OutOfStock, "out of stock");
    order_number.map(|order_number| OrderPlaced { order_number }).ok_or_else(out_of_stock)
}

async fn place(State(shared): State<Shared>, JsonBody(order): JsonBody<PlaceOrder>) -> HandlerResult<OrderPlaced> {
    shared.take(1).await;
    data(number(&order)?)
}

async fn place_batch(
    State(shared): State<Shared>,
    JsonBody(orders): JsonBody<Vec<PlaceOrder>>,
) -> HandlerResult<Vec<Placement>> {
    shared.take(orders.len()).await;
    data(orders.iter().map(|order| number(order).into()).collect())
}

impl Replica {
    fn start() -> Self {
        let (requests, received) = mpsc::channel(2 * REQUEST_BATCH_MAX);
        let (may_respond, wait) = watch::channel(true);
        let router = Router::new().route("/orders", post(place)).route(BATCH_PATH, post(place_batch));
        let router = router.with_state(Shared { requests, may_respond: wait });
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let address = Address::new("127.0.0.1", listener.address().port());
        let served = serve(listener, router, Limits::default());
        Self { address, requests: received, may_respond, _served: served }
    }

    /// Delays all responses until [`Replica::release`].
    fn hold(&self) {
        self.may_respond.send_replace(false);
    }

    fn release(&self) {
        self.may_respond.send_replace(true);
    }
}

/// A batcher for which no request is slow, however busy the machine is.
fn batcher(requests_in_flight_max: usize) -> Batcher<PlaceOrders> {
    Batcher::with_slow_after(PlaceOrders, requests_in_flight_max, Duration::from_mins(1))
}

/// Borrows nothing, so that a test can look at the requests while it waits for the result.
fn submit(
    batcher: &Batcher<PlaceOrders>,
    replica: &Replica,
    quantity: u64,
) -> impl Future<Output = OrderResult> + use<> {
    submit_to(batcher.clone(), replica.address.clone(), quantity)
}

async fn submit_to(batcher: Batcher<PlaceOrders>, leader: Address, quantity: u64) -> OrderResult {
    let (order_id, name) = (OrderId::random(), ProductName::new("Tux").unwrap());
    let order = PlaceOrder::new(order_id, name, Quantity::new(quantity).unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    batcher.submit(JsonClient::new(None), leader, &order, deadline).await
}

fn placed(number: u64) -> OrderPlaced {
    OrderPlaced { order_number: OrderNumber::new(number).unwrap() }
}

/// Brings as many requests into flight as are allowed.
async fn occupy(batcher: &Batcher<PlaceOrders>, replica: &mut Replica) -> Vec<tokio::task::JoinHandle<OrderResult>> {
    replica.hold();
    let mut in_flight = Vec::new();
    for _ in 0..REQUESTS_IN_FLIGHT_MAX {
        // A batch has as many orders as are in flight; the first one has one.
        let batch_size = in_flight.len().max(1);
        for _ in 0..batch_size {
            assert!(replica.requests.try_recv().is_err(), "orders wait until there are {batch_size}");
            let mut order = Box::pin(submit(batcher, replica, 1));
            assert!((&mut order).now_or_never().is_none());
            in_flight.push(tokio::spawn(order));
        }
        assert_eq!(replica.requests.recv().await, Some(batch_size));
    }
    in_flight
}

/// Waits until the workers have removed their queues, which they do after the last result.
async fn queues_are_removed(batcher: &Batcher<PlaceOrders>) {
    while !batcher.queues().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_single_order_is_sent_alone_and_leaves_no_queue_behind() {
    let (batcher, mut replica) = (batcher(REQUESTS_IN_FLIGHT_MAX), Replica::start());
    for quantity in 1..=5 {
        assert_eq!(submit(&batcher, &replica, quantity).await, Ok(placed(quantity)));
        assert_eq!(replica.requests.recv().await, Some(1));
    }
    queues_are_removed(&batcher).await;
}

#[tokio::test]
async fn pending_orders_share_a_request_and_each_has_its_own_result() {
    let (batcher, mut replica) = (batcher(REQUESTS_IN_FLIGHT_MAX), Replica::start());
    let first = occupy(&batcher, &mut replica).await;
    let quantities = [7, 1000, 8];
    let mut batch = Box::pin(join_all(quantities.map(|quantity| submit(&batcher, &replica, quantity))));
    assert!((&mut batch).now_or_never().is_none());
    replica.release();
    let results = batch.await;
    assert_eq!(replica.requests.recv().await, Some(3));
    assert_eq!((&results[0], &results[2]), (&Ok(placed(7)), &Ok(placed(8))));
    assert_eq!(results[1].as_ref().unwrap_err().code(), Some(ErrorCode::OutOfStock));
    for result in join_all(first).await {
        assert_eq!(result.unwrap(), Ok(placed(1)));
    }
}

#[tokio::test]
async fn a_batch_has_a_largest_size() {
    let (batcher, mut replica) = (batcher(REQUESTS_IN_FLIGHT_MAX), Replica::start());
    let first = occupy(&batcher, &mut replica).await;
    let mut orders = Box::pin(join_all((0..=REQUEST_BATCH_MAX).map(|_| submit(&batcher, &replica, 2))));
    assert!((&mut orders).now_or_never().is_none());
    replica.release();
    assert!(orders.await.iter().all(|result| *result == Ok(placed(2))));
    let mut sizes = [replica.requests.recv().await.unwrap(), replica.requests.recv().await.unwrap()];
    sizes.sort_unstable();
    assert_eq!(sizes, [1, REQUEST_BATCH_MAX]);
    join_all(first).await;
}

#[tokio::test]
async fn an_order_that_is_withdrawn_before_the_flush_is_not_sent() {
    let (batcher, mut replica) = (batcher(REQUESTS_IN_FLIGHT_MAX), Replica::start());
    let first = occupy(&batcher, &mut replica).await;
    let mut stays = Box::pin(submit(&batcher, &replica, 2));
    let mut withdrawn = Box::pin(submit(&batcher, &replica, 3));
    assert!((&mut stays).now_or_never().is_none() && (&mut withdrawn).now_or_never().is_none());
    drop(withdrawn);
    replica.release();
    assert_eq!(stays.await, Ok(placed(2)));
    assert_eq!(replica.requests.recv().await, Some(1));
    join_all(first).await;
}

#[tokio::test]
async fn a_request_without_a_waiting_sender_is_cancelled_and_the_next_one_is_sent() {
    let (batcher, mut replica) = (batcher(1), Replica::start());
    replica.hold();
    let first = tokio::spawn(submit(&batcher, &replica, 1));
    assert_eq!(replica.requests.recv().await, Some(1));
    let mut next = Box::pin(submit(&batcher, &replica, 2));
    assert!((&mut next).now_or_never().is_none());
    first.abort();
    tokio::select! {
        sent = replica.requests.recv() => assert_eq!(sent, Some(1)),
        result = &mut next => panic!("{result:?}"),
    }
    replica.release();
    assert_eq!(next.await, Ok(placed(2)));
}

#[tokio::test]
async fn slow_requests_do_not_block_the_queue() {
    let slow_after = Duration::from_millis(100);
    let (batcher, mut replica) = (Batcher::with_slow_after(PlaceOrders, 2, slow_after), Replica::start());
    replica.hold();
    let mut first = Vec::new();
    for _ in 0..2 {
        // Sent alone, whether or not the one before is slow already.
        first.push(tokio::spawn(submit(&batcher, &replica, 1)));
        assert_eq!(replica.requests.recv().await, Some(1));
    }
    let mut next = Box::pin(submit(&batcher, &replica, 2));
    // None of the first has a response, and the next one is sent nevertheless.
    tokio::select! {
        sent = replica.requests.recv() => assert_eq!(sent, Some(1)),
        result = &mut next => panic!("{result:?}"),
    }
    assert!(first.iter().all(|first| !first.is_finished()));
    replica.release();
    assert_eq!(next.await, Ok(placed(2)));
    for result in join_all(first).await {
        assert_eq!(result.unwrap(), Ok(placed(1)), "a slow request still delivers its result");
    }
    queues_are_removed(&batcher).await;
}

#[tokio::test]
async fn a_request_that_fails_fails_every_order_in_it() {
    let batcher = batcher(REQUESTS_IN_FLIGHT_MAX);
    // Bound but not listening: no other process can take the port, and connections are refused.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = Address::new("127.0.0.1", closed.local_addr().unwrap().port());
    let gone = Replica { address: address.clone(), ..Replica::start() };
    let failed = join_all((0..2 * REQUESTS_IN_FLIGHT_MAX as u64).map(|n| submit(&batcher, &gone, n + 1))).await;
    assert!(failed.iter().all(|result| *result == Err(CallError::NotListening(address.clone()))), "{failed:?}");
}
