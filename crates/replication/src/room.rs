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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::NodeId;
use openraft::error::RaftError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::core::{Core, Leadership};
use crate::disk_faults::DiskFaults;
use crate::engine::Types;
use crate::storage::{MIB, StorageConfig};
use peers::Peers;

mod peers;

/// How often the free space is looked at. A call that reads memory; at 50 MB/s, more than the store has been seen to write,
/// a fifth of the smallest sensible reserve is filled in between.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// … of which every second time the others are asked for theirs.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// For their answers, which come from memory.
const ASK_TIMEOUT: Duration = Duration::from_millis(400);
/// So long a leader's disk is full before it hands over: the others have looked at theirs by then.
const HAND_OVER_AFTER: Duration = Duration::from_secs(1);
/// A hand-over takes some round trips and two synced votes. Meanwhile commands wait.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(2);
/// After a hand-over that came to nothing.
const HAND_OVER_AGAIN: Duration = Duration::from_secs(5);
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

impl Core {
    /// Whether something new may be begun, as far as room is concerned: see the module. Who does not lead turns nothing away
    /// for want of room; it may have handed over for that very reason.
    pub(crate) fn has_room(&self) -> bool {
        if !matches!(*self.leadership.borrow(), Leadership::Leading(_)) {
            return true;
        }
        let (level, peers) = (self.room.level(), self.room.peers());
        if level == Level::Ample && !peers.any_is_full() {
            return true;
        }
        level > Level::Out && self.majority_has_room(|id| peers.may_have_room(id))
    }

    fn majority_has_room(&self, peer_has_room: impl Fn(NodeId) -> bool) -> bool {
        let voters: Vec<NodeId> = self.membership().voter_ids().collect();
        let has_room =
            |id: NodeId| if id == self.node_id { self.room.level() == Level::Ample } else { peer_has_room(id) };
        2 * voters.iter().filter(|id| has_room(**id)).count() > voters.len()
    }

    /// Looks at the free space, as a leader at that of the others too; runs as long as the replica.
    pub(crate) async fn keep_room(self: Arc<Self>) {
        if self.room.reserve_bytes == 0 {
            return;
        }
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = self.look_at_room() => {}
        }
    }

    async fn look_at_room(self: &Arc<Self>) {
        let mut asked = Instant::now();
        // Not before then, while the disk stays full.
        let mut hand_over_at: Option<Instant> = None;
        loop {
            sleep(LOOK_EVERY).await;
            self.room.look();
            if !matches!(*self.leadership.borrow(), Leadership::Leading(_)) {
                *self.room.peers() = Peers::nobody_asked_yet();
                hand_over_at = None;
                continue;
            }
            if asked.elapsed() < ASK_EVERY {
                continue;
            }
            asked = Instant::now();
            self.ask_for_room().await;
            // Again, after the others: where all share one disk, all of them are full or none.
            self.room.look();
            if self.room.level() == Level::Ample {
                hand_over_at = None;
                continue;
            }
            let at = *hand_over_at.get_or_insert_with(|| Instant::now() + HAND_OVER_AFTER);
            let has_room = |id| self.room.peers().is_known_to_have_room(id);
            if Instant::now() >= at && self.majority_has_room(has_room) {
                tracing::warn!("this leader's disk is full: another is to lead");
                self.hand_over_to(HAND_OVER_TIMEOUT, has_room).await;
                hand_over_at = Some(Instant::now() + HAND_OVER_AGAIN);
            }
        }
    }

    /// What the leader sends, entries only as far as there is room for them. Without it the leader still learns that it is
    /// followed.
    ///
    /// `None` if there is no room for the first entries of all: that nothing at all matches is no answer that the engine takes.
    pub(crate) async fn append_entries(
        &self,
        mut request: AppendEntriesRequest<Types>,
    ) -> Result<Option<AppendEntriesResponse<NodeId>>, RaftError<NodeId>> {
        if self.room.level() > Level::Out || request.entries.is_empty() {
            return self.append_durably(request).await.map(Some);
        }
        let before = request.prev_log_id;
        request.entries.clear();
        let answer = self.append_durably(request).await?;
        // Without a pause it would be offered them again at once.
        sleep(self.config.timing.heartbeat / 2).await;
        Ok(match answer {
            AppendEntriesResponse::Success => before.map(|before| AppendEntriesResponse::PartialSuccess(Some(before))),
            other => Some(other),
        })
    }

    async fn ask_for_room(&self) {
        let voters = self.membership();
        let peers: Vec<NodeId> = voters.voter_ids().filter(|id| *id != self.node_id).collect();
        let asked = peers.into_iter().map(async |peer| {
            let answer = timeout(ASK_TIMEOUT, self.peers.status(peer.ordinal())).await.ok()?.ok()?;
            (answer.status.node_id == peer).then_some((peer, !answer.status.disk_full))
        });
        let round = futures::future::join_all(asked).await;
        self.room.peers().heard(round.into_iter().flatten());
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
