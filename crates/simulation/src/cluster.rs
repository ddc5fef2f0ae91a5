//! The simulated machines, their processes, and what is scheduled to happen to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Ordinal;
use history::LedgerFile;
use tokio::task::JoinHandle;

use crate::disk::Snapshot;
use crate::environment::SimulatedEnvironment;
use crate::faults::FaultKind;
use crate::machine::{Main, SimulatedMachine};
use crate::member::{ClusterLayout, SimulatedMember};
use crate::network::MachineId;
use crate::random::Random;
use crate::shoppers::{Shopping, SimulatedShopper};
use crate::trace::{Millis, RunRecorder, TraceEvent};

/// Something that will happen to a machine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ScheduledEvent {
    Start(MachineId),
    Resume(MachineId),
    Stop(MachineId),
    HealNetwork,
    HealDisk(MachineId),
    Fault,
}

/// The machines of a simulation: one for each member of the store, and a last one for the shoppers.
pub(crate) struct SimulatedCluster {
    pub(crate) environment: SimulatedEnvironment,
    pub(crate) layout: ClusterLayout,
    pub(crate) machines: Vec<SimulatedMachine>,
    pub(crate) members: Vec<SimulatedMember>,
    pub(crate) shopping: Arc<Shopping>,
    /// For the faults.
    pub(crate) fault_random: Random,
    schedule: BTreeMap<(Millis, u64), ScheduledEvent>,
    scheduled: u64,
    processes: u64,
    /// By machine: its process was asked to stop.
    pub(crate) stopping: Vec<bool>,
    /// By machine: its disk has had a fault since its process was started.
    pub(crate) disk_faulted: Vec<bool>,
    /// Since when an order replica may not be a member: its disk was wiped, or it was removed.
    pub(crate) incomplete_since: Option<Millis>,
    /// By machine: its replica was to be removed. The replica joins again when it is started.
    pub(crate) removed: Vec<bool>,
    /// By machine: its process does not run now because the store has fewer members. Only scripts
    /// change their number.
    pub(crate) absent: Vec<bool>,
    /// In seeds in which a disk goes back in time.
    pub(crate) rewind: Option<Random>,
    /// An earlier copy of a machine's disk.
    pub(crate) snapshot: Option<(MachineId, Snapshot)>,
    /// The machine whose disk was replaced by that copy: its replica gives up its identity, and its
    /// process may end because of that.
    pub(crate) rewound: Option<MachineId>,
}

impl SimulatedCluster {
    pub(crate) fn new(
        environment: SimulatedEnvironment,
        layout: ClusterLayout,
        machines: Vec<SimulatedMachine>,
        shopping: Arc<Shopping>,
        fault_random: Random,
        rewind: Option<Random>,
    ) -> Self {
        let count = machines.len();
        Self {
            environment,
            members: layout.members(),
            layout,
            machines,
            shopping,
            fault_random,
            schedule: BTreeMap::new(),
            scheduled: 0,
            processes: 0,
            stopping: vec![false; count],
            disk_faulted: vec![false; count],
            incomplete_since: None,
            removed: vec![false; count],
            absent: vec![false; count],
            rewind,
            snapshot: None,
            rewound: None,
        }
    }

    pub(crate) fn now(&self) -> Millis {
        self.environment.now()
    }

    /// Starts a member's process, unless it is running.
    pub(crate) fn start_member(&mut self, id: MachineId) {
        if id < self.members.len() && !self.machines[id].is_running() {
            self.disk_faulted[id] = self.machines[id].disk().is_failing();
            self.stopping[id] = false;
            let main = self.layout.main(self.members[id]);
            self.start(id, main);
        }
    }

    pub(crate) fn start(&mut self, id: MachineId, main: Main) {
        self.processes += 1;
        self.machines[id].start(self.processes, main);
    }

    pub(crate) fn ask_to_stop(&mut self, id: MachineId, kind: FaultKind) {
        self.note_fault(id, kind, "asked to stop".to_owned());
        self.stopping[id] = true;
        self.machines[id].ask_to_stop();
    }

    pub(crate) fn schedule_in(&mut self, after: Millis, event: ScheduledEvent) {
        self.scheduled += 1;
        self.schedule.insert((self.now() + after, self.scheduled), event);
    }

    /// Takes the next scheduled event that is due at `now`.
    pub(crate) fn next_due(&mut self, now: Millis) -> Option<ScheduledEvent> {
        let entry = self.schedule.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    pub(crate) fn clear_schedule(&mut self) {
        self.schedule.clear();
    }

    /// The machines of the order replicas.
    pub(crate) fn order_machines(&self) -> Vec<MachineId> {
        let all = (1..=self.layout.seats).map(|n| self.machine_of(SimulatedMember::Order(n)));
        all.filter(|id| !self.absent[*id]).collect()
    }

    /// The ledgers on the disks of the order replicas.
    pub(crate) fn ledgers(&self) -> Vec<LedgerFile> {
        let ledgers = self.order_machines().into_iter().filter_map(|id| {
            let SimulatedMember::Order(n) = self.members[id] else { return None };
            let bytes = self.machines[id].disk().read(&ClusterLayout::ledger(n))?;
            Some(LedgerFile { ordinal: Ordinal(n), bytes })
        });
        ledgers.collect()
    }

    pub(crate) fn machine_of(&self, member: SimulatedMember) -> MachineId {
        self.members.iter().position(|it| *it == member).expect("every member has a machine")
    }

    /// The machine of the shoppers, which has no faults.
    pub(crate) fn shoppers_machine(&self) -> MachineId {
        self.members.len()
    }

    /// Runs `work` with a new shopper on the shoppers' machine.
    pub(crate) fn on_shoppers_machine<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &mut self,
        work: impl FnOnce(SimulatedShopper) -> F,
    ) -> JoinHandle<T> {
        let shopper = SimulatedShopper::new(0, Arc::clone(&self.shopping), self.fault_random.fork(), 0);
        let machine = &self.machines[self.shoppers_machine()];
        let (_, runtime) = machine.receiver().expect("the shoppers' machine has no faults");
        runtime.spawn(work(shopper))
    }

    pub(crate) fn note_phase(&self, what: String) {
        self.environment.note(self.shoppers_machine(), &TraceEvent::Phase { what });
    }

    /// Tells the recorder of the story something, if there is one.
    pub(crate) fn record(&self, what: impl FnOnce(&mut dyn RunRecorder)) {
        self.environment.lock().trace.record(what);
    }

    pub(crate) fn note_fault(&self, machine: MachineId, kind: FaultKind, what: String) {
        self.environment.note(machine, &TraceEvent::Fault { kind: kind.name(), what });
    }
}
