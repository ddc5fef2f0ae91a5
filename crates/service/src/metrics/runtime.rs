//! The async runtime, read at each scrape: how busy its threads are, and how much work is queued.
//!
//! When latencies rise on an idle disk, the first thing to look for is a worker that is busy all
//! the time. On a machine with many cores, one saturated thread does not show in the CPU time of
//! the process.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, CounterVec, IntGauge, Opts, Registry};
use tokio::runtime::{Handle, RuntimeMetrics};

/// Registers `toystore_runtime_*` for the current runtime, or nothing outside of a runtime.
pub(super) fn register(registry: &Registry) {
    if let Ok(runtime) = Handle::try_current() {
        let runtime = RuntimeCollector::new(runtime.metrics());
        registry.register(Box::new(runtime)).expect("a new registry has no runtime metrics");
    }
}

struct RuntimeCollector {
    source: RuntimeMetrics,
    workers: IntGauge,
    tasks: IntGauge,
    queue: IntGauge,
    busy: CounterVec,
    /// The children of `busy`, by worker.
    busy_workers: Vec<Counter>,
    #[cfg(tokio_unstable)]
    blocking: blocking::Blocking,
}

fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::new(name, help).expect("the name is well-formed")
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl RuntimeCollector {
    fn new(source: RuntimeMetrics) -> Self {
        let busy = Opts::new("toystore_runtime_busy_seconds_total", "Time that a worker thread was busy");
        let busy = CounterVec::new(busy, &["worker"]).expect("the name is well-formed");
        let busy_workers =
            (0..source.num_workers()).map(|worker| busy.with_label_values(&[worker.to_string()])).collect();
        Self {
            source,
            workers: gauge("toystore_runtime_workers_threads", "Worker threads of the async runtime"),
            tasks: gauge("toystore_runtime_alive_tasks", "Tasks that have started and not ended"),
            queue: gauge("toystore_runtime_global_queue_tasks", "Tasks in the queue that all workers share"),
            busy,
            busy_workers,
            #[cfg(tokio_unstable)]
            blocking: blocking::Blocking::new(),
        }
    }

    fn parts(&self) -> Vec<&dyn Collector> {
        let parts: [&dyn Collector; 4] = [&self.workers, &self.tasks, &self.queue, &self.busy];
        #[cfg(tokio_unstable)]
        return parts.into_iter().chain(self.blocking.parts()).collect();
        #[cfg(not(tokio_unstable))]
        return parts.into();
    }

    fn update(&self) {
        let Self { source, workers, tasks, queue, busy_workers, .. } = self;
        workers.set(count(source.num_workers()));
        tasks.set(count(source.num_alive_tasks()));
        queue.set(count(source.global_queue_depth()));
        for (worker, busy) in busy_workers.iter().enumerate() {
            let total = source.worker_total_busy_duration(worker).as_secs_f64();
            // Concurrent scrapes may get here in any order; the counter must never decrease.
            busy.inc_by((total - busy.get()).max(0.0));
        }
        #[cfg(tokio_unstable)]
        self.blocking.update(source);
    }
}

impl Collector for RuntimeCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.update();
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

/// Metrics that tokio provides only with `tokio_unstable`: the threads for blocking work.
#[cfg(tokio_unstable)]
mod blocking {
    use prometheus::IntGauge;
    use prometheus::core::Collector;
    use tokio::runtime::RuntimeMetrics;

    use super::{count, gauge};

    pub(super) struct Blocking {
        threads: IntGauge,
        queue: IntGauge,
    }

    impl Blocking {
        pub(super) fn new() -> Self {
            Self {
                threads: gauge(
                    "toystore_runtime_blocking_threads",
                    "Threads for blocking work such as file access, idle or not",
                ),
                queue: gauge("toystore_runtime_blocking_queue_tasks", "Blocking work in the queue"),
            }
        }

        pub(super) fn parts(&self) -> [&dyn Collector; 2] {
            [&self.threads, &self.queue]
        }

        pub(super) fn update(&self, source: &RuntimeMetrics) {
            self.threads.set(count(source.num_blocking_threads()));
            self.queue.set(count(source.blocking_queue_depth()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn workers_are_counted_and_their_time_only_grows() {
        let registry = Registry::new();
        register(&registry);
        let busy = |registry: &Registry| {
            let families = registry.gather();
            let of = |name: &str| families.iter().find(|family| family.name() == name).unwrap().get_metric().to_vec();
            assert_eq!(of("toystore_runtime_workers_threads")[0].get_gauge().get_value().to_string(), "2");
            of("toystore_runtime_busy_seconds_total").iter().map(|worker| worker.get_counter().get_value()).sum::<f64>()
        };
        let before = busy(&registry);
        for _ in 0..100 {
            tokio::spawn(async { std::hint::black_box((0..10_000).sum::<u64>()) }).await.unwrap();
        }
        assert!(busy(&registry) > before);
    }
}
