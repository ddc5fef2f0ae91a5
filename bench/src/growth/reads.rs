//! The latency of reading a random order.

use anyhow::{Result, ensure};
use api::Address;
use hdrhistogram::Histogram;
use rand::RngExt;
use serde::Serialize;
use tokio::time::Instant;

use crate::http::HttpConnection;

/// The reads of one measurement; at about 150 µs each, they take half a second.
const READS: usize = 3000;

/// The reads before them, which do not count.
const WARM_UP: usize = 200;

/// Latencies of reads.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Reads {
    /// The median in microseconds.
    pub(super) p50_us: f64,
    /// The 99th percentile in microseconds.
    pub(super) p99_us: f64,
}

/// Reads random orders from 1 to `orders`, one after the other over one connection.
///
/// # Errors
/// If a response is not the requested order.
pub(super) async fn read(from: &Address, orders: u64) -> Result<Reads> {
    let mut connection = HttpConnection::open(from).await?;
    let mut latencies_ns = Histogram::<u64>::new(3)?;
    for count in 0..WARM_UP + READS {
        let number = rand::rng().random_range(1..=orders);
        let begun = Instant::now();
        let response = connection.get(format_args!("/orders/{number}")).await?;
        let took = begun.elapsed();
        check(response, number)?;
        if count >= WARM_UP {
            latencies_ns.record(u64::try_from(took.as_nanos())?.max(1))?;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of one request are far below 2^53")]
    let at = |quantile| latencies_ns.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Reads { p50_us: at(0.5), p99_us: at(0.99) })
}

fn check(response: &[u8], number: u64) -> Result<()> {
    let text = String::from_utf8_lossy(response);
    let is_it = text.starts_with("HTTP/1.1 200 ") && text.contains(&format!("\"number\":{number},"));
    ensure!(is_it, "requested order {number}, received {text}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_order_is_no_answer() {
        let response = b"HTTP/1.1 200 OK\r\n\r\n{\"data\":{\"number\":12,\"name\":\"Tux\",\"quantity\":1}}";
        assert!(check(response, 12).is_ok());
        assert!(check(response, 1).is_err());
        assert!(check(b"HTTP/1.1 404 Not Found\r\n\r\n", 12).is_err());
    }
}
