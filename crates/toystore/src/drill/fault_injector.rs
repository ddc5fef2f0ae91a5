//! Injects faults into the real processes, and heals them.

use api::Ordinal;

use super::fault::Fault;
use super::fault_schedule::ScheduledFault;
use super::recovery;
use crate::local::{DiskFaults, LocalStore, ProxyNetwork, StoreMember};

/// The store under test and its network.
pub(super) struct FaultInjector {
    pub(super) store: LocalStore,
    network: Option<ProxyNetwork>,
}

/// A fault that was injected.
pub(super) struct InjectedFault {
    /// The members that it affects, for messages.
    pub(super) victims: String,
    /// The members that do not work as usual. Of a partition, that is the one that is cut off.
    pub(super) affected: Vec<StoreMember>,
    undo: Undo,
}

/// How to heal a fault.
enum Undo {
    Restart(Vec<StoreMember>),
    Resume(StoreMember),
    Reconnect,
    ClearDiskFaults(Vec<StoreMember>),
    Nothing,
}

impl FaultInjector {
    /// No process runs yet. Partitions require a network.
    pub(super) fn new(store: LocalStore, network: Option<ProxyNetwork>) -> Self {
        Self { store, network }
    }

    /// Injects a fault. `at_fault` is called immediately before its first effect.
    ///
    /// # Errors
    /// Why it could not be injected.
    pub(super) async fn inject(
        &mut self,
        scheduled: ScheduledFault,
        at_fault: impl FnOnce(),
    ) -> Result<InjectedFault, String> {
        let leader = self.store.leader_other_than(None, recovery::RECOVERY_TIMEOUT).await?;
        let followers: Vec<_> = self.store.layout().ordinals().filter(|n| *n != leader).collect();
        let follower = StoreMember::Order(followers[scheduled.victim % followers.len()]);
        let frontend = self.choose_frontend(scheduled.victim);
        let leader_member = StoreMember::Order(leader);
        match scheduled.fault {
            Fault::KillLeader => self.kill(vec![leader_member], at_fault).await,
            Fault::KillFollower => self.kill(vec![follower], at_fault).await,
            Fault::KillCatalog => self.kill(vec![StoreMember::Catalog], at_fault).await,
            Fault::KillFrontend => self.kill(vec![frontend], at_fault).await,
            Fault::KillAll => self.kill(self.store.layout().members(), at_fault).await,
            Fault::PauseLeader => {
                at_fault();
                self.store.process(leader_member).freeze().map_err(|error| error.to_string())?;
                let (victims, affected) = (leader_member.to_string(), vec![leader_member]);
                Ok(InjectedFault { victims, affected, undo: Undo::Resume(leader_member) })
            }
            Fault::SlowDisk => {
                at_fault();
                self.disks(&followers, leader, scheduled, DiskFaults { slow: true, ..DiskFaults::default() })
            }
            Fault::FullDisk => {
                at_fault();
                self.disks(&followers, leader, scheduled, DiskFaults { full: true, ..DiskFaults::default() })
            }
            Fault::WipeFollower => {
                let injected = self.kill(vec![follower], at_fault).await?;
                self.store.wipe(follower)?;
                Ok(injected)
            }
            Fault::RollingRestart => {
                at_fault();
                let members = self.store.layout().members();
                self.store.restart_rolling(&members, recovery::RECOVERY_TIMEOUT).await?;
                let victims = "all, one after the other".into();
                Ok(InjectedFault { victims, affected: members, undo: Undo::Nothing })
            }
            fault => {
                assert!(fault.is_partition(), "{fault} is injected in another way");
                at_fault();
                Ok(self.partition(fault, leader, follower, frontend))
            }
        }
    }

    /// Heals a fault.
    ///
    /// # Errors
    /// Why it could not be healed.
    pub(super) fn heal(&mut self, injected: InjectedFault) -> Result<(), String> {
        match injected.undo {
            Undo::Restart(members) => members
                .into_iter()
                .try_for_each(|member| self.store.start(member).map(drop))
                .map_err(|error| error.to_string()),
            Undo::Resume(member) => self.store.process(member).thaw().map_err(|error| error.to_string()),
            Undo::Reconnect => {
                self.network().heal();
                Ok(())
            }
            Undo::ClearDiskFaults(members) => members.into_iter().try_for_each(|member| {
                let healthy = self.store.layout().set_disk_faults(member, DiskFaults::default());
                healthy.map_err(|error| error.to_string())
            }),
            Undo::Nothing => Ok(()),
        }
    }

    /// Heals whatever is left of a fault, and starts every member that is not running.
    ///
    /// # Errors
    /// Why it could not be healed.
    pub(super) fn heal_all(&mut self) -> Result<(), String> {
        self.store.heal_all(self.network.as_ref())
    }

    async fn kill(&mut self, members: Vec<StoreMember>, at_fault: impl FnOnce()) -> Result<InjectedFault, String> {
        let is_everyone = members == self.store.layout().members();
        let victims = if is_everyone { "all".into() } else { names(&members) };
        self.store.kill(&members, at_fault).await.map_err(|error| error.to_string())?;
        Ok(InjectedFault { victims, affected: members.clone(), undo: Undo::Restart(members) })
    }

    fn partition(&self, fault: Fault, leader: Ordinal, follower: StoreMember, frontend: StoreMember) -> InjectedFault {
        let leader = StoreMember::Order(leader);
        let others = |of: StoreMember| {
            let orders = self.store.layout().ordinals().map(StoreMember::Order);
            orders.filter(move |order| *order != of).collect::<Vec<_>>()
        };
        let (from, to) = match fault {
            Fault::PartitionFollower => (vec![follower], others(follower)),
            Fault::PartitionCatalog => (vec![leader], vec![StoreMember::Catalog]),
            Fault::PartitionFrontend | Fault::PartitionMuteFrontend => (vec![frontend], vec![StoreMember::Catalog]),
            Fault::PartitionDeafFrontend => (vec![StoreMember::Catalog], vec![frontend]),
            Fault::PartitionDeafLeader => (others(leader), vec![leader]),
            _ => (vec![leader], others(leader)),
        };
        let one_way = matches!(
            fault,
            Fault::PartitionMuteLeader
                | Fault::PartitionDeafLeader
                | Fault::PartitionMuteFrontend
                | Fault::PartitionDeafFrontend
        );
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
            self.network().cut(from, to);
            if !one_way {
                self.network().cut(to, from);
            }
        }
        let arrow = if one_way { "-x->" } else { "<-x->" };
        let cut_off = match fault {
            Fault::PartitionFollower => follower,
            Fault::PartitionFrontend | Fault::PartitionMuteFrontend | Fault::PartitionDeafFrontend => frontend,
            _ => leader,
        };
        let victims = format!("{} {arrow} {}", names(&from), names(&to));
        InjectedFault { victims, affected: vec![cut_off], undo: Undo::Reconnect }
    }

    /// Injects a disk fault into one member or all of them, depending on the scheduled victim.
    fn disks(
        &self,
        followers: &[Ordinal],
        leader: Ordinal,
        scheduled: ScheduledFault,
        faults: DiskFaults,
    ) -> Result<InjectedFault, String> {
        let follower = followers[scheduled.victim % followers.len()];
        let orders = || followers.iter().copied().chain([leader]).map(StoreMember::Order);
        let members = match scheduled.victim % DISK_VICTIMS {
            0 => vec![StoreMember::Order(follower)],
            1 => vec![StoreMember::Order(leader)],
            2 => vec![StoreMember::Catalog],
            _ => orders().chain([StoreMember::Catalog]).collect(),
        };
        for member in &members {
            self.store.layout().set_disk_faults(*member, faults).map_err(|error| error.to_string())?;
        }
        let undo = Undo::ClearDiskFaults(members.clone());
        Ok(InjectedFault { victims: names(&members), affected: members, undo })
    }

    fn choose_frontend(&self, victim: usize) -> StoreMember {
        let members = self.store.layout().members();
        let frontends: Vec<_> = members.into_iter().filter(|it| matches!(it, StoreMember::Frontend(_))).collect();
        frontends[victim % frontends.len()]
    }

    fn network(&self) -> &ProxyNetwork {
        self.network.as_ref().expect("a drill with partitions has a network")
    }
}

/// A follower, the leader, the catalog, or all of them.
const DISK_VICTIMS: usize = 4;

fn names(members: &[StoreMember]) -> String {
    members.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
