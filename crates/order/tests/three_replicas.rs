//! Three order replicas and a catalog, over HTTP: leaders come and go, orders stay.

mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use api::public::{Order, OrderPlaced};
use api::replica::Replicas;
use api::{Address, ErrorCode, OrderId, Ordinal, Term};
use discovery::{Group, Leader};
use futures::future::join_all;
use order::Service;
use service::call::{CallError, Caller, Route};
use store::shelf::{Account, Shelf};
use store::{LONG, addresses, bind, config, id, order};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// No leader's term is later: leadership is moved whoever has it.
const EVER: Term = Term(u64::MAX);

/// A hand-over that is not done by then ended half-way; a stop that hands over gives it 2 s.
const UNAIDED: Duration = Duration::from_secs(6);

/// A vote may take so long before another one is begun; each time so much longer.
const VOTE: Duration = Duration::from_millis(300);

struct Store {
    dir: TempDir,
    shelf: Shelf,
    services: BTreeMap<Ordinal, Service>,
    group: Group,
    /// Where each of them finds the catalog.
    catalogs: BTreeMap<Ordinal, watch::Sender<Replicas>>,
}

impl Store {
    async fn found(stock: u32) -> Self {
        let (dir, shelf) = (tempfile::tempdir().unwrap(), Shelf::start(&[("Tux", stock)]));
        let listeners = [bind(), bind(), bind()];
        let group =
            Group::new("order", discovery::fixed(addresses(&listeners, |both| &both.service)), Caller::new(None));
        let mut configs: Vec<_> =
            (1..=3).map(|ordinal| config(dir.path(), &shelf.address, ordinal, &listeners)).collect();
        let catalogs = configs.iter_mut().map(|config| {
            let catalog = watch::Sender::new(config.catalog.borrow().clone());
            config.catalog = catalog.subscribe();
            (config.ordinal, catalog)
        });
        let catalogs = catalogs.collect();
        let started = configs
            .into_iter()
            .zip(listeners)
            .map(|(config, listeners)| async { (config.ordinal, Service::start(config, listeners).await.unwrap()) });
        let services = join_all(started).await.into_iter().collect();
        let store = Self { dir, shelf, services, group, catalogs };
        // The lowest seat founds the group, and leads it.
        store.place(id(0)).await.unwrap();
        store
    }

    /// One replica does not find the catalog any more: where it was, nobody answers.
    async fn cut_off_from_the_catalog(&self, ordinal: Ordinal) {
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let silent = Address::new("127.0.0.1", nobody.local_addr().unwrap().port());
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = nobody.accept().await {
                open.push(stream);
            }
        });
        self.catalogs[&ordinal].send_replace([(Ordinal(1), silent)].into());
    }

    async fn place(&self, order_id: OrderId) -> Result<u64, CallError> {
        place(&self.group, order_id).await
    }

    /// Makes `ordinal` the leader, as the election's conductor would: the others stand first, then it. They give up the votes that they owe the
    /// leader, but may win themselves; so where there is none, `ordinal` stands alone. That wins unless its log is shorter.
    async fn elect(&self, ordinal: u8) {
        let ordinal = Ordinal(ordinal);
        let find_leader = async || self.group.find_leader(LONG).await.map(|leader| leader.ordinal);
        let elected = async {
            let (mut vote, mut stood_alone) = (VOTE, false);
            loop {
                let leader = find_leader().await;
                if leader == Some(ordinal) {
                    break;
                }
                stood_alone = leader.is_none() && !stood_alone;
                let others = self.services.keys().filter(|other| **other != ordinal && Some(**other) != leader);
                for other in others.filter(|_| !stood_alone) {
                    self.group.stand(*other, EVER, LONG).await.unwrap();
                }
                self.group.stand(ordinal, EVER, LONG).await.unwrap();
                // A vote takes some syncs; whoever stands again before it is through begins it anew. Disks may be slow.
                let ended = async { while find_leader().await.is_none() {} };
                let _ = timeout(vote, ended).await;
                vote += VOTE;
            }
        };
        timeout(LONG, elected).await.unwrap();
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

    /// The same, where one may have been lost.
    async fn next_leader(&self) -> Ordinal {
        conducted(&self.group, self.leader()).await.ordinal
    }

    async fn get(&self, from: Ordinal, number: u64) -> Result<Order, CallError> {
        let address = self.group.address(from).unwrap();
        let path = format!("/orders/{number}");
        Caller::new(None).get(&address, Route::filled("/orders/{number}", &path), LONG).await
    }

    /// Waits until every replica has the order.
    async fn all_have(&self, number: u64) {
        let have = self.services.keys().map(|ordinal| async { while self.get(*ordinal, number).await.is_err() {} });
        conducted(&self.group, join_all(have)).await;
    }

    /// Stops everything; gives the ledgers.
    async fn close(self) -> Vec<String> {
        // All at once: one after the other, the last two could elect nobody to hand over to.
        join_all(self.services.into_values().map(Service::stop)).await;
        (1..=3).map(|n| fs::read_to_string(self.dir.path().join(format!("log{n}.csv"))).unwrap()).collect()
    }
}

async fn place(group: &Group, order_id: OrderId) -> Result<u64, CallError> {
    let order = &order(order_id, "Tux", 1);
    let post = async |caller: Caller, address| caller.post::<_, OrderPlaced>(&address, "/orders", order, LONG).await;
    group.ask_leader(Instant::now() + LONG, post).await.map(|placed| placed.order_number.get())
}

/// Waits for `done`. On a slow machine a leader may be deposed by one that is not elected then, and nobody stands again by itself: whenever it
/// takes another second and there is no leader, the next one stands, as a frontend would have it.
async fn conducted<T>(group: &Group, done: impl Future<Output = T>) -> T {
    const PAUSE: Duration = Duration::from_secs(1);
    let conduct = async {
        for ordinal in (1..=3).map(Ordinal).cycle() {
            sleep(PAUSE).await;
            if group.find_leader(PAUSE).await.is_none() {
                // One that has stopped does not.
                let _ = group.stand(ordinal, EVER, PAUSE).await;
            }
        }
    };
    let work = async {
        tokio::select! {
            done = done => done,
            () = conduct => unreachable!("somebody may always stand"),
        }
    };
    timeout(LONG, work).await.unwrap()
}

/// Writers that place one order after the other until told to stop.
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
                    orders.insert(order_id, place(&group, order_id).await.unwrap());
                    placed.fetch_add(1, SeqCst);
                }
                orders
            })
        };
        let tasks = (1..=count).map(write).collect();
        Self { group: store.group.clone(), placed, stop, tasks }
    }

    /// Waits until so many more orders are acknowledged.
    async fn more(&self, count: u64) {
        let goal = self.placed.load(SeqCst) + count;
        let reached = async {
            while self.placed.load(SeqCst) < goal {
                tokio::task::yield_now().await;
            }
        };
        conducted(&self.group, reached).await;
    }

    async fn finish(self) -> BTreeMap<OrderId, u64> {
        self.stop.cancel();
        conducted(&self.group, join_all(self.tasks)).await.into_iter().flat_map(Result::unwrap).collect()
    }
}

/// What must hold when all is quiet: every order once, nothing lost, and the stock accounts for all of it.
async fn check(store: Store, acknowledged: BTreeMap<OrderId, u64>, stock: u32) {
    let count = u64::try_from(acknowledged.len()).unwrap() + 1;
    let numbers: BTreeSet<u64> = acknowledged.values().copied().collect();
    assert_eq!(numbers, (2..=count).collect(), "numbers are unique and dense; order 1 was the founding's");
    for (order_id, number) in &acknowledged {
        let again = conducted(&store.group, store.place(*order_id)).await;
        assert_eq!(again.unwrap(), *number, "an id keeps its number");
    }
    conducted(&store.group, store.shelf.until(|books| books.open_orders().is_empty())).await;
    let sold = u32::try_from(count).unwrap();
    assert_eq!(store.shelf.account("Tux"), Account { stock: stock - sold, sold, reserved: 0 });
    store.all_have(count).await;
    let ledgers = store.close().await;
    assert_eq!(ledgers[0].lines().count(), acknowledged.len() + 2);
    assert!(ledgers.iter().all(|ledger| *ledger == ledgers[0]), "the ledgers are the same bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_moves_under_load_and_every_order_is_placed_once() {
    let store = Store::found(1_000_000).await;
    let writers = Writers::start(&store, 6);
    for leader in [3, 1, 2, 3] {
        writers.more(30).await;
        store.elect(leader).await;
    }
    writers.more(30).await;
    let acknowledged = writers.finish().await;
    check(store, acknowledged, 1_000_000).await;
}

/// On a slow machine a hand-over may end half-way, with the old leader deposed and its heir not elected. Then another store shows whether it
/// need be so.
async fn in_one_of_three(hands_over: impl AsyncFn() -> bool) {
    for _ in 0..3 {
        if hands_over().await {
            return;
        }
    }
    panic!("leadership was never handed over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over_and_no_client_sees_it() {
    in_one_of_three(stops_and_hands_over).await;
}

async fn stops_and_hands_over() -> bool {
    let mut store = Store::found(1_000_000).await;
    let writers = Writers::start(&store, 4);
    writers.more(20).await;
    let leader = store.next_leader().await;
    store.services.remove(&leader).unwrap().stop().await;
    let handed_over = timeout(UNAIDED, store.leader()).await.is_ok();
    assert_ne!(store.next_leader().await, leader);
    writers.more(20).await;
    let acknowledged = writers.finish().await;

    let numbers: BTreeSet<u64> = acknowledged.values().copied().collect();
    let count = u64::try_from(acknowledged.len()).unwrap() + 1;
    assert_eq!(numbers, (2..=count).collect());
    conducted(&store.group, store.shelf.until(|books| books.open_orders().is_empty())).await;
    store.all_have(count).await;
    let ledgers = store.close().await;
    let stopped = &ledgers[usize::from(leader.0) - 1];
    let longest = ledgers.iter().max_by_key(|ledger| ledger.len()).unwrap();
    assert!(longest.starts_with(stopped) && stopped.len() < longest.len(), "a stopped replica's ledger is a prefix");
    assert_eq!(ledgers.iter().filter(|ledger| *ledger == longest).count(), 2);
    handed_over
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_replica_answers_for_what_it_has_and_only_the_leader_for_what_is_not() {
    let store = Store::found(100).await;
    assert_eq!(store.place(id(1)).await.unwrap(), 2);
    store.all_have(2).await;
    let leader = store.leader().await.ordinal;
    let missing = async |ordinal| {
        let Err(CallError::Refused(missing)) = store.get(ordinal, 3).await else { panic!("there is no order 3") };
        missing
    };
    for ordinal in store.services.keys() {
        if *ordinal == leader {
            // It says so once a majority has confirmed it, which a slow one does not always do in time.
            let told = async { while missing(*ordinal).await.code != ErrorCode::NoSuchOrder {} };
            timeout(LONG, told).await.unwrap();
            continue;
        }
        let missing = missing(*ordinal).await;
        assert_eq!((missing.code, missing.leader), (ErrorCode::NotLeader, Some(leader)));
        let (address, other) = (store.group.address(*ordinal).unwrap(), order(id(9), "Tux", 1));
        let placed = Caller::new(None).post::<_, OrderPlaced>(&address, "/orders", &other, LONG).await;
        let Err(CallError::Refused(refused)) = placed else { panic!("a follower places nothing") };
        assert_eq!((refused.code, refused.leader), (ErrorCode::NotLeader, Some(leader)));
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_alone_does_not_reach_the_catalog_lets_another_lead() {
    in_one_of_three(lets_another_lead).await;
}

async fn lets_another_lead() -> bool {
    let store = Store::found(1_000_000).await;
    let writers = Writers::start(&store, 8);
    writers.more(20).await;
    let lonely = store.next_leader().await;
    store.cut_off_from_the_catalog(lonely).await;
    let handed_over = timeout(UNAIDED, async { while store.leader().await.ordinal == lonely {} }).await.is_ok();
    writers.more(100).await;
    assert_ne!(store.next_leader().await, lonely);
    let acknowledged = writers.finish().await;
    check(store, acknowledged, 1_000_000).await;
    handed_over
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_nobody_reaches_moves_nobody() {
    let store = Store::found(1_000_000).await;
    let before = store.leader().await;
    for ordinal in (1..=3).map(Ordinal) {
        store.cut_off_from_the_catalog(ordinal).await;
    }
    // The leader looks after 0.5 s, and again a second later.
    let order = timeout(Duration::from_secs(3), store.place(id(1))).await;
    assert!(!matches!(order, Ok(Ok(_))), "{order:?}");
    assert_eq!(store.leader().await, before);
    store.close().await;
}
