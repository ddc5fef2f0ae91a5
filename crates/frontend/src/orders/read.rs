//! `GET /orders/{number}`: from any replica that has it, since an order never changes; "not found" only from the leader.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use api::public::Order;
use api::{ErrorCode, OrderNumber, Ordinal};
use axum::extract::State;
use service::call::{CallError, Route};
use service::http::{Failure, PathParam, Reply, data};
use tokio::time::Instant;

use super::Orders;
use crate::deadline::{ANSWER_WITHIN, remaining};
use crate::refusal::unavailable;

/// For a look into a follower's memory. One that is paused costs a reader so much, once per [`AVOIDED_FOR`].
const GLANCE_TIMEOUT: Duration = Duration::from_millis(200);

/// For an attempt at the leader, which may have to ask a majority before it says "not found".
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long a replica that failed is left alone.
const AVOIDED_FOR: Duration = Duration::from_secs(2);

/// The handler.
pub(crate) async fn read(State(orders): State<Orders>, PathParam(number): PathParam<String>) -> Reply<Order> {
    let number = parse(&number)?;
    let deadline = Instant::now() + ANSWER_WITHIN;
    data(orders.admission.reads.admit(orders.find(number, deadline)).await?)
}

impl Orders {
    async fn find(&self, number: OrderNumber, deadline: Instant) -> Result<Order, Failure> {
        if let Some(order) = self.glance(number).await {
            return Ok(order);
        }
        let path = path(number);
        let order = self.group.ask_leader(deadline, async |caller, leader| {
            caller.get(&leader, Route::filled(ROUTE, &path), remaining(deadline).min(ATTEMPT_TIMEOUT)).await
        });
        order.await.map_err(|error| refused(number, &error))
    }

    /// The order, if the next replica in turn has it. While nobody leads, every replica is asked: it is there to be read
    /// as long as one of those that have it is up.
    async fn glance(&self, number: OrderNumber) -> Option<Order> {
        let turn = self.replicas.turn(self.group.replicas().into_keys().collect());
        let tries = if self.group.current_leader().is_some() { 1 } else { turn.len() };
        for ordinal in turn.into_iter().take(tries) {
            match self.glance_at(ordinal, number).await {
                Ok(order) => return Some(order),
                Err(CallError::Refused(_)) => {}
                Err(CallError::Unreachable(_) | CallError::Unknown { .. }) => self.replicas.avoid(ordinal),
            }
        }
        None
    }

    async fn glance_at(&self, ordinal: Ordinal, number: OrderNumber) -> Result<Order, CallError> {
        let path = path(number);
        let route = Route::filled(ROUTE, &path);
        self.group.ask(ordinal, async |caller, replica| caller.get(&replica, route, GLANCE_TIMEOUT).await).await
    }
}

/// Whose turn it is, and who has failed lately.
#[derive(Debug)]
pub(super) struct Replicas {
    next: AtomicUsize,
    begun: Instant,
    /// By seat: until when it is avoided, in milliseconds since `begun`.
    avoided_until_ms: [AtomicU64; 256],
}

impl Default for Replicas {
    fn default() -> Self {
        Self { next: AtomicUsize::new(0), begun: Instant::now(), avoided_until_ms: [const { AtomicU64::new(0) }; 256] }
    }
}

impl Replicas {
    /// The seats in the order in which to ask them: each time another one first, those that failed lately last.
    fn turn(&self, mut seats: Vec<Ordinal>) -> Vec<Ordinal> {
        if !seats.is_empty() {
            let first = self.next.fetch_add(1, Ordering::Relaxed) % seats.len();
            seats.rotate_left(first);
        }
        let now = self.millis(Duration::ZERO);
        seats.sort_by_key(|seat| self.avoided_until_ms[usize::from(seat.0)].load(Ordering::Relaxed) > now);
        seats
    }

    fn avoid(&self, seat: Ordinal) {
        self.avoided_until_ms[usize::from(seat.0)].store(self.millis(AVOIDED_FOR), Ordering::Relaxed);
    }

    fn millis(&self, from_now: Duration) -> u64 {
        u64::try_from((self.begun.elapsed() + from_now).as_millis()).unwrap_or(u64::MAX)
    }
}

/// The template of [`path`].
const ROUTE: &str = "/orders/{number}";

fn path(number: OrderNumber) -> String {
    format!("/orders/{number}")
}

fn parse(number: &str) -> Result<OrderNumber, Failure> {
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| number.parse().ok()).flatten().and_then(OrderNumber::new).ok_or_else(|| {
        let what = format!("an order's number is a whole number from 1 to {}", u64::MAX);
        Failure::new(ErrorCode::BadRequest, what)
    })
}

fn refused(number: OrderNumber, error: &CallError) -> Failure {
    match error.code() {
        Some(ErrorCode::NoSuchOrder) => Failure::new(ErrorCode::NoSuchOrder, format!("there is no order {number}")),
        Some(ErrorCode::Overloaded) => {
            Failure::new(ErrorCode::Overloaded, "the order service has too much to do just now")
        }
        _ => {
            tracing::warn!(%error, order_number = number.get(), "the order service gave no answer");
            unavailable("the order service cannot answer just now")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_from_1_to_the_largest() {
        assert_eq!(parse("10").unwrap().get(), 10);
        assert_eq!(parse("18446744073709551615").unwrap().get(), u64::MAX);
        for bad in ["abc", "0", "-1", "+1", "1.5", "", "18446744073709551616", "1e3", " 1"] {
            assert_eq!(parse(bad).unwrap_err().0.code, ErrorCode::BadRequest, "{bad:?}");
        }
    }

    #[test]
    fn replicas_take_turns_and_failed_ones_come_last() {
        let replicas = Replicas::default();
        let seats = || vec![Ordinal(1), Ordinal(2), Ordinal(3)];
        let first: Vec<_> = (0..4).map(|_| replicas.turn(seats())[0].0).collect();
        assert_eq!(first, [1, 2, 3, 1]);
        replicas.avoid(Ordinal(2));
        for _ in 0..3 {
            assert_eq!(replicas.turn(seats())[2], Ordinal(2));
        }
        assert!(replicas.turn(Vec::new()).is_empty());
    }
}
