//! What the connections of a running load share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use api::ProductName;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::counters::Counters;
use super::pacer::ArrivalQueue;
use super::plan::{LoadPlan, Visit};
use super::popularity::ProductSampler;
use super::request_templates::RequestTemplates;
use super::schedule::Stage;
use crate::attempt_log::AttemptLog;
use crate::clock::RunClock;

/// How many attempts at orders are recorded. Further ones are counted, but not verified.
const ATTEMPTS_MAX: usize = 1_000_000;

/// What all connections share.
pub(super) struct RunState {
    pub(super) begin: Instant,
    pub(super) end: Instant,
    pub(super) stages: Vec<Stage>,
    /// By stage; `None` for a closed loop.
    pub(super) arrivals: Arc<Vec<Option<ArrivalQueue>>>,
    /// Visits of each open stage that a connection has begun.
    pub(super) begun: Vec<AtomicU64>,
    /// Set when the load is stopped: read before each request.
    pub(super) stop: Arc<AtomicBool>,
    /// Cancelled when the load is stopped: for tasks that wait.
    pub(super) stopped: CancellationToken,
    pub(super) visit: Visit,
    pub(super) sampler: ProductSampler,
    /// By target.
    requests: Vec<RequestTemplates>,
    pub(super) request_timeout: Duration,
    pub(super) counters: Counters,
    pub(super) products: Vec<ProductName>,
    pub(super) attempt_log: Arc<AttemptLog>,
}

impl RunState {
    pub(super) fn new(plan: &LoadPlan) -> Self {
        let begin = Instant::now();
        let requests = |target| RequestTemplates::new(target, plan.keep_alive, &plan.products);
        Self {
            begin,
            end: begin + plan.length(),
            arrivals: Arc::new(plan.stages.iter().map(ArrivalQueue::new).collect()),
            begun: plan.stages.iter().map(|_| AtomicU64::new(0)).collect(),
            stages: plan.stages.clone(),
            stop: Arc::default(),
            stopped: CancellationToken::new(),
            visit: plan.visit,
            sampler: ProductSampler::new(plan.popularity, plan.products.len()),
            requests: plan.targets.iter().map(requests).collect(),
            request_timeout: plan.request_timeout,
            counters: Counters::new(),
            products: plan.products.clone(),
            attempt_log: Arc::new(AttemptLog::new(RunClock::started_at(begin), ATTEMPTS_MAX)),
        }
    }

    pub(super) fn requests(&self, connection: usize) -> &RequestTemplates {
        &self.requests[connection % self.requests.len()]
    }

    /// Stops the load: no new request is sent.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.stopped.cancel();
    }

    /// Whether no new request may be sent.
    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || Instant::now() >= self.end
    }
}
