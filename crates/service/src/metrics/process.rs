//! What the operating system reports about the process, read from `/proc` at each scrape.
//!
//! Names and meanings are those of Prometheus's client libraries. The collector in the `prometheus`
//! crate reports CPU time in whole seconds, which is too coarse for a scrape interval of five
//! seconds.

use prometheus::Registry;

/// Registers `process_*`, or nothing on a system without `/proc`.
pub(super) fn register(registry: &Registry) {
    #[cfg(target_os = "linux")]
    registry.register(Box::new(linux::ProcessCollector::new())).expect("a new registry has no process metrics");
    #[cfg(not(target_os = "linux"))]
    let _ = registry;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use prometheus::core::{Collector, Desc};
    use prometheus::proto::MetricFamily;
    use prometheus::{Counter, Gauge, IntGauge};
    use rustix::param::{clock_ticks_per_second, page_size};
    use rustix::process::{Resource, getrlimit};

    pub(super) struct ProcessCollector {
        cpu_seconds: Counter,
        open_fds: IntGauge,
        max_fds: IntGauge,
        virtual_bytes: IntGauge,
        resident_bytes: IntGauge,
        threads: IntGauge,
        /// Constant.
        started: Gauge,
    }

    impl ProcessCollector {
        pub(super) fn new() -> Self {
            let gauge = |name, help| IntGauge::new(name, help).expect("the name is well-formed");
            let started = Gauge::new("process_start_time_seconds", "Start time of the process since the Unix epoch");
            let started = started.expect("the name is well-formed");
            started.set(start_time_s().unwrap_or_default());
            let cpu_seconds = Counter::new("process_cpu_seconds_total", "User and system CPU time spent");
            Self {
                cpu_seconds: cpu_seconds.expect("the name is well-formed"),
                open_fds: gauge("process_open_fds", "Open file descriptors"),
                max_fds: gauge("process_max_fds", "Maximum number of open file descriptors"),
                virtual_bytes: gauge("process_virtual_memory_bytes", "Virtual memory"),
                resident_bytes: gauge("process_resident_memory_bytes", "Resident memory"),
                threads: gauge("process_threads", "Operating system threads"),
                started,
            }
        }

        fn parts(&self) -> [&dyn Collector; 7] {
            let Self { cpu_seconds, open_fds, max_fds, virtual_bytes, resident_bytes, threads, started } = self;
            [cpu_seconds, open_fds, max_fds, virtual_bytes, resident_bytes, threads, started]
        }

        fn update(&self) {
            if let Some(stat) = Stat::read() {
                self.virtual_bytes.set(stat.virtual_bytes);
                self.resident_bytes.set(stat.resident_pages.saturating_mul(page_size().cast_signed() as i64));
                self.threads.set(stat.threads);
                // Concurrent scrapes may get here in any order; the counter must never decrease.
                self.cpu_seconds.inc_by((stat.cpu_s - self.cpu_seconds.get()).max(0.0));
            }
            if let Ok(files) = fs::read_dir("/proc/self/fd") {
                self.open_fds.set(i64::try_from(files.count()).unwrap_or(i64::MAX));
            }
            let max = getrlimit(Resource::Nofile).current;
            self.max_fds.set(max.map_or(i64::MAX, |max| i64::try_from(max).unwrap_or(i64::MAX)));
        }
    }

    impl Collector for ProcessCollector {
        fn desc(&self) -> Vec<&Desc> {
            self.parts().into_iter().flat_map(Collector::desc).collect()
        }

        fn collect(&self) -> Vec<MetricFamily> {
            self.update();
            self.parts().into_iter().flat_map(Collector::collect).collect()
        }
    }

    /// The fields of `/proc/self/stat` that are needed (see `proc_pid_stat(5)`).
    #[derive(Debug, PartialEq)]
    struct Stat {
        cpu_s: f64,
        threads: i64,
        /// Seconds since boot.
        started_s: f64,
        virtual_bytes: i64,
        resident_pages: i64,
    }

    impl Stat {
        fn read() -> Option<Self> {
            Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
        }

        fn parse(line: &str) -> Option<Self> {
            // The second field is the program's name in parentheses, which may contain any
            // character. The third field follows the last closing parenthesis.
            let after_name = line.rsplit_once(')')?.1;
            let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
            let field = |number: usize| fields.get(number - 3)?.parse::<i64>().ok();
            #[expect(clippy::cast_precision_loss, reason = "no process lives for 2^53 ticks")]
            let seconds = |ticks: i64| ticks as f64 / ticks_per_second();
            Some(Self {
                cpu_s: seconds(field(14)? + field(15)?),
                threads: field(20)?,
                started_s: seconds(field(22)?),
                virtual_bytes: field(23)?,
                resident_pages: field(24)?,
            })
        }
    }

    /// The unit of CPU time in `/proc`: usually 100 per second.
    fn ticks_per_second() -> f64 {
        u32::try_from(clock_ticks_per_second()).map_or(100.0, f64::from)
    }

    /// When the process started, in seconds since the Unix epoch.
    fn start_time_s() -> Option<f64> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        Some(boot.trim().parse::<f64>().ok()? + Stat::read()?.started_s)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_name_with_spaces_and_parentheses_is_skipped() {
            let line = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 6 0 1200 4096 33 0";
            let stat = Stat::parse(line).unwrap();
            let ticks = ticks_per_second();
            let known = Stat {
                cpu_s: 300.0 / ticks,
                threads: 6,
                started_s: 1200.0 / ticks,
                virtual_bytes: 4096,
                resident_pages: 33,
            };
            assert_eq!(stat, known);
            assert_eq!(Stat::parse("7 (short) S 1"), None);
        }

        #[test]
        fn this_process_is_measured() {
            let process = ProcessCollector::new();
            process.update();
            assert!(process.threads.get() >= 1 && process.open_fds.get() >= 3);
            assert!(process.resident_bytes.get() > 100_000);
            assert!(process.started.get() > 1.5e9);
        }
    }
}
