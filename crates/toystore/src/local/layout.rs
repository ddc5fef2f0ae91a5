//! Who belongs to a local store, where each listens, and where its files are.

use std::fmt;
use std::path::{Path, PathBuf};

use api::{Address, Ordinal};
use tokio::process::Command;

use super::ports::{self, PortBase};
use super::{STOP_WITH_PARENT, WELL_KNOWN_BASE};

/// One process of the store. Ordered as they are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// The stock.
    Catalog,
    /// A replica of the order log.
    Order(Ordinal),
    /// A public REST API with its cache; counted from 1.
    Frontend(u8),
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog => f.write_str("catalog"),
            Self::Order(ordinal) => write!(f, "order-{ordinal}"),
            Self::Frontend(1) => f.write_str("frontend"),
            Self::Frontend(n) => write!(f, "frontend-{n}"),
        }
    }
}

/// A store's members, ports and files.
#[derive(Clone, Debug)]
pub struct Layout {
    data: PathBuf,
    ports: PortBase,
    orders: u8,
    frontends: u8,
    variables: Vec<(String, String)>,
}

impl Layout {
    /// How many order replicas fit between the well-known ports of design §8.
    const ORDERS_MAX: u8 = 3;

    /// A catalog, three orders and a frontend, with their files under `data`.
    pub fn new(data: impl Into<PathBuf>, ports: PortBase) -> Self {
        Self { data: data.into(), ports, orders: Self::ORDERS_MAX, frontends: 1, variables: Vec::new() }
    }

    /// The same with so many frontends.
    ///
    /// # Panics
    /// If there are none, or more than five: that many ports lie before the orders'.
    #[must_use]
    pub fn with_frontends(self, frontends: u8) -> Self {
        assert!((1..=5).contains(&frontends), "one to five frontends");
        Self { frontends, ..self }
    }

    /// The same with a variable for all members, such as `CACHE_SIZE`.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.variables.push((name.to_owned(), format!("{value}")));
        self
    }

    /// Everyone, in the order in which they are started; they are stopped in the reverse order.
    pub fn members(&self) -> Vec<Member> {
        let orders = self.ordinals().map(Member::Order);
        let frontends = (1..=self.frontends).map(Member::Frontend);
        std::iter::once(Member::Catalog).chain(orders).chain(frontends).collect()
    }

    /// The seats of the order replicas.
    pub fn ordinals(&self) -> impl Iterator<Item = Ordinal> + use<> {
        (1..=self.orders).map(Ordinal)
    }

    /// The directory with all files.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The ledger of one order replica.
    pub fn ledger(&self, ordinal: Ordinal) -> PathBuf {
        self.data.join(format!("log{ordinal}.csv"))
    }

    /// Where a member answers `/readyz`, its status, and its other internal calls.
    pub fn internal(&self, member: Member) -> Address {
        local(match member {
            Member::Catalog => self.port(20),
            Member::Order(ordinal) => self.port(10 + u16::from(ordinal.0)),
            Member::Frontend(n) => self.port(u16::from(n) * 2 - 1),
        })
    }

    /// Where a frontend's REST API is.
    pub fn public(&self, frontend: u8) -> Address {
        local(self.public_port(frontend))
    }

    /// The port of a frontend's REST API.
    pub fn public_port(&self, frontend: u8) -> u16 {
        self.port(u16::from(frontend) * 2 - 2)
    }

    /// The ports that are taken already by someone else.
    pub fn ports_in_use(&self) -> Vec<u16> {
        let orders = self.ordinals().flat_map(|n| [self.port(10 + u16::from(n.0)), self.order2_port(n)]);
        let frontends = (0..u16::from(self.frontends) * 2).map(|offset| self.port(offset));
        ports::in_use(orders.chain(frontends).chain([self.port(20), self.port(21)]).collect())
    }

    /// The command that starts a member, with the variables that tell it who and where it is. Everything else comes from
    /// [`Layout::with_variable`] and from this process's own environment.
    pub fn command(&self, binary: &Path, member: Member) -> Command {
        let mut command = Command::new(binary);
        let data = |name: String| self.data.join(name);
        let port = |offset: u16| self.port(offset).to_string();
        command.env(STOP_WITH_PARENT, "true").envs(self.variables.iter().cloned());
        command.env("CATALOG_HOST", LOOPBACK).env("CATALOG_PORT", port(20)).env("BIND_HOST", LOOPBACK);
        for n in self.ordinals() {
            command.env(format!("ORDER_HOST_{n}"), LOOPBACK);
            command.env(format!("ORDER_PORT_{n}"), port(10 + u16::from(n.0)));
            command.env(format!("ORDER2_PORT_{n}"), self.order2_port(n).to_string());
        }
        match member {
            Member::Catalog => command
                .arg("catalog")
                .env("CATALOG2_PORT", port(21))
                .env("CATALOG_FILE", data("catalog.csv".into()))
                .env("CATALOG_DATA_DIR", data("catalog1".into())),
            Member::Order(n) => command
                .arg("order")
                .env("COMPONENT_ID", n.to_string())
                .env("ORDER_LOG_FILE", self.ledger(n))
                .env("ORDER_DATA_DIR", data(format!("order{n}"))),
            Member::Frontend(n) => command
                .arg("frontend")
                .env("REST_API_PORT", self.public_port(n).to_string())
                .env("FRONT_HOST", LOOPBACK)
                .env("FRONT_PORT", (self.public_port(n) + 1).to_string()),
        };
        command
    }

    fn order2_port(&self, ordinal: Ordinal) -> u16 {
        self.port(13 + u16::from(ordinal.0))
    }

    /// Ports keep the distances that the well-known ones have: 1110 REST, 1111 cache, 1121… orders, 1124… replication, 1130 catalog.
    fn port(&self, offset: u16) -> u16 {
        self.ports.get() + offset
    }
}

const LOOPBACK: &str = "127.0.0.1";

fn local(port: u16) -> Address {
    Address::new(LOOPBACK, port)
}

impl Default for Layout {
    /// The store of `toystore up`: well-known ports, files under `./data`.
    fn default() -> Self {
        Self::new("data", PortBase::fixed(WELL_KNOWN_BASE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_store_has_the_well_known_ports() {
        let layout = Layout::default().with_frontends(2);
        let port = |member| layout.internal(member).to_string();
        assert_eq!(layout.public(1).to_string(), "127.0.0.1:1110");
        assert_eq!(port(Member::Frontend(1)), "127.0.0.1:1111");
        assert_eq!(layout.public(2).to_string(), "127.0.0.1:1112");
        assert_eq!(port(Member::Order(Ordinal(1))), "127.0.0.1:1121");
        assert_eq!(layout.order2_port(Ordinal(3)), 1126);
        assert_eq!(port(Member::Catalog), "127.0.0.1:1130");
    }

    #[test]
    fn members_start_from_the_inside_out() {
        let names: Vec<_> = Layout::default().members().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["catalog", "order-1", "order-2", "order-3", "frontend"]);
    }
}
