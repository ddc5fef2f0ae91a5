//! The result of an order request: a number, or the error that its client gets.

use api::catalog::{BATCH_ORDERS_MAX, OrderLine};
use api::order::DecidedCounts;
use api::{ApiError, ErrorCode, OrderNumber};

use crate::orders::{FinalAnswer, Orders, RefusalReason};

/// The most orders that can be decided between the check when a batch is formed and the batch's own
/// log entry: those of the batch before it, and its own.
const DECIDED_MEANWHILE_MAX: u64 = 2 * BATCH_ORDERS_MAX as u64;

/// The number of an order, or why it has none.
pub(crate) type OrderResult = Result<OrderNumber, ApiError>;

/// The result of an attempt that needs no stock: the order is decided already, or the attempt is
/// too old. `known` is what its sender knew when it made the attempt.
pub(crate) fn known_result(orders: &Orders, line: &OrderLine, known: DecidedCounts) -> Option<OrderResult> {
    if let Some(answer) = orders.final_answer(line) {
        return Some(decided_result(answer, line));
    }
    let is_stale = orders.may_have_forgotten(known, DECIDED_MEANWHILE_MAX);
    is_stale.then(|| Err(ApiError::stale_attempt(orders.decided())))
}

/// The result of an order whose id has this final answer.
pub(crate) fn decided_result(answer: FinalAnswer, line: &OrderLine) -> OrderResult {
    match answer {
        FinalAnswer::Placed(number) => Ok(number),
        FinalAnswer::Refused(reason) => Err(refusal(reason, line)),
        FinalAnswer::OtherOrder => Err(key_reused()),
    }
}

/// The error for an order that is refused for good.
pub(crate) fn refusal(reason: RefusalReason, line: &OrderLine) -> ApiError {
    match reason {
        RefusalReason::OutOfStock => {
            let what = format!("fewer than {} of {:?} are in stock", line.quantity, line.name);
            ApiError::new(ErrorCode::OutOfStock, what)
        }
        RefusalReason::NoSuchProduct => {
            ApiError::new(ErrorCode::NoSuchProduct, format!("there is no product {:?}", line.name))
        }
    }
}

/// The error for one id that is used for two different orders.
pub(crate) fn key_reused() -> ApiError {
    ApiError::new(ErrorCode::IdempotencyKeyReused, "this order id was used before with another product or quantity")
}

/// The error while the disks are full. No new order is begun then, so that the remaining space
/// suffices to finish those under way.
pub(crate) fn disk_full() -> ApiError {
    ApiError::new(
        ErrorCode::InsufficientStorage,
        "this request has ordered nothing: the store's disks are full; try again later",
    )
}
