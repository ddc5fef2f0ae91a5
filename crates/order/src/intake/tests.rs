use api::{ProductName, Quantity};

use super::*;

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

async fn taken(intake: &Intake, max: usize) -> Vec<OrderLine> {
    intake.take(max).await.unwrap().into_iter().map(|(line, _)| line).collect()
}

#[tokio::test]
async fn orders_come_out_as_they_came_in_and_no_more_than_fit() {
    let intake = Intake::open(Term(1), 3);
    let _answers: Vec<_> = (1..=3).map(|n| intake.submit(line(n, 1)).unwrap()).collect();
    assert_eq!(code(intake.submit(line(4, 1))), ErrorCode::Overloaded);
    assert_eq!(taken(&intake, 2).await, [line(1, 1), line(2, 1)]);
    let _answer = intake.submit(line(4, 1)).unwrap();
    assert_eq!(taken(&intake, 2).await, [line(3, 1), line(4, 1)]);
}

#[tokio::test]
async fn one_id_is_under_way_once_and_all_who_ask_get_its_answer() {
    let intake = Intake::open(Term(1), 10);
    let first = intake.submit(line(1, 1)).unwrap();
    assert_eq!(taken(&intake, 10).await, [line(1, 1)]);
    let second = intake.submit(line(1, 1)).unwrap();
    assert_eq!(code(intake.submit(line(1, 2))), ErrorCode::IdempotencyKeyReused);
    assert_eq!(intake.queue_length(), 0, "nothing is queued twice");
    intake.answer([(line(1, 1).order_id, Ok(OrderNumber::FIRST))]);
    assert_eq!(first.await.unwrap(), Ok(OrderNumber::FIRST));
    assert_eq!(second.await.unwrap(), Ok(OrderNumber::FIRST));
}

#[tokio::test]
async fn waiters_are_bounded_and_those_who_left_do_not_count() {
    let intake = Intake::open(Term(1), 10);
    let mut waiters: Vec<_> = (0..WAITERS_MAX).map(|_| intake.submit(line(1, 1)).unwrap()).collect();
    assert_eq!(code(intake.submit(line(1, 1))), ErrorCode::Overloaded);
    waiters.pop();
    intake.submit(line(1, 1)).unwrap();
}

#[tokio::test]
async fn an_order_for_which_nobody_waits_any_more_is_not_begun_and_takes_no_place() {
    let intake = Intake::open(Term(1), 2);
    drop(intake.submit(line(1, 1)).unwrap());
    assert_eq!(intake.queue_length(), 0);
    let second = intake.submit(line(2, 1)).unwrap();
    let again = intake.submit(line(2, 1)).unwrap();
    let _third = intake.submit(line(3, 1)).unwrap();
    assert_eq!(code(intake.submit(line(4, 1))), ErrorCode::Overloaded);
    drop(second);
    assert_eq!(intake.queue_length(), 2, "someone still waits for it");
    drop(again);
    let _fourth = intake.submit(line(4, 1)).unwrap();
    assert_eq!(taken(&intake, 10).await, [line(3, 1), line(4, 1)]);
}

#[tokio::test]
async fn an_order_that_was_taken_is_finished_although_nobody_waits() {
    let intake = Intake::open(Term(1), 10);
    let first = intake.submit(line(1, 1)).unwrap();
    assert_eq!(taken(&intake, 10).await, [line(1, 1)]);
    drop(first);
    let again = intake.submit(line(1, 1)).unwrap();
    assert_eq!(intake.queue_length(), 0, "it is under way, and not begun a second time");
    intake.answer([(line(1, 1).order_id, Ok(OrderNumber::FIRST))]);
    assert_eq!(again.await.unwrap(), Ok(OrderNumber::FIRST));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_would_wait_too_long_is_refused_at_once() {
    let intake = Intake::open(Term(1), 100);
    let mut waiting: Vec<_> = (1..=8).map(|n| intake.submit(line(n, 1)).unwrap()).collect();
    // Two orders per second …
    for _ in 0..3 {
        assert_eq!(taken(&intake, 2).await.len(), 2);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    // … so the fifth in the queue is done in 2 s, and the seventh would have to wait for 3.
    waiting.extend((9..=12).map(|n| intake.submit(line(n, 1)).unwrap()));
    assert_eq!(code(intake.submit(line(13, 1))), ErrorCode::Overloaded);
    // Who gives up makes room.
    waiting.truncate(10);
    intake.submit(line(13, 1)).unwrap();
}

#[tokio::test]
async fn at_the_end_everyone_hears_what_is_known() {
    let intake = Intake::open(Term(1), 10);
    let mut answers: Vec<_> = (1..=3).map(|n| intake.submit(line(n, 1)).unwrap()).collect();
    let orders = taken(&intake, 2).await;
    intake.proposing(&orders[..1]);
    intake.close(Some(Ordinal(2)));
    let queued = answers.pop().unwrap().await.unwrap();
    let reserved = answers.pop().unwrap().await.unwrap();
    let proposed = answers.pop().unwrap().await.unwrap();
    assert_eq!(queued, Err(ApiError::not_leader(Some(Ordinal(2)))));
    assert_eq!(reserved, Err(ApiError::not_leader(Some(Ordinal(2)))));
    assert_eq!(code(proposed), ErrorCode::Unavailable);
    assert_eq!(intake.take(1).await, None);
    assert_eq!(code(intake.submit(line(4, 1))), ErrorCode::NotLeader);
}

#[tokio::test]
async fn a_drain_waits_for_those_inside_and_lets_nobody_in() {
    let intake = Intake::open(Term(1), 10);
    let _answers: Vec<_> = (1..=2).map(|n| intake.submit(line(n, 1)).unwrap()).collect();
    let drain = intake.drain();
    tokio::pin!(drain);
    assert!(futures::poll!(&mut drain).is_pending());
    assert_eq!(code(intake.submit(line(3, 1))), ErrorCode::NotLeader);
    assert_eq!(taken(&intake, 10).await.len(), 2);
    intake.answer([(line(1, 1).order_id, Ok(OrderNumber::FIRST))]);
    assert!(futures::poll!(&mut drain).is_pending());
    intake.answer([(line(2, 1).order_id, Ok(OrderNumber::FIRST.next()))]);
    drain.await;
}
