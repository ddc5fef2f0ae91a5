//! The only order replica of its group.

use std::path::Path;
use std::time::Duration;

use api::order::PlaceOrder;
use api::public::{Order, OrderPlaced};
use api::{Address, ApiError, ErrorCode, OrderId, Ordinal};
use discovery::Group;
use order::{Config, Server};
use service::json_client::{CallError, JsonClient, RequestPath};
use service::lifecycle::{ExitError, Process};
use tokio::time::{Instant, sleep};

use super::fake_catalog::FakeCatalog;
use super::{LONG, bind, config, order};

pub(crate) struct OnlyReplica {
    pub(crate) server: Server,
    pub(crate) address: Address,
    pub(crate) client: JsonClient,
    pub(crate) group: Group,
}

impl OnlyReplica {
    /// Starts the replica whose files are in `dir`.
    pub(crate) async fn start(
        dir: &Path,
        catalog: &Address,
        adjust: impl FnOnce(&mut Config),
    ) -> Result<Self, ExitError> {
        let listeners = bind();
        let mut config = config(dir, catalog, 1, std::slice::from_ref(&listeners));
        adjust(&mut config);
        let server = Server::start(config, listeners).await?;
        let (address, client) = (Address::new("127.0.0.1", server.address().port()), JsonClient::new(None));
        let replicas = discovery::static_replicas([(Ordinal(1), address.clone())].into());
        Ok(Self { server, address, group: Group::new("order", replicas, client.clone()), client })
    }

    /// Starts the replica and waits until it has fenced the catalog, as a leader does.
    pub(crate) async fn leading(dir: &Path, catalog: &FakeCatalog, adjust: impl FnOnce(&mut Config)) -> Self {
        let fence = catalog.state().fence;
        let replica = Self::start(dir, &catalog.address, adjust).await.unwrap();
        catalog.until(|state| state.fence > fence).await;
        replica
    }

    pub(crate) async fn place(&self, order_id: OrderId, name: &str, quantity: u64) -> Result<u64, ErrorCode> {
        self.place_order(&order(order_id, name, quantity)).await.map_err(|refusal| refusal.code)
    }

    /// Places an order. Repeats it with the same id while it is not placed in time, as every client
    /// does.
    pub(crate) async fn place_order(&self, order: &PlaceOrder) -> Result<u64, ApiError> {
        let deadline = Instant::now() + LONG;
        loop {
            match self.client.post::<_, OrderPlaced>(&self.address, "/orders", order, LONG).await {
                Ok(placed) => return Ok(placed.order_number.get()),
                Err(error) if error.code() == Some(ErrorCode::Unavailable) && Instant::now() < deadline => {
                    sleep(Duration::from_millis(10)).await;
                }
                Err(error) => return Err(refusal(error)),
            }
        }
    }

    pub(crate) async fn get(&self, number: &str) -> Result<Order, ErrorCode> {
        let path = format!("/orders/{number}");
        let route = RequestPath::filled("/orders/{number}", &path);
        self.client.get(&self.address, route, LONG).await.map_err(|error| refusal(error).code)
    }

    /// The value of a metric; 0 if it does not exist yet.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let metrics = reqwest::get(self.address.url("/metrics")).await.unwrap().text().await.unwrap();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }
}

pub(crate) fn refusal(error: CallError) -> ApiError {
    match error {
        CallError::Refused(refusal) => refusal,
        error => panic!("not a refusal: {error}"),
    }
}
