//! Which error codes promise that nothing was ordered.

use api::ErrorCode;
use history::OrderOutcome;

#[test]
fn a_code_without_this_promise_is_an_unknown_outcome() {
    for code in ErrorCode::ALL {
        let refused = OrderOutcome::of_error(*code) == OrderOutcome::Refused(*code);
        let promises = code.status().is_client_error() || code.nothing_begun();
        // These client errors do not tell how far the order had come, or never answer an order.
        let exceptions = [
            ErrorCode::Unauthorized,
            ErrorCode::NoSuchOrder,
            ErrorCode::RequestTimeout,
            ErrorCode::OrdinalTaken,
            ErrorCode::StaleTerm,
            ErrorCode::StaleAttempt,
            ErrorCode::NotLeader,
        ];
        assert_eq!(refused, promises && !exceptions.contains(code), "{code:?}");
    }
}
