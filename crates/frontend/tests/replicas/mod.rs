//! Three real replicas that number orders. Each is a process: the test binary itself, started so
//! that it runs only [`process_main`]. So the replicas can really be killed and paused.

// Each test file is a crate that uses its own part of this module.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use api::order::{BATCH_PATH, PlaceOrder, Placement};
use api::public::{Order, OrderPlaced};
use api::replica::{ReplicaStatus, Replicas, Role};
use api::{Address, ApiError, ErrorCode, LogPosition, OrderNumber, Ordinal, RequestBatch};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use discovery::static_replicas;
use replication::{FileStore, ProposeError, Replica, ReplicaConfig, StateMachine};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use service::http::{ErrorResponse, HandlerResult, JsonBody, Limits, Listener, PathParam, data, serve};
use service::json_client::JsonClient;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::store::eventually;

/// The environment variable with a process's [`ReplicaSpec`] as JSON.
const SPEC_VARIABLE: &str = "TEST_REPLICA";

/// The test that is the body of the processes.
const PROCESS_TEST: &str = "replica_process";

/// Orders, sorted by number; one per id.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Numbered(Vec<PlaceOrder>);

impl StateMachine for Numbered {
    type Command = PlaceOrder;
    type Reply = OrderNumber;

    fn apply(&mut self, _: LogPosition, order: PlaceOrder) -> OrderNumber {
        let known = self.0.iter().position(|placed| placed.line.order_id == order.line.order_id);
        let index = known.unwrap_or_else(|| {
            self.0.push(order);
            self.0.len() - 1
        });
        OrderNumber::new(index as u64 + 1).expect("not zero")
    }
}

/// What a replica's process needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ReplicaSpec {
    ordinal: Ordinal,
    dir: PathBuf,
    service_port: u16,
    peers: Replicas,
}

pub struct Group {
    specs: BTreeMap<u8, ReplicaSpec>,
    running: BTreeMap<u8, Child>,
    clients: discovery::Group,
    _root: TempDir,
    _reserved: Vec<Socket>,
}

impl Group {
    /// Starts three replicas, and waits until they answer. The group is being bootstrapped then.
    pub async fn start() -> Self {
        let root = tempfile::tempdir().expect("a directory for the test");
        let reserved: Vec<_> = (1..=6).map(|_| reserve_port()).collect();
        let ports: Vec<_> = (1..=3)
            .zip(reserved.chunks(2))
            .map(|(ordinal, two)| (Ordinal(ordinal), port(&two[0]), port(&two[1])))
            .collect();
        let at = |port: u16| Address::new("127.0.0.1", port);
        let peers: Replicas = ports.iter().map(|(ordinal, _, peer)| (*ordinal, at(*peer))).collect();
        let addresses = ports.iter().map(|(ordinal, service, _)| (*ordinal, at(*service))).collect();
        let spec = |&(ordinal, service_port, _): &(Ordinal, u16, u16)| {
            let dir = root.path().join(ordinal.to_string());
            (ordinal.0, ReplicaSpec { ordinal, dir, service_port, peers: peers.clone() })
        };
        let mut group = Self {
            specs: ports.iter().map(spec).collect(),
            running: BTreeMap::new(),
            clients: discovery::Group::new("order", static_replicas(addresses), JsonClient::new(None)),
            _root: root,
            _reserved: reserved,
        };
        for ordinal in 1..=3 {
            group.start_replica(ordinal).await;
        }
        group
    }

    /// The addresses of the replicas.
    pub fn addresses(&self) -> Replicas {
        self.clients.replicas()
    }

    /// Starts a replica, and waits until it answers.
    pub async fn start_replica(&mut self, ordinal: u8) {
        let child = Command::new(std::env::current_exe().expect("a test binary"))
            .args(["--exact", PROCESS_TEST, "--ignored", "--nocapture"])
            .env(SPEC_VARIABLE, serde_json::to_string(&self.specs[&ordinal]).expect("it has a JSON form"))
            // Stays open while this process lives; see `process_main`.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the test binary can be run again");
        self.running.insert(ordinal, child);
        eventually("the replica answers", async || self.status(ordinal).await).await;
    }

    /// `kill -9`.
    pub fn kill(&mut self, ordinal: u8) {
        let mut child = self.running.remove(&ordinal).expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Stops the process with `SIGSTOP`.
    pub fn pause(&self, ordinal: u8) {
        self.signal(ordinal, Signal::STOP);
    }

    /// Lets the process continue.
    pub fn resume(&self, ordinal: u8) {
        self.signal(ordinal, Signal::CONT);
    }

    fn signal(&self, ordinal: u8, signal: Signal) {
        kill_process(Pid::from_child(&self.running[&ordinal]), signal).expect("it can be signalled");
    }

    pub async fn status(&self, ordinal: u8) -> Option<ReplicaStatus> {
        self.clients.status(Ordinal(ordinal), Duration::from_secs(1)).await.ok()
    }

    /// Waits for a status that satisfies `is`.
    pub async fn status_where(&self, what: &str, ordinal: u8, is: impl Fn(&ReplicaStatus) -> bool) -> ReplicaStatus {
        eventually(what, async || self.status(ordinal).await.filter(&is)).await
    }

    /// Waits for a leader that a majority has confirmed.
    pub async fn leader(&self) -> u8 {
        let found = async || self.clients.find_leader(Duration::from_secs(1)).await;
        eventually("a leader", found).await.ordinal.0
    }

    /// Whether the replica says that it leads.
    pub async fn claims_to_lead(&self, ordinal: u8) -> bool {
        self.status(ordinal).await.is_some_and(|status| status.role == Role::Leader)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for ordinal in self.running.keys().copied().collect::<Vec<_>>() {
            self.kill(ordinal);
        }
    }
}

/// Reserves a port, which the OS gives to no other process while the socket exists. A replica can
/// bind the port nevertheless, and again after it was killed, because this socket does not listen
/// and both sockets allow the address to be reused.
fn reserve_port() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option that every socket has");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    socket
}

fn port(reserved: &Socket) -> u16 {
    reserved.local_addr().ok().and_then(|addr| addr.as_socket()).expect("a bound socket").port()
}

fn listener(port: u16) -> Listener {
    Listener::bind(Ipv4Addr::LOCALHOST.into(), port).expect("the port is free")
}

/// Runs a replica until it is killed or the process that started it ends. Returns at once if the
/// environment has no [`ReplicaSpec`].
pub fn process_main() {
    let Ok(spec) = std::env::var(SPEC_VARIABLE) else { return };
    let spec: ReplicaSpec = serde_json::from_str(&spec).expect("its own JSON");
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(run(spec));
}

async fn run(spec: ReplicaSpec) -> ! {
    std::fs::create_dir_all(&spec.dir).expect("a directory");
    let store = FileStore::new(spec.dir.join("state"));
    let peer_port = spec.peers[&spec.ordinal].as_str().rsplit(':').next().expect("a port").parse().expect("a port");
    let config = ReplicaConfig::new("order", spec.ordinal, spec.dir, spec.peers.len(), static_replicas(spec.peers));
    let replica = Replica::start(config, Numbered::default(), store).await.expect("a sound disk");
    let routes = Router::new()
        .route("/orders", post(place))
        .route(BATCH_PATH, post(place_batch))
        .route("/orders/{number}", get(read))
        .with_state(replica.clone())
        .merge(replica.status_routes());
    let _served = [
        serve(listener(spec.service_port), routes, Limits::default()),
        serve(listener(peer_port), replica.peer_routes(), Limits::default()),
    ];
    std::future::pending().await
}

fn refusal(error: &ProposeError) -> ApiError {
    match error {
        ProposeError::NotLeader { leader } => ApiError::not_leader(leader.map(api::NodeId::ordinal)),
        _ => ApiError::new(ErrorCode::Unavailable, "the replica is stopping"),
    }
}

async fn place(
    State(replica): State<Replica<Numbered>>,
    JsonBody(order): JsonBody<PlaceOrder>,
) -> HandlerResult<OrderPlaced> {
    data(place_one(&replica, order).await?)
}

async fn place_batch(
    State(replica): State<Replica<Numbered>>,
    JsonBody(orders): JsonBody<RequestBatch<PlaceOrder>>,
) -> HandlerResult<Vec<Placement>> {
    let placed = Vec::from(orders).into_iter().map(async |order| place_one(&replica, order).await.into());
    data(futures::future::join_all(placed).await)
}

async fn place_one(replica: &Replica<Numbered>, order: PlaceOrder) -> Result<OrderPlaced, ApiError> {
    let (_, order_number) = replica.propose(order).await.map_err(|error| refusal(&error))?;
    Ok(OrderPlaced { order_number })
}

async fn read(
    State(replica): State<Replica<Numbered>>,
    PathParam(number): PathParam<OrderNumber>,
) -> HandlerResult<Order> {
    if let Some(order) = find(&replica, number) {
        return data(order);
    }
    replica.confirm_leadership().await.map_err(|error| refusal(&error))?;
    data(find(&replica, number).ok_or_else(|| ErrorResponse::new(ErrorCode::NoSuchOrder, "no such order"))?)
}

fn find(replica: &Replica<Numbered>, number: OrderNumber) -> Option<Order> {
    let index = usize::try_from(number.get() - 1).ok()?;
    let placed = replica.read(|numbered| numbered.0.get(index).cloned())?;
    Some(Order { number, name: placed.line.name, quantity: placed.line.quantity })
}
