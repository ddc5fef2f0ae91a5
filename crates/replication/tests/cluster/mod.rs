//! Real replicas in one process, talking HTTP over loopback ports that the OS picks.

// Each test file is a crate that uses its own part of this module.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::replica::{ReplicaStatus, Replicas, Role};
use api::{Address, LogPosition, NodeId, Ordinal, Term};
use prometheus::Registry;
use replication::{FileStore, Leadership, ProposeError, Replica, ReplicaConfig, StartError, StateMachine};
use serde::{Deserialize, Serialize};
use service::http::{Limits, Listener, serve};
use service::lifecycle::Task;
use tempfile::TempDir;
use tokio::sync::watch;

/// A test that waits longer than this is stuck: far longer than anything takes on a busy host.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How long an election may take before it is started again; each time that much longer, since
/// disks may be slow.
const VOTE: Duration = Duration::from_millis(300);

/// No process listens on this port (tcpmux).
const CLOSED_PORT: u16 = 1;

/// A state machine that keeps words, with the term in which each was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    pub all: Vec<(u64, String)>,
}

impl StateMachine for Words {
    type Command = String;
    type Reply = usize;

    fn apply(&mut self, position: LogPosition, word: String) -> usize {
        self.all.push((position.term.0, word));
        self.all.len()
    }
}

impl Words {
    pub fn texts(&self) -> Vec<&str> {
        self.all.iter().map(|(_, word)| word.as_str()).collect()
    }
}

/// One member: its process, its address and its disk may come and go.
struct Member {
    /// A new one at each start, so that no test takes a port from another.
    port: u16,
    dir: PathBuf,
    /// Where this member finds the others.
    addresses: watch::Sender<Replicas>,
    running: Option<Running>,
}

struct Running {
    replica: Replica<Words>,
    registry: Registry,
    served: Task,
}

pub struct Cluster {
    members: BTreeMap<u8, Member>,
    bootstrap_size: usize,
    pub adjust: fn(&mut ReplicaConfig),
    root: TempDir,
}

impl Cluster {
    /// Members 1 to `members`, none of them running.
    pub fn new(members: u8) -> Self {
        log_to_stderr();
        let mut cluster = Self {
            members: BTreeMap::new(),
            bootstrap_size: usize::from(members),
            adjust: |_| {},
            root: tempfile::tempdir().expect("a directory for the test"),
        };
        for ordinal in 1..=members {
            cluster.add_member(ordinal);
        }
        cluster
    }

    /// Members 1 to `members`, all running, the group bootstrapped.
    pub async fn started(members: u8) -> Self {
        let mut cluster = Self::new(members);
        cluster.start_all().await;
        cluster.any_leader().await;
        cluster
    }

    /// The same, with disks that have the faults which [`Cluster::fault`] sets.
    pub async fn started_with_faults(members: u8) -> Self {
        let mut cluster = Self::new(members);
        cluster.adjust = |config| config.storage.disk_faults_file = Some(config.data_dir.with_extension("faults"));
        cluster.start_all().await;
        cluster.any_leader().await;
        cluster
    }

    /// A replica with `free_mib=0` is alive, answers and follows, but accepts no entries.
    pub fn fault(&self, ordinal: u8, what: &str) {
        std::fs::write(self.dir(ordinal).with_extension("faults"), what).expect("a file of faults");
    }

    pub fn add_member(&mut self, ordinal: u8) {
        let dir = self.root.path().join(format!("replica-{ordinal}"));
        let addresses = watch::Sender::new(Replicas::new());
        self.members.insert(ordinal, Member { port: CLOSED_PORT, dir, addresses, running: None });
        self.heal();
    }

    pub fn config(&self, ordinal: u8) -> ReplicaConfig {
        let dir = self.members[&ordinal].dir.clone();
        let mut config = ReplicaConfig::new(
            "test",
            Ordinal(ordinal),
            dir,
            self.bootstrap_size,
            self.members[&ordinal].addresses.subscribe(),
        );
        (self.adjust)(&mut config);
        config
    }

    pub async fn try_start(&mut self, ordinal: u8) -> Result<(), StartError> {
        let config = self.config(ordinal);
        let (dir, registry) = (config.data_dir.clone(), config.registry.clone());
        std::fs::create_dir_all(&dir).expect("a directory");
        let replica = Replica::start(config, Words::default(), FileStore::new(dir.join("state"))).await?;
        let routes = replica.peer_routes().merge(replica.status_routes());
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).expect("a free port");
        self.member_mut(ordinal).port = listener.address().port();
        self.heal();
        let served = serve(listener, routes, Limits::default());
        self.member_mut(ordinal).running = Some(Running { replica, registry, served });
        Ok(())
    }

    pub async fn start(&mut self, ordinal: u8) {
        self.try_start(ordinal).await.unwrap_or_else(|error| panic!("replica {ordinal} starts: {error}"));
    }

    pub async fn start_all(&mut self) {
        for ordinal in self.members.keys().copied().collect::<Vec<_>>() {
            self.start(ordinal).await;
        }
    }

    /// Stops answering at once, then stops the replica without a leadership transfer.
    pub async fn stop(&mut self, ordinal: u8) {
        let running = self.member_mut(ordinal).running.take().expect("it runs");
        drop(running.served);
        self.member_mut(ordinal).port = CLOSED_PORT;
        self.heal();
        running.replica.shutdown().await;
    }

    pub async fn stop_all(&mut self) {
        for ordinal in self.running() {
            self.stop(ordinal).await;
        }
    }

    /// Removes the disk of a replica that is not running.
    pub fn wipe(&mut self, ordinal: u8) {
        assert!(self.members[&ordinal].running.is_none(), "only a stopped replica is wiped");
        std::fs::remove_dir_all(&self.members[&ordinal].dir).expect("its directory can be removed");
    }

    pub fn dir(&self, ordinal: u8) -> &Path {
        &self.members[&ordinal].dir
    }

    pub fn address(&self, ordinal: u8) -> Address {
        Address::new("127.0.0.1", self.members[&ordinal].port)
    }

    /// All members find each other.
    fn heal(&self) {
        for member in self.members.values() {
            let all = self.members.keys().map(|to| (Ordinal(*to), self.address(*to)));
            member.addresses.send_replace(all.collect());
        }
    }

    pub fn registry(&self, ordinal: u8) -> &Registry {
        &self.members[&ordinal].running.as_ref().expect("it runs").registry
    }

    /// The lowest ordinal that is none of these.
    pub fn other_than(&self, ordinals: &[u8]) -> u8 {
        *self.members.keys().find(|ordinal| !ordinals.contains(ordinal)).expect("there is another member")
    }

    /// Waits until `leader` counts all of `present` as voters and none of `absent`.
    pub async fn wait_for_voters(&self, leader: u8, present: &[NodeId], absent: &[NodeId]) {
        self.status_where(leader, |status| {
            present.iter().all(|id| status.voters.contains(id)) && absent.iter().all(|id| !status.voters.contains(id))
        })
        .await;
    }

    pub fn running(&self) -> Vec<u8> {
        self.members.iter().filter(|(_, member)| member.running.is_some()).map(|(number, _)| *number).collect()
    }

    pub fn replica(&self, ordinal: u8) -> &Replica<Words> {
        &self.members[&ordinal].running.as_ref().expect("it runs").replica
    }

    fn member_mut(&mut self, ordinal: u8) -> &mut Member {
        self.members.get_mut(&ordinal).expect("there is such a member")
    }

    /// Makes that replica stand for election until it leads.
    pub async fn elect(&self, ordinal: u8) -> Term {
        let mut leadership = self.replica(ordinal).leadership();
        let elected = async {
            let mut vote = VOTE;
            loop {
                self.replica(ordinal).stand_for_election().await;
                let leads = leadership.wait_for(|now| matches!(now, Leadership::Leading(_)));
                if let Ok(now) = tokio::time::timeout(vote, leads).await
                    && let Leadership::Leading(term) = *now.expect("the replica runs")
                {
                    return term;
                }
                vote += VOTE;
            }
        };
        within("an election", elected).await
    }

    /// Waits for a leader, which may be missing because a leadership transfer failed: on a slow
    /// host the old leader may be deposed and its successor not elected. Then makes the given
    /// replicas stand for election, one at a time, as a frontend would.
    pub async fn leader_among(&self, ordinals: &[u8]) -> u8 {
        let led = async {
            let mut vote = VOTE;
            for ordinal in ordinals.iter().cycle() {
                if let Ok(leader) = tokio::time::timeout(vote, self.any_leader()).await {
                    return leader;
                }
                self.replica(*ordinal).stand_for_election().await;
                vote += VOTE;
            }
            unreachable!("the cycle has no end");
        };
        within("a leader", led).await
    }

    /// The ordinal of a replica that says it leads.
    pub async fn any_leader(&self) -> u8 {
        let leaders = self.running().into_iter().map(|ordinal| {
            let mut leadership = self.replica(ordinal).leadership();
            Box::pin(async move {
                leadership.wait_for(|now| matches!(now, Leadership::Leading(_))).await.expect("the replica runs");
                ordinal
            })
        });
        within("a leader", futures::future::select_all(leaders)).await.0
    }

    /// Proposes a word to the leader until it is acknowledged.
    pub async fn propose_word(&self, word: &str) -> LogPosition {
        let committed = async {
            loop {
                let leader = self.any_leader().await;
                match self.replica(leader).propose(word.to_owned()).await {
                    Ok((position, _)) => return position,
                    Err(ProposeError::NotLeader { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        within("the commit of a word", committed).await
    }

    /// Waits until that replica has applied the log up to `position`.
    pub async fn applied(&self, ordinal: u8, position: LogPosition) {
        within("an entry's arrival", self.replica(ordinal).applied(position)).await.expect("the replica runs");
    }

    /// Waits for a status. There is no channel for it, so this checks once per millisecond.
    pub async fn status_where(&self, ordinal: u8, wanted: impl Fn(&ReplicaStatus) -> bool) {
        let seen = async {
            while !wanted(&self.replica(ordinal).status()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, seen).await;
        assert!(seen.is_ok(), "replica {ordinal} stays as {:?}", self.replica(ordinal).status());
    }

    pub fn words(&self, ordinal: u8) -> Words {
        self.replica(ordinal).read(Words::clone)
    }

    pub fn role(&self, ordinal: u8) -> Role {
        self.replica(ordinal).status().role
    }

    pub fn node_id(&self, ordinal: u8) -> NodeId {
        self.replica(ordinal).node_id()
    }
}

pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what} within {PATIENCE:?}"))
}

fn log_to_stderr() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
}
