//! The members of the simulated store. Each runs the same function as in the real binary.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use api::{Address, Price, Product, ProductName, Stock};
use futures::FutureExt;
use futures::future::BoxFuture;
use service::lifecycle::{self, ExitError, Process};
use service::settings::{Setting, Values, command};
use tokio_util::sync::CancellationToken;

use crate::machine::Main;
use crate::random::Random;

/// The level that sold-out products are restocked to: low, so that products are often sold out.
pub(crate) const RESTOCK_LEVEL: Stock = Stock(12);

/// The products: name and initial stock.
pub(crate) const PRODUCTS: [(&str, u64); 3] = [("Tux", 25), ("Fox", 9), ("Elephant", 3)];

/// The internal port of a frontend, the default of `FRONT_PORT`.
const FRONT_PORT: u16 = 1111;

/// One process of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SimulatedMember {
    /// A catalog replica, from 1.
    Catalog(u8),
    /// An order replica, from 1.
    Order(u8),
    /// A frontend, from 1.
    Frontend(u8),
}

impl SimulatedMember {
    /// The address of its internal port.
    pub(crate) fn internal(self) -> Address {
        match self {
            Self::Catalog(n) => ClusterLayout::catalog(n),
            Self::Order(n) => ClusterLayout::order(n),
            Self::Frontend(_) => Address::new(&self.to_string(), FRONT_PORT),
        }
    }
}

impl fmt::Display for SimulatedMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog(n) => write!(f, "catalog-{n}"),
            Self::Order(n) => write!(f, "order-{n}"),
            Self::Frontend(n) => write!(f, "frontend-{n}"),
        }
    }
}

/// How many members of each kind there are, and their settings.
#[derive(Clone, Debug)]
pub(crate) struct ClusterLayout {
    pub(crate) catalogs: u8,
    /// How many order replicas bootstrap their group.
    pub(crate) orders: u8,
    /// How many order replicas have an address.
    pub(crate) seats: u8,
    pub(crate) frontends: u8,
    /// How often sold-out products are restocked.
    pub(crate) restock: Duration,
    /// The cache size of a frontend, in products.
    pub(crate) cache_size: usize,
    pub(crate) checkpoints: Checkpoints,
}

/// How often the replicas write checkpoints, and how many entries they keep in their logs. With
/// `None`, the default settings, no checkpoint is written in such a short run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoints(pub(crate) Option<(u64, u64)>);

impl Checkpoints {
    /// In most seeds, so few entries are kept that a replica that was away for a while needs a
    /// state transfer.
    pub(crate) fn draw(random: &mut Random) -> Self {
        Self(random.per_mille(700).then(|| (*random.pick(&[1, 5, 20, 60]), *random.pick(&[0, 3, 20, 60]))))
    }
}

impl fmt::Display for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((every, kept)) => write!(f, "a checkpoint every {every} entries, {kept} kept"),
            None => write!(f, "no checkpoints"),
        }
    }
}

impl ClusterLayout {
    /// All members.
    pub(crate) fn members(&self) -> Vec<SimulatedMember> {
        let catalogs = (1..=self.catalogs).map(SimulatedMember::Catalog);
        let orders = (1..=self.seats).map(SimulatedMember::Order);
        catalogs.chain(orders).chain((1..=self.frontends).map(SimulatedMember::Frontend)).collect()
    }

    /// The public address of a frontend.
    pub(crate) fn public(frontend: u8) -> Address {
        Address::new(&SimulatedMember::Frontend(frontend).to_string(), 1110)
    }

    /// The internal address of a catalog replica.
    pub(crate) fn catalog(ordinal: u8) -> Address {
        Address::new(&SimulatedMember::Catalog(ordinal).to_string(), 1130)
    }

    /// The internal address of an order replica.
    pub(crate) fn order(ordinal: u8) -> Address {
        Address::new(&SimulatedMember::Order(ordinal).to_string(), 1120)
    }

    /// The path of an order replica's ledger.
    pub(crate) fn ledger(ordinal: u8) -> PathBuf {
        format!("data/log{ordinal}.csv").into()
    }

    /// The environment variables of a process.
    fn variables(&self, member: SimulatedMember) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let mut set = |name: String, value: String| {
            variables.insert(name, value);
        };
        set("ORDER_REPLICAS".into(), self.orders.to_string());
        if self.seats > self.orders {
            set("ORDER_SEATS".into(), self.seats.to_string());
        }
        for n in 1..=self.seats {
            set(format!("ORDER_HOST_{n}"), SimulatedMember::Order(n).to_string());
            set(format!("ORDER_PORT_{n}"), "1120".into());
            set(format!("ORDER2_PORT_{n}"), "1121".into());
        }
        set("CATALOG_REPLICAS".into(), self.catalogs.to_string());
        if self.catalogs == 1 {
            set("CATALOG_HOST".into(), SimulatedMember::Catalog(1).to_string());
        } else {
            for n in 1..=self.catalogs {
                set(format!("CATALOG_HOST_{n}"), SimulatedMember::Catalog(n).to_string());
                set(format!("CATALOG_PORT_{n}"), "1130".into());
                set(format!("CATALOG2_PORT_{n}"), "1131".into());
            }
        }
        if let (Some((every, kept)), SimulatedMember::Catalog(_) | SimulatedMember::Order(_)) =
            (self.checkpoints.0, member)
        {
            set("CHECKPOINT_EVERY".into(), every.to_string());
            set("LOG_KEPT".into(), kept.to_string());
            // A log segment holds about ten entries.
            set("LOG_SEGMENT_KIB".into(), "1".into());
        }
        match member {
            SimulatedMember::Catalog(n) => {
                set("COMPONENT_ID".into(), n.to_string());
                set("CATALOG_FILE".into(), "/nowhere/catalog.csv".into());
                set("RESTOCK_INTERVAL_MS".into(), self.restock.as_millis().to_string());
                set("RESTOCK_LEVEL".into(), RESTOCK_LEVEL.to_string());
            }
            SimulatedMember::Order(n) => set("COMPONENT_ID".into(), n.to_string()),
            SimulatedMember::Frontend(n) => {
                set("FRONT_HOST".into(), member.to_string());
                if n == 1 {
                    // There are few shoppers, but some orders should be batched.
                    set("ORDER_REQUESTS_MAX".into(), "1".into());
                }
                set("CACHE_SIZE".into(), self.cache_size.to_string());
            }
        }
        variables
    }

    /// The main function of a member's process.
    pub(crate) fn main(&self, member: SimulatedMember) -> Main {
        let variables = self.variables(member);
        Box::new(move |stop| match member {
            SimulatedMember::Catalog(_) => {
                let seeded = |values: &mut Values| {
                    let config = catalog::Config::read(values)?;
                    Some(catalog::Config { seed: catalog::Seed::Products(products()), ..config })
                };
                run::<catalog::Server>(&catalog::settings(), &variables, seeded, stop)
            }
            SimulatedMember::Order(_) => {
                run::<order::Server>(&order::settings(), &variables, order::Config::read, stop)
            }
            SimulatedMember::Frontend(_) => {
                run::<frontend::Server>(&frontend::settings(), &variables, frontend::Config::read, stop)
            }
        })
    }
}

/// Runs a process with the settings that `variables` give it.
fn run<P: Process<Config: 'static> + 'static>(
    settings: &[Setting],
    variables: &BTreeMap<String, String>,
    read: impl FnOnce(&mut Values) -> Option<P::Config>,
    stop: CancellationToken,
) -> BoxFuture<'static, Result<(), ExitError>> {
    let variables: BTreeMap<&str, &str> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let matches = command("simulated", "", settings).try_get_matches_from(["simulated"]).expect("no arguments");
    let mut values = Values::read(settings, &matches, &variables);
    let config = read(&mut values);
    let config = values.finish(config);
    async { lifecycle::run::<P>(config?, stop).await }.boxed()
}

/// The initial products.
fn products() -> Vec<Product> {
    let product = |(name, pieces)| Product {
        name: product_name(name),
        price: Price::from_cents(2599).expect("a valid price"),
        quantity: Stock(pieces),
    };
    PRODUCTS.map(product).to_vec()
}

/// The name of a product.
pub(crate) fn product_name(name: &str) -> ProductName {
    ProductName::new(name).expect("the simulated products have valid names")
}
