//! Doing it: faults on the real processes, and their end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::Ordinal;

use super::fault::Fault;
use super::network::Network;
use super::plan::Step;
use super::whole;
use crate::local::{Layout, Member, Process, Store};

/// Tells a member where its disk faults are written.
const DISK_FAULTS_FILE: &str = "DISK_FAULTS_FILE";

/// A sync on a slow disk; a laptop's hard disk takes about 10 ms.
const SLOW_SYNC_MS: u64 = 50;

/// A process that was told to stop drains for 8 s at most.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// The store under test, and what can be done to it.
pub(super) struct Field {
    pub(super) store: Store,
    network: Option<Network>,
}

/// A fault that has been done.
pub(super) struct Done {
    /// Whom it hit, for people.
    pub(super) victims: String,
    cure: Cure,
}

/// How it is undone.
enum Cure {
    Start(Vec<Member>),
    Thaw(Member),
    Reconnect,
    Disks(Vec<Member>),
    Nothing,
}

/// What is added to `layout` so that all faults can be done.
pub(super) fn prepared(layout: Layout) -> Layout {
    let members = layout.members();
    members.into_iter().fold(layout, |layout, member| {
        let file = disk_faults_file(layout.data(), member);
        layout.with_member_variable(member, DISK_FAULTS_FILE, file.display())
    })
}

fn disk_faults_file(data: &Path, member: Member) -> PathBuf {
    data.join(format!("{member}.disk-faults"))
}

impl Field {
    /// Nothing runs yet. Partitions need a network.
    pub(super) fn new(store: Store, network: Option<Network>) -> Self {
        Self { store, network }
    }

    /// Does it. `at_fault` is called immediately before the first sign of it.
    ///
    /// # Errors
    /// What could not be done.
    pub(super) async fn inject(&mut self, step: Step, at_fault: impl FnOnce()) -> Result<Done, String> {
        let leader = self.store.leader_other_than(None, whole::PATIENCE).await?;
        let followers: Vec<_> = self.store.layout().ordinals().filter(|n| *n != leader).collect();
        let follower = Member::Order(followers[step.victim % followers.len()]);
        let frontend = self.a_frontend(step.victim);
        let leader_seat = Member::Order(leader);
        match step.fault {
            Fault::KillLeader => self.kill(vec![leader_seat], at_fault).await,
            Fault::KillFollower => self.kill(vec![follower], at_fault).await,
            Fault::KillCatalog => self.kill(vec![Member::Catalog], at_fault).await,
            Fault::KillFrontend => self.kill(vec![frontend], at_fault).await,
            Fault::KillAll => self.kill(self.store.layout().members(), at_fault).await,
            Fault::PauseLeader => {
                at_fault();
                self.store.process(leader_seat).freeze().map_err(|error| error.to_string())?;
                Ok(Done { victims: leader_seat.to_string(), cure: Cure::Thaw(leader_seat) })
            }
            Fault::SlowDisk => {
                at_fault();
                self.disks(&followers, leader, step, &format!("sync_delay_ms={SLOW_SYNC_MS}\n"))
            }
            Fault::FullDisk => {
                at_fault();
                self.disks(&followers, leader, step, "full=true\n")
            }
            Fault::WipeFollower => {
                let done = self.kill(vec![follower], at_fault).await?;
                for path in self.store.layout().files(follower) {
                    remove(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                }
                Ok(done)
            }
            Fault::RollingRestart => {
                at_fault();
                self.restart_all().await?;
                Ok(Done { victims: "all, one by one".into(), cure: Cure::Nothing })
            }
            Fault::PartitionLeader
            | Fault::PartitionFollower
            | Fault::PartitionMuteLeader
            | Fault::PartitionDeafLeader
            | Fault::PartitionCatalog
            | Fault::PartitionFrontend
            | Fault::PartitionDeafFrontend
            | Fault::PartitionMuteFrontend => {
                at_fault();
                Ok(self.partition(step.fault, leader, follower, frontend))
            }
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// What could not be done.
    pub(super) fn heal(&mut self, done: Done) -> Result<(), String> {
        match done.cure {
            Cure::Start(members) => members
                .into_iter()
                .try_for_each(|member| self.store.start(member).map(drop))
                .map_err(|error| error.to_string()),
            Cure::Thaw(member) => self.store.process(member).thaw().map_err(|error| error.to_string()),
            Cure::Reconnect => {
                self.network().heal();
                Ok(())
            }
            Cure::Disks(members) => members.into_iter().try_for_each(|member| {
                remove(&disk_faults_file(self.store.layout().data(), member)).map_err(|error| error.to_string())
            }),
            Cure::Nothing => Ok(()),
        }
    }

    async fn kill(&mut self, members: Vec<Member>, at_fault: impl FnOnce()) -> Result<Done, String> {
        let everyone = members == self.store.layout().members();
        let victims = if everyone { "all".into() } else { names(&members) };
        let doomed = self.store.processes().filter(|process| members.contains(&process.member()));
        let doomed: Vec<_> = doomed.map(Process::kill).collect();
        at_fault();
        for killed in futures::future::join_all(doomed).await {
            killed.map_err(|error| error.to_string())?;
        }
        Ok(Done { victims, cure: Cure::Start(members) })
    }

    fn partition(&self, fault: Fault, leader: Ordinal, follower: Member, frontend: Member) -> Done {
        let leader = Member::Order(leader);
        let others = |of: Member| {
            let orders = self.store.layout().ordinals().map(Member::Order);
            orders.filter(move |order| *order != of).collect::<Vec<_>>()
        };
        let (from, to) = match fault {
            Fault::PartitionFollower => (vec![follower], others(follower)),
            Fault::PartitionCatalog => (vec![leader], vec![Member::Catalog]),
            Fault::PartitionFrontend | Fault::PartitionMuteFrontend => (vec![frontend], vec![Member::Catalog]),
            Fault::PartitionDeafFrontend => (vec![Member::Catalog], vec![frontend]),
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
        Done { victims: format!("{} {arrow} {}", names(&from), names(&to)), cure: Cure::Reconnect }
    }

    /// Writes a disk fault for one replica or for all of them, as the step's victim says.
    fn disks(&self, followers: &[Ordinal], leader: Ordinal, step: Step, what: &str) -> Result<Done, String> {
        let follower = followers[step.victim % followers.len()];
        let orders = || followers.iter().copied().chain([leader]).map(Member::Order);
        let members = match step.victim % DISK_VICTIMS {
            0 => vec![Member::Order(follower)],
            1 => vec![Member::Order(leader)],
            2 => vec![Member::Catalog],
            _ => orders().chain([Member::Catalog]).collect(),
        };
        for member in &members {
            fs::write(disk_faults_file(self.store.layout().data(), *member), what)
                .map_err(|error| error.to_string())?;
        }
        Ok(Done { victims: names(&members), cure: Cure::Disks(members) })
    }

    /// SIGTERM and a new start, one after the other; the next one has its turn when the store is whole.
    async fn restart_all(&mut self) -> Result<(), String> {
        for member in self.store.layout().members() {
            let process = self.store.process(member);
            process.terminate().map_err(|error| error.to_string())?;
            let status = tokio::time::timeout(STOP_PATIENCE, process.wait()).await;
            match status.map_err(|_| format!("{member} did not stop within {} s", STOP_PATIENCE.as_secs()))? {
                Ok(status) if status.success() => {}
                Ok(status) => return Err(format!("{member} was told to stop, and ended with {status}")),
                Err(error) => return Err(error.to_string()),
            }
            self.store.start(member).map_err(|error| error.to_string())?;
            whole::members(&mut self.store).await?;
        }
        Ok(())
    }

    fn a_frontend(&self, victim: usize) -> Member {
        let members = self.store.layout().members();
        let frontends: Vec<_> = members.into_iter().filter(|it| matches!(it, Member::Frontend(_))).collect();
        frontends[victim % frontends.len()]
    }

    fn network(&self) -> &Network {
        self.network.as_ref().expect("a drill with partitions has a network")
    }
}

/// A follower, the leader, the catalog, all of them.
const DISK_VICTIMS: usize = 4;

fn names(members: &[Member]) -> String {
    members.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A file or a whole directory; that it is not there is fine.
fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
