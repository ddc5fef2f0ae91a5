//! Which answers promise that nothing was ordered.

use api::ErrorCode;
use history::OrderOutcome;

#[test]
fn what_may_have_been_begun_is_unknown() {
    for code in ErrorCode::ALL {
        let refused = OrderOutcome::of_error(*code) == OrderOutcome::Refused(*code);
        let final_word = code.status().is_client_error() || code.nothing_begun();
        // Of the client's own mistakes these do not say how far the order had come, or are no answer to an order.
        let elsewhere = [
            ErrorCode::Unauthorized,
            ErrorCode::NoSuchOrder,
            ErrorCode::RequestTimeout,
            ErrorCode::SeatTaken,
            ErrorCode::StaleTerm,
            ErrorCode::NotLeader,
        ];
        assert_eq!(refused, final_word && !elsewhere.contains(code), "{code:?}");
    }
}
