//! The process: from its parts to its end.

use std::net::SocketAddr;
use std::time::Duration;

use api::replica::{ReplicaStatus, STATUS_PATH};
use discovery::Group;
use futures::future::join_all;
use replication::{Replica, ReplicaConfig, await_room};
use service::call::Caller;
use service::health::{self, Readiness};
use service::http::{CallMetrics, Limits, Listener, RequestMetrics, harden, serve};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;
use crate::ledger::Ledger;
use crate::metrics::OrderMetrics;
use crate::orders::Orders;
use crate::reach::WayOut;
use crate::reign::Reign;
use crate::stock::Stock;
use crate::{Config, StartError, routes};

/// The group's name, in statuses and on the replication port.
pub const GROUP: &str = "order";

/// How long it may take to give leadership away.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the other replicas may take to say who they are; they are not waited for, only looked at.
const TWIN_TIMEOUT: Duration = Duration::from_millis(500);

/// The two sockets, bound and not served yet.
#[derive(Debug)]
pub struct Listeners {
    /// For orders and status.
    pub service: Listener,
    /// For the other replicas.
    pub replication: Listener,
}

impl Listeners {
    /// Binds the configured ports.
    pub fn bind(config: &Config) -> std::io::Result<Self> {
        Ok(Self {
            service: Listener::bind(config.bind_host, config.port)?,
            replication: Listener::bind(config.bind_host, config.replication_port)?,
        })
    }
}

/// A running order replica.
pub struct Service {
    address: SocketAddr,
    replica: Replica<Orders>,
    readiness: Readiness,
    reign_stop: CancellationToken,
    reign: JoinHandle<()>,
    level: JoinHandle<()>,
    ports: [Port; 2],
}

/// A port that is served.
struct Port {
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Port {
    fn serve(listener: Listener, router: axum::Router, limits: Limits) -> Self {
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, router, limits, stop.clone()));
        Self { stop, served }
    }

    async fn close(self) {
        self.stop.cancel();
        ended(self.served).await;
    }
}

async fn ended(task: JoinHandle<()>) {
    if let Err(error) = task.await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

impl Service {
    /// Opens the ledger and the log, and serves both ports.
    pub async fn start(config: Config, listeners: Listeners) -> Result<Self, StartError> {
        let address = listeners.service.local_addr()?;
        let registry = service::metrics::registry(GROUP);
        config.discovery.register(&registry);
        let ledger = Ledger::open(&config.ledger_file, &config.data_dir)?;
        let calls = CallMetrics::new(&registry);
        let replica = Replica::start(replica_config(&config, &registry, &calls), Orders::default(), ledger).await?;

        let caller = Caller::new(config.token.as_ref());
        let stock = Stock::new(Group::new("catalog", config.catalog.clone(), caller.measured(&calls, "catalog")));
        let metrics = OrderMetrics::new(&registry);
        let readiness = Readiness::not_yet("it has no vote in its group yet");
        let (intake, open_intake) = watch::channel(None);
        let desk = Desk::new(replica.clone(), metrics.clone(), open_intake);
        let requests = RequestMetrics::new(&registry);
        let health = health::routes(readiness.clone(), registry);
        let routes = routes::service(desk, stock.clone(), replica.status_routes(), health, config.token.clone());
        let ports = [
            Port::serve(listeners.service, harden(routes, requests.port("order")), Limits::main_port()),
            Port::serve(
                listeners.replication,
                harden(replica.peer_routes(), requests.port("order-replication")),
                Limits::side_port(),
            ),
        ];
        let reign_stop = CancellationToken::new();
        let reign = Reign {
            replica: replica.clone(),
            way_out: WayOut {
                replica: replica.clone(),
                stock: stock.clone(),
                others: Group::new(GROUP, config.replicas.clone(), caller.measured(&calls, GROUP)),
            },
            stock,
            metrics,
            intake,
            queue_max: config.queue_max,
            batch_orders_max: config.batch_orders_max,
            stop: reign_stop.clone(),
        };
        let level = tokio::spawn(keep_ready(replica.clone(), readiness.clone()));
        let reign = tokio::spawn(reign.run());
        let service = Self { address, replica, readiness, reign_stop, reign, level, ports };
        if let Err(twin) = find_twin(&config, &caller, &service.replica).await {
            service.stop().await;
            return Err(twin);
        }
        tracing::info!(ordinal = config.ordinal.0, %address, ledger = %config.ledger_file.display(), "order replica serves");
        Ok(service)
    }

    /// Where the service is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The replica, to look at.
    pub fn replica(&self) -> &Replica<Orders> {
        &self.replica
    }

    /// Stops in good order: no new orders, those inside are placed, leadership goes to another replica, requests are answered, files are
    /// closed.
    pub async fn stop(self) {
        self.level.abort();
        ended(self.level).await;
        self.readiness.not_ready("stopping");
        self.reign_stop.cancel();
        ended(self.reign).await;
        self.replica.hand_over(HAND_OVER_TIMEOUT).await;
        let [service, replication] = self.ports;
        service.close().await;
        self.replica.shutdown().await;
        replication.close().await;
    }
}

/// Runs an order replica until `stop` is cancelled.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), StartError> {
    let listeners = Listeners::bind(&config)?;
    // Until the end: a leader that stops hands over.
    let _watching = config.discovery.start();
    let ready = async {
        await_room(&config.storage, config.places()).await;
        config.discovery.known().await;
    };
    if stop.run_until_cancelled(ready).await.is_none() {
        return Ok(());
    }
    let service = Service::start(config, listeners).await?;
    stop.cancelled().await;
    service.stop().await;
    Ok(())
}

fn replica_config(config: &Config, registry: &prometheus::Registry, calls: &CallMetrics) -> ReplicaConfig {
    ReplicaConfig {
        token: config.token.clone(),
        storage: config.storage.clone(),
        state_places: config.places(),
        registry: registry.clone(),
        calls: Some(calls.clone()),
        ..ReplicaConfig::new(GROUP, config.ordinal, config.data_dir.clone(), config.founders, config.peers.clone())
    }
}

/// Whether one of the configured addresses answers under our seat without being us.
async fn find_twin(config: &Config, caller: &Caller, replica: &Replica<Orders>) -> Result<(), StartError> {
    let replicas = config.replicas.borrow().clone();
    let asked = replicas.into_values().map(|address| async {
        let status = caller.get::<ReplicaStatus>(&address, STATUS_PATH, TWIN_TIMEOUT).await;
        (address, status)
    });
    let ours = replica.node_id();
    for (address, status) in join_all(asked).await {
        if let Ok(status) = status
            && (status.group.as_str(), status.ordinal) == (GROUP, config.ordinal)
            && status.node_id != ours
        {
            return Err(StartError::Twin { ordinal: config.ordinal, address, theirs: status.node_id, ours });
        }
    }
    Ok(())
}

async fn keep_ready(replica: Replica<Orders>, readiness: Readiness) {
    replica.keep_ready(&readiness).await;
}
