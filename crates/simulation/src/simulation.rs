//! One run of a seed: what it draws, and its phases from the first start to the judgement.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::Address;
use api::replica::STATUS_PATH;
use bytes::Bytes;
use http::Request;
use service::world::World;
use tokio_util::sync::CancellationToken;

use crate::cluster::{ScheduledEvent, SimulatedCluster};
use crate::environment::SimulatedEnvironment;
use crate::faults::FaultPlan;
use crate::machine::{Main, SimulatedMachine};
use crate::member::{Checkpoints, ClusterLayout};
use crate::network::{MachineId, SimulatedNetwork};
use crate::options::SimulationOptions;
use crate::process_world::{DiskDelay, ProcessExit, ProcessWorld, catch_panics};
use crate::random::Random;
use crate::repeated_faults::{PlannedFault, RepeatedFaults};
use crate::report::{SimulationFailure, SimulationReport};
use crate::shoppers::{Shopping, SimulatedShopper};
use crate::trace::{Millis, RunTrace, TraceListener};

/// How long a store without faults may take to place an order: elections, leases and restarts may
/// be necessary first, one after the other.
pub(crate) const LIVENESS_TIMEOUT: Millis = 30_000;
/// How often the replicas are asked for their status.
const STATUS_POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A run of one seed, or of a script.
pub(crate) struct Simulation {
    pub(crate) seed: u64,
    pub(crate) plan: FaultPlan,
    pub(crate) cluster: SimulatedCluster,
    /// For the order of the processes within a tick. In a script, it is always the same.
    pub(crate) order: Option<Random>,
    /// Processes that have ended themselves, in a script, which starts them again when it wants to.
    /// The processes of a seed are started again some time later.
    pub(crate) exits: Option<Vec<(MachineId, ProcessExit)>>,
    pub(crate) failures: Vec<SimulationFailure>,
    /// Whether the run goes on after a process has ended itself without a reason.
    pub(crate) goes_on_after_exits: bool,
    /// The faults of an earlier run, which happen instead of new ones.
    pub(crate) repeated: Option<RepeatedFaults>,
    /// The faults that were drawn so far.
    pub(crate) planned: Arc<Mutex<Vec<PlannedFault>>>,
    /// The shoppers of the seed that do not shop.
    pub(crate) absent_shoppers: Vec<u32>,
}

impl Simulation {
    pub(crate) fn new(seed: u64, options: SimulationOptions, listener: Option<TraceListener>) -> Self {
        let SimulationOptions { without_faults, packets_lost, goes_on_after_exits, detail } = options;
        catch_panics();
        let mut random = Random::new(seed);
        let mut layout = ClusterLayout {
            catalogs: if random.per_mille(250) { 3 } else { 1 },
            orders: 3,
            seats: 3,
            frontends: *random.pick(&[1, 2, 2, 3]),
            restock: Duration::from_millis(*random.pick(&[500, 1000, 3000])),
            cache_size: *random.pick(&[0, 2, 7, 7, 7]),
            checkpoints: Checkpoints::default(),
        };
        let mut plan = if without_faults { FaultPlan::without_faults() } else { FaultPlan::draw(&mut random) };
        let members = layout.members();
        let mut names: Vec<_> = members.iter().map(ToString::to_string).collect();
        names.push("shoppers".to_owned());
        let count = names.len();
        let environment =
            SimulatedEnvironment::new(SimulatedNetwork::new(names, random.fork()), RunTrace::new(detail, listener));
        let mut machine = |id| {
            // Far more than real clocks differ. The shoppers' clock is the simulation's own.
            let clock_rate_ppm =
                if id == members.len() { 0 } else { i64::try_from(random.below(40_001)).unwrap_or(0) - 20_000 };
            SimulatedMachine::new(id, environment.clone(), random.fork(), clock_rate_ppm, DiskDelay::varying())
        };
        let machines = (0..count).map(&mut machine).collect();
        let frontends = (1..=layout.frontends).map(ClusterLayout::public).collect();
        let (order, fault_random) = (random.fork(), random.fork());
        layout.checkpoints = Checkpoints::draw(&mut random);
        let rewind = (random.per_mille(300) && !without_faults).then(|| random.fork());
        match packets_lost {
            Some(packets_lost) => plan.conditions.packets_lost = packets_lost,
            None if without_faults => {}
            None => plan.draw_loss(&mut random),
        }
        let shopping = Shopping::new(environment.clone(), frontends);
        let cluster = SimulatedCluster::new(environment, layout, machines, shopping, fault_random, rewind);
        Self {
            seed,
            plan,
            cluster,
            order: Some(order),
            exits: None,
            failures: Vec::new(),
            goes_on_after_exits,
            repeated: None,
            planned: Arc::default(),
            absent_shoppers: Vec::new(),
        }
    }

    /// Runs all phases.
    pub(crate) fn run(mut self) -> SimulationReport {
        let ClusterLayout { catalogs, orders, frontends, checkpoints, .. } = &self.cluster.layout;
        self.cluster.note_phase(format!(
            "{catalogs} catalog(s), {orders} orders, {frontends} frontend(s); {checkpoints}; {}",
            self.plan
        ));
        for machine in 0..self.cluster.members.len() {
            let after = self.cluster.fault_random.within(1..=100);
            self.cluster.schedule_in(after, ScheduledEvent::Start(machine));
        }
        self.start_shoppers();
        if self.plan.after_first_order && !self.until(LIVENESS_TIMEOUT, |it| it.shopping.acknowledged() > 0) {
            self.liveness_failure("no order was placed after the first start");
        }
        self.inject_faults();
        self.heal();
        let end = self.audit();
        self.judge(&end)
    }

    fn start_shoppers(&mut self) {
        let mut random = self.cluster.fault_random.fork();
        let count = random.within(2..=5);
        let pause_ms_max = *random.pick(&[5, 40, 150]);
        let shopping = Arc::clone(&self.cluster.shopping);
        let replicas: Vec<_> = (1..=self.cluster.layout.orders).map(ClusterLayout::order).collect();
        let absent = std::mem::take(&mut self.absent_shoppers);
        let main: Main = Box::new(move |stop: CancellationToken| {
            tokio::spawn(poll_statuses(replicas));
            for client in 1..=u32::try_from(count).expect("a few") {
                let shopper = SimulatedShopper::new(client, Arc::clone(&shopping), random.fork(), pause_ms_max);
                if !absent.contains(&client) {
                    tokio::spawn(shopper.shop());
                }
            }
            Box::pin(async move {
                stop.cancelled().await;
                Ok(())
            })
        });
        self.cluster.start(self.cluster.shoppers_machine(), main);
    }

    /// Whether nothing more is to be learnt from the run.
    pub(crate) fn has_failed(&self) -> bool {
        let ends_run = |failure: &SimulationFailure| {
            !self.goes_on_after_exits || !matches!(failure, SimulationFailure::UnexpectedExit { .. })
        };
        self.failures.iter().any(ends_run)
    }

    /// Injects faults for as long as the plan says.
    fn inject_faults(&mut self) {
        if self.has_failed() {
            return;
        }
        self.cluster.note_phase("faults begin".to_owned());
        self.cluster.take_disk_snapshot();
        self.cluster.environment.lock().network.conditions = self.plan.conditions.clone();
        if !self.plan.kinds.is_empty() {
            self.cluster.schedule_in(1, ScheduledEvent::Fault);
        }
        // Ends early if a process has failed.
        let end = self.cluster.now() + self.plan.length;
        while !self.has_failed() && self.cluster.now() < end {
            self.tick();
        }
    }
}

/// Reads the status of the replicas again and again; the observer sees the responses.
pub(crate) async fn poll_statuses(replicas: Vec<Address>) {
    let world = ProcessWorld::current().expect("runs on the shoppers' machine");
    loop {
        for replica in &replicas {
            let request = Request::get(STATUS_PATH).body(Bytes::new()).expect("a valid request");
            tokio::spawn(tokio::time::timeout(Duration::from_secs(1), world.send(replica.clone(), request)));
        }
        tokio::time::sleep(STATUS_POLL_INTERVAL).await;
    }
}
