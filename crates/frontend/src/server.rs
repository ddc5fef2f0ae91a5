//! The frontend's process: what it is built from, and how it stops.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use api::{Address, HolderId};
use discovery::{Group, Leader, WatchGuard};
use futures::future::join_all;
use service::access::Access;
use service::health::Readiness;
use service::http::{ClientMetrics, Limits, ServerMetrics, serve};
use service::json_client::JsonClient;
use service::lifecycle::{ExitError, Listeners, Process, Task};
use service::world;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::admission::Admission;
use crate::batcher::Batcher;
use crate::cache::SharedCache;
use crate::config::Config;
use crate::election::{ElectionMetrics, LeaderMonitor};
use crate::internal::{self, InternalApi};
use crate::lease_keeper::LeaseKeeper;
use crate::orders::{OrdersApi, PlaceOrders};
use crate::products::{GetProducts, ProductsApi};
use crate::public::PublicApi;

/// A running frontend.
#[derive(Debug)]
pub struct Server {
    public: SocketAddr,
    internal: SocketAddr,
    readiness: Task,
    shutdown_delay: Duration,
    tasks: Vec<Task>,
}

impl Process for Server {
    type Config = Config;
    type Watch = WatchGuard;

    fn access(config: &Config) -> &Access {
        &config.access
    }

    fn bind(config: &Config) -> io::Result<Listeners> {
        let (public, internal) = ((config.rest_api_port, None), (config.front_port, Some(config.front_host.as_str())));
        Listeners::bind(config.access.bind_host, public, internal)
    }

    async fn prepare(config: &Config) -> WatchGuard {
        config.discovery.start()
    }

    async fn start(config: Config, listeners: Listeners) -> Result<Self, ExitError> {
        let (public, internal) = (listeners.main.address(), listeners.side.address());
        let registry = service::metrics::registry("frontend");
        config.discovery.register(&registry);
        let token = config.access.token;
        let (client, client_metrics) = (JsonClient::new(token.as_ref()), ClientMetrics::new(&registry));
        let group = |name, replicas| Group::new(name, replicas, client.measured(&client_metrics, name));
        let (order, catalog) = (group("order", config.orders), group("catalog", config.catalogs));
        let cache = SharedCache::new(config.cache_size, &registry);
        let holder = HolderId(world::random_uuid());
        let readiness = Readiness::not_yet("the order and catalog services have had no confirmed leader yet");
        let leaders = [("catalog", catalog.leader()), ("order", order.leader())];
        let readiness_task = readiness.keep(become_ready(leaders, readiness.clone()));

        let admission = Admission::new(config.orders_in_flight_max, config.reads_in_flight_max, &registry);
        let get_products = GetProducts { holder: (config.cache_size > 0).then_some(holder) };
        let products = ProductsApi::new(catalog.clone(), cache.clone(), &admission, get_products);
        let batcher = Batcher::new(PlaceOrders, config.order_requests_max);
        let orders = OrdersApi::new(order.clone(), admission.clone(), batcher, &registry);
        let requests = ServerMetrics::new(&registry);
        let api = PublicApi::new(
            products,
            orders,
            config.public_admin,
            config.cors_origins,
            readiness.clone(),
            registry.clone(),
            &requests,
        );
        let state = InternalApi { cache: cache.clone(), holder };
        let internal_service = internal::service(state, token, readiness, registry.clone(), &requests);
        let elections = ElectionMetrics::new(&registry);
        let monitor = |group| Task::spawn(|stop| LeaderMonitor::new(group, elections.clone()).run(stop));
        let mut tasks = vec![
            serve(listeners.main, api.into_service(), Limits::public_port()),
            serve(listeners.side, internal_service, Limits::side_port()),
            monitor(order),
            monitor(catalog.clone()),
        ];
        if config.cache_size > 0 {
            let front_port = config.front_port_advertised.unwrap_or(internal.port());
            let address = Address::new(&config.front_host, front_port);
            tasks.push(Task::spawn(|stop| LeaseKeeper { catalog, cache, holder, address }.run(stop)));
        }
        tracing::info!(%public, %internal, cache_size = config.cache_size, "frontend is up");
        Ok(Self { public, internal, readiness: readiness_task, shutdown_delay: config.shutdown_delay, tasks })
    }

    /// It is unready at once, but serves for a while: load balancers may still send new
    /// connections, which must not be refused.
    async fn stop(self) {
        self.readiness.stop().await;
        sleep(self.shutdown_delay).await;
        join_all(self.tasks.into_iter().map(Task::stop)).await;
    }
}

impl Server {
    /// The address of the public API.
    pub fn public_addr(&self) -> SocketAddr {
        self.public
    }

    /// The address of the internal port.
    pub fn internal_addr(&self) -> SocketAddr {
        self.internal
    }
}

/// The frontend becomes ready once both services have had a confirmed leader, and stays ready
/// through later elections, which are no reason to take every frontend out of service.
async fn become_ready(leaders: [(&str, watch::Receiver<Option<Leader>>); 2], readiness: Readiness) {
    for (service, mut leader) in leaders {
        readiness.not_ready(format!("the {service} service has had no confirmed leader yet"));
        if leader.wait_for(Option::is_some).await.is_err() {
            return;
        }
    }
    readiness.ready();
}
