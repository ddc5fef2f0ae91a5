//! Numbers as a page shows them.

/// A time in ms.
#[expect(clippy::cast_precision_loss, reason = "µs since 1970 are below 2^53 until 2255")]
pub(super) fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

/// Rounded to one decimal.
pub(super) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Rounded to two decimals.
pub(super) fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
