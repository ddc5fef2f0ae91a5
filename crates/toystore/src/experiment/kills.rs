//! What shoppers notice when a follower and when the leader is killed: a [drill](crate::drill) of
//! these two faults.

use std::path::Path;
use std::time::Duration;

use history::{History, Moment, OrderOutcome};
use tokio_util::sync::CancellationToken;

use super::latency::SHOPPERS;
use crate::drill::{self, DrillReport, Fault, FaultEvent, Length};

/// First a follower, then the leader.
pub(super) const FAULTS: [Fault; 2] = [Fault::KillFollower, Fault::KillLeader];

/// Measured duration of one kill, from the pause before it until recovery; only used to estimate
/// the time left.
pub(super) const ONE_KILL: Duration = Duration::from_millis(1800);

/// The time span around a kill in which orders are counted, and the interval, in milliseconds.
pub(super) const AROUND_MS: std::ops::Range<i64> = -300..700;
pub(super) const STEP_MS: usize = 10;

/// All kills.
pub(super) struct Kills {
    /// The report of the drill.
    pub(super) report: DrillReport,
    /// The events of the drill, with the orders that were acknowledged around them.
    pub(super) kills: Vec<Kill>,
}

/// One kill.
#[derive(Clone, Debug)]
pub(super) struct Kill {
    /// Counted from 1.
    pub(super) round: usize,
    /// The fault in the drill's report.
    pub(super) event: FaultEvent,
    /// Attempts until recovery that got no answer or a retryable error. Each was retried with its
    /// key.
    pub(super) retries: u64,
    /// The longest latency of an order that was in flight or sent until recovery.
    pub(super) longest_order: Duration,
    /// The start of each interval, in milliseconds after the kill, and the number of orders that
    /// were acknowledged in it.
    pub(super) acknowledged: Vec<(i64, u64)>,
}

/// Starts a separate store and runs the drill.
///
/// # Errors
/// If the store cannot be started.
pub(super) async fn kill(rounds: u32, seed: u64, data: &Path, stop: &CancellationToken) -> Result<Kills, String> {
    std::fs::create_dir_all(data).map_err(|error| error.to_string())?;
    let config = drill::Config {
        faults: FAULTS.to_vec(),
        length: Length::Rounds(rounds),
        hold: None,
        seed: Some(seed),
        shoppers: SHOPPERS,
        orders_per_s: 0,
        data_dir: None,
        json: None,
        report_dir: None,
    };
    let (report, history) = drill::drill_in_order(&config, data, stop).await?;
    let kill = |(index, event): (usize, &FaultEvent)| Kill::of(index / FAULTS.len() + 1, event, &history);
    let kills = report.events.iter().enumerate().map(kill).collect();
    Ok(Kills { report, kills })
}

impl Kill {
    fn of(round: usize, event: &FaultEvent, history: &History) -> Self {
        let at = Moment(event.at_ms * 1_000_000);
        let recovered = Moment(at.0 + (event.held_ms + event.recovered_after_ms) * 1_000_000);
        let is_meanwhile =
            |call: &&history::OrderCall| call.called < recovered && call.returned.is_none_or(|returned| returned > at);
        // The end of an unanswered attempt is unknown: it counts if it began shortly before the
        // kill.
        let around = |call: &&history::OrderCall| call.called.0 + UNANSWERED_NS > at.0;
        let meanwhile: Vec<_> = history.orders.iter().filter(is_meanwhile).filter(around).collect();
        let retries = meanwhile.iter().filter(|call| is_retried(call.outcome)).count() as u64;
        let took = |call: &&history::OrderCall| Some(call.returned?.0 - call.called.0);
        let longest_ns = meanwhile.iter().filter_map(took).max().unwrap_or_default();
        Self {
            round,
            event: event.clone(),
            retries,
            longest_order: Duration::from_nanos(longest_ns),
            acknowledged: around_kill(at, history),
        }
    }
}

/// How long a shopper waits for an answer.
const UNANSWERED_NS: u64 = 6_000_000_000;

/// Whether the shopper has to retry.
fn is_retried(outcome: OrderOutcome) -> bool {
    match outcome {
        OrderOutcome::Unknown => true,
        OrderOutcome::Refused(code) => code.nothing_begun(),
        OrderOutcome::Acknowledged(_) => false,
    }
}

/// Acknowledged orders around a moment, by interval.
fn around_kill(at: Moment, history: &History) -> Vec<(i64, u64)> {
    let mut steps: Vec<_> = AROUND_MS.step_by(STEP_MS).map(|from_ms| (from_ms, 0)).collect();
    for call in &history.orders {
        let (OrderOutcome::Acknowledged(_), Some(returned)) = (call.outcome, call.returned) else { continue };
        let after_ms = (returned.0.cast_signed() - at.0.cast_signed()).div_euclid(1_000_000);
        let step = (after_ms - AROUND_MS.start).div_euclid(STEP_MS.try_into().expect("a small number"));
        if let Some((_, count)) = usize::try_from(step).ok().and_then(|step| steps.get_mut(step)) {
            *count += 1;
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use api::{ErrorCode, OrderId, OrderNumber, ProductName, Quantity};
    use history::{ClientId, OrderCall};

    use super::*;

    fn call(called_ms: u64, returned_ms: Option<u64>, outcome: OrderOutcome) -> OrderCall {
        OrderCall {
            client: ClientId(0),
            order_id: OrderId::random(),
            product: ProductName::new("Tux").unwrap(),
            quantity: Quantity::ONE,
            called: Moment(called_ms * 1_000_000),
            returned: returned_ms.map(|ms| Moment(ms * 1_000_000)),
            outcome,
        }
    }

    #[test]
    fn acknowledged_orders_are_counted_around_the_kill() {
        let placed = OrderOutcome::Acknowledged(OrderNumber::FIRST);
        let orders = vec![
            // Long before, just before, across the kill, and much later.
            call(100, Some(101), placed),
            call(994, Some(995), placed),
            call(998, Some(1042), placed),
            call(3000, Some(3001), placed),
            // Attempts that had to be retried, and one that was refused permanently.
            call(999, None, OrderOutcome::Unknown),
            call(1001, Some(1002), OrderOutcome::Refused(ErrorCode::Overloaded)),
            call(1001, Some(1002), OrderOutcome::Refused(ErrorCode::OutOfStock)),
        ];
        let history = History { orders, ..History::default() };
        let event = FaultEvent {
            fault: Fault::KillLeader,
            victims: "order-1".into(),
            at_ms: 1000,
            held_ms: 500,
            gap_us: 42_000,
            healing_gap_us: 0,
            recovered_after_ms: 100,
            stages: None,
            timeline: None,
            errors: drill::ErrorCounts::default(),
        };
        let kill = Kill::of(1, &event, &history);
        assert_eq!((kill.retries, kill.longest_order), (2, Duration::from_millis(44)));
        let counted: Vec<_> = kill.acknowledged.iter().filter(|(_, count)| *count > 0).copied().collect();
        assert_eq!(counted, [(-10, 1), (40, 1)]);
        assert_eq!(kill.acknowledged.len(), 100);
    }
}
