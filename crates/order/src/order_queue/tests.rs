use api::{OrderNumber, ProductName, Quantity};

use super::*;
use crate::orders::RefusalReason;

/// An attempt that may be repeated, by a sender that knows nothing about the group.
fn attempt(n: u128, quantity: u64) -> PlaceOrder {
    PlaceOrder { line: line(n, quantity), known: DecidedCounts::default(), only_attempt: false }
}

fn line(n: u128, quantity: u64) -> OrderLine {
    OrderLine {
        order_id: OrderId(uuid::Uuid::from_u128(n)),
        name: ProductName::new("Tux").unwrap(),
        quantity: Quantity::new(quantity).unwrap(),
    }
}

fn code(result: Result<impl std::fmt::Debug, ApiError>) -> ErrorCode {
    result.unwrap_err().code
}

async fn taken(queue: &OrderQueue, max: usize) -> Vec<OrderLine> {
    queue.take(max).await.unwrap().into_iter().map(|taken| taken.line).collect()
}

#[tokio::test]
async fn orders_leave_in_the_order_of_arrival_and_a_full_queue_refuses() {
    let queue = OrderQueue::open(Term(1), 3);
    let _answers: Vec<_> = (1..=3).map(|n| queue.submit(attempt(n, 1)).unwrap()).collect();
    assert_eq!(code(queue.submit(attempt(4, 1))), ErrorCode::Overloaded);
    assert_eq!(taken(&queue, 2).await, [line(1, 1), line(2, 1)]);
    let _answer = queue.submit(attempt(4, 1)).unwrap();
    assert_eq!(taken(&queue, 2).await, [line(3, 1), line(4, 1)]);
}

#[tokio::test]
async fn one_id_is_processed_once_and_all_its_requests_get_the_result() {
    let queue = OrderQueue::open(Term(1), 10);
    let first = queue.submit(attempt(1, 1)).unwrap();
    assert_eq!(taken(&queue, 10).await, [line(1, 1)]);
    let second = queue.submit(attempt(1, 1)).unwrap();
    let other = queue.submit(attempt(1, 2)).unwrap();
    assert_eq!(queue.length(), 0, "nothing is queued twice");
    queue.answer([(line(1, 1).order_id, Ok(OrderNumber::FIRST))]);
    assert_eq!(code(other.await.unwrap()), ErrorCode::IdempotencyKeyReused);
    assert_eq!(first.await.unwrap(), Ok(OrderNumber::FIRST));
    assert_eq!(second.await.unwrap(), Ok(OrderNumber::FIRST));
}

#[tokio::test]
async fn waiters_are_bounded_and_dropped_ones_do_not_count() {
    let queue = OrderQueue::open(Term(1), 10);
    let mut waiters: Vec<_> = (0..WAITERS_MAX).map(|_| queue.submit(attempt(1, 1)).unwrap()).collect();
    assert_eq!(code(queue.submit(attempt(1, 1))), ErrorCode::Overloaded);
    waiters.pop();
    queue.submit(attempt(1, 1)).unwrap();
}

#[tokio::test]
async fn an_abandoned_order_leaves_the_queue() {
    let queue = OrderQueue::open(Term(1), 2);
    drop(queue.submit(attempt(1, 1)).unwrap());
    assert_eq!(queue.length(), 0);
    let second = queue.submit(attempt(2, 1)).unwrap();
    let again = queue.submit(attempt(2, 1)).unwrap();
    let _third = queue.submit(attempt(3, 1)).unwrap();
    assert_eq!(code(queue.submit(attempt(4, 1))), ErrorCode::Overloaded);
    drop(second);
    assert_eq!(queue.length(), 2, "one request still waits for it");
    drop(again);
    let _fourth = queue.submit(attempt(4, 1)).unwrap();
    assert_eq!(taken(&queue, 10).await, [line(3, 1), line(4, 1)]);
}

#[tokio::test]
async fn an_order_in_a_batch_is_finished_even_if_no_request_waits() {
    let queue = OrderQueue::open(Term(1), 10);
    let first = queue.submit(attempt(1, 1)).unwrap();
    assert_eq!(taken(&queue, 10).await, [line(1, 1)]);
    drop(first);
    let again = queue.submit(attempt(1, 1)).unwrap();
    assert_eq!(queue.length(), 0, "it is under way and not queued again");
    queue.answer([(line(1, 1).order_id, Ok(OrderNumber::FIRST))]);
    assert_eq!(again.await.unwrap(), Ok(OrderNumber::FIRST));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_would_wait_too_long_is_refused_at_once() {
    let queue = OrderQueue::open(Term(1), 100);
    let mut waiting: Vec<_> = (1..=8).map(|n| queue.submit(attempt(n, 1)).unwrap()).collect();
    // Two orders per second …
    for _ in 0..3 {
        assert_eq!(taken(&queue, 2).await.len(), 2);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    // … so the fifth in the queue is served within 2 s, and the seventh would wait for 3 s.
    waiting.extend((9..=12).map(|n| queue.submit(attempt(n, 1)).unwrap()));
    assert_eq!(code(queue.submit(attempt(13, 1))), ErrorCode::Overloaded);
    // Abandoned orders make room.
    waiting.truncate(10);
    queue.submit(attempt(13, 1)).unwrap();
}

#[tokio::test]
async fn at_the_end_of_a_term_each_request_gets_the_right_error() {
    let queue = OrderQueue::open(Term(1), 10);
    let mut answers: Vec<_> = (1..=3).map(|n| queue.submit(attempt(n, 1)).unwrap()).collect();
    let orders = taken(&queue, 2).await;
    queue.mark_proposed(&orders[..1]);
    queue.close(Some(Ordinal(2)));
    let queued = answers.pop().unwrap().await.unwrap();
    let reserved = answers.pop().unwrap().await.unwrap();
    let proposed = answers.pop().unwrap().await.unwrap();
    assert_eq!(queued, Err(ApiError::not_leader(Some(Ordinal(2)))));
    assert_eq!(reserved, Err(ApiError::not_leader(Some(Ordinal(2)))));
    assert_eq!(code(proposed), ErrorCode::Unavailable);
    assert_eq!(queue.take(1).await, None);
    assert_eq!(code(queue.submit(attempt(4, 1))), ErrorCode::NotLeader);
}

#[tokio::test]
async fn a_drain_waits_for_pending_orders_and_refuses_new_ones() {
    let queue = OrderQueue::open(Term(1), 10);
    let _answers: Vec<_> = (1..=2).map(|n| queue.submit(attempt(n, 1)).unwrap()).collect();
    let drain = queue.drain();
    tokio::pin!(drain);
    assert!(futures::poll!(&mut drain).is_pending());
    assert_eq!(code(queue.submit(attempt(3, 1))), ErrorCode::NotLeader);
    assert_eq!(taken(&queue, 10).await.len(), 2);
    queue.answer([(line(1, 1).order_id, Ok(OrderNumber::FIRST))]);
    assert!(futures::poll!(&mut drain).is_pending());
    queue.answer([(line(2, 1).order_id, Ok(OrderNumber::FIRST.next()))]);
    drain.await;
}

#[tokio::test]
async fn a_conflicting_order_is_refused_once_the_first_one_has_its_final_result() {
    let out_of_stock = || Err(ApiError::new(ErrorCode::OutOfStock, "not enough"));
    let table = [
        (Ok(OrderNumber::FIRST), ErrorCode::IdempotencyKeyReused),
        (out_of_stock(), ErrorCode::IdempotencyKeyReused),
        (Err(ApiError::new(ErrorCode::InsufficientStorage, "full")), ErrorCode::InsufficientStorage),
    ];
    for (answer, expected) in table {
        let queue = OrderQueue::open(Term(1), 10);
        let _first = queue.submit(attempt(1, 1)).unwrap();
        let other = queue.submit(attempt(1, 2)).unwrap();
        queue.answer([(line(1, 1).order_id, answer)]);
        assert_eq!(code(other.await.unwrap()), expected);
    }
    let queue = OrderQueue::open(Term(1), 10);
    let first = queue.submit(attempt(1, 1)).unwrap();
    let other = queue.submit(attempt(1, 2)).unwrap();
    drop(first);
    assert_eq!(code(other.await.unwrap()), ErrorCode::Unavailable, "neither the first nor the second one is processed");
    assert_eq!(queue.length(), 0);
}

#[tokio::test]
async fn a_refusal_is_remembered_if_there_may_be_another_attempt() {
    let queue = OrderQueue::open(Term(1), 10);
    let only = |n| PlaceOrder { only_attempt: true, ..attempt(n, 1) };
    let alone = queue.submit(only(1)).unwrap();
    let first = queue.submit(only(2)).unwrap();
    let _second = queue.submit(attempt(2, 1)).unwrap();
    let abandoned = queue.submit(attempt(3, 1)).unwrap();
    let _repeatable = queue.submit(attempt(4, 1)).unwrap();
    let refused: Vec<_> = taken(&queue, 10).await;
    drop(abandoned);
    let refused = refused.into_iter().map(|line| RefusedOrder { line, reason: RefusalReason::OutOfStock }).collect();
    let rest = queue.refuse(refused, |_| ApiError::new(ErrorCode::OutOfStock, "not enough"));
    assert_eq!(rest.into_iter().map(|refused| refused.line).collect::<Vec<_>>(), [line(2, 1), line(4, 1)]);
    assert_eq!(code(alone.await.unwrap()), ErrorCode::OutOfStock);
    let joined = queue.submit(attempt(2, 1)).unwrap();
    assert_eq!(queue.length(), 0, "it waits for the same result");
    queue.answer([(line(2, 1).order_id, Err(ApiError::new(ErrorCode::OutOfStock, "not enough")))]);
    for result in [first, joined] {
        assert_eq!(code(result.await.unwrap()), ErrorCode::OutOfStock);
    }
}
