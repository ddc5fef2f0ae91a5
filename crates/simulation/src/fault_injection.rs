//! How each kind of fault is injected: for a seed, which draws the machine and the duration, and
//! for a script, which names the machine and ends the fault itself.

use std::time::Duration;

use api::replica::member_path;
use api::{Address, Ordinal};
use bytes::Bytes;
use http::Request;
use service::world::World;

use crate::cluster::{ScheduledEvent, SimulatedCluster};
use crate::disk::Snapshot;
use crate::faults::FaultKind;
use crate::member::{ClusterLayout, SimulatedMember};
use crate::network::MachineId;
use crate::process_world::ProcessWorld;
use crate::trace::Millis;

/// How often a removal is requested from all replicas. If the leader itself is being removed,
/// another replica leads afterwards.
const REMOVAL_TRIES: usize = 3;
/// The pause between two of these requests.
const REMOVAL_PAUSE: Duration = Duration::from_millis(400);
/// How many in a thousand frozen links stay frozen for minutes.
const FROZEN_FOR_MINUTES: u64 = 10;
/// After this time, no removal is in progress any more: all requests are sent, and late messages
/// have arrived.
pub(crate) const REMOVAL_DURATION: Millis = 3000;

/// A fault with everything that was drawn for it.
#[derive(Clone, Debug)]
pub(crate) enum DrawnFault {
    /// Of one machine.
    One { kind: FaultKind, id: MachineId, duration: Millis, slowest: Millis },
    /// Of several machines at the same time, and how long each of them stays away.
    Several { kind: FaultKind, away: Vec<(MachineId, Millis)> },
    /// No message passes from here to there; in a partition, nor back.
    Cut { kind: FaultKind, here: Vec<MachineId>, there: Vec<MachineId>, duration: Millis },
    /// What a frontend sends to the order replicas is held back.
    FrozenLink { frontend: MachineId, duration: Millis },
}

impl SimulatedCluster {
    /// Draws the machine and the duration of a fault, if there is a machine that it can happen to.
    pub(crate) fn draw_fault(&mut self, kind: FaultKind) -> Option<DrawnFault> {
        let duration = self.fault_random.within(kind.duration());
        match kind {
            FaultKind::Partition | FaultKind::OneWay => Some(self.draw_partition(kind, duration)),
            FaultKind::PowerLossOfAll | FaultKind::StopAll => {
                let ids: Vec<_> = (0..self.members.len()).filter(|id| self.is_available(*id)).collect();
                let mut away = Vec::new();
                for id in ids {
                    let stops = kind == FaultKind::StopAll;
                    away.push((id, if stops { 0 } else { self.fault_random.within(1..=duration) }));
                }
                Some(DrawnFault::Several { kind, away })
            }
            FaultKind::FrozenLink => self.draw_frozen_link(duration),
            _ => {
                let id = self.pick_machine(kind)?;
                let slowest = if kind == FaultKind::SlowDisk { self.fault_random.within(5..=80) } else { 0 };
                Some(DrawnFault::One { kind, id, duration, slowest })
            }
        }
    }

    /// Injects a fault now. Nothing happens to a machine that does not run any more.
    pub(crate) fn inject(&mut self, fault: &DrawnFault) {
        match *fault {
            DrawnFault::One { kind, id, duration, slowest } => {
                let replaces = matches!(kind, FaultKind::WipedDisk | FaultKind::RemovedMember);
                if self.is_available(id) && !self.stopping[id] && (!replaces || self.is_group_complete()) {
                    self.inject_in_one(kind, id, duration, slowest);
                }
            }
            DrawnFault::Several { kind, ref away } => {
                self.environment.lock().trace.count(kind.name());
                for (id, away) in away.iter().copied() {
                    if !self.is_available(id) {
                        continue;
                    }
                    if kind == FaultKind::StopAll {
                        self.ask_to_stop(id, kind);
                    } else {
                        self.lose_power(id, kind, Some(away));
                    }
                }
            }
            DrawnFault::Cut { kind, ref here, ref there, duration } => self.cut(kind, here, there, Some(duration)),
            DrawnFault::FrozenLink { frontend, duration } => self.freeze_link(frontend, duration),
        }
    }

    fn inject_in_one(&mut self, kind: FaultKind, id: MachineId, duration: Millis, slowest: Millis) {
        self.environment.lock().trace.count(kind.name());
        match kind {
            FaultKind::Kill => self.kill(id, Some(duration)),
            FaultKind::PowerLoss => self.lose_power(id, kind, Some(duration)),
            FaultKind::Stop => self.ask_to_stop(id, kind),
            FaultKind::Pause => self.pause(id, Some(duration)),
            FaultKind::SlowDisk => self.slow_disk(id, slowest, Some(duration)),
            FaultKind::FailedSync | FaultKind::FailedWrite | FaultKind::FullDisk => {
                self.fail_disk(id, kind, Some(duration));
            }
            FaultKind::WipedDisk => self.wipe_disk(id, Some(duration)),
            FaultKind::RemovedMember => self.remove_member(id, Some(duration)),
            FaultKind::Partition
            | FaultKind::OneWay
            | FaultKind::FrozenLink
            | FaultKind::PowerLossOfAll
            | FaultKind::StopAll => unreachable!("not a fault of one machine"),
            FaultKind::RewoundDisk => unreachable!("never drawn"),
        }
    }

    fn is_available(&self, id: MachineId) -> bool {
        self.machines[id].is_running() && !self.machines[id].is_paused()
    }

    /// Keeps a snapshot of an order replica's disk, in seeds in which a disk goes back in time.
    pub(crate) fn take_disk_snapshot(&mut self) {
        let orders = self.order_machines();
        let Some(rewind) = &mut self.rewind else { return };
        let id = *rewind.pick(&orders);
        self.snapshot = Some((id, self.machines[id].disk().snapshot()));
    }

    /// Kills a process.
    pub(crate) fn kill(&mut self, id: MachineId, away: Option<Millis>) {
        self.note_fault(id, FaultKind::Kill, lasting("killed", "; back in", away));
        self.machines[id].kill();
        self.schedule_end(away, ScheduledEvent::Start(id));
    }

    /// Pauses a process.
    pub(crate) fn pause(&mut self, id: MachineId, duration: Option<Millis>) {
        self.note_fault(id, FaultKind::Pause, lasting("paused", " for", duration));
        self.machines[id].pause();
        self.schedule_end(duration, ScheduledEvent::Resume(id));
    }

    /// Makes the syncs of a disk slow.
    pub(crate) fn slow_disk(&mut self, id: MachineId, slowest: Millis, duration: Option<Millis>) {
        let what = format!("a sync takes up to {slowest} ms");
        self.note_fault(id, FaultKind::SlowDisk, lasting(&what, ", for", duration));
        self.machines[id].disk_delay().set(slowest);
        self.schedule_end(duration, ScheduledEvent::HealDisk(id));
    }

    /// Kills a process, and replaces its disk by an empty one.
    pub(crate) fn wipe_disk(&mut self, id: MachineId, away: Option<Millis>) {
        let what = lasting("killed; back with an empty disk", " in", away);
        self.note_fault(id, FaultKind::WipedDisk, what);
        self.machines[id].kill();
        self.machines[id].disk().wipe();
        self.incomplete_since = Some(self.now());
        self.schedule_end(away, ScheduledEvent::Start(id));
    }

    /// Kills a process, and replaces its disk by an earlier snapshot of it.
    pub(crate) fn rewind_disk(&mut self, id: MachineId, snapshot: Snapshot, away: Option<Millis>) {
        let kind = FaultKind::RewoundDisk;
        self.environment.lock().trace.count(kind.name());
        self.note_fault(id, kind, lasting("killed; back with an older copy of its disk", " in", away));
        self.machines[id].kill();
        self.machines[id].disk().restore(snapshot);
        self.rewound = Some(id);
        self.incomplete_since = Some(self.now());
        self.schedule_end(away, ScheduledEvent::Start(id));
    }

    /// A machine loses power.
    pub(crate) fn lose_power(&mut self, id: MachineId, kind: FaultKind, away: Option<Millis>) {
        let damage = self.machines[id].crash();
        let what = away.map_or_else(String::new, |away| format!("back in {away} ms; "));
        self.note_fault(id, kind, format!("{what}{damage:?}"));
        self.schedule_end(away, ScheduledEvent::Start(id));
    }

    /// Schedules the end of a fault that ends by itself.
    fn schedule_end(&mut self, after: Option<Millis>, event: ScheduledEvent) {
        if let Some(after) = after {
            self.schedule_in(after, event);
        }
    }

    /// Requests the removal of a replica from its group, and asks its process to stop some time
    /// later, whether or not it was removed.
    pub(crate) fn remove_member(&mut self, id: MachineId, duration: Option<Millis>) {
        let member = self.members[id];
        let what = lasting("to be removed", "; asked to stop in", duration);
        self.note_fault(id, FaultKind::RemovedMember, what);
        let (group, ordinal): (Vec<_>, _) = match member {
            SimulatedMember::Order(ordinal) => ((1..=self.layout.seats).map(ClusterLayout::order).collect(), ordinal),
            SimulatedMember::Catalog(_) | SimulatedMember::Frontend(_) => {
                unreachable!("only order replicas are removed")
            }
        };
        // Late requests arrive within this time.
        self.incomplete_since = Some(self.now() + REMOVAL_DURATION);
        self.removed[id] = true;
        drop(self.on_shoppers_machine(move |_| request_removal(group, Ordinal(ordinal))));
        self.schedule_end(duration, ScheduledEvent::Stop(id));
    }

    /// Makes the next sync or the next write of a disk fail, or fills the disk.
    pub(crate) fn fail_disk(&mut self, id: MachineId, kind: FaultKind, duration: Option<Millis>) {
        let disk = self.machines[id].disk();
        let what = match kind {
            FaultKind::FailedSync => {
                disk.fail_syncs(1);
                "the next sync fails"
            }
            FaultKind::FailedWrite => {
                disk.fail_writes(1);
                "the next write fails"
            }
            _ => {
                disk.set_full(true);
                "the disk is full"
            }
        };
        self.note_fault(id, kind, lasting(what, ", for at most", duration));
        self.disk_faulted[id] = true;
        self.schedule_end(duration, ScheduledEvent::HealDisk(id));
    }

    /// Cuts some machines off from the others for a while.
    fn draw_partition(&mut self, kind: FaultKind, duration: Millis) -> DrawnFault {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        if self.fault_random.per_mille(300) {
            // One machine alone: it may be a leader, and the others have the majority.
            let alone = self.fault_random.below(self.members.len());
            for id in 0..self.members.len() {
                if id == alone { here.push(id) } else { there.push(id) }
            }
        } else {
            // The shoppers are on one of the sides, too.
            for id in 0..self.machines.len() {
                if self.fault_random.per_mille(400) { here.push(id) } else { there.push(id) }
            }
        }
        DrawnFault::Cut { kind, here, there, duration }
    }

    /// Cuts the links from some machines to others; in a partition, also the links back.
    pub(crate) fn cut(&mut self, kind: FaultKind, here: &[MachineId], there: &[MachineId], duration: Option<Millis>) {
        let names = |ids: &[MachineId]| {
            let shared = self.environment.lock();
            ids.iter().map(|id| shared.network.name(*id).to_owned()).collect::<Vec<_>>().join(", ")
        };
        let arrow = if kind == FaultKind::Partition { "<-/->" } else { "-/->" };
        let what = lasting(&format!("{} {arrow} {}", names(here), names(there)), ", for", duration);
        {
            let mut shared = self.environment.lock();
            shared.trace.count(kind.name());
            for (one, other) in here.iter().flat_map(|one| there.iter().map(move |other| (*one, *other))) {
                shared.network.cut(one, other);
                if kind == FaultKind::Partition {
                    shared.network.cut(other, one);
                }
            }
        }
        self.note_fault(self.shoppers_machine(), kind, what);
        self.record(|story| story.fault_cuts(here, there));
        self.schedule_end(duration, ScheduledEvent::HealNetwork);
    }

    /// Holds back what one frontend sends to the order replicas, sometimes for minutes. The
    /// shoppers can use other frontends.
    fn draw_frozen_link(&mut self, duration: Millis) -> Option<DrawnFault> {
        if self.layout.frontends < 2 {
            return None;
        }
        let duration = if self.fault_random.per_mille(FROZEN_FOR_MINUTES) {
            self.fault_random.within(60_000..=150_000)
        } else {
            duration
        };
        let frontend = u8::try_from(self.fault_random.within(1..=self.layout.frontends.into())).expect("a few");
        Some(DrawnFault::FrozenLink { frontend: self.machine_of(SimulatedMember::Frontend(frontend)), duration })
    }

    fn freeze_link(&mut self, from: MachineId, duration: Millis) {
        let (orders, until) = (self.order_machines(), self.now() + duration);
        self.hold_back(from, &orders, until);
        let what = format!("what it sends to the order replicas is held back for {duration} ms");
        self.note_fault(from, FaultKind::FrozenLink, what);
        self.record(|story| story.fault_ends_at(until));
    }

    /// Holds back what one machine sends to some others.
    pub(crate) fn hold_back(&mut self, from: MachineId, to: &[MachineId], until: Millis) {
        let mut shared = self.environment.lock();
        shared.trace.count(FaultKind::FrozenLink.name());
        for to in to {
            shared.network.freeze(from, *to, until);
        }
    }

    /// Picks the machine that a fault happens to: an order replica or the catalog more often than a
    /// frontend.
    fn pick_machine(&mut self, kind: FaultKind) -> Option<MachineId> {
        // Concurrent removals could leave a group without members. The documentation says to remove
        // one replica after the other.
        if matches!(kind, FaultKind::WipedDisk | FaultKind::RemovedMember) && !self.is_group_complete() {
            return None;
        }
        let candidates: Vec<MachineId> = (0..self.members.len())
            .filter(|id| self.is_available(*id) && !self.stopping[*id])
            .filter(|id| match (kind, self.members[*id]) {
                (FaultKind::WipedDisk | FaultKind::RemovedMember, member) => {
                    matches!(member, SimulatedMember::Order(_))
                }
                (
                    FaultKind::SlowDisk
                    | FaultKind::FailedSync
                    | FaultKind::FailedWrite
                    | FaultKind::FullDisk
                    | FaultKind::PowerLoss,
                    SimulatedMember::Frontend(_),
                ) => false,
                _ => true,
            })
            .collect();
        if candidates.is_empty() { None } else { Some(*self.fault_random.pick(&candidates)) }
    }

    /// Whether every replica that was wiped or removed is a member again. Only a minority is wiped
    /// or removed at a time.
    fn is_group_complete(&mut self) -> bool {
        let orders = self.order_machines();
        let complete = self.environment.lock().observer.complete(&orders, self.incomplete_since.unwrap_or(0));
        if complete {
            self.incomplete_since = None;
        }
        complete
    }
}

/// What happens, and for how long if it ends by itself.
fn lasting(what: &str, how: &str, duration: Option<Millis>) -> String {
    duration.map_or_else(|| what.to_owned(), |ms| format!("{what}{how} {ms} ms"))
}

/// Requests the removal of a replica from all of its group; only the leader does it. The responses
/// do not matter: faults may prevent the removal.
async fn request_removal(group: Vec<Address>, ordinal: Ordinal) {
    let world = ProcessWorld::current().expect("runs on the shoppers' machine");
    for _ in 0..REMOVAL_TRIES {
        for replica in &group {
            let request = Request::delete(member_path(ordinal)).body(Bytes::new()).expect("a valid request");
            tokio::spawn(tokio::time::timeout(REMOVAL_PAUSE, world.send(replica.clone(), request)));
        }
        tokio::time::sleep(REMOVAL_PAUSE).await;
    }
}
