//! Carries out what the console asks for, one request after the other.
//!
//! A request ends in bounded time: a process that does not stop is killed after 15 s, and one that
//! does not recover makes a rolling restart end with an error. The supervisor does nothing else
//! meanwhile, so a process that exits by itself during a rolling restart is restarted after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::{Ordinal, ProductName};
use store_console::{Control, ControlError, ControlsState, CutLink, OwnedProcess, ProcessState, Shoppers};
use workload::{StoreClient, base_url};

use super::action::{Action, invalid};
use super::cache_setting::CacheSetting;
use super::controls::{ControlChannel, ControlRequest, Controls, Published};
use super::restarts::Restarts;
use super::shopping::{ShopRun, Shopping};
use crate::local::{
    ChildProcess, Direction, DiskFaults, LocalStore, ProxyNetwork, StoreLayout, StoreMember, recovered,
};

/// How long a rolling restart waits for all members, each time. A second is usual; a replica that
/// was away for long takes longer.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// The list of products comes from the catalog's memory.
const PRODUCTS_TIMEOUT: Duration = Duration::from_secs(2);

/// Carries out requests; see [`Controls`].
#[derive(Debug)]
pub struct ControlWorker {
    channel: ControlChannel,
    network: ProxyNetwork,
    faults: Faults,
    cache: CacheSetting,
    shopping: Shopping,
    /// What the store sells; empty until it is known.
    products: Arc<[ProductName]>,
}

/// The faults that were injected and not healed.
#[derive(Clone, Debug, Default)]
struct Faults {
    frozen: BTreeSet<StoreMember>,
    disks: BTreeMap<StoreMember, DiskFaults>,
    /// Replicas whose disk was wiped. Some may have rejoined since.
    wiped: BTreeSet<Ordinal>,
}

impl ControlWorker {
    /// The controls of a store, and what carries them out. `layout` is the store's, with a proxy of
    /// `network` on every link, and with files for disk faults.
    pub fn new(layout: &StoreLayout, network: ProxyNetwork, shop: Option<ShopRun>) -> (Controls, Self) {
        let (cache, shopping) = (CacheSetting::configured(), Shopping::new(shop));
        let state = state(&[], &Faults::default(), cache, shopping.shoppers());
        let stopped = |member: StoreMember| OwnedProcess { name: member.to_string(), state: ProcessState::Stopped };
        let processes = layout.members().into_iter().map(stopped).collect();
        let (controls, channel) = Controls::new(Published { state, processes });
        (controls, Self { channel, network, faults: Faults::default(), cache, shopping, products: Arc::new([]) })
    }

    /// Publishes the present state of the store.
    pub(super) fn publish(&self, store: &mut LocalStore) {
        let state = state(&self.network.cuts(), &self.faults, self.cache, self.shopping.shoppers());
        let members = store.layout().members();
        let mut of = |member: StoreMember| match (store.is_running(member), self.faults.frozen.contains(&member)) {
            (false, _) => ProcessState::Stopped,
            (true, true) => ProcessState::Frozen,
            (true, false) => ProcessState::Running,
        };
        let processes = members.into_iter().map(|member| OwnedProcess { name: member.to_string(), state: of(member) });
        let published = Published { state, processes: processes.collect() };
        self.channel.published.send_if_modified(|last| {
            let is_news = *last != published;
            *last = published;
            is_news
        });
    }

    /// The next request; `None` if something else has changed.
    pub(super) async fn next_request(&mut self) -> Option<ControlRequest> {
        tokio::select! {
            () = self.shopping.run_ended() => None,
            request = self.channel.requests.recv() => match request {
                Some(request) => Some(request),
                // No console is left that could ask for anything.
                None => std::future::pending().await,
            },
        }
    }

    /// A member has exited by itself.
    pub(super) fn exited(&mut self, member: StoreMember) {
        self.faults.frozen.remove(&member);
    }

    /// Carries a request out, publishes the result, and answers.
    pub(super) async fn serve(&mut self, request: ControlRequest, store: &mut LocalStore, restarts: &mut Restarts) {
        let ControlRequest { control, answer } = request;
        tracing::info!(?control, "the console asks for a change");
        let result = self.perform(control, store, restarts).await;
        if let Err(error) = &result {
            tracing::warn!(%error, "a request of the console was not carried out");
        }
        // First, so that who got the answer sees its effect.
        self.publish(store);
        // The request may have been given up meanwhile.
        let _ = answer.send(result);
    }

    /// Ends what would disturb the end of the store.
    pub(super) fn end(&mut self, store: &LocalStore) {
        self.channel.requests.close();
        self.shopping.stop();
        self.network.heal();
        for member in self.faults.disks.keys() {
            if let Err(error) = store.layout().set_disk_faults(*member, DiskFaults::default()) {
                tracing::warn!(%member, %error, "cannot heal a disk");
            }
        }
    }

    async fn perform(
        &mut self,
        control: Control,
        store: &mut LocalStore,
        restarts: &mut Restarts,
    ) -> Result<(), ControlError> {
        if matches!(control, Control::Shoppers(_)) {
            self.list_products(store.layout()).await?;
        }
        match Action::of(control, store.layout(), &self.products)? {
            Action::Kill(member) => self.kill(&[member], store, restarts).await,
            Action::KillAll => self.kill(&store.layout().members(), store, restarts).await,
            Action::Restart(member) => {
                restarts.cancel(member);
                self.faults.frozen.remove(&member);
                store.restart(member).await.map_err(ControlError::Failed)
            }
            Action::Freeze(member) => self.freeze(member, store),
            Action::Resume(member) => self.resume(member, store),
            Action::WipeDisk(ordinal) => self.wipe(ordinal, store, restarts).await,
            Action::SlowDisk(member, slow) => {
                let faults = self.faults.disk(member);
                self.set_disk_faults(member, DiskFaults { slow, ..faults }, store.layout())
            }
            Action::FullDisk(member, full) => {
                let faults = self.faults.disk(member);
                self.set_disk_faults(member, DiskFaults { full, ..faults }, store.layout())
            }
            Action::Cut(directions) => {
                for (from, to) in directions {
                    self.network.cut(from, to);
                }
                Ok(())
            }
            Action::Heal(one, other) => {
                self.network.heal_between(one, other);
                Ok(())
            }
            Action::HealAll => {
                for member in store.layout().members() {
                    restarts.cancel(member);
                }
                store.heal_all(Some(&self.network)).map_err(ControlError::Failed)?;
                (self.faults.frozen, self.faults.disks) = Default::default();
                Ok(())
            }
            Action::RestartAll => self.restart_all(store, restarts).await,
            Action::Shoppers(shoppers) => {
                let frontends = frontends(store.layout()).map(|n| store.layout().public(n)).collect();
                self.shopping.change(shoppers, frontends, Arc::clone(&self.products))
            }
            Action::Cache(on) => self.switch_cache(on, store, restarts).await,
        }
    }

    async fn kill(
        &mut self,
        members: &[StoreMember],
        store: &mut LocalStore,
        restarts: &mut Restarts,
    ) -> Result<(), ControlError> {
        let killed = store.kill(members, || {}).await;
        for member in members.iter().copied().filter(|member| !store.is_running(*member)).collect::<Vec<_>>() {
            store.forget(member);
            restarts.cancel(member);
            self.faults.frozen.remove(&member);
        }
        killed.map_err(|error| ControlError::Failed(format!("cannot kill a process: {error}")))
    }

    fn freeze(&mut self, member: StoreMember, store: &mut LocalStore) -> Result<(), ControlError> {
        let frozen = running(store, member)?.freeze();
        frozen.map_err(|error| ControlError::Failed(format!("cannot freeze {member}: {error}")))?;
        self.faults.frozen.insert(member);
        Ok(())
    }

    fn resume(&mut self, member: StoreMember, store: &mut LocalStore) -> Result<(), ControlError> {
        let resumed = running(store, member)?.thaw();
        resumed.map_err(|error| ControlError::Failed(format!("cannot resume {member}: {error}")))?;
        self.faults.frozen.remove(&member);
        Ok(())
    }

    /// Refuses to wipe a second disk before the first replica has rejoined: the group would wait
    /// for the lost disks forever.
    async fn wipe(
        &mut self,
        ordinal: Ordinal,
        store: &mut LocalStore,
        restarts: &mut Restarts,
    ) -> Result<(), ControlError> {
        let member = StoreMember::Order(ordinal);
        for other in self.faults.wiped.clone().into_iter().filter(|other| *other != ordinal) {
            let status = store.status(other).await;
            if !status.is_some_and(|status| status.voters.contains(&status.node_id)) {
                return Err(invalid(format!(
                    "order-{other} has lost its disk, too, and has not rejoined yet: without both disks the orders \
                     would wait forever. Wait until it has rejoined"
                )));
            }
            self.faults.wiped.remove(&other);
        }
        self.kill(&[member], store, restarts).await?;
        self.faults.wiped.insert(ordinal);
        store
            .wipe(member)
            .map_err(|error| ControlError::Failed(format!("cannot wipe the disk of {member}: {error}")))?;
        start(store, member)
    }

    fn set_disk_faults(
        &mut self,
        member: StoreMember,
        faults: DiskFaults,
        layout: &StoreLayout,
    ) -> Result<(), ControlError> {
        let failed = |error| ControlError::Failed(format!("cannot change the disk of {member}: {error}"));
        layout.set_disk_faults(member, faults).map_err(failed)?;
        if faults == DiskFaults::default() {
            self.faults.disks.remove(&member);
        } else {
            self.faults.disks.insert(member, faults);
        }
        Ok(())
    }

    async fn restart_all(&mut self, store: &mut LocalStore, restarts: &mut Restarts) -> Result<(), ControlError> {
        if let Some(obstacle) = self.obstacle() {
            return Err(invalid(format!(
                "the processes cannot be restarted one after the other while {obstacle}: each has to recover before \
                 the next one stops. Heal everything first"
            )));
        }
        let members = store.layout().members();
        let (running, stopped): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| store.is_running(*member));
        for member in stopped {
            restarts.cancel(member);
            start(store, member)?;
        }
        if running.is_empty() {
            return Ok(());
        }
        let restarted = async {
            recovered(store, RECOVERY_TIMEOUT).await?;
            store.restart_rolling(&running, RECOVERY_TIMEOUT).await
        };
        restarted.await.map_err(|error| ControlError::Failed(format!("the restart did not go on: {error}")))
    }

    /// Why a store could not recover while it is restarted.
    fn obstacle(&self) -> Option<String> {
        let Faults { frozen, disks, .. } = &self.faults;
        let full = disks.iter().find(|(_, faults)| faults.full).map(|(member, _)| member);
        (frozen.first().map(|member| format!("{member} is frozen")))
            .or_else(|| full.map(|member| format!("the disk of {member} is full")))
            .or_else(|| self.network.cuts().first().map(|(from, to)| format!("{from} cannot reach {to}")))
    }

    /// Restarts the frontends that run, one after the other. A stopped one has the setting when it
    /// is started again.
    async fn switch_cache(
        &mut self,
        on: bool,
        store: &mut LocalStore,
        restarts: &mut Restarts,
    ) -> Result<(), ControlError> {
        if !self.cache.switch(on)? {
            return Ok(());
        }
        let members: Vec<_> = frontends(store.layout()).map(StoreMember::Frontend).collect();
        store.change_layout(|layout| self.cache.apply(layout, &members));
        let mut result = Ok(());
        for member in members {
            if !store.is_running(member) {
                continue;
            }
            restarts.cancel(member);
            self.faults.frozen.remove(&member);
            let restarted = match store.restart(member).await {
                Ok(()) => store.member_ready(member, RECOVERY_TIMEOUT).await,
                Err(error) => Err(error),
            };
            result = result.and(restarted);
        }
        result.map_err(|error| ControlError::Failed(format!("the cache is switched, but {error}")))
    }

    async fn list_products(&mut self, layout: &StoreLayout) -> Result<(), ControlError> {
        if !self.products.is_empty() {
            return Ok(());
        }
        let products = products(layout).await;
        self.products =
            products.map_err(|error| ControlError::Failed(format!("no frontend lists products: {error}")))?;
        Ok(())
    }
}

impl Faults {
    fn disk(&self, member: StoreMember) -> DiskFaults {
        self.disks.get(&member).copied().unwrap_or_default()
    }
}

/// The names of the products that the store sells.
///
/// # Errors
/// Why the last frontend did not list them.
async fn products(layout: &StoreLayout) -> Result<Arc<[ProductName]>, String> {
    let mut last = String::new();
    for frontend in frontends(layout) {
        let store = StoreClient::new(base_url(&layout.public(frontend))?, PRODUCTS_TIMEOUT);
        match store.products().await {
            Ok(products) => return Ok(products.into_iter().map(|product| product.name).collect()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// The numbers of the frontends.
fn frontends(layout: &StoreLayout) -> impl Iterator<Item = u8> + use<> {
    layout.members().into_iter().filter_map(|member| match member {
        StoreMember::Frontend(n) => Some(n),
        StoreMember::Catalog | StoreMember::Order(_) => None,
    })
}

fn running(store: &mut LocalStore, member: StoreMember) -> Result<&mut ChildProcess, ControlError> {
    if !store.is_running(member) {
        return Err(invalid(format!("{member} does not run: restart it first")));
    }
    Ok(store.process(member))
}

fn start(store: &mut LocalStore, member: StoreMember) -> Result<(), ControlError> {
    store.start(member).map(drop).map_err(|error| ControlError::Failed(format!("cannot start {member}: {error}")))
}

fn state(cuts: &[Direction], faults: &Faults, cache: CacheSetting, shoppers: &Shoppers) -> ControlsState {
    let with = |is_so: fn(&DiskFaults) -> bool| {
        let members = faults.disks.iter().filter(|(_, faults)| is_so(faults));
        members.map(|(member, _)| member.to_string()).collect()
    };
    ControlsState {
        shoppers: shoppers.clone(),
        cache: cache.is_on(),
        cut: cuts.iter().map(|(from, to)| CutLink { from: from.to_string(), to: to.to_string() }).collect(),
        slow: with(|faults| faults.slow),
        full: with(|faults| faults.full),
    }
}
