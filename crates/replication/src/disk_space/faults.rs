//! A disk that is slow or full on demand, for drills and tests with real processes.
//!
//! A text file describes the faults, one `key=value` per line. It is read again before each sync
//! and each measurement of the free space. Without a file the disk is healthy.
//!
//! | line | the disk behaves as if |
//! |---|---|
//! | `sync_delay_ms=50` | each sync of the log took 50 ms longer |
//! | `full=true` | its free space had just fallen below the reserve |
//! | `free_mib=3` | only that much were free, or what is really free if that is less |

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The longest delay that is accepted, so that a typo does not stop a store for a day.
const SYNC_DELAY_MAX: Duration = Duration::from_secs(10);

/// Where the faults are described. A real store has no such file, and pays nothing for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskFaults(Option<Arc<Path>>);

/// What is wrong with the disk at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ActiveFaults {
    pub(crate) sync_delay: Duration,
    pub(crate) full: bool,
    pub(crate) free_bytes_max: Option<u64>,
}

impl DiskFaults {
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self(file.map(Arc::from))
    }

    pub(crate) fn are_possible(&self) -> bool {
        self.0.is_some()
    }

    /// What the file says now. A line that is not understood is logged and has no effect.
    pub(crate) fn now(&self) -> ActiveFaults {
        let text = self.0.as_ref().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        parse(&text)
    }

    /// How much longer a sync takes at the moment.
    pub(crate) fn sync_delay(&self) -> Option<Duration> {
        Some(self.are_possible().then(|| self.now())?.sync_delay).filter(|delay| !delay.is_zero())
    }
}

fn parse(text: &str) -> ActiveFaults {
    let mut faults = ActiveFaults::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let understood = line.split_once('=').and_then(|(key, value)| set(&mut faults, key.trim(), value.trim()));
        if understood.is_none() {
            tracing::warn!(line, "ignored a line of the disk faults file that is not understood");
        }
    }
    faults
}

fn set(faults: &mut ActiveFaults, key: &str, value: &str) -> Option<()> {
    match key {
        "sync_delay_ms" => faults.sync_delay = Duration::from_millis(value.parse().ok()?).min(SYNC_DELAY_MAX),
        "full" => faults.full = value.parse().ok()?,
        "free_mib" => faults.free_bytes_max = Some(value.parse::<u64>().ok()?.checked_mul(1024 * 1024)?),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faults_file_is_parsed() {
        assert_eq!(parse(""), ActiveFaults::default());
        let all = parse("sync_delay_ms = 50\n\nfull=true\nfree_mib=3\n");
        assert_eq!(all.sync_delay, Duration::from_millis(50));
        assert_eq!((all.full, all.free_bytes_max), (true, Some(3 << 20)));
        assert_eq!(parse("full=maybe\nsync_delay_ms=-1\nslow\nfree_mib=99999999999999999\n"), ActiveFaults::default());
        assert_eq!(parse("sync_delay_ms=86400000").sync_delay, SYNC_DELAY_MAX);
    }

    #[test]
    fn without_a_file_the_disk_is_healthy() {
        assert_eq!(DiskFaults::new(None).now(), ActiveFaults::default());
        assert_eq!(DiskFaults::new(Some("/there/is/no/such/file".into())).now(), ActiveFaults::default());
    }
}
