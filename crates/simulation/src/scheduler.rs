//! The scheduler: advances the time, and with it everything that is due.
//!
//! Time advances in ticks of 1 ms. In each tick, the faults that are due happen, then the messages
//! that are due arrive, then every process runs until its own clock shows the end of the tick, in
//! an order that is drawn anew each time. A message takes at least one tick, so what a process does
//! in a tick cannot depend on what another process does in the same tick.

use std::sync::PoisonError;

use bytes::Bytes;
use http::Request;
use replication::{DISK_WENT_BACK, REMOVED_WHILE_AWAY};
use service::lifecycle::ExitCode;
use service::world::ConnectionError;

use crate::cluster::{ScheduledEvent, SimulatedCluster};
use crate::faults::FaultKind;
use crate::network::{MachineId, NetworkMessage};
use crate::process_world::ProcessExit;
use crate::repeated_faults::PlannedFault;
use crate::report::SimulationFailure;
use crate::simulation::Simulation;
use crate::trace::{Millis, TraceEvent};

impl Simulation {
    /// Advances the time until `done`; false if that took longer than `within`.
    pub(crate) fn until(&mut self, within: Millis, done: impl Fn(&SimulatedCluster) -> bool) -> bool {
        let end = self.cluster.now() + within;
        while !done(&self.cluster) {
            if self.cluster.now() >= end {
                return false;
            }
            self.tick();
        }
        true
    }

    pub(crate) fn tick(&mut self) {
        let now = self.cluster.environment.tick();
        while let Some(event) = self.cluster.next_due(now) {
            self.act(event);
        }
        self.deliver(now);
        let mut order: Vec<_> = (0..self.cluster.machines.len()).collect();
        if let Some(random) = &mut self.order {
            random.shuffle(&mut order);
        }
        for machine in order {
            if let Some(exit) = self.cluster.machines[machine].run(now) {
                self.exited(machine, exit);
            }
        }
    }

    /// Delivers the messages that are due.
    fn deliver(&self, now: Millis) {
        let environment = &self.cluster.environment;
        let due = environment.lock().network.due(now);
        for message in due {
            self.cluster.record(|story| story.arrived(now, message.content()));
            match message {
                NetworkMessage::Request { call, to, port, request } => self.deliver_request(to, port, call, request),
                NetworkMessage::Response { call, outcome } => environment.lock().network.complete(call, outcome),
                NetworkMessage::Cancel { call } => environment.lock().network.abort(call),
            }
        }
    }

    fn deliver_request(&self, to: MachineId, port: u16, call: u64, request: Request<Bytes>) {
        let machine = &self.cluster.machines[to];
        match machine.receiver() {
            Some((world, runtime)) => world.deliver(runtime, port, call, request),
            None if machine.is_powered() => {
                self.cluster.environment.lock().respond(call, to, Err(ConnectionError::Refused));
            }
            None => self.cluster.record(|story| story.lost_without_power(call)),
        }
    }

    fn act(&mut self, event: ScheduledEvent) {
        let cluster = &mut self.cluster;
        let now = cluster.now();
        match event {
            ScheduledEvent::Start(machine) => cluster.start_member(machine),
            ScheduledEvent::Resume(machine) => {
                cluster.machines[machine].resume(now);
                cluster.note_fault(machine, FaultKind::Pause, "resumed".to_owned());
            }
            ScheduledEvent::Stop(machine) => {
                if cluster.machines[machine].is_running() && !cluster.machines[machine].is_paused() {
                    cluster.ask_to_stop(machine, FaultKind::RemovedMember);
                }
            }
            ScheduledEvent::HealNetwork => {
                cluster.environment.lock().network.heal(now);
                cluster.note_phase("the network is healed".to_owned());
            }
            ScheduledEvent::HealDisk(machine) => {
                cluster.machines[machine].disk().heal();
                cluster.machines[machine].disk_delay().set(0);
                cluster.record(|story| story.disk_healed(machine));
            }
            ScheduledEvent::Fault => self.next_fault(),
        }
    }

    /// Injects the next fault: one that is drawn, or that an earlier run has drawn.
    fn next_fault(&mut self) {
        let cluster = &mut self.cluster;
        if let Some(repeated) = &mut self.repeated {
            let Some(next) = repeated.next() else { return };
            if let Some(gap) = next.gap {
                cluster.schedule_in(gap, ScheduledEvent::Fault);
            }
            cluster.fault_random = next.random_after;
            if let Some(fault) = next.fault {
                cluster.inject(&fault);
            }
            return;
        }
        let gap = cluster.fault_random.within(self.plan.gap.clone());
        cluster.schedule_in(gap, ScheduledEvent::Fault);
        let kind = *cluster.fault_random.pick(&self.plan.kinds);
        let fault = cluster.draw_fault(kind);
        let planned = PlannedFault { gap: Some(gap), fault, random_after: cluster.fault_random.clone() };
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).push(planned.clone());
        if let Some(fault) = &planned.fault {
            cluster.inject(fault);
        }
    }

    /// A process has ended itself: this is a failure unless there is a reason for it. The process
    /// is started again, except in a script.
    fn exited(&mut self, id: MachineId, exit: ProcessExit) {
        let ProcessExit { code, what } = exit;
        let cluster = &mut self.cluster;
        cluster.environment.note(id, &TraceEvent::Ended { code, what: what.clone() });
        cluster.machines[id].kill();
        let stopped = code == ExitCode::Ok as u8 && cluster.stopping[id];
        let disk_failed = code == ExitCode::Io as u8 && cluster.disk_faulted[id];
        let removed = code == ExitCode::Failure as u8 && cluster.removed[id] && what.contains(REMOVED_WHILE_AWAY);
        let rewound = code == ExitCode::Failure as u8 && cluster.rewound == Some(id) && what.contains(DISK_WENT_BACK);
        if !(stopped || disk_failed || removed || rewound) {
            let at_ms = cluster.now();
            let who = cluster.environment.lock().network.name(id).to_owned();
            self.failures.push(SimulationFailure::UnexpectedExit { who, at_ms, code, what: what.clone() });
        }
        if let Some(exits) = &mut self.exits {
            exits.push((id, ProcessExit { code, what }));
            return;
        }
        let after = cluster.fault_random.within(10..=800);
        cluster.schedule_in(after, ScheduledEvent::Start(id));
    }

    pub(crate) fn liveness_failure(&mut self, what: &str) {
        self.failures.push(SimulationFailure::Liveness(what.to_owned()));
    }
}
