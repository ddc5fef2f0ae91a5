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
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A test that waits longer than this is stuck. Far longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A vote may take so long before whoever stands again begins it anew; each time so much longer, since disks may be slow.
const VOTE: Duration = Duration::from_millis(300);

/// See [`Cluster::stays_followed`].
const WINDOWS_MAX: u32 = 5;

/// Nothing listens there (tcpmux).
const CLOSED_PORT: u16 = 1;

/// A machine that remembers words, with the term in which each was written.
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

/// One seat: its process, its address and its disk may come and go.
struct Seat {
    /// Another one at each start, so that no test takes a port from another.
    port: u16,
    dir: PathBuf,
    /// Where this seat looks for the others.
    addresses: watch::Sender<Replicas>,
    running: Option<Running>,
}

struct Running {
    replica: Replica<Words>,
    registry: Registry,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

pub struct Cluster {
    seats: BTreeMap<u8, Seat>,
    founders: usize,
    /// By which port a seat finds another one, instead of its own.
    detours: BTreeMap<(u8, u8), u16>,
    pub adjust: fn(&mut ReplicaConfig),
    root: TempDir,
}

impl Cluster {
    /// Seats 1 to `seats`, none of them running.
    pub fn new(seats: u8) -> Self {
        let mut cluster = Self {
            seats: BTreeMap::new(),
            founders: usize::from(seats),
            detours: BTreeMap::new(),
            adjust: |_| {},
            root: tempfile::tempdir().expect("a directory for the test"),
        };
        for seat in 1..=seats {
            cluster.add_seat(seat);
        }
        cluster
    }

    /// Seats 1 to `seats`, all running, the group founded.
    pub async fn started(seats: u8) -> Self {
        let mut cluster = Self::new(seats);
        cluster.start_all().await;
        cluster.any_leader().await;
        cluster
    }

    pub fn add_seat(&mut self, seat: u8) {
        let dir = self.root.path().join(format!("replica-{seat}"));
        let addresses = watch::Sender::new(Replicas::new());
        self.seats.insert(seat, Seat { port: CLOSED_PORT, dir, addresses, running: None });
        self.heal();
    }

    pub fn config(&self, seat: u8) -> ReplicaConfig {
        let dir = self.seats[&seat].dir.clone();
        let mut config =
            ReplicaConfig::new("test", Ordinal(seat), dir, self.founders, self.seats[&seat].addresses.subscribe());
        (self.adjust)(&mut config);
        config
    }

    pub async fn try_start(&mut self, seat: u8) -> Result<(), StartError> {
        let config = self.config(seat);
        let (dir, registry) = (config.data_dir.clone(), config.registry.clone());
        std::fs::create_dir_all(&dir).expect("a directory");
        let replica = Replica::start(config, Words::default(), FileStore::new(dir.join("state"))).await?;
        let stop = CancellationToken::new();
        let routes = replica.peer_routes().merge(replica.status_routes());
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).expect("a free port");
        self.seat(seat).port = listener.local_addr().expect("a bound port").port();
        self.heal();
        let served = tokio::spawn(serve(listener, routes, Limits::default(), stop.clone()));
        self.seat(seat).running = Some(Running { replica, registry, stop, served });
        Ok(())
    }

    pub async fn start(&mut self, seat: u8) {
        self.try_start(seat).await.unwrap_or_else(|error| panic!("replica {seat} starts: {error}"));
    }

    pub async fn start_all(&mut self) {
        for seat in self.seats.keys().copied().collect::<Vec<_>>() {
            self.start(seat).await;
        }
    }

    /// Stops answering at once, then stops the replica, without any farewell.
    pub async fn stop(&mut self, seat: u8) {
        let running = self.seat(seat).running.take().expect("it runs");
        running.served.abort();
        running.stop.cancel();
        self.seat(seat).port = CLOSED_PORT;
        self.heal();
        running.replica.shutdown().await;
    }

    pub async fn stop_all(&mut self) {
        for seat in self.running() {
            self.stop(seat).await;
        }
    }

    /// Loses the disk of a replica that does not run.
    pub fn wipe(&mut self, seat: u8) {
        assert!(self.seats[&seat].running.is_none(), "only a stopped replica is wiped");
        std::fs::remove_dir_all(&self.seats[&seat].dir).expect("its directory can be removed");
    }

    pub fn dir(&self, seat: u8) -> &Path {
        &self.seats[&seat].dir
    }

    pub fn address(&self, seat: u8) -> Address {
        Address::new("127.0.0.1", self.seats[&seat].port)
    }

    /// Cuts a replica off: it finds nobody, and nobody finds it.
    pub fn cut_off(&self, lonely: u8) {
        for (number, seat) in &self.seats {
            seat.addresses.send_modify(|addresses| {
                for (other, address) in addresses {
                    if (*number == lonely) != (other.0 == lonely) {
                        *address = Address::new("127.0.0.1", CLOSED_PORT);
                    }
                }
            });
        }
    }

    /// Everyone finds everyone (again).
    pub fn heal(&self) {
        for (from, seat) in &self.seats {
            let way = |to: &u8| self.detours.get(&(*from, *to)).map(|port| Address::new("127.0.0.1", *port));
            let all = self.seats.keys().map(|to| (Ordinal(*to), way(to).unwrap_or_else(|| self.address(*to))));
            seat.addresses.send_replace(all.collect());
        }
    }

    /// From now on seat `from` finds seat `to` behind that port; `None` ends it.
    pub fn detour(&mut self, from: u8, to: u8, port: Option<u16>) {
        match port {
            Some(port) => self.detours.insert((from, to), port),
            None => self.detours.remove(&(from, to)),
        };
        self.heal();
    }

    pub fn registry(&self, seat: u8) -> &Registry {
        &self.seats[&seat].running.as_ref().expect("it runs").registry
    }

    /// The lowest seat that is none of these.
    pub fn other_than(&self, seats: &[u8]) -> u8 {
        *self.seats.keys().find(|seat| !seats.contains(seat)).expect("there is another seat")
    }

    /// Waits until `leader` counts all of `present` as voters and none of `absent`.
    pub async fn seated(&self, leader: u8, present: &[NodeId], absent: &[NodeId]) {
        self.status_where(leader, |status| {
            present.iter().all(|id| status.voters.contains(id)) && absent.iter().all(|id| !status.voters.contains(id))
        })
        .await;
    }

    pub fn running(&self) -> Vec<u8> {
        self.seats.iter().filter(|(_, seat)| seat.running.is_some()).map(|(number, _)| *number).collect()
    }

    pub fn replica(&self, seat: u8) -> &Replica<Words> {
        &self.seats[&seat].running.as_ref().expect("it runs").replica
    }

    fn seat(&mut self, seat: u8) -> &mut Seat {
        self.seats.get_mut(&seat).expect("there is such a seat")
    }

    /// Has that replica elected, again and again until it leads.
    pub async fn elect(&self, seat: u8) -> Term {
        self.elect_after(seat, &[]).await
    }

    /// The same, after these have stood, as the frontend has it when a leader is lost. Once: later they might win themselves.
    pub async fn elect_after(&self, seat: u8, first: &[u8]) -> Term {
        let mut leadership = self.replica(seat).leadership();
        let elected = async {
            for other in first {
                self.replica(*other).stand().await;
            }
            let mut vote = VOTE;
            loop {
                self.replica(seat).stand().await;
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

    /// Waits for a leader that may be missing since a hand-over went wrong: on a slow machine the old leader may be deposed and its heir not
    /// elected. As a frontend would, has these stand then, one at a time.
    pub async fn leader_among(&self, seats: &[u8]) -> u8 {
        let led = async {
            let mut vote = VOTE;
            for seat in seats.iter().cycle() {
                if let Ok(leader) = tokio::time::timeout(vote, self.any_leader()).await {
                    return leader;
                }
                self.replica(*seat).stand().await;
                vote += VOTE;
            }
            unreachable!("somebody may always stand");
        };
        within("a leader", led).await
    }

    /// Has whoever leads hand over, until that is done: the seats of the old leader and of the new one.
    pub async fn hand_over(&self) -> (u8, u8) {
        let handed_over = async {
            loop {
                let old = self.leader_among(&self.running()).await;
                if let Some(successor) = self.replica(old).hand_over(PATIENCE).await {
                    return (old, successor.ordinal().0);
                }
            }
        };
        within("a hand-over", handed_over).await
    }

    /// The seat of whoever leads by its own word.
    pub async fn any_leader(&self) -> u8 {
        let leaders = self.running().into_iter().map(|seat| {
            let mut leadership = self.replica(seat).leadership();
            Box::pin(async move {
                leadership.wait_for(|now| matches!(now, Leadership::Leading(_))).await.expect("the replica runs");
                seat
            })
        });
        within("a leader", futures::future::select_all(leaders)).await.0
    }

    /// The seat of a leader that a majority confirms, with all that was acknowledged before.
    pub async fn confirmed_leader(&self) -> u8 {
        let confirmed = async {
            loop {
                let leader = self.any_leader().await;
                if self.replica(leader).confirm().await.is_ok() {
                    return leader;
                }
            }
        };
        within("a confirmed leader", confirmed).await
    }

    /// Waits until a majority confirms that this one leads, which a slow one does not always do in time.
    pub async fn confirm(&self, seat: u8) -> Term {
        let confirmed = async {
            loop {
                match self.replica(seat).confirm().await {
                    Ok(term) => return term,
                    Err(error) => assert_eq!(self.role(seat), Role::Leader, "{error}"),
                }
            }
        };
        within("a confirmation", confirmed).await
    }

    /// Sees for so long that `leader` knows itself followed. A machine that stands still for a second makes it doubt that; then it is looked
    /// at anew.
    pub async fn stays_followed(&self, leader: u8, window: Duration) {
        for _ in 0..WINDOWS_MAX {
            self.status_where(leader, ReplicaStatus::leads).await;
            let forsaken = self.status_where(leader, |status| !status.leads());
            if tokio::time::timeout(window, forsaken).await.is_err() {
                return;
            }
        }
        panic!("whom a majority answers names itself, however quiet it is");
    }

    /// Of those that run, the one that may lead: with the longest log, and of these the highest seat.
    pub fn heir(&self) -> u8 {
        let heir = self.running().into_iter().max_by_key(|seat| (self.replica(*seat).status().last_log, *seat));
        heir.expect("someone runs")
    }

    /// Proposes through whoever leads, until it is acknowledged.
    pub async fn say(&self, word: &str) -> LogPosition {
        let said = async {
            loop {
                let leader = self.any_leader().await;
                match self.replica(leader).propose(word.to_owned()).await {
                    Ok((position, _)) => return position,
                    Err(ProposeError::NotLeader { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        within("a word's commit", said).await
    }

    /// Waits until that replica has applied up to `position`.
    pub async fn applied(&self, seat: u8, position: LogPosition) {
        within("an entry's arrival", self.replica(seat).applied(position)).await.expect("the replica runs");
    }

    /// Waits for a status; statuses have no channel of their own, so this looks again each millisecond.
    pub async fn status_where(&self, seat: u8, wanted: impl Fn(&ReplicaStatus) -> bool) {
        let seen = async {
            while !wanted(&self.replica(seat).status()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, seen).await;
        assert!(seen.is_ok(), "replica {seat} stays as {:?}", self.replica(seat).status());
    }

    pub fn words(&self, seat: u8) -> Words {
        self.replica(seat).read(Words::clone)
    }

    pub fn role(&self, seat: u8) -> Role {
        self.replica(seat).status().role
    }

    pub fn node_id(&self, seat: u8) -> NodeId {
        self.replica(seat).node_id()
    }
}

pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what} within {PATIENCE:?}"))
}

pub fn log_to_stderr() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
}
