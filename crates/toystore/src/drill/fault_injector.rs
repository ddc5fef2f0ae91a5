//! Injects faults into the real processes, and heals them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::Ordinal;

use super::fault::Fault;
use super::fault_schedule::ScheduledFault;
use super::network::ProxyNetwork;
use super::recovery;
use crate::local::{ChildProcess, LocalStore, StoreLayout, StoreMember};

/// The environment variable with the path of a member's disk faults.
const DISK_FAULTS_FILE: &str = "DISK_FAULTS_FILE";

/// Duration of a sync on a slow disk. The hard disk of a laptop takes about 10 ms.
const SLOW_SYNC_MS: u64 = 50;

/// Longer than a process that was told to stop may drain (8 s).
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// The store under test and its network.
pub(super) struct FaultInjector {
    pub(super) store: LocalStore,
    network: Option<ProxyNetwork>,
}

/// A fault that was injected.
pub(super) struct InjectedFault {
    /// The members that it affects, for messages.
    pub(super) victims: String,
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

/// Gives every member a file for its disk faults.
pub(super) fn with_disk_fault_files(layout: StoreLayout) -> StoreLayout {
    let members = layout.members();
    members.into_iter().fold(layout, |layout, member| {
        let file = disk_faults_file(layout.data(), member);
        layout.with_member_variable(member, DISK_FAULTS_FILE, file.display())
    })
}

fn disk_faults_file(data: &Path, member: StoreMember) -> PathBuf {
    data.join(format!("{member}.disk-faults"))
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
                Ok(InjectedFault { victims: leader_member.to_string(), undo: Undo::Resume(leader_member) })
            }
            Fault::SlowDisk => {
                at_fault();
                self.disks(&followers, leader, scheduled, &format!("sync_delay_ms={SLOW_SYNC_MS}\n"))
            }
            Fault::FullDisk => {
                at_fault();
                self.disks(&followers, leader, scheduled, "full=true\n")
            }
            Fault::WipeFollower => {
                let injected = self.kill(vec![follower], at_fault).await?;
                for path in self.store.layout().files(follower) {
                    remove(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                }
                Ok(injected)
            }
            Fault::RollingRestart => {
                at_fault();
                self.restart_all().await?;
                Ok(InjectedFault { victims: "all, one after the other".into(), undo: Undo::Nothing })
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
                remove(&disk_faults_file(self.store.layout().data(), member)).map_err(|error| error.to_string())
            }),
            Undo::Nothing => Ok(()),
        }
    }

    /// Heals whatever is left of a fault, and starts every member that is not running.
    ///
    /// # Errors
    /// Why it could not be healed.
    pub(super) fn heal_all(&mut self) -> Result<(), String> {
        if let Some(network) = &self.network {
            network.heal();
        }
        self.store
            .layout()
            .members()
            .into_iter()
            .try_for_each(|member| {
                remove(&disk_faults_file(self.store.layout().data(), member))?;
                self.store.process(member).thaw()?;
                if self.store.process(member).is_running() { Ok(()) } else { self.store.start(member).map(drop) }
            })
            .map_err(|error: io::Error| error.to_string())
    }

    async fn kill(&mut self, members: Vec<StoreMember>, at_fault: impl FnOnce()) -> Result<InjectedFault, String> {
        let is_everyone = members == self.store.layout().members();
        let victims = if is_everyone { "all".into() } else { names(&members) };
        let targets = self.store.processes().filter(|process| members.contains(&process.member()));
        let targets: Vec<_> = targets.map(ChildProcess::kill).collect();
        at_fault();
        for killed in futures::future::join_all(targets).await {
            killed.map_err(|error| error.to_string())?;
        }
        Ok(InjectedFault { victims, undo: Undo::Restart(members) })
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
        InjectedFault { victims: format!("{} {arrow} {}", names(&from), names(&to)), undo: Undo::Reconnect }
    }

    /// Injects a disk fault into one member or all of them, depending on the scheduled victim.
    fn disks(
        &self,
        followers: &[Ordinal],
        leader: Ordinal,
        scheduled: ScheduledFault,
        what: &str,
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
            fs::write(disk_faults_file(self.store.layout().data(), *member), what)
                .map_err(|error| error.to_string())?;
        }
        Ok(InjectedFault { victims: names(&members), undo: Undo::ClearDiskFaults(members) })
    }

    /// Stops (SIGTERM) and restarts one member after the other; each time it waits until all
    /// members have recovered.
    async fn restart_all(&mut self) -> Result<(), String> {
        for member in self.store.layout().members() {
            let process = self.store.process(member);
            process.terminate().map_err(|error| error.to_string())?;
            let status = tokio::time::timeout(STOP_TIMEOUT, process.wait()).await;
            match status.map_err(|_| format!("{member} did not stop within {} s", STOP_TIMEOUT.as_secs()))? {
                Ok(status) if status.success() => {}
                Ok(status) => return Err(format!("{member} was told to stop, but exited with {status}")),
                Err(error) => return Err(error.to_string()),
            }
            self.store.start(member).map_err(|error| error.to_string())?;
            recovery::members(&mut self.store).await?;
        }
        Ok(())
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

/// Removes a file or a directory, if it exists.
fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
