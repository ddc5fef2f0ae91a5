//! CPU time and memory of processes, from `/proc`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;

/// A process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pid(pub(crate) u32);

impl Pid {
    /// This process.
    pub(crate) fn own() -> Self {
        Self(std::process::id())
    }

    /// The CPU time so far, user and system, usually in steps of 10 ms. Children that have ended do
    /// not count.
    pub(crate) fn cpu(self) -> Result<Duration> {
        let stat = self.read("stat")?;
        sum_of_two(&stat, OWN_TIME)
            .map(ticks)
            .with_context(|| format!("cannot read the CPU time of process {}", self.0))
    }

    /// The anonymous memory of the process, resident or swapped out.
    pub(crate) fn memory_bytes(self) -> Result<u64> {
        let status = self.read("status")?;
        allocated_bytes(&status).with_context(|| format!("cannot read the memory of process {}", self.0))
    }

    fn read(self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}: has the process ended?"))
    }
}

/// Measures the CPU time of a process from its creation.
#[derive(Debug)]
pub(crate) struct Meter {
    pid: Pid,
    begun: Instant,
    before: Duration,
}

impl Meter {
    /// Starts measuring.
    pub(crate) fn start(pid: Pid) -> Result<Self> {
        Ok(Self { pid, begun: Instant::now(), before: pid.cpu()? })
    }

    /// The average number of CPU cores used since the start.
    pub(crate) fn cores(&self) -> Result<f64> {
        let used = self.pid.cpu()?.saturating_sub(self.before);
        Ok(used.as_secs_f64() / self.begun.elapsed().as_secs_f64())
    }
}

/// The CPU time of this process's children that have ended and were waited for.
pub(crate) fn ended_children_cpu() -> Result<Duration> {
    let stat = Pid::own().read("stat")?;
    sum_of_two(&stat, CHILDREN_TIME).map(ticks).context("cannot read the CPU time of the children")
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_secs(ticks) / u32::try_from(clock_ticks_per_second()).unwrap_or(100)
}

/// The fields of `/proc/PID/stat` with the user time, counted from 1; the system time follows. See
/// `proc_pid_stat(5)`.
const OWN_TIME: usize = 14;
const CHILDREN_TIME: usize = 16;

/// The sum of the field `first` and the next one. The second field is a name in parentheses, which
/// may contain any character.
fn sum_of_two(stat: &str, first: usize) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(first - 3);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// From `/proc/PID/status`; see `proc_pid_status(5)`.
fn allocated_bytes(status: &str) -> Option<u64> {
    let kib = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    Some((kib("RssAnon:")? + kib("VmSwap:")?) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_contain_any_character() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14";
        assert_eq!([OWN_TIME, CHILDREN_TIME].map(|field| sum_of_two(stat, field)), [Some(300), Some(27)]);
        assert_eq!(sum_of_two("7 (short) S 1", OWN_TIME), None);
    }

    #[test]
    fn swapped_memory_counts() {
        let status = "VmRSS:\t  30 kB\nRssAnon:\t      20 kB\nRssFile:\t 10 kB\nVmSwap:\t       5 kB\n";
        assert_eq!(allocated_bytes(status), Some(25 * 1024));
        assert_eq!(allocated_bytes("RssAnon:\t 20 kB\n"), None);
    }

    #[test]
    fn this_process_can_be_measured() {
        assert!(Pid::own().cpu().unwrap() < Duration::from_hours(1));
        assert!(Pid::own().memory_bytes().unwrap() > 4096);
        assert!(Meter::start(Pid::own()).unwrap().cores().unwrap() < 64.0);
    }
}
