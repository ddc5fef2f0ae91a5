//! The CPU time of a process.

use std::time::Duration;

use rustix::param::clock_ticks_per_second;

/// The CPU time of all threads of a process since its start, in user and system mode. `None` if
/// there is no `/proc`, or no such process.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain spaces. The third field follows it (proc_pid_stat(5)).
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / clock_ticks_per_second()))
}

#[cfg(test)]
mod tests {
    use super::cpu_time;

    #[cfg(target_os = "linux")]
    #[test]
    fn cpu_time_grows() {
        let before = cpu_time(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while cpu_time(std::process::id()).unwrap() == before {
            sum = (0..1_000_000).fold(sum, |sum, n| std::hint::black_box(sum.wrapping_add(n)));
        }
        assert!(cpu_time(u32::MAX).is_none());
    }
}
