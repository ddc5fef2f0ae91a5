//! What moved between processes since the last frame: counts, not single orders.

use std::collections::BTreeMap;

use api::event::Microseconds;

use super::units::hundredths;
use crate::frame::{Flow, FlowKind};
use crate::traffic::{Sample, float};

/// The outside of the store.
const CLIENTS: &str = "clients";

/// The flows since the last frame.
#[derive(Debug, Default)]
pub(super) struct Flows(BTreeMap<(String, String, FlowKind), Sum>);

#[derive(Debug, Default)]
struct Sum {
    count: u64,
    items: u64,
    /// The sum of the durations that are known, and how many these are.
    ms: f64,
    timed: u64,
}

impl Flows {
    /// Requests that a frontend has answered. The orders among them went on to the leader, and what
    /// its cache did not have came from the catalog. (With the cache switched off, or without a
    /// lease, nothing is kept, so `cache_filled` would not tell.)
    pub(super) fn requests(&mut self, frontend: &str, leader: Option<&str>, catalog: Option<&str>, news: &Sample) {
        let (orders, reads) = (&news.orders, &news.reads);
        let (order_ms, read_ms) = (orders.mean_ms(), reads.mean_ms());
        self.add(CLIENTS, frontend, FlowKind::Order, orders.count, orders.count, order_ms);
        self.add(CLIENTS, frontend, FlowKind::Read, reads.count, reads.count, read_ms);
        if let Some(leader) = leader {
            self.add(frontend, leader, FlowKind::Order, orders.count, orders.count, order_ms);
        }
        if let Some(catalog) = catalog {
            self.add(frontend, catalog, FlowKind::Fill, news.misses, news.misses, None);
        }
    }

    pub(super) fn reserved(&mut self, leader: &str, catalog: &str, orders: usize, elapsed: Microseconds) {
        self.add(leader, catalog, FlowKind::Reserve, 1, orders as u64, Some(duration_ms(elapsed)));
    }

    pub(super) fn placed(&mut self, leader: &str, follower: &str, orders: usize, elapsed: Microseconds) {
        self.add(leader, follower, FlowKind::Place, 1, orders as u64, Some(duration_ms(elapsed)));
    }

    pub(super) fn settled(&mut self, leader: &str, catalog: &str, orders: usize) {
        self.add(leader, catalog, FlowKind::Settle, 1, orders as u64, None);
    }

    pub(super) fn invalidated(&mut self, catalog: &str, frontend: &str, products: usize, elapsed: Microseconds) {
        self.add(catalog, frontend, FlowKind::Invalidate, 1, products as u64, Some(duration_ms(elapsed)));
    }

    fn add(&mut self, from: &str, to: &str, kind: FlowKind, count: u64, items: u64, ms: Option<f64>) {
        if count == 0 {
            return;
        }
        let sum = self.0.entry((from.to_owned(), to.to_owned(), kind)).or_default();
        (sum.count, sum.items) = (sum.count + count, sum.items + items);
        if let Some(ms) = ms {
            (sum.ms, sum.timed) = (sum.ms + ms * float(count), sum.timed + count);
        }
    }

    /// All flows; from now on there are none.
    pub(super) fn take(&mut self) -> Vec<Flow> {
        let flow = |((from, to, kind), sum): ((String, String, FlowKind), Sum)| Flow {
            from,
            to,
            kind,
            count: sum.count,
            items: sum.items,
            ms: (sum.timed > 0).then(|| hundredths(sum.ms / float(sum.timed))),
        };
        std::mem::take(&mut self.0).into_iter().map(flow).collect()
    }
}

fn duration_ms(elapsed: Microseconds) -> f64 {
    float(elapsed.0) / 1000.0
}
