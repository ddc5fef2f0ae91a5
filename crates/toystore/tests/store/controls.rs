//! The controls of the console of `up`, over a store of real processes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use api::frontend::CacheContents;
use api::replica::{ReplicaStatus, STATUS_PATH};
use api::{Address, Ordinal, ProductName};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use service::json_client::JsonClient;
use store_console::{Control, ControlError, ControlsState, CutLink, ProcessState, Shoppers, StoreControls};
use tokio_util::sync::CancellationToken;
use toystore::local::{ProxyNetwork, StoreLayout, StoreMember};
use toystore::up::{ControlWorker, Controls, supervise};

use crate::harness::{Rest, TIMEOUT, TestStore, awaited, eventually};

/// A status comes from memory; a frozen process does not answer.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// A supervised store with controls.
struct ControlledStore {
    controls: Controls,
    layout: StoreLayout,
    client: JsonClient,
}

impl ControlledStore {
    async fn start(change: impl FnOnce(StoreLayout) -> StoreLayout) -> Self {
        let mut store = TestStore::prepare(|layout| change(layout).with_disk_fault_files());
        let (layout, network) = ProxyNetwork::proxying(store.store.layout().clone()).unwrap();
        store.relocate(layout.clone());
        let (controls, mut worker) = ControlWorker::new(&layout, network, None);
        store.store.start_all().unwrap();
        store.ready().await;
        let client = store.store.json_client().clone();
        // It ends with the runtime, and so do the processes.
        tokio::spawn(async move {
            supervise(&mut store.store, true, Some(&mut worker), &CancellationToken::new()).await.unwrap();
        });
        let this = Self { controls, layout, client };
        this.becomes("running", |controls| states(controls).iter().all(|(_, state)| *state == ProcessState::Running))
            .await;
        this
    }

    async fn perform(&self, control: Control) {
        self.try_to(control.clone()).await.unwrap_or_else(|error| panic!("{control:?}: {error}"));
    }

    async fn try_to(&self, control: Control) -> Result<(), ControlError> {
        tokio::time::timeout(2 * TIMEOUT, self.controls.perform(control)).await.expect("a request ends")
    }

    /// Waits until what is published is so.
    async fn becomes(&self, what: &str, is_so: impl Fn(&Controls) -> bool) {
        let mut controls = self.controls.clone();
        let change = async {
            while !is_so(&controls) {
                controls.changed().await.unwrap();
            }
        };
        tokio::time::timeout(TIMEOUT, change).await.unwrap_or_else(|_| panic!("it never became {what}"));
    }

    fn process(&self, name: &str) -> ProcessState {
        states(&self.controls).into_iter().find(|(known, _)| known == name).unwrap().1
    }

    fn state(&self) -> ControlsState {
        self.controls.state()
    }

    fn rest(&self) -> Rest {
        Rest::new(&self.layout.public(1))
    }

    fn internal(&self, member: StoreMember) -> Address {
        self.layout.internal(member)
    }

    async fn status(&self, ordinal: Ordinal) -> Option<ReplicaStatus> {
        self.client.get(&self.internal(StoreMember::Order(ordinal)), STATUS_PATH, STATUS_TIMEOUT).await.ok()
    }

    /// A leader that a majority follows, other than `not`.
    async fn leader_other_than(&self, not: Option<Ordinal>) -> Ordinal {
        awaited("there is another leader", || async {
            for ordinal in self.layout.ordinals().filter(|ordinal| Some(*ordinal) != not) {
                if self.status(ordinal).await.is_some_and(|status| status.leads()) {
                    return Some(ordinal);
                }
            }
            None
        })
        .await
    }

    /// Waits until all order replicas are voters that agree on their leader and log.
    async fn caught_up(&self) {
        eventually("all replicas are voters with the same log", || async {
            let statuses = self.layout.ordinals().map(|ordinal| self.status(ordinal));
            let statuses: Vec<_> = futures::future::join_all(statuses).await.into_iter().flatten().collect();
            let ids: BTreeSet<_> = statuses.iter().map(|status| status.node_id).collect();
            let agree = |status: &ReplicaStatus| {
                let first = &statuses[0];
                (status.leader, status.applied) == (first.leader, first.applied) && status.leader.is_some()
            };
            statuses.len() == 3
                && statuses.iter().all(|it| it.voters.iter().copied().collect::<BTreeSet<_>>() == ids && agree(it))
        })
        .await;
    }

    /// What the frontend says about its cache.
    async fn cache(&self) -> Option<CacheContents> {
        self.client.get(&self.internal(FRONTEND), "/cache", STATUS_TIMEOUT).await.ok()
    }

    /// The number of orders that clients sent to a frontend since its start.
    async fn orders_of(&self, frontend: u8) -> u64 {
        let address = self.internal(StoreMember::Frontend(frontend));
        let request = Rest::new(&address).request(Method::GET, "/metrics").send().await;
        let text = match request {
            Ok(response) => response.text().await.unwrap_or_default(),
            Err(_) => return 0,
        };
        let counts = text.lines().filter_map(|line| line.strip_prefix("toystore_frontend_orders_total"));
        counts.filter_map(|count| count.split_whitespace().last()?.parse::<u64>().ok()).sum()
    }

    /// The process ids in the run file, by name.
    fn pids(&self) -> BTreeMap<String, i32> {
        let file: Value = serde_json::from_slice(&std::fs::read(self.layout.data().join("up.json")).unwrap()).unwrap();
        let pid = |process: &Value| {
            (process["name"].as_str().unwrap().to_owned(), process["pid"].as_i64().unwrap().try_into().unwrap())
        };
        file["processes"].as_array().unwrap().iter().map(pid).collect()
    }
}

const FRONTEND: StoreMember = StoreMember::Frontend(1);

fn states(controls: &Controls) -> Vec<(String, ProcessState)> {
    controls.processes().into_iter().map(|process| (process.name, process.state)).collect()
}

fn order(ordinal: Ordinal) -> String {
    StoreMember::Order(ordinal).to_string()
}

fn kill(process: impl Into<String>) -> Control {
    Control::Kill { process: process.into() }
}

fn freeze(process: &str) -> Control {
    Control::Freeze { process: process.into() }
}

fn partition(from: &str, to: &str, both: bool) -> Control {
    Control::Partition { from: from.into(), to: to.into(), both }
}

fn shoppers(count: u16, order_probability: f64) -> Control {
    Control::Shoppers(Shoppers { count, order_probability, hot_product: None })
}

#[tokio::test]
async fn a_killed_leader_stays_stopped_until_it_is_restarted_and_another_one_takes_over() {
    let store = ControlledStore::start(|layout| layout).await;
    let leader = store.leader_other_than(None).await;
    let before = store.pids();
    store.perform(kill(order(leader))).await;
    assert_eq!(store.process(&order(leader)), ProcessState::Stopped);
    let successor = store.leader_other_than(Some(leader)).await;
    store.rest().buy("Tux", 1).await;
    let refused = store.try_to(freeze(&order(leader))).await.unwrap_err();
    assert_eq!(refused, ControlError::Invalid(format!("{} does not run: restart it first", order(leader))));

    // A process that dies by itself is restarted at once; the killed one is not.
    let member = order(successor);
    kill_process(Pid::from_raw(before[&member]).unwrap(), Signal::KILL).unwrap();
    eventually("it is restarted", || async { store.pids().get(&member).is_some_and(|pid| *pid != before[&member]) })
        .await;
    assert_eq!(store.process(&order(leader)), ProcessState::Stopped);
    assert!(!store.pids().contains_key(&order(leader)), "the run file lists what runs");

    store.perform(Control::Restart { process: order(leader) }).await;
    assert_eq!(store.process(&order(leader)), ProcessState::Running);
    assert!(store.pids().contains_key(&order(leader)));
    store.caught_up().await;
}

#[tokio::test]
async fn a_frozen_leader_is_replaced_and_follows_when_it_resumes() {
    let store = ControlledStore::start(|layout| layout).await;
    let leader = store.leader_other_than(None).await;
    store.perform(freeze(&order(leader))).await;
    assert_eq!(store.process(&order(leader)), ProcessState::Frozen);
    store.rest().buy("Tux", 1).await;
    assert_ne!(store.leader_other_than(Some(leader)).await, leader);
    let refused = store.try_to(Control::RestartAll).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("while {} is frozen", order(leader))), "{refused}");

    store.perform(Control::Resume { process: order(leader) }).await;
    assert_eq!(store.process(&order(leader)), ProcessState::Running);
    store.caught_up().await;
    // A frozen process cannot stop by itself.
    store.perform(freeze("catalog")).await;
    store.perform(Control::Restart { process: "catalog".into() }).await;
    assert_eq!(store.process("catalog"), ProcessState::Running);
    store.rest().buy("Tux", 1).await;
}

#[tokio::test]
async fn partitions_have_the_directions_that_were_asked_for_and_heal() {
    let store = ControlledStore::start(|layout| layout).await;
    let leader = store.leader_other_than(None).await;
    let others: Vec<_> = store.layout.ordinals().filter(|ordinal| *ordinal != leader).map(order).collect();
    for other in &others {
        store.perform(partition(&order(leader), other, true)).await;
    }
    assert_eq!(store.state().cut.len(), 4, "{:?}", store.state().cut);
    store.rest().buy("Tux", 1).await;
    store.leader_other_than(Some(leader)).await;
    for other in &others {
        store.perform(Control::Heal { from: other.clone(), to: order(leader) }).await;
    }
    assert_eq!(store.state().cut, []);
    store.caught_up().await;

    eventually("the frontend has a lease", || async { store.cache().await.is_some_and(|it| it.lease_valid) }).await;
    store.perform(partition("frontend-1", "catalog-1", false)).await;
    assert_eq!(store.state().cut, [CutLink { from: "frontend".into(), to: "catalog".into() }]);
    eventually("the frontend has lost its lease", || async { store.cache().await.is_some_and(|it| !it.lease_valid) })
        .await;
    store.perform(Control::Heal { from: "frontend".into(), to: "catalog".into() }).await;
    eventually("it has one again", || async { store.cache().await.is_some_and(|it| it.lease_valid) }).await;
}

#[tokio::test]
async fn heal_all_ends_a_mixture_of_faults() {
    let store = ControlledStore::start(|layout| layout).await;
    store.perform(Control::FullDisk { process: "order-1".into(), on: true }).await;
    store.perform(Control::SlowDisk { process: "order-1".into(), on: true }).await;
    store.perform(Control::SlowDisk { process: "catalog".into(), on: true }).await;
    let full = || async { Some(store.status(Ordinal(1)).await?.disk_full) };
    eventually("order-1 notices that its disk is full", || async { full().await == Some(true) }).await;
    store.perform(kill("order-2")).await;
    store.perform(freeze("order-3")).await;
    store.perform(partition("frontend", "order-1", false)).await;
    let state = store.state();
    assert_eq!((state.slow, state.full), (vec!["catalog".to_owned(), "order-1".into()], vec!["order-1".to_owned()]));
    assert_eq!(state.cut.len(), 1);

    store.perform(Control::HealAll).await;
    let ControlsState { cut, slow, full: full_disks, .. } = store.state();
    assert!(cut.is_empty() && slow.is_empty() && full_disks.is_empty());
    assert!(states(&store.controls).iter().all(|(_, state)| *state == ProcessState::Running));
    eventually("order-1 has space again", || async { full().await == Some(false) }).await;
    store.rest().buy("Tux", 1).await;
    store.caught_up().await;
}

#[tokio::test]
async fn a_wiped_replica_rejoins_and_only_one_disk_is_wiped_at_a_time() {
    let store = ControlledStore::start(|layout| layout).await;
    store.rest().buy("Tux", 3).await;
    store.caught_up().await;
    let leader = store.leader_other_than(None).await;
    let before = store.status(leader).await.unwrap().node_id;
    let wipe = |ordinal| Control::WipeDisk { process: order(ordinal) };
    store.perform(wipe(leader)).await;
    let other = store.layout.ordinals().find(|ordinal| *ordinal != leader).unwrap();
    let refused = store.try_to(wipe(other)).await.unwrap_err().to_string();
    assert!(refused.starts_with(&format!("{} has lost its disk, too", order(leader))), "{refused}");

    store.caught_up().await;
    let after = store.status(leader).await.unwrap();
    assert!(after.node_id != before && after.voters.contains(&after.node_id), "{after:?}");
    store.perform(wipe(other)).await;
    store.caught_up().await;
    assert_eq!(store.rest().read("/orders/1").await.body["data"]["quantity"], 3);
}

#[tokio::test]
async fn the_cache_is_switched_off_and_on() {
    let store = ControlledStore::start(|layout| layout).await;
    let capacity = || async { store.cache().await.map(|contents| contents.capacity) };
    let configured = capacity().await.unwrap();
    assert!(configured > 0 && store.state().cache);
    store.perform(Control::Cache { on: false }).await;
    assert_eq!((capacity().await, store.state().cache), (Some(0), false));
    // A frontend that does not run has the setting when it is restarted.
    store.perform(kill("frontend")).await;
    store.perform(Control::Cache { on: true }).await;
    assert_eq!(store.process("frontend"), ProcessState::Stopped);
    store.perform(Control::Restart { process: "frontend".into() }).await;
    eventually("the frontend has its cache", || async { capacity().await == Some(configured) }).await;
    assert!(store.state().cache);
}

#[tokio::test]
async fn shoppers_use_all_frontends_and_outlive_the_end_of_all_processes() {
    let plenty = |layout: StoreLayout| {
        layout.with_frontends(2).with_variable("RESTOCK_INTERVAL_MS", 50).with_variable("RESTOCK_LEVEL", 1_000_000)
    };
    let store = ControlledStore::start(plenty).await;
    let shop = || async { store.orders_of(1).await >= 20 && store.orders_of(2).await >= 20 };
    store.perform(shoppers(8, 1.0)).await;
    eventually("they order through both frontends", shop).await;
    assert_eq!((store.state().shoppers.count, store.state().shoppers.order_probability), (8, 1.0));

    store.perform(Control::KillAll).await;
    assert!(states(&store.controls).iter().all(|(_, state)| *state == ProcessState::Stopped));
    assert!(store.pids().is_empty());
    store.perform(Control::RestartAll).await;
    eventually("they order through both frontends again", shop).await;

    store.perform(shoppers(0, 1.0)).await;
    assert_eq!(store.state().shoppers.count, 0);
    let last = Mutex::new((0, 0));
    eventually("they have left", || async {
        let orders = store.orders_of(1).await + store.orders_of(2).await;
        let mut last = last.lock().unwrap();
        *last = if last.0 == orders { (orders, last.1 + 1) } else { (orders, 0) };
        last.1 == 10
    })
    .await;
    let wrong = Shoppers { count: 1, order_probability: 1.0, hot_product: Some(ProductName::new("Tax").unwrap()) };
    let refused = store.try_to(Control::Shoppers(wrong)).await.unwrap_err();
    assert_eq!(refused, ControlError::Invalid("the store does not sell \"Tax\"".into()));
}

#[tokio::test]
async fn a_rolling_restart_replaces_every_process() {
    let store = ControlledStore::start(|layout| layout).await;
    store.perform(kill("order-2")).await;
    let before = store.pids();
    store.perform(Control::RestartAll).await;
    let after = store.pids();
    assert_eq!(after.len(), 5, "the one that did not run was started, too");
    assert!(before.iter().all(|(name, pid)| after[name] != *pid), "{before:?} {after:?}");
    store.rest().buy("Tux", 1).await;
    store.caught_up().await;
}
