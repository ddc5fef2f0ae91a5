//! How a fault of each kind happens.

use std::time::Duration;

use api::replica::seat_path;
use api::{Address, Ordinal};
use bytes::Bytes;
use http::Request;
use service::world::World;

use crate::faults::Kind;
use crate::member::{Layout, Member};
use crate::network::MachineId;
use crate::process_world::ProcessWorld;
use crate::simulation::{Due, Simulation};
use crate::trace::Millis;

/// How often whoever has a seat taken away asks everyone: the leader may be the one that is to go, and another leads then.
const REMOVAL_TRIES: usize = 3;
/// Between two of them.
const REMOVAL_PAUSE: Duration = Duration::from_millis(400);
/// After this nobody has a seat taken away any more: the tries, and what is late in the network.
pub(crate) const REMOVAL_LASTS: Millis = 3000;

impl Simulation {
    /// Lets a fault happen now, if there is a machine that it can happen to.
    pub(crate) fn strike(&mut self, kind: Kind) {
        let lasts = self.chance.within(kind.lasts());
        match kind {
            Kind::Partition | Kind::OneWay => return self.part(kind, lasts),
            Kind::PowerLossOfAll | Kind::StopAll => return self.strike_all(kind, lasts),
            _ => {}
        }
        let Some(id) = self.victim(kind) else { return };
        self.outside.lock().trace.count(kind.name());
        match kind {
            Kind::Kill => {
                self.note_fault(id, kind, format!("killed; back in {lasts} ms"));
                self.machines[id].kill();
                self.plan_for(lasts, Due::Start(id));
            }
            Kind::PowerLoss => self.lose_power(id, kind, lasts),
            Kind::Stop => self.ask_to_stop(id, kind),
            Kind::Pause => {
                self.note_fault(id, kind, format!("stands still for {lasts} ms"));
                self.machines[id].pause();
                self.plan_for(lasts, Due::Wake(id));
            }
            Kind::SlowDisk => {
                let slowest = self.chance.within(5..=80);
                self.note_fault(id, kind, format!("a sync takes up to {slowest} ms, for {lasts} ms"));
                self.machines[id].slowness().set(slowest);
                self.plan_for(lasts, Due::HealDisk(id));
            }
            Kind::FailedSync | Kind::FailedWrite | Kind::FullDisk => self.fail_disk(id, kind, lasts),
            Kind::WipedDisk => {
                self.note_fault(id, kind, format!("killed, and comes back with an empty disk in {lasts} ms"));
                self.machines[id].kill();
                self.machines[id].disk().wipe();
                self.incomplete_since = Some(self.outside.now());
                self.plan_for(lasts, Due::Start(id));
            }
            Kind::RemovedSeat => self.remove_seat(id, lasts),
            Kind::Partition | Kind::OneWay | Kind::PowerLossOfAll | Kind::StopAll => unreachable!("not of one machine"),
        }
    }

    fn strike_all(&mut self, kind: Kind, lasts: Millis) {
        self.outside.lock().trace.count(kind.name());
        for id in 0..self.members.len() {
            if !self.machines[id].is_running() || self.machines[id].is_paused() {
                continue;
            }
            if kind == Kind::StopAll {
                self.ask_to_stop(id, kind);
            } else {
                let away = self.chance.within(1..=lasts);
                self.lose_power(id, kind, away);
            }
        }
    }

    fn lose_power(&mut self, id: MachineId, kind: Kind, away: Millis) {
        let damage = self.machines[id].crash();
        self.note_fault(id, kind, format!("back in {away} ms; {damage:?}"));
        self.plan_for(away, Due::Start(id));
    }

    /// Asks whoever leads to take the seat's vote, and the process to stop some time later, whether or not it was taken.
    fn remove_seat(&mut self, id: MachineId, lasts: Millis) {
        let member = self.members[id];
        self.note_fault(id, Kind::RemovedSeat, format!("its seat is to be taken away; asked to stop in {lasts} ms"));
        let (group, seat): (Vec<_>, _) = match member {
            Member::Order(seat) => ((1..=self.layout.orders).map(Layout::order).collect(), seat),
            Member::Catalog(_) | Member::Frontend(_) => unreachable!("no seat of theirs is taken away"),
        };
        // What is late arrives within that time.
        self.incomplete_since = Some(self.outside.now() + REMOVAL_LASTS);
        self.unseated[id] = true;
        drop(self.on_shoppers_machine(move |_| remove(group, Ordinal(seat))));
        self.plan_for(lasts, Due::Stop(id));
    }

    pub(crate) fn ask_to_stop(&mut self, id: MachineId, kind: Kind) {
        self.note_fault(id, kind, "asked to stop".to_owned());
        self.stopping[id] = true;
        self.machines[id].ask_to_stop();
    }

    fn fail_disk(&mut self, id: MachineId, kind: Kind, lasts: Millis) {
        let disk = self.machines[id].disk();
        let what = match kind {
            Kind::FailedSync => {
                disk.fail_syncs(1);
                "the next sync fails"
            }
            Kind::FailedWrite => {
                disk.fail_writes(1);
                "the next write fails"
            }
            _ => {
                disk.set_full(true);
                "the disk is full"
            }
        };
        self.note_fault(id, kind, format!("{what}, for {lasts} ms at most"));
        self.excused[id] = true;
        self.plan_for(lasts, Due::HealDisk(id));
    }

    /// Cuts some machines off from the others, for a while.
    fn part(&mut self, kind: Kind, lasts: Millis) {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        if self.chance.per_mille(300) {
            // A leader may well be among the orders, and the others are its majority.
            let alone = self.chance.below(self.members.len());
            for id in 0..self.members.len() {
                if id == alone { here.push(id) } else { there.push(id) }
            }
        } else {
            // The shoppers, too, are on one of the sides.
            for id in 0..self.machines.len() {
                if self.chance.per_mille(400) { here.push(id) } else { there.push(id) }
            }
        }
        let names = |ids: &[MachineId]| {
            let shared = self.outside.lock();
            ids.iter().map(|id| shared.network.name(*id).to_owned()).collect::<Vec<_>>().join(", ")
        };
        let arrow = if kind == Kind::Partition { "<-/->" } else { "-/->" };
        let what = format!("{} {arrow} {}, for {lasts} ms", names(&here), names(&there));
        {
            let mut shared = self.outside.lock();
            shared.trace.count(kind.name());
            for (one, other) in here.iter().flat_map(|one| there.iter().map(move |other| (*one, *other))) {
                shared.network.cut(one, other);
                if kind == Kind::Partition {
                    shared.network.cut(other, one);
                }
            }
        }
        self.note_fault(self.members.len(), kind, what);
        self.plan_for(lasts, Due::HealNetwork);
    }

    /// Which machine it happens to: more often an order replica or the catalog than a frontend.
    fn victim(&mut self, kind: Kind) -> Option<MachineId> {
        // Several who take seats away at once can leave a group without any: what is documented is one seat after the other.
        if matches!(kind, Kind::WipedDisk | Kind::RemovedSeat) && !self.may_wipe() {
            return None;
        }
        let candidates: Vec<MachineId> = (0..self.members.len())
            .filter(|id| self.machines[*id].is_running() && !self.machines[*id].is_paused() && !self.stopping[*id])
            .filter(|id| match (kind, self.members[*id]) {
                (Kind::WipedDisk | Kind::RemovedSeat, member) => matches!(member, Member::Order(_)),
                (
                    Kind::SlowDisk | Kind::FailedSync | Kind::FailedWrite | Kind::FullDisk | Kind::PowerLoss,
                    Member::Frontend(_),
                ) => false,
                _ => true,
            })
            .collect();
        if candidates.is_empty() { None } else { Some(*self.chance.pick(&candidates)) }
    }

    /// A minority at a time: who was wiped or unseated before has its seat back, and all three are known to be there.
    fn may_wipe(&mut self) -> bool {
        let orders = self.order_machines();
        let complete = self.outside.lock().observer.complete(&orders, self.incomplete_since.unwrap_or(0));
        if complete {
            self.incomplete_since = None;
        }
        complete
    }
}

/// Asks all of the group to take that seat away; only its leader does. What they answer is of no interest: faults may be in the way.
async fn remove(group: Vec<Address>, seat: Ordinal) {
    let world = ProcessWorld::current().expect("it is asked from the shoppers' machine");
    for _ in 0..REMOVAL_TRIES {
        for replica in &group {
            let request = Request::delete(seat_path(seat)).body(Bytes::new()).expect("a good request");
            tokio::spawn(tokio::time::timeout(REMOVAL_PAUSE, world.carry(replica.clone(), request)));
        }
        tokio::time::sleep(REMOVAL_PAUSE).await;
    }
}
