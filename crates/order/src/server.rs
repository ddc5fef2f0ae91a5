//! The order replica's process: what it is built from, and how it stops.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use api::Address;
use api::replica::{ReplicaStatus, STATUS_PATH};
use discovery::{Group, WatchGuard};
use futures::future::join_all;
use replication::{Replica, ReplicaConfig, await_disk_space, lead_each_term};
use service::access::Access;
use service::health::{self, Readiness};
use service::http::{ClientMetrics, Limits, ServerMetrics, harden, serve};
use service::json_client::JsonClient;
use service::lifecycle::{ExitCode, ExitError, Listeners, Process, Task};
use tokio::sync::watch;

use crate::catalog_client::CatalogClient;
use crate::config::Config;
use crate::data_mismatch::DataMismatch;
use crate::handler::OrderHandler;
use crate::leader::OrderLeader;
use crate::ledger::Ledger;
use crate::metrics::OrderMetrics;
use crate::orders::Orders;
use crate::reachability::ReachabilityMonitor;
use crate::routes;

/// The group's name, in statuses and on the replication port.
pub const GROUP: &str = "order";

/// For the statuses of the other replicas. A replica that does not answer in time is skipped.
const DUPLICATE_CHECK_TIMEOUT: Duration = Duration::from_millis(500);

/// A running order replica.
pub struct Server {
    address: SocketAddr,
    replica: Replica<Orders>,
    term_loop: Task,
    readiness: Task,
    service_port: Task,
    replication_port: Task,
}

impl Process for Server {
    type Config = Config;
    type Watch = WatchGuard;

    fn access(config: &Config) -> &Access {
        &config.access
    }

    fn bind(config: &Config) -> io::Result<Listeners> {
        let (replicas, peers) = (config.replicas.borrow(), config.peers.borrow());
        let [service, replication] = [&replicas, &peers].map(|list| list.get(&config.ordinal).map(Address::host));
        Listeners::bind(config.access.bind_host, (config.port, service), (config.replication_port, replication))
    }

    async fn prepare(config: &Config) -> WatchGuard {
        let watch = config.discovery.start();
        await_disk_space(&config.storage, config.directories()).await;
        config.discovery.synced().await;
        watch
    }

    async fn start(config: Config, listeners: Listeners) -> Result<Self, ExitError> {
        let address = listeners.main.address();
        let token = &config.access.token;
        let registry = service::metrics::registry(GROUP);
        config.discovery.register(&registry);
        let calls = ClientMetrics::new(&registry);
        let group = replica_config(&config, &registry, &calls);
        let ledger = Ledger::open(&config.ledger_file, &config.data_dir).map_err(|error| group.advise(error))?;
        let genesis = Orders::with_dedup_window(config.dedup_window);
        let checksums = ledger.checksums();
        let replica = Replica::start(group, genesis, ledger.with_dedup_window(config.dedup_window)).await?;

        let client = JsonClient::new(token.as_ref());
        let catalog = Group::new("catalog", config.catalog.clone(), client.measured(&calls, "catalog"));
        let catalog = CatalogClient::new(catalog, config.accepted_difference);
        let metrics = OrderMetrics::new(&registry);
        let readiness = Readiness::not_yet("not a voter of its group yet");
        let (queue, open_queue) = watch::channel(None);
        let handler = OrderHandler::new(replica.clone(), metrics.clone(), open_queue, catalog.mismatch(), checksums);
        let requests = ServerMetrics::new(&registry);
        let health = health::routes(readiness.clone(), registry);
        let routes = routes::service(handler, catalog.clone(), replica.status_routes(), health, token.clone());
        let routes = harden(routes, routes::with_classes(requests.port("order")));
        let service_port = serve(listeners.main, routes, Limits::main_port());
        let routes = harden(replica.peer_routes(), requests.port("order-replication"));
        let replication_port = serve(listeners.side, routes, Limits::side_port());
        let mismatch = catalog.mismatch();
        let leader = OrderLeader {
            replica: replica.clone(),
            reachability: ReachabilityMonitor {
                replica: replica.clone(),
                catalog: catalog.clone(),
                group: Group::new(GROUP, config.replicas.clone(), client.measured(&calls, GROUP)),
            },
            catalog,
            metrics,
            queue,
            queue_max: config.queue_max,
            batch_orders_max: config.batch_orders_max,
        };
        let readiness = readiness.keep(keep_ready(replica.clone(), mismatch, readiness.clone()));
        let term_loop = Task::spawn(|stop| lead_each_term(replica.clone(), leader, stop));
        let server = Self { address, replica, term_loop, readiness, service_port, replication_port };
        if let Err(duplicate) = check_for_duplicate(&config, &client, &server.replica).await {
            server.stop().await;
            return Err(duplicate);
        }
        tracing::info!(ordinal = config.ordinal.0, %address, ledger = %config.ledger_file.display(), "order replica is serving");
        Ok(server)
    }

    /// The leader places the pending orders, and transfers its leadership, while both ports still
    /// serve.
    async fn stop(self) {
        self.readiness.stop().await;
        self.term_loop.stop().await;
        self.service_port.stop().await;
        self.replica.shutdown().await;
        self.replication_port.stop().await;
    }
}

impl Server {
    /// The address of the service port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The replica, for inspection.
    pub fn replica(&self) -> &Replica<Orders> {
        &self.replica
    }
}

fn replica_config(config: &Config, registry: &prometheus::Registry, calls: &ClientMetrics) -> ReplicaConfig {
    ReplicaConfig {
        token: config.access.token.clone(),
        storage: config.storage.clone(),
        state_paths: config.directories(),
        registry: registry.clone(),
        client_metrics: Some(calls.clone()),
        ..ReplicaConfig::new(
            GROUP,
            config.ordinal,
            config.data_dir.clone(),
            config.bootstrap_size,
            config.peers.clone(),
        )
    }
}

/// Whether one of the configured addresses answers with our ordinal without being this process.
async fn check_for_duplicate(config: &Config, client: &JsonClient, replica: &Replica<Orders>) -> Result<(), ExitError> {
    let replicas = config.replicas.borrow().clone();
    let asked = replicas.into_values().map(|address| async {
        let status = client.get::<ReplicaStatus>(&address, STATUS_PATH, DUPLICATE_CHECK_TIMEOUT).await;
        (address, status)
    });
    let ours = replica.node_id();
    for (address, status) in join_all(asked).await {
        if let Ok(status) = status
            && (status.group.as_str(), status.ordinal) == (GROUP, config.ordinal)
            && status.node_id != ours
        {
            let what = format!(
                "replica {ordinal} is already running: {address} answers as replica {ordinal} with the node id {theirs}, \
                 ours is {ours}; give each replica its own COMPONENT_ID",
                ordinal = config.ordinal,
                theirs = status.node_id,
            );
            return Err(ExitError::new(ExitCode::Usage, what));
        }
    }
    Ok(())
}

/// A leader that may not accept orders because of older data is not ready, whatever else its state.
async fn keep_ready(
    replica: Replica<Orders>,
    mut mismatch: watch::Receiver<Option<DataMismatch>>,
    readiness: Readiness,
) {
    loop {
        let found = tokio::select! {
            () = replica.keep_ready(&readiness) => return,
            found = mismatch.wait_for(Option::is_some) => match found {
                Ok(found) => found.as_ref().map(ToString::to_string).unwrap_or_default(),
                Err(_) => return,
            },
        };
        readiness.not_ready(found);
        if mismatch.changed().await.is_err() {
            return;
        }
    }
}
