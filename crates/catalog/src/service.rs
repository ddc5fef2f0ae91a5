//! The life of one catalog replica: sockets, replica, routes, leadership; and all of it again in reverse.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use api::Product;
use replication::{FileStore, Replica, ReplicaConfig, await_room};
use service::call::Caller;
use service::health::Readiness;
use service::http::{CallMetrics, Limits, Listener, RequestMetrics, serve};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Seed};
use crate::error::StartError;
use crate::leadership::{Leader, Standing};
use crate::machine::Catalog;
use crate::metrics::CatalogMetrics;
use crate::routes::{self, Desk, Frame};
use crate::seed;

/// The group's name in statuses and on the replication port.
pub const GROUP: &str = "catalog";

/// The stock's file in the data directory.
const STATE_FILE: &str = "stock.state";

/// For handing leadership over before stopping: some round trips and two synced votes, on a slow disk.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(2);

/// Both ports, bound but not served yet.
#[derive(Debug)]
pub struct Listeners {
    /// The service's.
    pub service: Listener,
    /// The replication's.
    pub replication: Listener,
}

impl Listeners {
    /// Binds both ports.
    ///
    /// # Errors
    /// Names the port that cannot be had.
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        let bind = |port| Listener::bind(config.bind_host, port).map_err(StartError::Bind);
        Ok(Self { service: bind(config.port)?, replication: bind(config.replication_port)? })
    }
}

/// Runs a catalog replica until `stop`.
///
/// # Errors
/// If it cannot start.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), StartError> {
    let listeners = Listeners::bind(&config)?;
    // Until the end: a leader that stops hands over.
    let _watching = config.discovery.start();
    let ready = async {
        await_room(&config.storage, vec![config.data_dir.clone()]).await;
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

/// A catalog replica that runs.
pub struct Service {
    address: SocketAddr,
    readiness: Readiness,
    replica: Replica<Catalog>,
    leading: CancellationToken,
    leader: JoinHandle<()>,
    level: JoinHandle<()>,
    serving: CancellationToken,
    tasks: TaskTracker,
}

impl Service {
    /// Starts serving on sockets that are bound already.
    ///
    /// # Errors
    /// If the seed file has mistakes, or the replica does not start.
    pub async fn start(config: Config, listeners: Listeners) -> Result<Self, StartError> {
        let address = listeners.service.local_addr().map_err(StartError::Bind)?;
        let seed = products(config.seed)?;
        let registry = service::metrics::registry(GROUP);
        config.discovery.register(&registry);
        let (requests, calls) = (RequestMetrics::new(&registry), CallMetrics::new(&registry));
        let metrics = CatalogMetrics::register(&registry);
        let readiness = Readiness::not_yet("it has no vote in its group yet");
        let replica_config = ReplicaConfig {
            token: config.token.clone(),
            registry: registry.clone(),
            calls: Some(calls.clone()),
            storage: config.storage.clone(),
            ..ReplicaConfig::new(GROUP, config.ordinal, config.data_dir.clone(), config.founders, config.peers)
        };
        let store = FileStore::new(config.data_dir.join(STATE_FILE));
        let replica = Replica::start(replica_config, Catalog::default(), store).await?;
        tell_of_difference(&replica, &seed);

        let (leading, serving, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let (standing, told) = watch::channel(Standing::Follows(None));
        let leader = Leader {
            replica: replica.clone(),
            caller: Caller::new(config.token.as_ref()).measured(&calls, "frontend"),
            metrics,
            seed,
            lease: config.lease,
            restock: config.restock,
            standing,
        };
        let leader = tokio::spawn(leader.run(leading.clone()));
        let level = tokio::spawn(keep_ready(replica.clone(), readiness.clone()));
        let desk = Desk { replica: replica.clone(), standing: told };
        let frame = Frame { token: config.token, readiness: readiness.clone(), registry, requests: requests.clone() };
        let routers = [
            (listeners.service, routes::service(desk, frame), Limits::main_port()),
            (listeners.replication, routes::replication(&replica, &requests), Limits::side_port()),
        ];
        for (listener, router, limits) in routers {
            tasks.spawn(serve(listener, router, limits, serving.clone()));
        }
        tracing::info!(%address, ordinal = config.ordinal.0, "the catalog is served");
        Ok(Self { address, readiness, replica, leading, leader, level, serving, tasks })
    }

    /// Where it is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it may be sent work.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The replica behind it.
    pub fn replica(&self) -> &Replica<Catalog> {
        &self.replica
    }

    /// Stops in good order: no new work, leadership to another replica, answers to what is in flight, files closed.
    pub async fn stop(self) {
        self.level.abort();
        // It was aborted, or the process is being ended by a panic.
        let _ = self.level.await;
        self.readiness.not_ready("stopping");
        self.leading.cancel();
        self.leader.await.expect("a panic ends the process");
        self.replica.hand_over(HAND_OVER_TIMEOUT).await;
        self.serving.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.replica.shutdown().await;
    }
}

async fn keep_ready(replica: Replica<Catalog>, readiness: Readiness) {
    replica.keep_ready(&readiness).await;
}

fn products(seed: Seed) -> Result<Vec<Product>, StartError> {
    let path = match seed {
        Seed::Products(products) => return Ok(products),
        Seed::Missing(path) => path,
    };
    match seed::write_initial(&path, false) {
        Ok(()) => {
            tracing::info!(path = %path.display(), "there was no catalog file: one with the initial products was made");
        }
        // Another replica that shares the file was faster.
        Err(error) if error.kind() == Some(ErrorKind::AlreadyExists) => return Ok(seed::read(&path)?),
        // A file system that is read-only, for example: the store does without.
        Err(error) => {
            tracing::warn!(%error, "there is no catalog file, and none can be made: using the initial products");
        }
    }
    Ok(seed::initial())
}

/// A person who edits the file and wonders why nothing happens finds this in the log.
fn tell_of_difference(replica: &Replica<Catalog>, seed: &[Product]) {
    let differs = replica.read(|catalog| {
        let known: Vec<_> = catalog.statements().into_iter().map(|account| (account.name, account.price)).collect();
        !known.is_empty() && !known.iter().eq(&seed.iter().map(|p| (p.name.clone(), p.price)).collect::<Vec<_>>())
    });
    if differs {
        tracing::info!("the catalog has its products already: the catalog file, which says something else, is ignored");
    }
}
