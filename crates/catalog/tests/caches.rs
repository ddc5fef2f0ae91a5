//! Caches next to a catalog under change: no reader ever sees an older value than one that was
//! acknowledged before (I5).

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::catalog::LeaseRequest;
use api::frontend::Invalidate;
use api::{HolderId, OrderId};
use axum::extract::State;
use axum::routing::delete;
use axum::{Json, Router};
use catalog::Seed;
use service::lifecycle::Process;
use support::{Client, LOCALHOST, address, batch, line, product, start};

const PIECES: u64 = 100_000;
const CHANGES: u64 = 300;

/// Each change is synced to the disk, and a busy disk takes its time.
const CHANGED_WITHIN: Duration = Duration::from_mins(5);

/// The simplest cache that keeps the rules: a product that was fetched before the last invalidation
/// is not cached.
#[derive(Clone, Default)]
struct Cache(Arc<Mutex<(u64, HashMap<String, u64>)>>);

impl Cache {
    fn invalidate(&self, invalidate: &Invalidate) {
        let mut cache = self.0.lock().unwrap();
        cache.0 += 1;
        for invalidated in &invalidate.products {
            cache.1.remove(invalidated.name.as_str());
        }
    }

    /// The cached stock, or the generation in which a fetch begins.
    fn get(&self, name: &str) -> Result<u64, u64> {
        let cache = self.0.lock().unwrap();
        cache.1.get(name).copied().ok_or(cache.0)
    }

    fn fill(&self, generation: u64, name: &str, stock: u64) {
        let mut cache = self.0.lock().unwrap();
        if cache.0 == generation {
            cache.1.insert(name.to_owned(), stock);
        }
    }
}

struct Frontend {
    cache: Cache,
    request: LeaseRequest,
}

async fn frontend() -> Frontend {
    let cache = Cache::default();
    let forget = async |State(cache): State<Cache>, Json(invalidate): Json<Invalidate>| {
        cache.invalidate(&invalidate);
        Json(api::Data::new([(); 0]))
    };
    let router = Router::new().route("/cache", delete(forget)).with_state(cache.clone());
    let listener = tokio::net::TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let request = LeaseRequest { holder: HolderId::random(), address: address(listener.local_addr().unwrap()) };
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Frontend { cache, request }
}

/// Reads until stopped; returns how often the cache was hit.
async fn read(client: Client, frontend: Arc<Frontend>, sold: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> u64 {
    let mut hits = 0;
    while !stop.load(SeqCst) {
        let sold_before = sold.load(SeqCst);
        let stock = match frontend.cache.get("Tux") {
            Ok(stock) => {
                hits += 1;
                tokio::task::yield_now().await;
                stock
            }
            Err(generation) => {
                let read = client.product("Tux", Some(frontend.request.holder)).await;
                if read.cacheable {
                    frontend.cache.fill(generation, "Tux", read.product.quantity.0);
                }
                read.product.quantity.0
            }
        };
        assert!(stock <= PIECES - sold_before, "{stock} read after {sold_before} were acknowledged as sold");
    }
    hits
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_reader_is_behind_an_acknowledged_change() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), |config| {
        // Longer than the test, so that the caches need no clock.
        config.lease = 2 * CHANGED_WITHIN;
        config.seed = Seed::Products(vec![product("Tux", PIECES)]);
    })
    .await;
    let client = Client::of(&server);
    client.fence(1).await.unwrap();
    let (sold, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut readers = Vec::new();
    for _ in 0..2 {
        let frontend = Arc::new(frontend().await);
        let _: api::catalog::LeaseGranted = client.post_checked("/leases", &frontend.request).await.unwrap();
        for _ in 0..2 {
            readers.push(tokio::spawn(read(
                client.clone(),
                Arc::clone(&frontend),
                Arc::clone(&sold),
                Arc::clone(&stop),
            )));
        }
    }
    let selling = async {
        for number in 1..=CHANGES {
            client.reserve(&batch(1, number, vec![line(OrderId::random(), "Tux", 1)])).await.unwrap();
            sold.store(number, SeqCst);
        }
    };
    tokio::time::timeout(CHANGED_WITHIN, selling).await.expect("the changes are made in time");
    stop.store(true, SeqCst);
    let mut hits = 0;
    for reader in readers {
        hits += reader.await.unwrap();
    }
    assert!(hits > 0, "the caches were used");
    server.stop().await;
}
