//! Waits until the store has recovered.

use std::time::Duration;

use tokio::time::Instant;

use super::ack_monitor::AckMonitor;
use crate::local::{LocalStore, recovered};

/// Longer than any recovery takes: a full restart takes about a second, the rest is for loaded
/// machines.
pub(super) const RECOVERY_TIMEOUT: Duration = Duration::from_mins(1);

/// How often the state is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Orders that must be acknowledged through every frontend.
const ORDERS: u64 = 5;

/// Waits until all members have [recovered].
///
/// # Errors
/// What is missing after [`RECOVERY_TIMEOUT`], or which member has exited.
pub(super) async fn members(store: &mut LocalStore) -> Result<(), String> {
    recovered(store, RECOVERY_TIMEOUT).await
}

/// As [`members`], and waits until orders are acknowledged through every frontend.
///
/// # Errors
/// As [`members`], or which frontend acknowledges no orders.
pub(super) async fn store(store: &mut LocalStore, acks: &AckMonitor) -> Result<(), String> {
    members(store).await?;
    let deadline = Instant::now() + RECOVERY_TIMEOUT;
    let before = acks.acknowledged();
    loop {
        let now = acks.acknowledged();
        let Some(idle) = before.iter().zip(&now).position(|(before, now)| now - before < ORDERS) else {
            return Ok(());
        };
        if let Some(exited) = store.exited() {
            return Err(exited);
        }
        if Instant::now() > deadline {
            let seconds = RECOVERY_TIMEOUT.as_secs();
            return Err(format!(
                "fewer than {ORDERS} orders were acknowledged through frontend {} in {seconds} s",
                idle + 1
            ));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
