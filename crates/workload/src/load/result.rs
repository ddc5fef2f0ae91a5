//! What a load has shown.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::OrderNumber;
use history::{Moment, OrderCall};

use super::schedule::Stage;
use crate::attempt_log::AttemptLog;
use crate::stats::LoadStats;
use crate::verification::acknowledged_numbers;

/// One second of a load.
#[derive(Clone, Debug)]
pub struct LoadInterval {
    /// From the start of the load to the start of this interval.
    pub begin: Duration,
    /// The stage that was active at its start.
    pub stage: usize,
    /// The wanted rate of visits in the middle of the interval; `None` in a closed loop.
    pub wanted_per_s: Option<f64>,
    /// The requests that were *answered* (or given up) in it.
    pub stats: LoadStats,
}

/// The result of a load.
#[derive(Debug)]
pub struct LoadResult {
    /// The stages, with the statistics of what was due in each. A stage that was not reached is
    /// empty.
    pub stages: Vec<(Stage, LoadStats)>,
    /// The recorded attempts to place orders.
    pub(super) orders: Vec<OrderCall>,
    /// Records the attempts of the verification, too.
    pub(super) log: Arc<AttemptLog>,
}

impl LoadResult {
    /// The numbers of the acknowledged orders, without those after the first million attempts.
    pub fn order_numbers(&self) -> BTreeSet<OrderNumber> {
        acknowledged_numbers(&self.orders)
    }

    /// The longest time without an acknowledged order, from the start of the load to its end.
    /// `None` if no order was sent, or if there were too many to record all of them.
    pub fn longest_ack_gap(&self) -> Option<Duration> {
        if self.orders.is_empty() || self.log.dropped() > 0 {
            return None;
        }
        let end = Moment::after(self.stages.iter().map(|(_, stats)| stats.measured).sum());
        let acknowledged = self.orders.iter().filter(|call| call.number().is_some());
        let mut moments: Vec<_> =
            acknowledged.filter_map(|call| call.returned).chain([Moment::default(), end]).collect();
        moments.sort_unstable();
        moments.windows(2).map(|pair| Duration::from_nanos(pair[1].0 - pair[0].0)).max()
    }

    /// The statistics of the stages that count.
    pub fn counted(&self) -> LoadStats {
        let mut counted = LoadStats::default();
        self.stages.iter().filter(|(stage, _)| stage.counted).for_each(|(_, stats)| counted.merge(stats));
        counted
    }
}
