//! A frontend between a catalog and an order service of one replica each, all over HTTP on ports that the OS picks.
//!
//! The two services speak the store's own types and keep real books, but do as they are told about when to answer: the
//! tests are about what the frontend does then.

// Each test file is a crate that uses its own part of this module.
#![allow(dead_code, unreachable_pub)]

mod catalog;
mod orders;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use api::frontend::CacheContents;
use api::replica::{ReplicaStatus, Role};
use api::{Address, Data, ErrorBody, LogPosition, NodeId, Ordinal, Term};
use axum::Router;
use frontend::{Config, Frontend};
use reqwest::{Client, Response};
use serde::de::DeserializeOwned;
use service::http::{Limits, Listener, RequestMetrics, harden, serve};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use catalog::Catalog;
#[allow(unused_imports, reason = "each test file uses its own part of this module")]
pub use orders::{Mood, Orders};

/// A test that waits longer than this is stuck.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Store {
    pub catalog: Catalog,
    pub orders: Orders,
    pub public: String,
    pub internal: String,
    pub client: Client,
    frontend: Option<Frontend>,
    stop_frontend: CancellationToken,
    /// Ends everything else with the test.
    _stop: DropGuard,
}

impl Store {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Ready to be used; with caching, the lease is held, and outlasts the test.
    pub async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::start_leasing(Duration::from_mins(1), adjust).await
    }

    /// The same, with a catalog that grants such leases.
    pub async fn start_leasing(lease: Duration, adjust: impl FnOnce(&mut Config)) -> Self {
        log_to_stderr();
        let stop = CancellationToken::new();
        let (catalog, orders) = (Catalog::start(lease, &stop), Orders::start(&stop));
        let mut config = config(address(orders.addr), address(catalog.addr));
        adjust(&mut config);
        let stop_frontend = stop.child_token();
        let frontend = Frontend::start(&config, &stop_frontend).expect("free ports");
        let url = |addr: SocketAddr| format!("http://127.0.0.1:{}", addr.port());
        let (public, internal) = (url(frontend.public_addr()), url(frontend.internal_addr()));
        let store = Self {
            catalog,
            orders,
            public,
            internal,
            client: Client::new(),
            frontend: Some(frontend),
            stop_frontend,
            _stop: stop.drop_guard(),
        };
        store.ready().await;
        if config.cache_size > 0 {
            store.cache_where("the lease is held", |cache| cache.lease_valid).await;
        }
        store
    }

    async fn ready(&self) {
        eventually("the frontend is ready", async || {
            let ready = self.client.get(format!("{}/readyz", self.internal)).send().await.expect("it serves");
            ready.status().is_success().then_some(())
        })
        .await;
    }

    /// Stops the frontend alone, and waits until it has ended.
    pub async fn stop_frontend(&mut self) {
        self.stop_frontend.cancel();
        self.frontend.take().expect("it runs").stopped().await;
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.public)).send().await.expect("an answer")
    }

    /// What is in the cache, the most recently used first.
    pub async fn cache(&self) -> CacheContents {
        let response = self.client.get(format!("{}/cache", self.internal)).send().await.expect("an answer");
        body(response).await
    }

    pub async fn cached_names(&self) -> Vec<String> {
        self.cache().await.products.iter().map(|product| product.name.to_string()).collect()
    }

    /// Waits until the cache is as it should be.
    pub async fn cache_where(&self, what: &str, is: impl Fn(&CacheContents) -> bool) -> CacheContents {
        eventually(what, async || Some(self.cache().await).filter(&is)).await
    }
}

/// Looks again until there is something to see.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let seen = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    seen.await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// What a success carries.
pub async fn body<T: DeserializeOwned>(response: Response) -> T {
    let (status, text) = (response.status(), response.text().await.expect("a body"));
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str::<Data<T>>(&text).unwrap_or_else(|error| panic!("{error}: {text}")).data
}

/// Status and code of a failure, which is always in the store's format.
pub async fn failure(response: Response) -> (u16, String, String) {
    let (status, text) = (response.status(), response.text().await.expect("a body"));
    let error =
        serde_json::from_str::<ErrorBody>(&text).unwrap_or_else(|error| panic!("{error}: {status} {text}")).error;
    assert_eq!(error.code.status(), status, "each code has one status");
    (status.as_u16(), error.code.as_str().to_owned(), error.message.into_owned())
}

pub fn config(order: Address, catalog: Address) -> Config {
    Config {
        bind_host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        rest_api_port: 0,
        front_port: 0,
        front_host: "127.0.0.1".into(),
        front_port_advertised: None,
        cache_size: 2,
        orders_in_flight_max: 512,
        order_requests_max: 4,
        reads_in_flight_max: 1024,
        public_admin: true,
        token: None,
        shutdown_delay: Duration::ZERO,
        orders: discovery::fixed(BTreeMap::from([(Ordinal(1), order)])),
        catalogs: discovery::fixed(BTreeMap::from([(Ordinal(1), catalog)])),
        discovery: discovery::Discovery::default(),
    }
}

pub fn address(addr: SocketAddr) -> Address {
    Address::new(&addr.ip().to_string(), addr.port())
}

/// What `RUST_LOG` asks for.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // Another test of this process may have been first.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// Serves until `stop`.
pub fn serve_at_some_port(routes: Router, stop: &CancellationToken) -> SocketAddr {
    let listener = Listener::bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).expect("a free port");
    let addr = listener.local_addr().expect("a bound port");
    let routes = harden(routes, RequestMetrics::new(&prometheus::Registry::new()).port("test"));
    tokio::spawn(serve(listener, routes, Limits::default(), stop.child_token()));
    addr
}

/// The only replica of `group`, which leads it in `term`.
pub fn lone_leader(group: &str, term: Term) -> ReplicaStatus {
    let node_id = NodeId::new(Ordinal(1), 1);
    let position = Some(LogPosition { term, index: 1 });
    ReplicaStatus {
        role: Role::Leader,
        term,
        last_log: position,
        committed: position,
        applied: position,
        leader: Some(node_id),
        voters: vec![node_id],
        ..ReplicaStatus::empty(group, node_id)
    }
}
