//! A frontend with a catalog and an order service that have a single replica each. All of them
//! communicate over HTTP, on ports that the OS chooses.
//!
//! The two services use the store's own types and keep real state, but the test decides when they
//! respond.

// Each test file is a crate that uses its own part of this module.
#![allow(dead_code, unreachable_pub)]

mod catalog;
mod orders;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use api::frontend::CacheContents;
use api::replica::{LeaderContact, ReplicaStatus, Role};
use api::{Address, Data, ErrorBody, LogPosition, NodeId, Ordinal, Term};
use axum::Router;
use frontend::{Config, Server};
use reqwest::{Client, Response};
use serde::de::DeserializeOwned;
use service::access::Access;
use service::http::{Limits, Listener, ServerMetrics, harden, serve};
use service::lifecycle::{Process, Task};

pub use catalog::Catalog;
#[allow(unused_imports, reason = "each test file uses its own part of this module")]
pub use orders::{Behavior, Orders};

/// How long a test waits for an event before it fails.
pub const PATIENCE: Duration = Duration::from_mins(1);

pub struct Store {
    pub catalog: Catalog,
    pub orders: Orders,
    pub public: String,
    pub internal: String,
    pub client: Client,
    frontend: Option<Server>,
}

impl Store {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A store that is ready. With caching, it holds a lease that outlasts the test.
    pub async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        log_to_stderr();
        let (catalog, orders) = (Catalog::start(), Orders::start());
        let mut config = config(address(orders.addr), address(catalog.addr));
        adjust(&mut config);
        let caching = config.cache_size > 0;
        let frontend = start(config).await;
        let url = |addr: SocketAddr| format!("http://127.0.0.1:{}", addr.port());
        let (public, internal) = (url(frontend.public_addr()), url(frontend.internal_addr()));
        let store = Self { catalog, orders, public, internal, client: Client::new(), frontend: Some(frontend) };
        store.wait_until_ready().await;
        if caching {
            eventually("the lease is held", async || store.cache().await.lease_valid.then_some(())).await;
        }
        store
    }

    async fn wait_until_ready(&self) {
        eventually("the frontend is ready", async || {
            let ready = self.client.get(format!("{}/readyz", self.internal)).send().await.expect("it serves");
            ready.status().is_success().then_some(())
        })
        .await;
    }

    /// Stops only the frontend, and waits until it has ended.
    pub async fn stop_frontend(&mut self) {
        self.frontend.take().expect("it runs").stop().await;
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.public)).send().await.expect("an answer")
    }

    /// The contents of the cache, the most recently used product first.
    pub async fn cache(&self) -> CacheContents {
        let response = self.client.get(format!("{}/cache", self.internal)).send().await.expect("an answer");
        body(response).await
    }

    pub async fn cached_names(&self) -> Vec<String> {
        self.cache().await.products.iter().map(|product| product.name.to_string()).collect()
    }
}

/// Polls until `poll` returns a value.
pub async fn eventually<T>(what: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let seen = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(seen) = poll().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    seen.await.unwrap_or_else(|_| panic!("this did not happen in time: {what}"))
}

/// The data of a successful response.
pub async fn body<T: DeserializeOwned>(response: Response) -> T {
    let (status, text) = (response.status(), response.text().await.expect("a body"));
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str::<Data<T>>(&text).unwrap_or_else(|error| panic!("{error}: {text}")).data
}

/// The status, code and message of a failure, which must be in the store's format.
pub async fn failure(response: Response) -> (u16, String, String) {
    let (status, text) = (response.status(), response.text().await.expect("a body"));
    let error =
        serde_json::from_str::<ErrorBody>(&text).unwrap_or_else(|error| panic!("{error}: {status} {text}")).error;
    assert_eq!(error.code.status(), status, "the status must match the code");
    (status.as_u16(), error.code.as_str().to_owned(), error.message.into_owned())
}

pub fn config(order: Address, catalog: Address) -> Config {
    Config {
        access: Access { token: None, bind_host: IpAddr::V4(Ipv4Addr::LOCALHOST) },
        rest_api_port: 0,
        front_port: 0,
        front_host: "127.0.0.1".into(),
        front_port_advertised: None,
        cache_size: 2,
        orders_in_flight_max: 512,
        order_requests_max: 4,
        reads_in_flight_max: 1024,
        public_admin: true,
        cors_origins: None,
        shutdown_delay: Duration::ZERO,
        orders: discovery::static_replicas(BTreeMap::from([(Ordinal(1), order)])),
        catalogs: discovery::static_replicas(BTreeMap::from([(Ordinal(1), catalog)])),
        discovery: discovery::Discovery::default(),
    }
}

pub fn address(addr: SocketAddr) -> Address {
    Address::new(&addr.ip().to_string(), addr.port())
}

/// Logs as `RUST_LOG` says.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // Fails if another test in this process has called it.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// Starts a frontend alone.
pub async fn start(config: Config) -> Server {
    let listeners = Server::bind(&config).expect("free ports");
    Server::start(config, listeners).await.expect("nothing else can fail")
}

/// Serves `routes` on a free port until the task is stopped.
pub fn serve_on_free_port(routes: Router) -> (SocketAddr, Task) {
    let listener = Listener::bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).expect("a free port");
    let routes = harden(routes, ServerMetrics::new(&prometheus::Registry::new()).port("test"));
    (listener.address(), serve(listener, routes, Limits::default()))
}

/// The status of the only replica of `group`, which leads it in `term`.
pub fn single_leader(group: &str, term: Term) -> ReplicaStatus {
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
        // A leader without it counts as missing, and is only found as the result of an election.
        leader_contact: Some(LeaderContact { heard_ms: 0, quorum_ms: 0, asked_ms: 0, uncounted_ms: None }),
        ..ReplicaStatus::empty(group, node_id)
    }
}
