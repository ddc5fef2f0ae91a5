//! Three real replicas that number orders, a process each: the test binary itself, told to run nothing but
//! [`process_main`]. So they can be killed and paused for real.

// Each test file is a crate that uses its own part of this module.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use api::order::{PlaceOrder, Placement, TOGETHER_PATH};
use api::public::{Order, OrderPlaced};
use api::replica::{ReplicaStatus, Replicas, Role};
use api::{Address, ApiError, ErrorCode, LogPosition, OrderNumber, Ordinal, Together};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use discovery::fixed;
use replication::{FileStore, ProposeError, Replica, ReplicaConfig, StateMachine};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use service::call::Caller;
use service::http::{Body, Failure, Limits, Listener, PathParam, Reply, data, serve};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::store::eventually;

/// Tells a replica's process which it is, as JSON.
const ORDERS: &str = "TEST_REPLICA";

/// The test that is the body of the processes.
const PROCESS_TEST: &str = "replica_process";

/// Orders in the order of their numbers, one per id.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Numbered(Vec<PlaceOrder>);

impl StateMachine for Numbered {
    type Command = PlaceOrder;
    type Reply = OrderNumber;

    fn apply(&mut self, _: LogPosition, order: PlaceOrder) -> OrderNumber {
        let known = self.0.iter().position(|placed| placed.order_id == order.order_id);
        let index = known.unwrap_or_else(|| {
            self.0.push(order);
            self.0.len() - 1
        });
        OrderNumber::new(index as u64 + 1).expect("not zero")
    }
}

/// What a process has to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    seat: Ordinal,
    dir: PathBuf,
    service_port: u16,
    peers: Replicas,
}

pub struct Group {
    parts: BTreeMap<u8, Part>,
    running: BTreeMap<u8, Child>,
    clients: discovery::Group,
    _root: TempDir,
    _reserved: Vec<Socket>,
}

impl Group {
    /// Three replicas that answer; the group is being founded.
    pub async fn start() -> Self {
        let root = tempfile::tempdir().expect("a directory for the test");
        let reserved: Vec<_> = (1..=6).map(|_| reserve_port()).collect();
        let ports: Vec<_> =
            (1..=3).zip(reserved.chunks(2)).map(|(seat, two)| (Ordinal(seat), port(&two[0]), port(&two[1]))).collect();
        let at = |port: u16| Address::new("127.0.0.1", port);
        let peers: Replicas = ports.iter().map(|(seat, _, peer)| (*seat, at(*peer))).collect();
        let addresses = ports.iter().map(|(seat, service, _)| (*seat, at(*service))).collect();
        let part = |&(seat, service_port, _): &(Ordinal, u16, u16)| {
            let dir = root.path().join(seat.to_string());
            (seat.0, Part { seat, dir, service_port, peers: peers.clone() })
        };
        let mut group = Self {
            parts: ports.iter().map(part).collect(),
            running: BTreeMap::new(),
            clients: discovery::Group::new("order", fixed(addresses), Caller::new(None)),
            _root: root,
            _reserved: reserved,
        };
        for seat in 1..=3 {
            group.start_seat(seat).await;
        }
        group
    }

    /// Where they are asked.
    pub fn addresses(&self) -> Replicas {
        self.clients.replicas()
    }

    /// Starts one and waits until it answers.
    pub async fn start_seat(&mut self, seat: u8) {
        let child = Command::new(std::env::current_exe().expect("a test binary"))
            .args(["--exact", PROCESS_TEST, "--ignored", "--nocapture"])
            .env(ORDERS, serde_json::to_string(&self.parts[&seat]).expect("it has a JSON form"))
            // Held open as long as this process lives; see `process_main`.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the test binary can be run again");
        self.running.insert(seat, child);
        eventually("the replica answers", async || self.status(seat).await).await;
    }

    /// `kill -9`.
    pub fn kill(&mut self, seat: u8) {
        let mut child = self.running.remove(&seat).expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Stops the process where it stands.
    pub fn pause(&self, seat: u8) {
        self.signal(seat, Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self, seat: u8) {
        self.signal(seat, Signal::CONT);
    }

    fn signal(&self, seat: u8, signal: Signal) {
        kill_process(Pid::from_child(&self.running[&seat]), signal).expect("it can be signalled");
    }

    pub async fn status(&self, seat: u8) -> Option<ReplicaStatus> {
        self.clients.status(Ordinal(seat), Duration::from_secs(1)).await.ok()
    }

    /// Waits for a status.
    pub async fn status_where(&self, what: &str, seat: u8, is: impl Fn(&ReplicaStatus) -> bool) -> ReplicaStatus {
        eventually(what, async || self.status(seat).await.filter(&is)).await
    }

    /// Waits for a leader that a majority has confirmed.
    pub async fn leader(&self) -> u8 {
        let found = async || self.clients.find_leader(Duration::from_secs(1)).await;
        eventually("a leader", found).await.ordinal.0
    }

    /// Whether it leads by its own word.
    pub async fn claims_to_lead(&self, seat: u8) -> bool {
        self.status(seat).await.is_some_and(|status| status.role == Role::Leader)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for seat in self.running.keys().copied().collect::<Vec<_>>() {
            self.kill(seat);
        }
    }
}

/// A port that the OS gives to nobody else while the socket is there. Since the socket does not listen, and both say that the
/// address may be used again, a replica can bind it, and bind it anew after it was killed.
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

/// Runs a replica until it is killed, or the process that started it is gone. Without a part to play it returns at once.
pub fn process_main() {
    let Ok(part) = std::env::var(ORDERS) else { return };
    let part: Part = serde_json::from_str(&part).expect("its own JSON");
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        run(part).await;
        std::future::pending::<()>().await;
    });
}

async fn run(part: Part) {
    std::fs::create_dir_all(&part.dir).expect("a directory");
    let store = FileStore::new(part.dir.join("state"));
    let peer_port = part.peers[&part.seat].as_str().rsplit(':').next().expect("a port").parse().expect("a port");
    let config = ReplicaConfig::new("order", part.seat, part.dir, part.peers.len(), fixed(part.peers));
    let replica = Replica::start(config, Numbered::default(), store).await.expect("a sound disk");
    let routes = Router::new()
        .route("/orders", post(place))
        .route(TOGETHER_PATH, post(place_together))
        .route("/orders/{number}", get(read))
        .with_state(replica.clone())
        .merge(replica.status_routes());
    let never = CancellationToken::new();
    tokio::spawn(serve(listener(part.service_port), routes, Limits::default(), never.clone()));
    tokio::spawn(serve(listener(peer_port), replica.peer_routes(), Limits::default(), never));
}

fn not_now(error: &ProposeError) -> ApiError {
    match error {
        ProposeError::NotLeader { leader } => ApiError::not_leader(leader.map(api::NodeId::ordinal)),
        _ => ApiError::new(ErrorCode::Unavailable, "it stops"),
    }
}

async fn place(State(replica): State<Replica<Numbered>>, Body(order): Body<PlaceOrder>) -> Reply<OrderPlaced> {
    data(place_one(&replica, order).await?)
}

async fn place_together(
    State(replica): State<Replica<Numbered>>,
    Body(orders): Body<Together<PlaceOrder>>,
) -> Reply<Vec<Placement>> {
    let placed = Vec::from(orders).into_iter().map(async |order| place_one(&replica, order).await.into());
    data(futures::future::join_all(placed).await)
}

async fn place_one(replica: &Replica<Numbered>, order: PlaceOrder) -> Result<OrderPlaced, ApiError> {
    let (_, order_number) = replica.propose(order).await.map_err(|error| not_now(&error))?;
    Ok(OrderPlaced { order_number })
}

async fn read(State(replica): State<Replica<Numbered>>, PathParam(number): PathParam<OrderNumber>) -> Reply<Order> {
    if let Some(order) = find(&replica, number) {
        return data(order);
    }
    replica.confirm().await.map_err(|error| not_now(&error))?;
    data(find(&replica, number).ok_or_else(|| Failure::new(ErrorCode::NoSuchOrder, "no such order"))?)
}

fn find(replica: &Replica<Numbered>, number: OrderNumber) -> Option<Order> {
    let index = usize::try_from(number.get() - 1).ok()?;
    let placed = replica.read(|numbered| numbered.0.get(index).cloned())?;
    Some(Order { number, name: placed.name, quantity: placed.quantity })
}
