//! The free space on one replica's disks, and its level.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::event::Event;
use service::events::emit;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::faults::DiskFaults;
use super::peer_space::PeerSpace;
use crate::storage_config::{MIB, StorageConfig};

/// How often the free space is measured, which reads memory only. At 50 MB/s, more than the store
/// has been seen to write, a fifth of the smallest sensible reserve is filled in between.
pub(super) const MEASURE_EVERY: Duration = Duration::from_millis(250);
/// How often a process that waits for space before its start logs that it waits.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How much space one replica has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SpaceLevel {
    /// Less than half of the reserve.
    Full,
    /// Less than the reserve.
    Low,
    Ample,
}

/// One replica's view of the space on its own disks, and in its group.
pub(crate) struct DiskSpace {
    pub(super) reserve_bytes: u64,
    /// Where it writes: one path on each file system.
    paths: Vec<PathBuf>,
    faults: DiskFaults,
    free_bytes: AtomicU64,
    level: watch::Sender<SpaceLevel>,
    peers: Mutex<PeerSpace>,
}

impl DiskSpace {
    pub(crate) fn new(config: &StorageConfig, paths: Vec<PathBuf>) -> Self {
        // Only some simulated disks have a limit.
        let limited = service::world::current().is_none_or(|world| world.disk().free_bytes().is_some());
        let space = Self {
            reserve_bytes: if limited { config.disk_reserve_bytes } else { 0 },
            paths,
            faults: DiskFaults::new(config.disk_faults_file.clone()),
            free_bytes: AtomicU64::new(u64::MAX),
            level: watch::Sender::new(SpaceLevel::Ample),
            peers: Mutex::new(PeerSpace::new()),
        };
        space.update();
        space
    }

    pub(crate) fn faults(&self) -> DiskFaults {
        self.faults.clone()
    }

    pub(crate) fn level(&self) -> SpaceLevel {
        *self.level.borrow()
    }

    /// The free space when it was last measured, in bytes.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Relaxed)
    }

    /// Returns when entries and states can no longer be accepted.
    pub(crate) async fn exhausted(&self) {
        let mut level = self.level.subscribe();
        // The sender is in `self`, so it cannot be gone.
        let _ = level.wait_for(|level| *level == SpaceLevel::Full).await;
    }

    /// Measures the free space, and publishes and logs a change of the level.
    pub(super) fn update(&self) {
        if self.reserve_bytes == 0 {
            return;
        }
        let free = self.measure();
        self.free_bytes.store(free, Relaxed);
        self.level.send_if_modified(|level| {
            let (before, now) = (*level, next_level(*level, free, self.reserve_bytes));
            *level = now;
            if now != before {
                let (free_mib, reserve_mib) = (free / MIB, self.reserve_bytes / MIB);
                emit(match now {
                    SpaceLevel::Ample => Event::DiskAmple { free_mib, reserve_mib },
                    SpaceLevel::Low => Event::DiskLow { free_mib, reserve_mib },
                    SpaceLevel::Full => Event::DiskFull { free_mib, reserve_mib },
                });
            }
            now != before
        });
    }

    fn measure(&self) -> u64 {
        if let Some(world) = service::world::current() {
            return world.disk().free_bytes().unwrap_or(u64::MAX);
        }
        let statvfs =
            |path: &Path| rustix::fs::statvfs(if path.as_os_str().is_empty() { Path::new(".") } else { path }).ok();
        // A directory that does not exist yet will be on the file system of its parents. A file
        // system that cannot report its free space reports a full disk by a failed write.
        let free = |path: &PathBuf| {
            let stat = path.ancestors().find_map(statvfs);
            stat.map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
        };
        let free = self.paths.iter().map(free).min().unwrap_or(u64::MAX);
        if !self.faults.are_possible() {
            return free;
        }
        let faults = self.faults.now();
        let just_below_the_reserve = if faults.full { self.reserve_bytes - 1 } else { u64::MAX };
        free.min(just_below_the_reserve).min(faults.free_bytes_max.unwrap_or(u64::MAX))
    }

    pub(super) fn peers(&self) -> MutexGuard<'_, PeerSpace> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Falls at the bounds, rises a quarter above them.
fn next_level(level: SpaceLevel, free: u64, reserve: u64) -> SpaceLevel {
    let margin = |is_below: bool, bound: u64| if is_below { bound.saturating_add(bound / 4) } else { bound };
    if free < margin(level == SpaceLevel::Full, reserve / 2) {
        SpaceLevel::Full
    } else if free < margin(level < SpaceLevel::Ample, reserve) {
        SpaceLevel::Low
    } else {
        SpaceLevel::Ample
    }
}

/// Waits until there is enough space for a start: an eighth of the reserve, more than a replica
/// writes before it can refuse anything. Otherwise a process that ran out of space would start and
/// exit over and over.
pub async fn await_disk_space(config: &StorageConfig, paths: Vec<PathBuf>) {
    let space = DiskSpace::new(config, paths);
    let needed = space.reserve_bytes / 8;
    let mut logged_at: Option<Instant> = None;
    while space.free_bytes() < needed {
        if logged_at.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            let (free_mib, needed_mib) = (space.free_bytes() / MIB, needed / MIB);
            tracing::error!(free_mib, needed_mib, "the disk is too full to start; waiting for free space");
            logged_at = Some(Instant::now());
        }
        sleep(MEASURE_EVERY).await;
        space.update();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVE: u64 = 64 * MIB;

    #[test]
    fn levels_fall_at_the_bounds_and_rise_a_quarter_above_them() {
        use SpaceLevel::{Ample, Full, Low};
        let table = [
            (Ample, 64, Ample),
            (Ample, 63, Low),
            (Low, 64, Low),
            (Low, 79, Low),
            (Low, 80, Ample),
            (Low, 32, Low),
            (Low, 31, Full),
            (Full, 32, Full),
            (Full, 39, Full),
            (Full, 40, Low),
            (Full, 80, Ample),
            (Ample, 0, Full),
        ];
        for (before, free_mib, after) in table {
            assert_eq!(next_level(before, free_mib * MIB, RESERVE), after, "{before:?} with {free_mib} MiB");
        }
    }

    #[test]
    fn a_drill_takes_the_room_away_and_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let faults = dir.path().join("faults");
        // Not the real reserve: the host that runs this test may be short of space itself.
        let config = StorageConfig {
            disk_reserve_bytes: 16,
            disk_faults_file: Some(faults.clone()),
            ..StorageConfig::default()
        };
        let space = DiskSpace::new(&config, vec![dir.path().to_owned()]);
        assert_eq!(space.level(), SpaceLevel::Ample);
        for (text, level) in [("full=true", SpaceLevel::Low), ("free_mib=0", SpaceLevel::Full), ("", SpaceLevel::Ample)]
        {
            std::fs::write(&faults, text).unwrap();
            space.update();
            assert_eq!(space.level(), level, "{text}");
        }
    }

    #[tokio::test]
    async fn a_process_waits_for_room_before_it_starts() {
        let dir = tempfile::tempdir().unwrap();
        let faults = dir.path().join("faults");
        std::fs::write(&faults, "free_mib=0").unwrap();
        let config = StorageConfig {
            disk_reserve_bytes: 1024,
            disk_faults_file: Some(faults.clone()),
            ..StorageConfig::default()
        };
        let waiting = await_disk_space(&config, vec![dir.path().to_owned()]);
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        std::fs::remove_file(faults).unwrap();
        waiting.await;
    }
}
