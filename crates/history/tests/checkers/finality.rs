//! I7: the first final answer for a key never changes.

use api::ErrorCode;
use history::OrderOutcome;

use crate::scenario::{HistoryScenario, SOLD_OUT, UNKNOWN, acknowledged};

const ANSWER_CHANGED: &str = "I7: the first final answer for a key must not change";
const PLACED: &str = "I7: an order was refused, but it is placed";
const KEY_REUSED: OrderOutcome = OrderOutcome::Refused(ErrorCode::IdempotencyKeyReused);
const NO_SUCH_PRODUCT: OrderOutcome = OrderOutcome::Refused(ErrorCode::NoSuchProduct);
const OVERLOADED: OrderOutcome = OrderOutcome::Refused(ErrorCode::Overloaded);
const DISK_FULL: OrderOutcome = OrderOutcome::Refused(ErrorCode::InsufficientStorage);

/// Order 2 has bought the only piece. The product was restocked at a moment that the search must
/// find.
fn sold_out() -> HistoryScenario {
    HistoryScenario::of(1).order(2, 1, (0, 40), acknowledged(1)).restocked(1)
}

#[test]
fn an_acknowledged_order_is_not_refused_later() {
    let again =
        |outcome, during| HistoryScenario::of(1).order(1, 1, (0, 10), acknowledged(1)).order(1, 1, during, outcome);
    again(SOLD_OUT, (20, 30)).rejected(&[ANSWER_CHANGED]);
    again(SOLD_OUT, (5, 30)).rejected(&[ANSWER_CHANGED]);
    again(KEY_REUSED, (20, 30)).rejected(&[ANSWER_CHANGED]);
    again(NO_SUCH_PRODUCT, (20, 30)).rejected(&[ANSWER_CHANGED]);
    again(OVERLOADED, (20, 30)).accepted();
    again(DISK_FULL, (20, 30)).accepted();
}

#[test]
fn an_order_refused_for_good_is_not_acknowledged_later() {
    let refused = |outcome| sold_out().order(1, 1, (0, 30), outcome);
    for outcome in [SOLD_OUT, NO_SUCH_PRODUCT, KEY_REUSED] {
        let refused = || refused(outcome);
        refused().order(1, 1, (50, 60), acknowledged(2)).rejected(&[ANSWER_CHANGED]);
        refused().order(1, 1, (0, 60), acknowledged(2)).rejected(&[ANSWER_CHANGED]);
        refused().order(1, 1, (50, 60), outcome).accepted();
        refused().order(1, 1, (50, 60), UNKNOWN).accepted();
        refused().order(1, 1, (50, 60), OVERLOADED).accepted();
    }
    // A refusal that is not final, and an acknowledgement of the next attempt.
    for outcome in [OVERLOADED, DISK_FULL, OrderOutcome::Refused(ErrorCode::BadRequest), UNKNOWN] {
        refused(outcome).order(1, 1, (50, 60), acknowledged(2)).accepted();
    }
    refused(SOLD_OUT).order(1, 1, (50, 60), NO_SUCH_PRODUCT).rejected(&[ANSWER_CHANGED]);
}

#[test]
fn an_order_refused_for_good_is_never_placed() {
    for outcome in [SOLD_OUT, NO_SUCH_PRODUCT, KEY_REUSED] {
        let refused = || sold_out().order(1, 1, (0, 30), outcome);
        refused().accepted();
        refused().placed(2, 1, 1).rejected(&[PLACED]);
        // The first attempt has no answer, and arrives after the refusal of the second one.
        let late = || sold_out().order(1, 1, (0, 20), UNKNOWN).order(1, 1, (25, 30), outcome);
        late().accepted();
        late().placed(2, 1, 1).rejected(&[PLACED]);
        late().placed(2, 1, 1).with(|options| options.duplicated_requests = true).rejected(&[PLACED]);
        refused().order(1, 1, (50, 60), UNKNOWN).placed(2, 1, 1).rejected(&[PLACED]);
    }
}

#[test]
fn an_order_refused_at_every_attempt_is_placed_only_if_requests_can_be_duplicated() {
    for outcome in [OVERLOADED, DISK_FULL] {
        let scenario = || sold_out().order(1, 1, (0, 20), outcome).order(1, 1, (25, 30), outcome);
        scenario().accepted();
        scenario().placed(2, 1, 1).rejected(&[PLACED]);
        scenario().placed(2, 1, 1).with(|options| options.duplicated_requests = true).accepted();
        scenario().order(1, 1, (50, 60), UNKNOWN).placed(2, 1, 1).accepted();
    }
}

#[test]
fn a_key_belongs_to_one_order() {
    // An order of two pieces is refused, and its key is used again for one piece.
    let scenario = |outcome| sold_out().order(1, 2, (0, 30), SOLD_OUT).order(1, 1, (50, 60), outcome);
    scenario(KEY_REUSED).accepted();
    scenario(UNKNOWN).accepted();
    scenario(acknowledged(2)).rejected(&[ANSWER_CHANGED]);
    scenario(NO_SUCH_PRODUCT).rejected(&[ANSWER_CHANGED]);
    scenario(UNKNOWN).placed(2, 1, 1).rejected(&[PLACED]);
    // The other way round.
    let scenario = || HistoryScenario::of(5).order(1, 1, (0, 10), acknowledged(1)).order(1, 9, (20, 30), SOLD_OUT);
    scenario().rejected(&[ANSWER_CHANGED]);
}
