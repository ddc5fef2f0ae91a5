//! Who belongs to the simulated store, and how each of them is run: by the very functions that the binary runs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use api::{Address, Ordinal, Price, Product, ProductName, Stock};
use futures::FutureExt;
use service::lifecycle::ExitCode;
use service::settings::{Setting, Values, command};

use crate::machine::{Exit, Main};
use crate::random::Random;

/// What a sold-out product comes back to: little, so that stock runs out again and again.
pub(crate) const RESTOCK_LEVEL: Stock = Stock(12);

/// The products: name, and pieces at first.
pub(crate) const PRODUCTS: [(&str, u64); 3] = [("Tux", 25), ("Fox", 9), ("Elephant", 3)];

/// One process of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Member {
    /// A catalog replica; the only one is 1.
    Catalog(u8),
    /// An order replica.
    Order(u8),
    /// A frontend, from 1.
    Frontend(u8),
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog(n) => write!(f, "catalog-{n}"),
            Self::Order(n) => write!(f, "order-{n}"),
            Self::Frontend(n) => write!(f, "frontend-{n}"),
        }
    }
}

/// How many there are of each, and what all of them are told.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) catalogs: u8,
    pub(crate) orders: u8,
    pub(crate) frontends: u8,
    /// Between two looks at what is sold out.
    pub(crate) restock: Duration,
    /// Products that a frontend's cache holds.
    pub(crate) cache_size: usize,
    pub(crate) checkpoints: Checkpoints,
}

/// When the replicas write checkpoints, and what they keep of their logs; `None` is what the store does by itself: never, in so short a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoints(Option<(u64, u64)>);

impl Checkpoints {
    /// So few entries, in most seeds, that who is away for a while needs the whole state.
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

impl Layout {
    /// Everyone.
    pub(crate) fn members(&self) -> Vec<Member> {
        let catalogs = (1..=self.catalogs).map(Member::Catalog);
        let orders = (1..=self.orders).map(Member::Order);
        catalogs.chain(orders).chain((1..=self.frontends).map(Member::Frontend)).collect()
    }

    /// Where shoppers find a frontend.
    pub(crate) fn public(frontend: u8) -> Address {
        Address::new(&Member::Frontend(frontend).to_string(), 1110)
    }

    /// Where a catalog replica answers.
    pub(crate) fn catalog(ordinal: u8) -> Address {
        Address::new(&Member::Catalog(ordinal).to_string(), 1130)
    }

    /// Where an order replica answers.
    pub(crate) fn order(ordinal: u8) -> Address {
        Address::new(&Member::Order(ordinal).to_string(), 1120)
    }

    /// An order replica's ledger on its disk.
    pub(crate) fn ledger(ordinal: u8) -> PathBuf {
        format!("data/log{ordinal}.csv").into()
    }

    /// The environment of a process.
    fn variables(&self, member: Member) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let mut set = |name: String, value: String| {
            variables.insert(name, value);
        };
        set("ORDER_REPLICAS".into(), self.orders.to_string());
        for n in 1..=self.orders {
            set(format!("ORDER_HOST_{n}"), Member::Order(n).to_string());
            set(format!("ORDER_PORT_{n}"), "1120".into());
            set(format!("ORDER2_PORT_{n}"), "1121".into());
        }
        set("CATALOG_REPLICAS".into(), self.catalogs.to_string());
        if self.catalogs == 1 {
            set("CATALOG_HOST".into(), Member::Catalog(1).to_string());
        } else {
            for n in 1..=self.catalogs {
                set(format!("CATALOG_HOST_{n}"), Member::Catalog(n).to_string());
                set(format!("CATALOG_PORT_{n}"), "1130".into());
                set(format!("CATALOG2_PORT_{n}"), "1131".into());
            }
        }
        if let (Some((every, kept)), Member::Catalog(_) | Member::Order(_)) = (self.checkpoints.0, member) {
            set("CHECKPOINT_EVERY".into(), every.to_string());
            set("LOG_KEPT".into(), kept.to_string());
            // A log file holds some ten entries.
            set("LOG_SEGMENT_KIB".into(), "1".into());
        }
        match member {
            Member::Catalog(n) => {
                set("COMPONENT_ID".into(), n.to_string());
                set("CATALOG_FILE".into(), "/nowhere/catalog.csv".into());
                set("RESTOCK_INTERVAL_MS".into(), self.restock.as_millis().to_string());
                set("RESTOCK_LEVEL".into(), RESTOCK_LEVEL.to_string());
            }
            Member::Order(n) => set("COMPONENT_ID".into(), n.to_string()),
            Member::Frontend(n) => {
                set("FRONT_HOST".into(), member.to_string());
                if n == 1 {
                    // There are few shoppers, and some orders should travel together.
                    set("ORDER_REQUESTS_MAX".into(), "1".into());
                }
                set("CACHE_SIZE".into(), self.cache_size.to_string());
            }
        }
        variables
    }

    /// What the process does.
    pub(crate) fn main(&self, member: Member) -> Main {
        let variables = self.variables(member);
        Box::new(move |stop| {
            async move {
                match member {
                    Member::Catalog(_) => {
                        let mut config = configured(&catalog::settings(), &variables, catalog::Config::read)?;
                        config.seed = catalog::Seed::Products(products());
                        catalog::run(config, stop).await.map_err(|error| exit(error.exit_code(), &error))
                    }
                    Member::Order(_) => {
                        let config = configured(&order::settings(), &variables, order::Config::read)?;
                        order::run(config, stop).await.map_err(|error| exit(error.exit_code(), &error))
                    }
                    Member::Frontend(_) => {
                        let config = configured(&frontend::settings(), &variables, frontend::Config::read)?;
                        frontend::run(config, stop).await.map_err(|error| exit(error.exit_code(), &error))
                    }
                }
            }
            .boxed()
        })
    }
}

fn configured<C>(
    settings: &[Setting],
    variables: &BTreeMap<String, String>,
    read: impl FnOnce(&mut Values) -> Option<C>,
) -> Result<C, Exit> {
    let variables: BTreeMap<&str, &str> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let matches = command("simulated", "", settings)
        .try_get_matches_from(["simulated"])
        .map_err(|error| exit(ExitCode::Usage, &error))?;
    let mut values = Values::read(settings, &matches, &variables);
    let config = read(&mut values);
    values.finish(config).map_err(|mistakes| exit(ExitCode::Usage, &mistakes))
}

fn exit(code: ExitCode, what: &impl fmt::Display) -> Exit {
    Exit { code, what: what.to_string() }
}

/// The first products.
fn products() -> Vec<Product> {
    let product = |(name, pieces)| Product {
        name: product_name(name),
        price: Price::from_cents(2599).expect("a price"),
        quantity: Stock(pieces),
    };
    PRODUCTS.map(product).to_vec()
}

/// A product's name.
pub(crate) fn product_name(name: &str) -> ProductName {
    ProductName::new(name).expect("the simulated products have good names")
}

/// The seat of an order replica.
pub(crate) fn seat(ordinal: u8) -> Ordinal {
    Ordinal(ordinal)
}
