//! The attempts to place one order.
//!
//! An attempt may reach the leader long after its sender has stopped waiting: its bytes may sit in
//! a connection while another attempt, through this frontend or another one, is answered. So every
//! attempt says how far the order service was when the order arrived here ([`PlaceOrder::known`]),
//! by which the leader recognizes an attempt that is older than its memory. It also says whether it
//! is the [only attempt](PlaceOrder::only_attempt), so that the leader remembers only those
//! refusals that another attempt could ask for again.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use api::order::{DecidedCounts, PlaceOrder};
use api::public::OrderPlaced;
use api::{Address, ApiError, ErrorCode, OrderNumber};
use futures::future::{Either, select};
use service::json_client::CallError;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How often an attempt may be repeated because the leader found it stale. Once is enough, unless a
/// million other orders are placed in between.
const REFRESHES_MAX: usize = 2;

/// An order without an answer is sent a second time after this long, while the first attempt
/// continues. It is several times what an idle leader takes, and less than TCP waits before it
/// resends a lost packet.
const HEDGE_AFTER: Duration = Duration::from_millis(150);

/// How many orders may have a second attempt in flight. If all orders are slow because of load,
/// more attempts would only add to it.
pub(super) const SECOND_ATTEMPTS_MAX: usize = 32;

/// How many orders the order service has decided, as far as is known. The counts only grow.
#[derive(Debug, Default)]
pub(crate) struct DecidedCounters {
    placed: AtomicU64,
    refused: AtomicU64,
}

impl DecidedCounters {
    /// The counts that are known now.
    pub(super) fn get(&self) -> DecidedCounts {
        DecidedCounts { placed: self.placed.load(Ordering::Relaxed), refused: self.refused.load(Ordering::Relaxed) }
    }

    fn raise(&self, decided: DecidedCounts) {
        self.placed.fetch_max(decided.placed, Ordering::Relaxed);
        self.refused.fetch_max(decided.refused, Ordering::Relaxed);
    }

    fn placed(&self, number: OrderNumber) {
        // Avoids the write when a higher number is known already.
        if self.placed.load(Ordering::Relaxed) < number.get() {
            self.placed.fetch_max(number.get(), Ordering::Relaxed);
        }
    }
}

/// The attempts to place one order.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    /// The order as every attempt sends it, except for `known` and `only_attempt`.
    order: &'a PlaceOrder,
    /// What the next attempt sends as [`PlaceOrder::known`]. It lags behind what this frontend
    /// knows by now, because the order may have been decided through another frontend in the
    /// meantime.
    known: DecidedCounters,
    /// Whether an attempt was made.
    attempted: AtomicBool,
    /// What this frontend knows.
    frontend: &'a DecidedCounters,
}

impl<'a> Attempts<'a> {
    /// For `order`, of which no attempt was made yet. `frontend` is what this frontend knows.
    pub(super) fn new(order: &'a PlaceOrder, frontend: &'a DecidedCounters) -> Self {
        let known = DecidedCounters::default();
        known.raise(order.known);
        Self { order, known, attempted: AtomicBool::new(false), frontend }
    }

    /// Makes one attempt with `send`. If it has no answer after [`HEDGE_AFTER`], and `permits` has
    /// a permit, makes a second attempt while the first one continues. The first final answer
    /// counts.
    ///
    /// The refusal of an attempt that was sent as the only one is not final: the leader does not
    /// remember it, and the second attempt may arrive after it. Then the second attempt's answer
    /// counts.
    pub(super) async fn send_hedged<F: Future<Output = Result<OrderPlaced, CallError>>>(
        &self,
        send: impl Fn(PlaceOrder) -> F,
        leader: &Address,
        permits: &Semaphore,
    ) -> Result<OrderPlaced, CallError> {
        let first_is_only = self.order.only_attempt && !self.attempted.load(Ordering::Relaxed);
        let mut first = pin!(self.send(&send));
        if let Ok(answer) = timeout(HEDGE_AFTER, &mut first).await {
            return answer;
        }
        let Ok(_permit) = permits.try_acquire() else { return first.await };
        let second = pin!(self.send(&send));
        let (answer, is_only, other) = match select(first, second).await {
            Either::Left((answer, second)) => (answer, first_is_only, Either::Left(second)),
            Either::Right((answer, first)) => (answer, false, Either::Right(first)),
        };
        let one = match answer {
            Err(error) if is_only || !is_final(&error) => error,
            answer => return answer,
        };
        let (other_is_only, answer) = match other {
            Either::Left(second) => (false, second.await),
            Either::Right(first) => (first_is_only, first.await),
        };
        match answer {
            Err(error) if other_is_only || !is_final(&error) => Err(least_certain(one, error, leader)),
            answer => answer,
        }
    }

    /// Makes one attempt with `send`, and repeats it at once if the leader finds it stale.
    pub(super) async fn send<F: Future<Output = Result<OrderPlaced, CallError>>>(
        &self,
        send: impl Fn(PlaceOrder) -> F,
    ) -> Result<OrderPlaced, CallError> {
        let only_attempt = !self.attempted.swap(true, Ordering::Relaxed) && self.order.only_attempt;
        for _ in 0..=REFRESHES_MAX {
            let attempt = PlaceOrder { known: self.known.get(), only_attempt, ..self.order.clone() };
            match send(attempt).await {
                Ok(placed) => {
                    self.frontend.placed(placed.order_number);
                    return Ok(placed);
                }
                Err(CallError::Refused(ApiError { code: ErrorCode::StaleAttempt, decided: Some(decided), .. })) => {
                    // The leader did not find the order up to that point, so a decision about it
                    // can only come later.
                    self.known.raise(decided);
                    self.frontend.raise(decided);
                }
                Err(error) => return Err(error),
            }
        }
        let what = "the order was found stale too often; try again";
        Err(CallError::Refused(ApiError::new(ErrorCode::Unavailable, what)))
    }
}

/// Whether the order's key keeps this answer.
fn is_final(error: &CallError) -> bool {
    error.code().is_some_and(ErrorCode::is_final)
}

/// The answer after two attempts that did not settle the order: the one that leaves more open.
fn least_certain(one: CallError, other: CallError, leader: &Address) -> CallError {
    let openness = |error: &CallError| match error {
        CallError::Unknown { .. } => 3,
        CallError::Refused(refusal) if refusal.code == ErrorCode::NotLeader || refusal.code.nothing_begun() => 0,
        CallError::Refused(_) => 2,
        CallError::Unreachable(_) | CallError::NotListening(_) => 1,
    };
    if is_final(&one) || is_final(&other) {
        // It was sent as the only attempt, but there was a second one.
        return CallError::Unknown { address: leader.clone(), what: "one of two attempts has no answer".into() };
    }
    if openness(&one) > openness(&other) { one } else { other }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use api::{OrderId, ProductName, Quantity};

    use super::*;

    fn order(placed: u64, only_attempt: bool) -> PlaceOrder {
        let known = DecidedCounts { placed, refused: 7 };
        let order = PlaceOrder::new(OrderId::random(), ProductName::new("Tux").unwrap(), Quantity::ONE);
        PlaceOrder { known, only_attempt, ..order }
    }

    fn placed(number: u64) -> OrderPlaced {
        OrderPlaced { order_number: OrderNumber::new(number).unwrap() }
    }

    fn stale(placed: u64) -> Result<OrderPlaced, CallError> {
        Err(CallError::Refused(ApiError::stale_attempt(DecidedCounts { placed, refused: 9 })))
    }

    #[tokio::test]
    async fn an_attempt_sends_what_was_known_when_its_order_arrived_or_when_the_leader_found_it_stale() {
        let (order, frontend) = (order(5, true), DecidedCounters::default());
        frontend.raise(DecidedCounts { placed: 100, refused: 100 });
        let attempts = Attempts::new(&order, &frontend);
        let sent = Mutex::new(Vec::new());
        let answering = |answer: fn() -> Result<OrderPlaced, CallError>| {
            let sent = &sent;
            move |attempt: PlaceOrder| {
                sent.lock().unwrap().push((attempt.known.placed, attempt.known.refused, attempt.only_attempt));
                std::future::ready(answer())
            }
        };
        let lost = || Err(CallError::Unreachable(api::Address::new("order", 1)));
        attempts.send(answering(lost)).await.unwrap_err();
        attempts.send(answering(lost)).await.unwrap_err();
        let told = attempts.send(answering(|| stale(2_000_000))).await.unwrap_err();
        assert_eq!(told.code(), Some(ErrorCode::Unavailable), "{told}");
        assert_eq!(attempts.send(answering(|| Ok(placed(2_000_001)))).await, Ok(placed(2_000_001)));
        let fresh = (2_000_000, 9, false);
        assert_eq!(*sent.lock().unwrap(), [(5, 7, true), (5, 7, false), (5, 7, false), fresh, fresh, fresh]);
        assert_eq!(frontend.get(), DecidedCounts { placed: 2_000_001, refused: 100 });
    }

    /// Sends an order whose first and second attempt get these answers, each after its number of
    /// milliseconds.
    async fn hedged(
        only_attempt: bool,
        answers: [(u64, Result<OrderPlaced, CallError>); 2],
    ) -> Result<OrderPlaced, CallError> {
        let (order, frontend, attempts) = (order(0, only_attempt), DecidedCounters::default(), AtomicU64::new(0));
        let send = |attempt: PlaceOrder| {
            let nth = usize::try_from(attempts.fetch_add(1, Ordering::Relaxed)).unwrap();
            assert_eq!(attempt.only_attempt, only_attempt && nth == 0, "a second attempt is not the only one");
            let (after_ms, answer) = answers[nth].clone();
            async move {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                answer
            }
        };
        let leader = Address::new("order", 1);
        Attempts::new(&order, &frontend).send_hedged(send, &leader, &Semaphore::new(1)).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_final_answer_of_two_attempts_counts() {
        let refused = |code| Err(CallError::Refused(ApiError::new(code, "because the test says so")));
        let (sold_out, overloaded) = (refused(ErrorCode::OutOfStock), refused(ErrorCode::Overloaded));
        let (one, two) = (Ok(placed(1)), Ok(placed(2)));
        let unknown = || Err(CallError::Unknown { address: Address::new("order", 1), what: "lost".into() });
        let table = [
            ("the first is in time", true, [(100, sold_out.clone()), (0, two.clone())], sold_out.clone()),
            ("the second is faster", false, [(5000, one.clone()), (10, two.clone())], two.clone()),
            ("the first is late", false, [(200, one.clone()), (5000, two.clone())], one.clone()),
            ("a remembered refusal", false, [(200, sold_out.clone()), (5000, two.clone())], sold_out.clone()),
            ("a refusal that is not remembered", true, [(200, sold_out.clone()), (5000, two.clone())], two.clone()),
            ("the second one is remembered", true, [(5000, one.clone()), (10, sold_out.clone())], sold_out.clone()),
            ("overloaded, then placed", false, [(5000, one.clone()), (10, overloaded.clone())], one.clone()),
            ("overloaded twice", false, [(200, overloaded.clone()), (100, overloaded.clone())], overloaded.clone()),
            ("one overloaded, one unknown", false, [(200, unknown()), (100, overloaded.clone())], unknown()),
        ];
        for (case, only_attempt, answers, expected) in table {
            assert_eq!(hedged(only_attempt, answers).await, expected, "{case}");
        }
        let open = hedged(true, [(200, sold_out), (100, overloaded)]).await;
        assert!(matches!(open, Err(CallError::Unknown { .. })), "{open:?}");
    }

    #[tokio::test]
    async fn an_order_with_a_key_of_the_clients_own_has_no_only_attempt() {
        let (order, frontend) = (order(0, false), DecidedCounters::default());
        let send = async |attempt: PlaceOrder| {
            assert!(!attempt.only_attempt);
            Ok(placed(1))
        };
        Attempts::new(&order, &frontend).send(send).await.unwrap();
    }
}
