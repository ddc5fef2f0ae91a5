//! The store that a script acts on, its time, and its output.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::OrderId;
use api::replica::STATUS_PATH;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use service::json_client::JsonClient;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::command::{Group, Party, Side, Store};
use super::show::{Names, Statuses, message};
use crate::cluster::SimulatedCluster;
use crate::disk::{AMPLE_BYTES, Snapshot};
use crate::environment::SimulatedEnvironment;
use crate::faults::FaultPlan;
use crate::machine::{Main, SimulatedMachine};
use crate::member::{Checkpoints, ClusterLayout, SimulatedMember};
use crate::network::{MachineId, NetworkConditions, SimulatedNetwork};
use crate::process_world::{DiskDelay, catch_panics};
use crate::random::Random;
use crate::report::{SimulationFailure, SimulationReport};
use crate::shoppers::{Shopping, SimulatedShopper};
use crate::simulation::{Simulation, poll_statuses};
use crate::trace::{Millis, RunTrace, TraceDetail, TraceListener};
use crate::watch::{Sent, Watch};

/// The seed of all scripts. It determines ids and what little else is drawn.
const SEED: u64 = 1;
/// How long a replica may take to say how it is.
const STATUS_TIMEOUT: std::time::Duration = std::time::Duration::from_millis(20);
/// How long a call of a shopper, or of this runner, may take. The store's own deadline is 5 s.
const CALL_TIMEOUT: Millis = 30_000;

pub(super) struct Stage {
    pub(super) simulation: Simulation,
    pub(super) names: Names,
    /// The copies of disks.
    pub(super) copies: BTreeMap<MachineId, Snapshot>,
    /// The requests that are printed.
    pub(super) watched: Vec<super::command::Route>,
    /// Calls whose answers are printed when they arrive.
    calls: Vec<JoinHandle<String>>,
    /// The messages of the last tick.
    sent: Vec<Sent>,
    output: Vec<String>,
}

impl Stage {
    /// A store whose processes have not been started yet.
    pub(super) fn new(store: &Store, detail: TraceDetail, listener: Option<TraceListener>) -> Self {
        catch_panics();
        let mut random = Random::new(SEED);
        let layout = ClusterLayout {
            catalogs: store.catalogs,
            orders: store.orders,
            seats: store.seats,
            frontends: store.frontends,
            restock: store.restock,
            cache_size: store.cache,
            checkpoints: Checkpoints(store.checkpoints),
        };
        let members = layout.members();
        let mut names: Vec<_> = members.iter().map(ToString::to_string).collect();
        names.push(Party::Shoppers.to_string());
        let count = names.len();
        let environment =
            SimulatedEnvironment::new(SimulatedNetwork::new(names, random.fork()), RunTrace::new(detail, listener));
        {
            let mut shared = environment.lock();
            shared.network.conditions = NetworkConditions::STEADY;
            shared.watch = Some(Watch::default());
        }
        let machine = |id| {
            let machine = SimulatedMachine::new(id, environment.clone(), random.fork(), 0, DiskDelay::exact());
            machine.disk().set_free_bytes(AMPLE_BYTES);
            machine
        };
        let machines = (0..count).map(machine).collect();
        let frontends = (1..=layout.frontends).map(ClusterLayout::public).collect();
        let shopping = Shopping::new(environment.clone(), frontends);
        let mut cluster = SimulatedCluster::new(environment, layout, machines, shopping, random.fork(), None);
        for (id, member) in members.iter().enumerate() {
            cluster.absent[id] = matches!(member, SimulatedMember::Order(n) if *n > store.orders);
        }
        let simulation = Simulation {
            seed: SEED,
            plan: FaultPlan::without_faults(),
            cluster,
            order: None,
            exits: Some(Vec::new()),
            failures: Vec::new(),
            goes_on_after_exits: false,
            repeated: None,
            planned: Arc::default(),
            absent_shoppers: Vec::new(),
        };
        Self {
            simulation,
            names: Names::default(),
            copies: BTreeMap::new(),
            watched: Vec::new(),
            calls: Vec::new(),
            sent: Vec::new(),
            output: Vec::new(),
        }
    }

    /// Starts all processes.
    pub(super) fn start(&mut self) {
        let cluster = &mut self.simulation.cluster;
        for id in 0..cluster.members.len() {
            if !cluster.absent[id] {
                cluster.start_member(id);
            }
        }
        let replicas: Vec<_> = (1..=cluster.layout.seats).map(ClusterLayout::order).collect();
        let main: Main = Box::new(move |stop: CancellationToken| {
            tokio::spawn(poll_statuses(replicas));
            stop.cancelled_owned().map(Ok).boxed()
        });
        cluster.start(cluster.shoppers_machine(), main);
    }

    /// Ends the script: everything is healed, and judged as in a seed.
    pub(super) fn finish(mut self) -> SimulationReport {
        let now = self.now();
        self.simulation.cluster.environment.lock().network.thaw(now);
        self.simulation.heal();
        let end = self.simulation.audit();
        self.simulation.judge(&end)
    }

    pub(super) fn print(&mut self, line: String) {
        self.output.push(line);
    }

    /// Ends a script that has failed: returns what had gone wrong in the store, and the hash of the
    /// trace. What the checkers would find after a command that failed is not looked at.
    pub(super) fn abandon(self) -> (Vec<SimulationFailure>, u64) {
        let hash = self.simulation.cluster.environment.lock().trace.hash();
        (self.simulation.failures, hash)
    }

    pub(super) fn take_output(&mut self) -> Vec<String> {
        std::mem::take(&mut self.output)
    }

    pub(super) fn now(&self) -> Millis {
        self.simulation.cluster.now()
    }

    /// Advances the time by one millisecond, and prints what happened.
    pub(super) fn tick(&mut self) {
        self.simulation.tick();
        self.sent = self.simulation.cluster.environment.lock().watch.as_mut().map(Watch::take).unwrap_or_default();
        for sent in &self.sent {
            let (Sent::Request(call) | Sent::Response(call, _)) = sent;
            if self.watched.iter().any(|route| route.matches(&call.method, &call.path)) {
                let line = message(sent, &self.names, |id| self.party(id));
                self.output.push(line);
            }
        }
        let exits = self.simulation.exits.as_mut().map(std::mem::take).unwrap_or_default();
        for (id, exit) in exits {
            let party = self.party(id);
            self.output.push(format!("{party} ended with exit code {}", exit.code));
        }
        for call in std::mem::take(&mut self.calls) {
            if call.is_finished() {
                let line = finished(call);
                self.output.push(line);
            } else {
                self.calls.push(call);
            }
        }
    }

    /// Advances the time until `done`; false if that takes longer than `within`.
    pub(super) fn until(&mut self, within: Millis, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now() + within;
        while !done(self) {
            if self.now() >= end {
                return false;
            }
            self.tick();
        }
        true
    }

    /// As [`until`](Self::until), but at least one tick.
    pub(super) fn until_after(&mut self, within: Millis, done: impl FnMut(&Self) -> bool) -> bool {
        self.tick();
        self.until(within.saturating_sub(1), done)
    }

    /// The messages of the last tick.
    pub(super) fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// Begins a call. Its line is printed when it has ended.
    pub(super) fn begin<F: Future<Output = String> + Send + 'static>(
        &mut self,
        call: impl FnOnce(SimulatedShopper) -> F,
    ) {
        let call = self.simulation.cluster.on_shoppers_machine(call);
        self.calls.push(call);
    }

    /// Waits for all calls.
    pub(super) fn wait(&mut self) -> Result<(), String> {
        let all = self.until(CALL_TIMEOUT, |stage| stage.calls.is_empty());
        if all { Ok(()) } else { Err("a call has no answer".to_owned()) }
    }

    /// Makes a call of the runner's own, and waits for its result.
    pub(super) fn ask<T: Send + 'static>(&mut self, work: BoxFuture<'static, T>) -> Result<T, String> {
        let task = self.simulation.cluster.on_shoppers_machine(|_| work);
        if !self.until(CALL_TIMEOUT, |_| task.is_finished()) {
            return Err("a request has no answer".to_owned());
        }
        Ok(finished(task))
    }

    /// Asks all replicas of a group that should be running for their status.
    pub(super) fn statuses(&mut self, group: Group) -> Result<Statuses, String> {
        let cluster = &self.simulation.cluster;
        let replicas = cluster.members.iter().enumerate();
        let replicas = replicas.filter(|(id, member)| Group::of(**member) == Some(group) && !cluster.absent[*id]);
        let replicas: Vec<SimulatedMember> = replicas.map(|(_, member)| *member).collect();
        let ask = |member: SimulatedMember| async move {
            let status = JsonClient::new(None).get(&member.internal(), STATUS_PATH, STATUS_TIMEOUT).await.ok();
            (member, status)
        };
        let statuses: Statuses = self.ask(join_all(replicas.into_iter().map(ask)).boxed())?.into_iter().collect();
        for status in statuses.values().flatten() {
            self.names.learn(status);
        }
        Ok(statuses)
    }

    pub(super) fn party(&self, id: MachineId) -> Party {
        self.simulation.cluster.members.get(id).map_or(Party::Shoppers, |member| Party::Member(*member))
    }

    /// The machine of a member of this store.
    pub(super) fn machine(&self, party: Party) -> Result<MachineId, String> {
        let cluster = &self.simulation.cluster;
        match party {
            Party::Shoppers => Ok(cluster.shoppers_machine()),
            Party::Member(member) => {
                let id = cluster.members.iter().position(|it| *it == member);
                id.ok_or_else(|| format!("this store has no {member}"))
            }
        }
    }

    pub(super) fn machines(&self, parties: &[Party]) -> Result<Vec<MachineId>, String> {
        parties.iter().map(|party| self.machine(*party)).collect()
    }

    /// The machines of two sides. The shoppers are among the others only if they are named.
    pub(super) fn sides(&self, here: &Side, there: &Side) -> Result<(Vec<MachineId>, Vec<MachineId>), String> {
        let others = |than: &[MachineId]| -> Vec<MachineId> {
            (0..self.simulation.cluster.members.len()).filter(|id| !than.contains(id)).collect()
        };
        match (here, there) {
            (Side::These(here), Side::These(there)) => Ok((self.machines(here)?, self.machines(there)?)),
            (Side::These(here), Side::Others) => {
                let here = self.machines(here)?;
                let there = others(&here);
                Ok((here, there))
            }
            (Side::Others, Side::These(there)) => {
                let there = self.machines(there)?;
                Ok((others(&there), there))
            }
            (Side::Others, Side::Others) => Err("both sides are the others".to_owned()),
        }
    }

    pub(super) fn key(&mut self, name: &str) -> OrderId {
        self.names.key(name)
    }
}

/// The result of a task that has finished.
fn finished<T>(task: JoinHandle<T>) -> T {
    task.now_or_never().expect("the task has finished").expect("the task did not panic")
}
