//! The life of a frontend: sockets bound, parts built, served, drained.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use api::{Address, HolderId};
use discovery::{Group, Leader};
use prometheus::Registry;
use service::call::Caller;
use service::health::Readiness;
use service::http::{CallMetrics, Limits, Listener, RequestMetrics, Service, serve};
use service::lifecycle::ExitCode;
use service::metrics::registry;
use service::world;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::cache::SharedCache;
use crate::config::Config;
use crate::courier::Courier;
use crate::election::{Conductor, ElectionMetrics};
use crate::lease::LeaseKeeper;
use crate::openapi::Document;
use crate::orders::{Orders, Placing};
use crate::products::{Looking, Products};
use crate::routes;
use crate::shortcut::shortcut;

/// Why a frontend could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be had; the message names it.
    #[error("{0}")]
    Bind(#[from] io::Error),
}

impl StartError {
    /// How the process ends.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Bind(_) => ExitCode::Failure,
        }
    }
}

/// A frontend whose ports are bound and served.
#[derive(Debug)]
pub struct Frontend {
    public: SocketAddr,
    internal: SocketAddr,
    tasks: TaskTracker,
}

/// Runs a frontend until `stop` is cancelled and it has drained.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), StartError> {
    let frontend = Frontend::start(&config, &stop)?;
    // Until the end: told to stop, it serves on for a while.
    let _watching = config.discovery.start();
    frontend.stopped().await;
    Ok(())
}

impl Frontend {
    /// Binds the ports and starts all tasks, within the current runtime. They end once `stop` is cancelled and the shutdown delay is over.
    ///
    /// # Errors
    /// If a port cannot be bound; nothing was started then.
    pub fn start(config: &Config, stop: &CancellationToken) -> Result<Self, StartError> {
        let public = Listener::bind(config.bind_host, config.rest_api_port)?;
        let internal = Listener::bind(config.bind_host, config.front_port)?;
        let bound = (public.local_addr()?, internal.local_addr()?);
        let parts = Parts::new(config, bound.1.port());
        config.discovery.register(&parts.registry);
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(parts.live(stop.clone(), config.shutdown_delay, end.clone()));
        parts.start(config, public, internal, &tasks, &end);
        tasks.close();
        tracing::info!(public = %bound.0, internal = %bound.1, cache_size = config.cache_size, "frontend is up");
        Ok(Self { public: bound.0, internal: bound.1, tasks })
    }

    /// Where the public API is served.
    pub fn public_addr(&self) -> SocketAddr {
        self.public
    }

    /// Where the internal port is served.
    pub fn internal_addr(&self) -> SocketAddr {
        self.internal
    }

    /// Waits until everything has ended.
    pub async fn stopped(self) {
        self.tasks.wait().await;
    }
}

/// What a frontend is made of.
struct Parts {
    order: Group,
    catalog: Group,
    cache: SharedCache,
    holder: HolderId,
    address: Address,
    readiness: Readiness,
    registry: Registry,
}

impl Parts {
    fn new(config: &Config, front_port: u16) -> Self {
        let registry = registry("frontend");
        let (caller, calls) = (Caller::new(config.token.as_ref()), CallMetrics::new(&registry));
        let group = |name, replicas| Group::new(name, replicas, caller.measured(&calls, name));
        Self {
            order: group("order", config.orders.clone()),
            catalog: group("catalog", config.catalogs.clone()),
            cache: SharedCache::new(config.cache_size, &registry),
            holder: HolderId(world::random_uuid()),
            address: Address::new(&config.front_host, config.front_port_advertised.unwrap_or(front_port)),
            readiness: Readiness::not_yet("no confirmed leader of the order and catalog services has been seen yet"),
            registry,
        }
    }

    fn start(
        self,
        config: &Config,
        public: Listener,
        internal: Listener,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let caching = config.cache_size > 0;
        let admission = Admission::new(config.orders_in_flight_max, config.reads_in_flight_max, &self.registry);
        let looking = Looking { holder: caching.then_some(self.holder) };
        let products = Products::new(self.catalog.clone(), self.cache.clone(), admission.reads.clone(), looking);
        let courier = Courier::new(Placing, config.order_requests_max);
        let orders = Orders::new(self.order.clone(), admission.clone(), courier, &self.registry);
        let requests = RequestMetrics::new(&self.registry);
        let health = || (self.readiness.clone(), self.registry.clone());
        let document = Document::new(config.public_admin);
        let metrics = requests.port("public");
        let shortcut = shortcut(products.clone(), orders.clone(), &metrics);
        let router = routes::public(products, orders, document);
        let router = routes::port(router, config.public_admin.then(health), metrics);
        let service = Service::with_shortcut(router, shortcut);
        tasks.spawn(serve(public, service, Limits::public_port(), stop.clone()));

        let router = routes::internal(self.cache.clone(), self.holder, config.token.clone());
        let router = routes::port(router, Some(health()), requests.port("frontend"));
        tasks.spawn(serve(internal, router, Limits::side_port(), stop.clone()));

        let elections = ElectionMetrics::new(&self.registry);
        tasks.spawn(Conductor::new(self.order, elections.clone()).run(stop.clone()));
        tasks.spawn(Conductor::new(self.catalog.clone(), elections).run(stop.clone()));
        if caching {
            let keeper =
                LeaseKeeper { catalog: self.catalog, cache: self.cache, holder: self.holder, address: self.address };
            tasks.spawn(keeper.keep(stop.clone()));
        }
    }

    /// Ready once both services have been seen to have a leader. It stays so while they have none for a while: an election is
    /// no reason to take every frontend out of service.
    ///
    /// Told to `stop`, it is unready at once, and cancels `end` only after `delay`: for so long load balancers may go on to send it new
    /// connections, which no shopper is to see refused.
    fn live(
        &self,
        stop: CancellationToken,
        delay: Duration,
        end: CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        let (order, catalog, readiness) = (self.order.leader(), self.catalog.leader(), self.readiness.clone());
        let led = async |mut leader: watch::Receiver<Option<Leader>>| leader.wait_for(Option::is_some).await.is_ok();
        async move {
            tokio::select! {
                () = stop.cancelled() => {}
                true = async { led(order).await && led(catalog).await } => {
                    readiness.ready();
                    stop.cancelled().await;
                }
            }
            readiness.not_ready("stopping");
            sleep(delay).await;
            end.cancel();
        }
    }
}
