//! Room on the disk: new work is turned away while there is still enough left to finish what is begun.
//!
//! The engine takes a failed append for the end of the disk, and rightly: after a failed write nobody knows what lies
//! there. So a replica must never try to write to a full disk. It keeps a *reserve* instead and looks at the free space
//! several times a second:
//!
//! | free space | as a leader | as a follower |
//! |---|---|---|
//! | the reserve and more | takes commands, if a majority of the voters has that much | takes entries |
//! | below the reserve | hands leadership to a voter that has more, if a majority has; else turns new commands away and finishes what is begun | takes entries: they are what the leader finishes |
//! | below half of it | turns new commands away | answers the leader, but takes no entries and no state |
//!
//! Whoever asks [`Replica::has_room`](crate::Replica::has_room) before it begins something new thus never begins what
//! cannot be finished. It is the caller's to ask: [`propose`](crate::Replica::propose) itself refuses nothing, since only
//! the caller knows what is new and what is the end of something old. When there is room again (a quarter more than
//! where it ended, so that it does not flutter), work goes on by itself.
//!
//! # Caveats
//! * Other programs that fill the disk faster than the reserve lasts bring it to its real end all the same: then the
//!   process stops, and does not start before there is room for a start.
//! * A leader asks its followers twice a second. One that has been silent for two seconds counts as one without room, if
//!   any disk is full at all.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::disk_faults::DiskFaults;
use crate::storage::{MIB, StorageConfig};
use peers::Peers;

mod group;
mod peers;

/// How often the free space is looked at. A call that reads memory; at 50 MB/s, more than the store has been seen to write,
/// a fifth of the smallest sensible reserve is filled in between.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often a process that waits for room before its start says so.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How much room one replica has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Less than half of the reserve.
    Out,
    /// Less than the reserve.
    Low,
    Ample,
}

/// One replica's view of the room on its disks, and in its group.
pub(crate) struct Room {
    reserve_bytes: u64,
    /// Where it writes: one path on each file system.
    places: Vec<PathBuf>,
    faults: DiskFaults,
    free_bytes: AtomicU64,
    level: watch::Sender<Level>,
    peers: Mutex<Peers>,
}

impl Room {
    pub(crate) fn new(config: &StorageConfig, places: Vec<PathBuf>) -> Self {
        // A simulated disk has no end of its own.
        let simulated = service::world::current().is_some();
        let room = Self {
            reserve_bytes: if simulated { 0 } else { config.disk_reserve_bytes },
            places,
            faults: DiskFaults::new(config.disk_faults_file.clone()),
            free_bytes: AtomicU64::new(u64::MAX),
            level: watch::Sender::new(Level::Ample),
            peers: Mutex::new(Peers::nobody_asked_yet()),
        };
        room.look();
        room
    }

    pub(crate) fn faults(&self) -> DiskFaults {
        self.faults.clone()
    }

    pub(crate) fn level(&self) -> Level {
        *self.level.borrow()
    }

    /// What was free when it was last looked at.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Relaxed)
    }

    /// Returns when entries and states can be taken no more.
    pub(crate) async fn runs_out(&self) {
        let mut level = self.level.subscribe();
        // The sender is in `self`: it cannot be gone.
        let _ = level.wait_for(|level| *level == Level::Out).await;
    }

    /// Looks at the free space, and tells of a change.
    fn look(&self) {
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
                match now {
                    Level::Ample => tracing::info!(free_mib, reserve_mib, "there is room on the disk again"),
                    Level::Low => tracing::warn!(free_mib, reserve_mib, "the disk is full but for the reserve"),
                    Level::Out => {
                        tracing::error!(free_mib, reserve_mib, "the disk is full, and half of the reserve used");
                    }
                }
            }
            now != before
        });
    }

    fn measure(&self) -> u64 {
        let statvfs =
            |place: &Path| rustix::fs::statvfs(if place.as_os_str().is_empty() { Path::new(".") } else { place }).ok();
        // A directory that is still to be made will lie where those above it do. A file system that cannot say how full it is
        // says so when it is: by a failed write.
        let free = |place: &PathBuf| {
            let stat = place.ancestors().find_map(statvfs);
            stat.map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
        };
        let free = self.places.iter().map(free).min().unwrap_or(u64::MAX);
        if !self.faults.are_possible() {
            return free;
        }
        let faults = self.faults.now();
        let just_below_the_reserve = if faults.full { self.reserve_bytes - 1 } else { u64::MAX };
        free.min(just_below_the_reserve).min(faults.free_bytes_max.unwrap_or(u64::MAX))
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Down at the bounds, up again a quarter above them.
fn next_level(level: Level, free: u64, reserve: u64) -> Level {
    let margin = |is_below: bool, bound: u64| if is_below { bound.saturating_add(bound / 4) } else { bound };
    if free < margin(level == Level::Out, reserve / 2) {
        Level::Out
    } else if free < margin(level < Level::Ample, reserve) {
        Level::Low
    } else {
        Level::Ample
    }
}

/// Waits until there is room for a start: an eighth of the reserve, more than a replica writes before it can refuse
/// anything. A process that ended for want of space would otherwise begin and end over and over.
pub async fn await_room(config: &StorageConfig, places: Vec<PathBuf>) {
    let room = Room::new(config, places);
    let needed = room.reserve_bytes / 8;
    let mut told: Option<Instant> = None;
    while room.free_bytes() < needed {
        if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            let (free_mib, needed_mib) = (room.free_bytes() / MIB, needed / MIB);
            tracing::error!(free_mib, needed_mib, "the disk is too full to start: waiting for room");
            told = Some(Instant::now());
        }
        sleep(LOOK_EVERY).await;
        room.look();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVE: u64 = 64 * MIB;

    #[test]
    fn levels_fall_at_the_bounds_and_rise_a_quarter_above_them() {
        use Level::{Ample, Low, Out};
        let table = [
            (Ample, 64, Ample),
            (Ample, 63, Low),
            (Low, 64, Low),
            (Low, 79, Low),
            (Low, 80, Ample),
            (Low, 32, Low),
            (Low, 31, Out),
            (Out, 32, Out),
            (Out, 39, Out),
            (Out, 40, Low),
            (Out, 80, Ample),
            (Ample, 0, Out),
        ];
        for (before, free_mib, after) in table {
            assert_eq!(next_level(before, free_mib * MIB, RESERVE), after, "{before:?} with {free_mib} MiB");
        }
    }

    #[test]
    fn a_drill_takes_the_room_away_and_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let faults = dir.path().join("faults");
        // Not the real reserve: the machine that runs this may be short of space itself.
        let config = StorageConfig {
            disk_reserve_bytes: 16,
            disk_faults_file: Some(faults.clone()),
            ..StorageConfig::default()
        };
        let room = Room::new(&config, vec![dir.path().to_owned()]);
        assert_eq!(room.level(), Level::Ample);
        for (text, level) in [("full=true", Level::Low), ("free_mib=0", Level::Out), ("", Level::Ample)] {
            std::fs::write(&faults, text).unwrap();
            room.look();
            assert_eq!(room.level(), level, "{text}");
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
        let waiting = await_room(&config, vec![dir.path().to_owned()]);
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        std::fs::remove_file(faults).unwrap();
        waiting.await;
    }
}
