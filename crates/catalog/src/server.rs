//! The catalog replica's process: what it is built from, and how it stops.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use api::{Address, Product};
use discovery::{Group, WatchGuard};
use futures::future::join_all;
use replication::{FileStore, Replica, ReplicaConfig, await_disk_space, lead_each_term};
use service::access::Access;
use service::health::Readiness;
use service::http::{ClientMetrics, Limits, ServerMetrics, serve};
use service::json_client::JsonClient;
use service::lifecycle::{ExitError, Listeners, Process, Task};
use tokio::sync::watch;

use crate::config::{Config, Seed};
use crate::holder_verification::HolderVerifier;
use crate::leader::{CatalogLeader, LeaderState};
use crate::metrics::CatalogMetrics;
use crate::routes::{self, CatalogHandler, RouterConfig};
use crate::seed;
use crate::state_machine::Catalog;

/// The group's name, in statuses and on the replication port.
pub const GROUP: &str = "catalog";

/// The checkpoint file in the data directory.
const STATE_FILE: &str = "stock.state";

/// A running catalog replica.
pub struct Server {
    address: SocketAddr,
    replica: Replica<Catalog>,
    term_loop: Task,
    readiness: Task,
    ports: [Task; 2],
}

impl Process for Server {
    type Config = Config;
    type Watch = WatchGuard;

    fn access(config: &Config) -> &Access {
        &config.access
    }

    fn bind(config: &Config) -> io::Result<Listeners> {
        let peers = config.peers.borrow();
        // Both ports are on the same host.
        let name = peers.get(&config.ordinal).map(Address::host);
        Listeners::bind(config.access.bind_host, (config.port, name), (config.replication_port, name))
    }

    async fn prepare(config: &Config) -> WatchGuard {
        let watch = config.discovery.start();
        await_disk_space(&config.storage, vec![config.data_dir.clone()]).await;
        config.discovery.synced().await;
        watch
    }

    async fn start(config: Config, listeners: Listeners) -> Result<Self, ExitError> {
        let address = listeners.main.address();
        let token = config.access.token;
        let seed = products(config.seed);
        let registry = service::metrics::registry(GROUP);
        config.discovery.register(&registry);
        let (requests, calls) = (ServerMetrics::new(&registry), ClientMetrics::new(&registry));
        let metrics = CatalogMetrics::register(&registry);
        let readiness = Readiness::not_yet("not a voter of its group yet");
        let replica_config = ReplicaConfig {
            token: token.clone(),
            registry: registry.clone(),
            client_metrics: Some(calls.clone()),
            storage: config.storage,
            ..ReplicaConfig::new(GROUP, config.ordinal, config.data_dir.clone(), config.bootstrap_size, config.peers)
        };
        let store = FileStore::new(config.data_dir.join(STATE_FILE));
        let replica = Replica::start(replica_config, Catalog::default(), store).await?;
        log_ignored_seed(&replica, seed.as_deref());

        let (state, state_receiver) = watch::channel(LeaderState::Following(None));
        let leader = CatalogLeader {
            replica: replica.clone(),
            client: JsonClient::new(token.as_ref()).measured(&calls, "frontend"),
            metrics,
            seed,
            lease: config.lease,
            restock: config.restock,
            state,
        };
        let term_loop = Task::spawn(|stop| lead_each_term(replica.clone(), leader, stop));
        let readiness_task = readiness.keep(keep_ready(replica.clone(), readiness.clone()));
        let orders = Group::new("order", config.orders, JsonClient::new(token.as_ref()).measured(&calls, "order"));
        let verifier = HolderVerifier {
            client: JsonClient::new(token.as_ref()).measured(&calls, "frontend"),
            loopback_is_this_machine: config.discovery.is_static(),
        };
        let handler = CatalogHandler { replica: replica.clone(), state: state_receiver, orders, verifier };
        let router_config = RouterConfig { token, readiness, registry, requests: requests.clone() };
        let ports = [
            serve(listeners.main, routes::service(handler, router_config), Limits::main_port()),
            serve(listeners.side, routes::replication(&replica, &requests), Limits::side_port()),
        ];
        tracing::info!(%address, ordinal = config.ordinal.0, "catalog replica is serving");
        Ok(Self { address, replica, term_loop, readiness: readiness_task, ports })
    }

    /// The leader transfers its leadership while both ports still serve.
    async fn stop(self) {
        self.readiness.stop().await;
        self.term_loop.stop().await;
        join_all(self.ports.map(Task::stop)).await;
        self.replica.shutdown().await;
    }
}

impl Server {
    /// The address of the service port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The replica, for inspection.
    pub fn replica(&self) -> &Replica<Catalog> {
        &self.replica
    }
}

async fn keep_ready(replica: Replica<Catalog>, readiness: Readiness) {
    replica.keep_ready(&readiness).await;
}

/// The first products, or why there are none. That matters only to the leader of an empty catalog.
fn products(seed: Seed) -> Result<Vec<Product>, Vec<String>> {
    let path = match seed {
        Seed::Products(products) => return Ok(products),
        Seed::Unusable(mistakes) => return Err(mistakes),
        Seed::Missing(path) => path,
    };
    match seed::write_initial(&path, false) {
        Ok(()) => {
            tracing::info!(path = %path.display(), "created a catalog file with the initial products");
        }
        // Another replica that shares the file has just created it.
        Err(error) if error.kind() == Some(ErrorKind::AlreadyExists) => {
            return seed::read(&path).map_err(|error| error.mistakes());
        }
        // On a read-only file system, for example, the store does not need the file.
        Err(error) => {
            tracing::warn!(%error, "there is no catalog file, and none can be created: using the initial products");
        }
    }
    Ok(seed::initial())
}

/// Logs that the catalog file is ignored, for an operator who edits it and wonders why nothing
/// happens.
fn log_ignored_seed(replica: &Replica<Catalog>, seed: Result<&[Product], &Vec<String>>) {
    let known: Vec<_> =
        replica.read(|catalog| catalog.statements().into_iter().map(|account| (account.name, account.price)).collect());
    if known.is_empty() {
        return;
    }
    match seed {
        Ok(seed) if known.iter().eq(&seed.iter().map(|p| (p.name.clone(), p.price)).collect::<Vec<_>>()) => {}
        Ok(_) => tracing::info!("the catalog already has products: CATALOG_FILE, which differs from them, is ignored"),
        Err(mistakes) => tracing::warn!(
            first = mistakes.first(),
            mistakes = mistakes.len(),
            "the catalog already has products: CATALOG_FILE, which has mistakes, is ignored"
        ),
    }
}
