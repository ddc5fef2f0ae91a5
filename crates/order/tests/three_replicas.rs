//! Three order replicas and a catalog, over HTTP: leaders change, orders stay.

mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use api::order::PlaceOrder;
use api::public::{Order, OrderPlaced};
use api::replica::{ReplicaStatus, Replicas, STATUS_PATH, StandForElection};
use api::{Address, ErrorCode, OrderId, Ordinal, Term};
use discovery::{Group, Leader};
use futures::future::join_all;
use order::Server;
use service::json_client::{CallError, JsonClient, RequestPath};
use service::lifecycle::Process;
use store::fake_catalog::{Account, FakeCatalog};
use store::{LONG, addresses, bind, config, id, order, place};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// A replica that is asked to stand does not depose a leader that began, or that a frontend has
/// polled, within the last second. Nothing polls here.
const LEADER_IMMUNITY: Duration = Duration::from_millis(api::replica::LEADER_UNREACHED_AFTER_MS + 100);

/// A leader that stops gives up its leadership transfer earlier than this only if it has made
/// another replica stand: a candidate that does not answer is given up after that time.
const CANDIDATE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a vote may take before the next one begins. Each later vote gets this much more.
const VOTE: Duration = Duration::from_millis(300);

struct Store {
    dir: TempDir,
    catalog: FakeCatalog,
    servers: BTreeMap<Ordinal, Server>,
    group: Group,
    /// The catalog addresses of each replica.
    catalog_lists: BTreeMap<Ordinal, watch::Sender<Replicas>>,
}

impl Store {
    async fn bootstrap(stock: u32) -> Self {
        let (dir, catalog) = (tempfile::tempdir().unwrap(), FakeCatalog::start(&[("Tux", stock)]));
        let listeners = [bind(), bind(), bind()];
        let group = Group::new(
            "order",
            discovery::static_replicas(addresses(&listeners, |both| &both.main)),
            JsonClient::new(None),
        );
        let mut configs: Vec<_> =
            (1..=3).map(|ordinal| config(dir.path(), &catalog.address, ordinal, &listeners)).collect();
        let catalog_lists = configs.iter_mut().map(|config| {
            let catalog = watch::Sender::new(config.catalog.borrow().clone());
            config.catalog = catalog.subscribe();
            (config.ordinal, catalog)
        });
        let catalog_lists = catalog_lists.collect();
        let started = configs
            .into_iter()
            .zip(listeners)
            .map(|(config, listeners)| async { (config.ordinal, Server::start(config, listeners).await.unwrap()) });
        let servers = join_all(started).await.into_iter().collect();
        let store = Self { dir, catalog, servers, group, catalog_lists };
        // The replica with the lowest ordinal bootstraps the group and leads it.
        store.place(id(0)).await.unwrap();
        store
    }

    /// One replica can no longer reach the catalog: nothing answers at its address.
    async fn cut_off_from_the_catalog(&self, ordinal: Ordinal) {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = Address::new("127.0.0.1", silent.local_addr().unwrap().port());
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = silent.accept().await {
                open.push(stream);
            }
        });
        self.catalog_lists[&ordinal].send_replace([(Ordinal(1), address)].into());
    }

    async fn place(&self, order_id: OrderId) -> Result<u64, CallError> {
        place(&self.group, &order(order_id, "Tux", 1)).await
    }

    /// Makes another replica the leader. Both others stand, as a frontend's leader monitor would
    /// arrange, the one with the lower ordinal first. That one then no longer withholds its vote
    /// from other replicas, and the other one wins.
    async fn move_leadership(&self) {
        let before = self.next_leader().await.ordinal;
        let find_leader = async || self.group.find_leader(LONG).await.map(|leader| leader.ordinal);
        let moved = async {
            let mut vote = VOTE;
            let mut others: Vec<_> = self.servers.keys().copied().filter(|other| *other != before).collect();
            loop {
                match find_leader().await {
                    Some(leader) if leader != before => break,
                    Some(_) => sleep(LEADER_IMMUNITY).await,
                    None => {}
                }
                let request = election_request(&self.group).await;
                for other in &others {
                    self.group.stand_for_election(*other, request, LONG).await.unwrap();
                }
                // A vote takes a few syncs, and a replica that stands again too early starts over.
                // Disks may be slow.
                let ended = async { while find_leader().await.is_none_or(|leader| leader == before) {} };
                let _ = timeout(vote, ended).await;
                vote += VOTE;
                // The one that would win may lack an entry that the first one has.
                others.reverse();
            }
        };
        timeout(2 * LONG, moved).await.unwrap();
    }

    /// Waits for a leader that a majority confirms.
    async fn leader(&self) -> Leader {
        let led = async {
            loop {
                if let Some(leader) = self.group.find_leader(LONG).await {
                    return leader;
                }
            }
        };
        timeout(LONG, led).await.unwrap()
    }

    /// The highest term that a replica has seen.
    async fn term(&self) -> Term {
        highest_term(&self.group).await
    }

    /// The same when the leader may have been lost.
    async fn next_leader(&self) -> Leader {
        with_elections(&self.group, self.leader()).await
    }

    async fn get(&self, from: Ordinal, number: u64) -> Result<Order, CallError> {
        let address = self.group.address(from).unwrap();
        let path = format!("/orders/{number}");
        JsonClient::new(None).get(&address, RequestPath::filled("/orders/{number}", &path), LONG).await
    }

    /// Waits until every replica has the order.
    async fn all_have(&self, number: u64) {
        let have = self.servers.keys().map(|ordinal| async { while self.get(*ordinal, number).await.is_err() {} });
        with_elections(&self.group, join_all(have)).await;
    }

    /// Stops everything; returns the ledgers.
    async fn close(self) -> Vec<String> {
        // All at once: one after the other, the last two could not elect a new leader.
        join_all(self.servers.into_values().map(Server::stop)).await;
        (1..=3).map(|n| fs::read_to_string(self.dir.path().join(format!("log{n}.csv"))).unwrap()).collect()
    }
}

/// What a leader monitor knows about the group. It makes a request to stand void if it is sent
/// twice, or when another replica has won in the meantime.
async fn election_request(group: &Group) -> StandForElection {
    StandForElection { polled_term: highest_term(group).await, leader_gone: false }
}

/// The highest term that a replica of the group has seen.
async fn highest_term(group: &Group) -> Term {
    let status = async |ordinal| {
        let ask = async |client: JsonClient, address| client.get::<ReplicaStatus>(&address, STATUS_PATH, LONG).await;
        group.call_replica(ordinal, ask).await
    };
    let statuses = join_all((1..=3).map(|ordinal| status(Ordinal(ordinal)))).await;
    statuses.into_iter().flatten().map(|status| status.term).max().unwrap_or(Term(0))
}

/// Waits for `done`. On a slow machine a leader may be deposed by a replica that then is not
/// elected, and no replica stands again by itself. So whenever there is no leader for another
/// second, the next one stands, as a frontend would arrange. Each later vote gets more time.
async fn with_elections<T>(group: &Group, done: impl Future<Output = T>) -> T {
    const PAUSE: Duration = Duration::from_secs(1);
    let elections = async {
        let mut pause = PAUSE;
        for ordinal in (1..=3).map(Ordinal).cycle() {
            sleep(pause).await;
            if group.find_leader(LONG).await.is_none() {
                // A replica that has stopped does not.
                let _ = group.stand_for_election(ordinal, election_request(group).await, LONG).await;
                pause += VOTE;
            }
        }
    };
    let work = async {
        tokio::select! {
            done = done => done,
            () = elections => unreachable!("a replica can always stand"),
        }
    };
    timeout(2 * LONG, work).await.unwrap()
}

/// Writers that place one order after the other until they are stopped.
struct Writers {
    group: Group,
    placed: Arc<AtomicU64>,
    stop: tokio_util::sync::CancellationToken,
    tasks: Vec<JoinHandle<BTreeMap<OrderId, u64>>>,
}

impl Writers {
    fn start(store: &Store, count: u128) -> Self {
        let (placed, stop) = (Arc::<AtomicU64>::default(), tokio_util::sync::CancellationToken::new());
        let write = |writer: u128| {
            let (group, placed, stop) = (store.group.clone(), Arc::clone(&placed), stop.clone());
            tokio::spawn(async move {
                let mut orders = BTreeMap::new();
                for n in 1.. {
                    if stop.is_cancelled() {
                        break;
                    }
                    let order_id = id(writer << 32 | n);
                    orders.insert(order_id, place(&group, &order(order_id, "Tux", 1)).await.unwrap());
                    placed.fetch_add(1, SeqCst);
                }
                orders
            })
        };
        let tasks = (1..=count).map(write).collect();
        Self { group: store.group.clone(), placed, stop, tasks }
    }

    /// Waits until this many more orders are acknowledged.
    async fn more(&self, count: u64) {
        let goal = self.placed.load(SeqCst) + count;
        let reached = async {
            while self.placed.load(SeqCst) < goal {
                tokio::task::yield_now().await;
            }
        };
        with_elections(&self.group, reached).await;
    }

    async fn finish(self) -> BTreeMap<OrderId, u64> {
        self.stop.cancel();
        with_elections(&self.group, join_all(self.tasks)).await.into_iter().flat_map(Result::unwrap).collect()
    }
}

/// Checks what must hold when the store is idle: every order exactly once, nothing lost, and the
/// stock accounts for all of it.
async fn check(store: Store, acknowledged: BTreeMap<OrderId, u64>, stock: u32) {
    let count = u64::try_from(acknowledged.len()).unwrap() + 1;
    let numbers: BTreeSet<u64> = acknowledged.values().copied().collect();
    assert_eq!(numbers, (2..=count).collect(), "numbers are unique and dense; order 1 was placed at the bootstrap");
    for (order_id, number) in &acknowledged {
        let again = with_elections(&store.group, store.place(*order_id)).await;
        assert_eq!(again.unwrap(), *number, "an id keeps its number");
    }
    with_elections(&store.group, store.catalog.until(|state| state.open_orders().is_empty())).await;
    let sold = u32::try_from(count).unwrap();
    assert_eq!(store.catalog.account("Tux"), Account { stock: stock - sold, sold, reserved: 0 });
    store.all_have(count).await;
    let ledgers = store.close().await;
    assert_eq!(ledgers[0].lines().count(), acknowledged.len() + 2);
    assert!(ledgers.iter().all(|ledger| *ledger == ledgers[0]), "the ledgers are the same bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_moves_under_load_and_every_order_is_placed_once() {
    let store = Store::bootstrap(1_000_000).await;
    let writers = Writers::start(&store, 6);
    for _ in 0..4 {
        writers.more(30).await;
        store.move_leadership().await;
    }
    writers.more(30).await;
    let acknowledged = writers.finish().await;
    check(store, acknowledged, 1_000_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_outlives_its_leader() {
    let store = Store::bootstrap(3).await;
    let refused = order(id(1), "Tux", 3);
    let code =
        async |order: &PlaceOrder| with_elections(&store.group, place(&store.group, order)).await.unwrap_err().code();
    assert_eq!(code(&refused).await, Some(ErrorCode::OutOfStock), "two are left");
    store.catalog.state().products.get_mut(&refused.line.name).unwrap().stock = 100;
    for _ in 0..3 {
        store.move_leadership().await;
        assert_eq!(code(&refused).await, Some(ErrorCode::OutOfStock));
        assert_eq!(code(&order(id(1), "Tux", 1)).await, Some(ErrorCode::IdempotencyKeyReused));
        // As a late attempt of a frontend that has made the id.
        let late = PlaceOrder { only_attempt: true, ..refused.clone() };
        assert_eq!(code(&late).await, Some(ErrorCode::OutOfStock));
    }
    assert_eq!(store.catalog.account("Tux"), Account { stock: 100, sold: 1, reserved: 0 });
    let ledgers = store.close().await;
    assert!(ledgers.iter().all(|ledger| ledger.lines().count() == 2), "{ledgers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_transfers_leadership_and_no_client_notices() {
    let mut store = Store::bootstrap(1_000_000).await;
    let writers = Writers::start(&store, 4);
    writers.more(20).await;
    let leader = store.next_leader().await;
    let stopped = Instant::now();
    store.servers.remove(&leader.ordinal).unwrap().stop().await;
    let took = stopped.elapsed();
    // Only the leader has made another replica stand. On a slow machine that one may not win,
    // or not even stand in time.
    assert!(store.term().await > leader.term || took >= CANDIDATE_TIMEOUT, "it stops without a transfer, in {took:?}");
    assert_ne!(store.next_leader().await.ordinal, leader.ordinal);
    writers.more(20).await;
    let acknowledged = writers.finish().await;

    let numbers: BTreeSet<u64> = acknowledged.values().copied().collect();
    let count = u64::try_from(acknowledged.len()).unwrap() + 1;
    assert_eq!(numbers, (2..=count).collect());
    with_elections(&store.group, store.catalog.until(|state| state.open_orders().is_empty())).await;
    store.all_have(count).await;
    let ledgers = store.close().await;
    let stopped = &ledgers[usize::from(leader.ordinal.0) - 1];
    let longest = ledgers.iter().max_by_key(|ledger| ledger.len()).unwrap();
    assert!(longest.starts_with(stopped) && stopped.len() < longest.len(), "a stopped replica's ledger is a prefix");
    assert_eq!(ledgers.iter().filter(|ledger| *ledger == longest).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_replica_serves_its_orders_but_only_the_leader_says_not_found() {
    let store = Store::bootstrap(100).await;
    assert_eq!(store.place(id(1)).await.unwrap(), 2);
    store.all_have(2).await;
    let leader = store.leader().await.ordinal;
    let missing = async |ordinal| {
        loop {
            let Err(CallError::Refused(missing)) = store.get(ordinal, 3).await else { panic!("there is no order 3") };
            // It waits a second for its engine, and for a majority.
            if missing.code != ErrorCode::Unavailable {
                return missing;
            }
        }
    };
    for ordinal in store.servers.keys() {
        if *ordinal == leader {
            // It says so once a majority has confirmed its leadership, which a slow majority may
            // not do in time.
            let confirmed = async { while missing(*ordinal).await.code != ErrorCode::NoSuchOrder {} };
            timeout(LONG, confirmed).await.unwrap();
            continue;
        }
        let missing = timeout(LONG, missing(*ordinal)).await.unwrap();
        assert_eq!((missing.code, missing.leader), (ErrorCode::NotLeader, Some(leader)));
        let (address, other) = (store.group.address(*ordinal).unwrap(), order(id(9), "Tux", 1));
        let placed = JsonClient::new(None).post::<_, OrderPlaced>(&address, "/orders", &other, LONG).await;
        let Err(CallError::Refused(refused)) = placed else { panic!("a follower must not place orders") };
        assert_eq!((refused.code, refused.leader), (ErrorCode::NotLeader, Some(leader)));
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_alone_cannot_reach_the_catalog_steps_down() {
    let store = Store::bootstrap(1_000_000).await;
    let writers = Writers::start(&store, 8);
    writers.more(20).await;
    let isolated = store.next_leader().await;
    store.cut_off_from_the_catalog(isolated.ordinal).await;
    // Only the leader makes another replica stand. On a slow machine that one may not win.
    timeout(LONG, async { while store.term().await == isolated.term {} }).await.expect("it has another replica stand");
    with_elections(&store.group, async { while store.leader().await.ordinal == isolated.ordinal {} }).await;
    writers.more(100).await;
    let acknowledged = writers.finish().await;
    check(store, acknowledged, 1_000_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_catalog_moves_no_leadership() {
    let store = Store::bootstrap(1_000_000).await;
    let before = store.leader().await;
    // The leader last: it must not be the only one that is cut off.
    let followers = (1..=3).map(Ordinal).filter(|ordinal| *ordinal != before.ordinal);
    for ordinal in followers.chain([before.ordinal]) {
        store.cut_off_from_the_catalog(ordinal).await;
    }
    // The leader checks after 0.5 s, and again a second later.
    let order = timeout(Duration::from_secs(3), store.place(id(1))).await;
    assert!(!matches!(order, Ok(Ok(_))), "{order:?}");
    assert_eq!(store.leader().await, before);
    store.close().await;
}
