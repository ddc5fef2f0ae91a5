//! How long it takes to read one order of many.

use anyhow::{Result, ensure};
use api::Address;
use hdrhistogram::Histogram;
use rand::RngExt;
use serde::Serialize;
use tokio::time::Instant;

use crate::http::Connection;

/// Reads of one measurement; at some 150 µs each, half a second.
const READS: usize = 3000;

/// Reads before, which do not count.
const WARM_UP: usize = 200;

/// Latencies of reads.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Reads {
    /// In microseconds.
    pub(super) p50_us: f64,
    /// The same.
    pub(super) p99_us: f64,
}

/// Reads orders whose numbers are drawn from 1 to `orders`, one after the other over one connection.
///
/// # Errors
/// If an answer is not the order that was asked for.
pub(super) async fn read(from: &Address, orders: u64) -> Result<Reads> {
    let mut connection = Connection::open(from).await?;
    let mut latencies_ns = Histogram::<u64>::new(3)?;
    for count in 0..WARM_UP + READS {
        let number = rand::rng().random_range(1..=orders);
        let begun = Instant::now();
        let answer = connection.get(format_args!("/orders/{number}")).await?;
        let took = begun.elapsed();
        check(answer, number)?;
        if count >= WARM_UP {
            latencies_ns.record(u64::try_from(took.as_nanos())?.max(1))?;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of one request are far below 2^53")]
    let at = |quantile| latencies_ns.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Reads { p50_us: at(0.5), p99_us: at(0.99) })
}

fn check(answer: &[u8], number: u64) -> Result<()> {
    let text = String::from_utf8_lossy(answer);
    let is_it = text.starts_with("HTTP/1.1 200 ") && text.contains(&format!("\"number\":{number},"));
    ensure!(is_it, "order {number} was asked for, and this was answered: {text}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_order_is_no_answer() {
        let answer = b"HTTP/1.1 200 OK\r\n\r\n{\"data\":{\"number\":12,\"name\":\"Tux\",\"quantity\":1}}";
        assert!(check(answer, 12).is_ok());
        assert!(check(answer, 1).is_err());
        assert!(check(b"HTTP/1.1 404 Not Found\r\n\r\n", 12).is_err());
    }
}
