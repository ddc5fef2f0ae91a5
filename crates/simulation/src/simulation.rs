//! One run: the scheduler, and the stages from the first start to the judgement.
//!
//! Time goes on in ticks of 1 ms. In each tick the faults that are due happen, then the messages that are due arrive, then every process
//! runs until its own clock shows the tick's end: in an order that is drawn anew each time. A message takes a tick or more, so what a process
//! does in a tick cannot depend on what another one does in the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::catalog::StockAccount;
use api::replica::STATUS_PATH;
use bytes::Bytes;
use history::{Budget, EndState, GiveBacks, LedgerFile};
use http::Request;
use service::lifecycle::ExitCode;
use service::world::World;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Options;
use crate::faults::{Kind, Plan};
use crate::machine::{Machine, Main};
use crate::member::{Checkpoints, Layout, Member, RESTOCK_LEVEL, seat};
use crate::network::{MachineId, Message, Network, Weather};
use crate::observer::Observer;
use crate::outside::Outside;
use crate::process_world::{Ending, ProcessWorld, catch_panics};
use crate::random::Random;
use crate::report::{Broken, Report};
use crate::shopping::{Shopper, Shopping, read};
use crate::strike::REMOVAL_LASTS;
use crate::trace::{Event, Listener, Millis, Trace};

/// How long a store that nothing is wrong with may take for an order: for elections, leases and restarts one after the other.
const ALIVE_WITHIN: Millis = 30_000;
/// Shoppers give up long before.
const CLOSED_WITHIN: Millis = 120_000;
/// How long it takes until nothing moves any more, after the last order: settlements, the last appends; longest of all, for a wiped
/// replica to get its seat back.
const SETTLED_WITHIN: Millis = 30_000;
/// How often the replicas are asked where they stand.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);
/// For the books and the last reads.
const AUDITED_WITHIN: Millis = 60_000;

/// Something that will happen to a machine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    Start(MachineId),
    Wake(MachineId),
    Stop(MachineId),
    HealNetwork,
    HealDisk(MachineId),
    Fault,
}

pub(crate) struct Simulation {
    seed: u64,
    pub(crate) outside: Outside,
    pub(crate) layout: Layout,
    pub(crate) plan: Plan,
    pub(crate) machines: Vec<Machine>,
    pub(crate) members: Vec<Member>,
    /// For the order of the processes within a tick.
    order: Random,
    /// For the faults.
    pub(crate) chance: Random,
    agenda: BTreeMap<(Millis, u64), Due>,
    planned: u64,
    processes: u64,
    shopping: Arc<Shopping>,
    /// A machine whose process was asked to stop.
    pub(crate) stopping: Vec<bool>,
    /// A machine whose disk has been given a fault since its process started.
    pub(crate) excused: Vec<bool>,
    /// Since when an order replica may lack its seat: its disk was wiped, or its seat taken away.
    pub(crate) incomplete_since: Option<Millis>,
    /// A machine whose seat was to be taken away: its replica takes it again when it starts.
    pub(crate) unseated: Vec<bool>,
    broken: Vec<Broken>,
}

impl Simulation {
    pub(crate) fn new(seed: u64, options: Options, listener: Option<Listener>) -> Self {
        let Options { calm, tell } = options;
        catch_panics();
        let mut random = Random::new(seed);
        let mut layout = Layout {
            catalogs: if random.per_mille(250) { 3 } else { 1 },
            orders: 3,
            frontends: *random.pick(&[1, 2, 2, 3]),
            restock: Duration::from_millis(*random.pick(&[500, 1000, 3000])),
            cache_size: *random.pick(&[0, 2, 7, 7, 7]),
            checkpoints: Checkpoints::default(),
        };
        let plan = if calm { Plan::calm() } else { Plan::draw(&mut random) };
        let members = layout.members();
        let mut names: Vec<_> = members.iter().map(ToString::to_string).collect();
        names.push("shoppers".to_owned());
        let count = names.len();
        let outside = Outside::new(Network::new(names, random.fork()), Trace::new(tell, listener));
        let mut machine = |id| {
            // Monotonic clocks are allowed to differ by a tenth; crystals differ by far less. The shoppers' is the simulation's own.
            let rate_ppm =
                if id == members.len() { 0 } else { i64::try_from(random.below(40_001)).unwrap_or(0) - 20_000 };
            Machine::new(id, outside.clone(), random.fork(), rate_ppm)
        };
        let machines = (0..count).map(&mut machine).collect();
        let frontends = (1..=layout.frontends).map(Layout::public).collect();
        let (order, chance) = (random.fork(), random.fork());
        layout.checkpoints = Checkpoints::draw(&mut random);
        Self {
            seed,
            shopping: Shopping::new(outside.clone(), frontends),
            outside,
            layout,
            plan,
            machines,
            members,
            order,
            chance,
            agenda: BTreeMap::new(),
            planned: 0,
            processes: 0,
            stopping: vec![false; count],
            excused: vec![false; count],
            incomplete_since: None,
            unseated: vec![false; count],
            broken: Vec::new(),
        }
    }

    /// The whole run.
    pub(crate) fn run(mut self) -> Report {
        self.stage(format!(
            "{} catalog(s), {} orders, {} frontend(s); {}; {}",
            self.layout.catalogs, self.layout.orders, self.layout.frontends, self.layout.checkpoints, self.plan
        ));
        for machine in 0..self.members.len() {
            let after = self.chance.within(1..=100);
            self.plan_for(after, Due::Start(machine));
        }
        self.let_shoppers_in();
        if self.plan.after_first_order && !self.until(ALIVE_WITHIN, |it| it.shopping.acknowledged() > 0) {
            self.not_alive("no order was placed after the first start");
        }
        self.disturb();
        self.heal();
        let end = self.audit();
        self.judge(&end)
    }

    fn let_shoppers_in(&mut self) {
        let mut random = self.chance.fork();
        let count = random.within(2..=5);
        let pause_ms_max = *random.pick(&[5, 40, 150]);
        let shopping = Arc::clone(&self.shopping);
        let replicas: Vec<_> = (1..=self.layout.orders).map(Layout::order).collect();
        let main: Main = Box::new(move |stop: CancellationToken| {
            tokio::spawn(watch(replicas));
            for client in 1..=usize::try_from(count).expect("a few") {
                let shopper = Shopper { client, shopping: Arc::clone(&shopping), random: random.fork(), pause_ms_max };
                tokio::spawn(shopper.shop());
            }
            Box::pin(async move {
                stop.cancelled().await;
                Ok(())
            })
        });
        self.start(self.members.len(), main);
    }

    /// Faults, for as long as the plan says.
    fn disturb(&mut self) {
        if !self.broken.is_empty() {
            return;
        }
        self.stage("faults begin".to_owned());
        self.outside.lock().network.weather = self.plan.weather.clone();
        if !self.plan.kinds.is_empty() {
            self.plan_for(1, Due::Fault);
        }
        self.until(self.plan.length, |it| !it.broken.is_empty());
    }

    /// Everything is repaired and started; then the store must take an order.
    fn heal(&mut self) {
        self.stage("all is healed".to_owned());
        self.agenda.clear();
        {
            let mut shared = self.outside.lock();
            shared.network.weather = Weather::FAIR;
            shared.network.heal();
        }
        let now = self.outside.now();
        for id in 0..self.members.len() {
            let machine = &mut self.machines[id];
            machine.disk().heal();
            machine.slowness().set(0);
            machine.wake(now);
            if !machine.is_running() {
                self.start_member(id);
            }
        }
        if !self.broken.is_empty() {
            return;
        }
        self.seat_all();
        let bought = self.on_shoppers_machine(|mut shopper| async move { shopper.buy_for_sure().await });
        if !self.until(ALIVE_WITHIN, |_| bought.is_finished()) {
            self.not_alive("no order was placed although everything was healed");
        }
    }

    /// Whoever may have lost its seat is started once more, when nobody takes seats away any more.
    fn seat_all(&mut self) {
        if !self.unseated.contains(&true) {
            return;
        }
        self.until(REMOVAL_LASTS, |_| false);
        for id in 0..self.members.len() {
            if self.unseated[id] && self.machines[id].is_running() {
                self.ask_to_stop(id, Kind::RemovedSeat);
            }
        }
    }

    /// The shop closes, and when all is quiet the books are looked at.
    fn audit(&mut self) -> EndState {
        self.shopping.close();
        self.stage("the shop closes".to_owned());
        if !self.broken.is_empty() {
            return EndState::default();
        }
        let shopping = Arc::clone(&self.shopping);
        // The shoppers' tasks and this function have it, and nobody else when they are gone.
        if !self.until(CLOSED_WITHIN, |_| Arc::strong_count(&shopping) <= 2) {
            self.not_alive("a shopper waits for ever");
        }
        let closed = self.outside.now();
        let orders = self.order_machines();
        if !self.until(SETTLED_WITHIN, |it| it.outside.lock().observer.settled(&orders, closed)) {
            self.not_alive("the order replicas do not come to the same log, although everything was healed");
        }
        let catalogs: Vec<_> = (1..=self.layout.catalogs).map(Layout::catalog).collect();
        let audit = self.on_shoppers_machine(move |mut shopper| async move {
            shopper.ask_for_all().await;
            shopper.look_at_all().await;
            books(&catalogs).await
        });
        if !self.until(AUDITED_WITHIN, |_| audit.is_finished()) {
            self.not_alive("the books cannot be read");
            return EndState::default();
        }
        let accounts = finished(audit);
        // A look that filled a cache may have made a change wait; ledgers do not change any more.
        let ledgers = (1..=self.layout.orders).filter_map(|n| {
            let machine = self.machine_of(Member::Order(n));
            let bytes = self.machines[machine].disk().read(&Layout::ledger(n))?;
            Some(LedgerFile { ordinal: seat(n), bytes })
        });
        EndState { ledgers: ledgers.collect(), accounts }
    }

    fn judge(mut self, end: &EndState) -> Report {
        let mut history = self.shopping.recorder.take();
        let (reigns, acts) = {
            let observer: &mut Observer = &mut self.outside.lock().observer;
            (observer.reigns(), observer.take_acts())
        };
        // Of several catalog replicas a deposed one may send an old answer after its successor's first.
        if self.layout.catalogs == 1 {
            history.acts = acts;
        }
        let options = history::Options {
            quiet: self.broken.is_empty(),
            restock_level: Some(RESTOCK_LEVEL),
            give_backs: GiveBacks::Anytime,
            refusals_final: false,
            budget: Budget { configurations_max: 300_000 },
            violations_max: 10,
        };
        let verdict = history::check(&history, end, &options);
        self.broken.extend(verdict.violations.into_iter().map(|violation| Broken::Invariant(Box::new(violation))));
        let lengths: Vec<_> = end.ledgers.iter().map(|ledger| ledger.bytes.len()).collect();
        if options.quiet && end.ledgers.windows(2).any(|two| two[0].bytes != two[1].bytes) {
            self.broken.push(Broken::LedgersDiffer(lengths));
        }
        for broken in &self.broken {
            self.outside.lock().trace.tell_line(&format!("BROKEN {broken}"));
        }
        let shared = self.outside.lock();
        Report {
            seed: self.seed,
            virtual_ms: shared.now,
            events: shared.trace.events(),
            acknowledged: verdict.counts.acknowledged,
            elections: reigns as u64,
            faults: shared.trace.faults().clone(),
            trace_hash: shared.trace.hash(),
            counts: verdict.counts,
            broken: self.broken.clone(),
        }
    }

    /// Lets time go on until `done`; false if it was not `within` so long.
    fn until(&mut self, within: Millis, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.outside.now() + within;
        while !done(self) {
            if self.outside.now() >= end {
                return false;
            }
            self.tick();
        }
        true
    }

    fn tick(&mut self) {
        let now = self.outside.tick();
        while let Some(entry) = self.agenda.first_entry()
            && entry.key().0 <= now
        {
            let due = entry.remove();
            self.act(due);
        }
        self.deliver(now);
        let mut order: Vec<_> = (0..self.machines.len()).collect();
        self.order.shuffle(&mut order);
        for machine in order {
            if let Some(ending) = self.machines[machine].run(now) {
                self.ended(machine, ending);
            }
        }
    }

    fn deliver(&mut self, now: Millis) {
        let due = self.outside.lock().network.due(now);
        for message in due {
            match message {
                Message::Request { call, to, port, request } => self.deliver_request(to, port, call, request),
                Message::Answer { call, outcome } => self.outside.lock().network.arrive(call, outcome),
                Message::HangUp { call } => self.outside.lock().network.abandon(call),
            }
        }
    }

    fn deliver_request(&mut self, to: MachineId, port: u16, call: u64, request: Request<Bytes>) {
        match self.machines[to].receiver() {
            Some((world, runtime)) => world.deliver(runtime, port, call, request),
            None if self.machines[to].is_powered() => {
                self.outside.lock().answer(call, to, Err(service::world::Lost::Refused));
            }
            None => {}
        }
    }

    fn act(&mut self, due: Due) {
        let now = self.outside.now();
        match due {
            Due::Start(machine) => self.start_member(machine),
            Due::Wake(machine) => {
                self.machines[machine].wake(now);
                self.note_fault(machine, Kind::Pause, "goes on".to_owned());
            }
            Due::Stop(machine) => {
                if self.machines[machine].is_running() && !self.machines[machine].is_paused() {
                    self.ask_to_stop(machine, Kind::RemovedSeat);
                }
            }
            Due::HealNetwork => {
                self.outside.lock().network.heal();
                self.stage("the network is whole".to_owned());
            }
            Due::HealDisk(machine) => {
                self.machines[machine].disk().heal();
                self.machines[machine].slowness().set(0);
            }
            Due::Fault => {
                let gap = self.chance.within(self.plan.gap.clone());
                self.plan_for(gap, Due::Fault);
                let kind = *self.chance.pick(&self.plan.kinds.clone());
                self.strike(kind);
            }
        }
    }

    fn ended(&mut self, id: MachineId, ending: Ending) {
        let Ending { code, what } = ending;
        self.outside.note(id, &Event::Ended { code, what: what.clone() });
        self.machines[id].kill();
        let stopped = code == ExitCode::Ok as u8 && self.stopping[id];
        let disk_failed = code == ExitCode::Io as u8 && self.excused[id];
        let removed = code == ExitCode::Failure as u8 && self.unseated[id] && what.contains("seat was removed");
        if !(stopped || disk_failed || removed) {
            let at_ms = self.outside.now();
            let who = self.outside.lock().network.name(id).to_owned();
            self.broken.push(Broken::Ended { who, at_ms, code, what });
        }
        let after = self.chance.within(10..=800);
        self.plan_for(after, Due::Start(id));
    }

    fn start_member(&mut self, id: MachineId) {
        if id < self.members.len() && !self.machines[id].is_running() {
            self.excused[id] = self.machines[id].disk().is_failing();
            self.stopping[id] = false;
            let main = self.layout.main(self.members[id]);
            self.start(id, main);
        }
    }

    fn start(&mut self, id: MachineId, main: Main) {
        self.processes += 1;
        self.machines[id].start(self.processes, main);
    }

    pub(crate) fn plan_for(&mut self, after: Millis, due: Due) {
        self.planned += 1;
        self.agenda.insert((self.outside.now() + after, self.planned), due);
    }

    pub(crate) fn order_machines(&self) -> Vec<MachineId> {
        (1..=self.layout.orders).map(|n| self.machine_of(Member::Order(n))).collect()
    }

    pub(crate) fn machine_of(&self, member: Member) -> MachineId {
        self.members.iter().position(|it| *it == member).expect("every member has a machine")
    }

    pub(crate) fn on_shoppers_machine<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &mut self,
        work: impl FnOnce(Shopper) -> F,
    ) -> JoinHandle<T> {
        let shopping = Arc::clone(&self.shopping);
        let shopper = Shopper { client: 0, shopping, random: self.chance.fork(), pause_ms_max: 0 };
        let (_, runtime) = self.machines[self.members.len()].receiver().expect("the shoppers' machine has no faults");
        runtime.spawn(work(shopper))
    }

    fn stage(&mut self, what: String) {
        self.outside.note(self.members.len(), &Event::Stage { what });
    }

    pub(crate) fn note_fault(&mut self, machine: MachineId, kind: Kind, what: String) {
        self.outside.note(machine, &Event::Fault { kind: kind.name(), what });
    }

    fn not_alive(&mut self, what: &str) {
        self.broken.push(Broken::NotAlive(what.to_owned()));
    }
}

/// Asks the replicas again and again where they stand; the observer hears the answers.
async fn watch(replicas: Vec<api::Address>) {
    let world = ProcessWorld::current().expect("it is asked from the shoppers' machine");
    loop {
        for replica in &replicas {
            let request = Request::get(STATUS_PATH).body(Bytes::new()).expect("a good request");
            tokio::spawn(tokio::time::timeout(Duration::from_secs(1), world.carry(replica.clone(), request)));
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

/// The catalog leader's books, when nothing is reserved any more; what there is after some time.
async fn books(catalogs: &[api::Address]) -> Vec<StockAccount> {
    let world = ProcessWorld::current().expect("it is asked from the shoppers' machine");
    let mut last = Vec::new();
    for _ in 0..40 {
        for catalog in catalogs {
            let request = Request::get("/accounts").body(Bytes::new()).expect("a good request");
            let asked = tokio::time::timeout(Duration::from_secs(2), world.carry(catalog.clone(), request));
            if let Ok(Ok(answer)) = asked.await
                && let Some(Ok(accounts)) = read::<Vec<StockAccount>>(&answer)
            {
                last = accounts;
                if last.iter().all(|account| account.reserved == 0) {
                    return last;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    last
}

/// The result of a task that is known to be done.
fn finished<T>(task: JoinHandle<T>) -> T {
    use futures::FutureExt;
    task.now_or_never().expect("it is finished").expect("it did not panic")
}
