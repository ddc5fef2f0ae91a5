//! Who belongs to a local store, where each listens, and where its files are.

use std::collections::BTreeMap;
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

/// One member that calls another one's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Who opens the connections.
    pub from: Member,
    /// Who listens.
    pub to: Member,
    /// Where it listens.
    pub port: u16,
}

/// A store's members, ports and files.
#[derive(Clone, Debug)]
pub struct Layout {
    data: PathBuf,
    ports: PortBase,
    orders: u8,
    seats: u8,
    frontends: u8,
    variables: Vec<(String, String)>,
    member_variables: Vec<(Member, String, String)>,
    detours: BTreeMap<Link, u16>,
}

impl Layout {
    /// How many order replicas fit between the well-known ports of design §8.
    const ORDERS_MAX: u8 = 3;

    /// A catalog, three orders and a frontend, with their files under `data`.
    pub fn new(data: impl Into<PathBuf>, ports: PortBase) -> Self {
        Self {
            data: data.into(),
            ports,
            orders: Self::ORDERS_MAX,
            seats: Self::ORDERS_MAX,
            frontends: 1,
            variables: Vec::new(),
            member_variables: Vec::new(),
            detours: BTreeMap::new(),
        }
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

    /// The same with addresses for so many order replicas. Those beyond the first three are no [members](Self::members): they
    /// join when somebody starts them.
    ///
    /// # Panics
    /// If there are fewer than three or more than five.
    #[must_use]
    pub fn with_seats(self, seats: u8) -> Self {
        assert!((Self::ORDERS_MAX..=5).contains(&seats), "three to five seats");
        Self { seats, ..self }
    }

    /// The same with a variable for all members, such as `CACHE_SIZE`.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.variables.push((name.to_owned(), format!("{value}")));
        self
    }

    /// The same with a variable for one member, which comes before all others.
    #[must_use]
    pub fn with_member_variable(mut self, member: Member, name: &str, value: impl fmt::Display) -> Self {
        self.member_variables.push((member, name.to_owned(), format!("{value}")));
        self
    }

    /// The same, but the caller's side of `link` is told another port: something listens there that passes connections on.
    #[must_use]
    pub fn with_detour(mut self, link: Link, port: u16) -> Self {
        self.detours.insert(link, port);
        self
    }

    /// Who calls whom.
    pub fn links(&self) -> Vec<Link> {
        let catalog = Member::Catalog;
        let mut links = Vec::new();
        for order in self.ordinals() {
            let from = Member::Order(order);
            links.push(Link { from, to: catalog, port: self.port(CATALOG) });
            for peer in self.ordinals().filter(|peer| *peer != order) {
                let to = Member::Order(peer);
                links.extend([self.order_port(peer), self.order2_port(peer)].map(|port| Link { from, to, port }));
            }
        }
        for frontend in (1..=self.frontends).map(Member::Frontend) {
            links.push(Link { from: frontend, to: catalog, port: self.port(CATALOG) });
            links.push(Link { from: catalog, to: frontend, port: self.internal_port(frontend) });
            let orders = self.ordinals().map(|n| (Member::Order(n), self.order_port(n)));
            links.extend(orders.map(|(to, port)| Link { from: frontend, to, port }));
        }
        links
    }

    /// What a member has on its disk; each is a file or a directory, and may not be there yet.
    pub fn files(&self, member: Member) -> Vec<PathBuf> {
        match member {
            Member::Catalog => vec![self.data.join("catalog.csv"), self.data.join("catalog1")],
            Member::Order(n) => vec![self.ledger(n), self.order_data(n)],
            Member::Frontend(_) => Vec::new(),
        }
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
        local(self.internal_port(member))
    }

    fn internal_port(&self, member: Member) -> u16 {
        match member {
            Member::Catalog => self.port(CATALOG),
            Member::Order(ordinal) => self.order_port(ordinal),
            Member::Frontend(n) => self.port(u16::from(n) * 2 - 1),
        }
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
        let orders = (1..=self.seats).map(Ordinal).flat_map(|n| [self.order_port(n), self.order2_port(n)]);
        let frontends = (0..u16::from(self.frontends) * 2).map(|offset| self.port(offset));
        ports::in_use(orders.chain(frontends).chain([self.port(CATALOG), self.port(CATALOG2)]).collect())
    }

    /// The command that starts a member, with the variables that tell it who and where it is. Everything else comes from
    /// [`Layout::with_variable`] and from this process's own environment.
    pub fn command(&self, binary: &Path, member: Member) -> Command {
        let mut command = Command::new(binary);
        let data = |name: &str| self.data.join(name);
        // What a member listens on itself it is told as it is; no link leads from a member to itself.
        let seen = |to, port| self.detour(Link { from: member, to, port }).to_string();
        command.env(STOP_WITH_PARENT, "true").envs(self.variables.iter().cloned());
        command.env("CATALOG_HOST", LOOPBACK).env("BIND_HOST", LOOPBACK);
        command.env("CATALOG_PORT", seen(Member::Catalog, self.port(CATALOG)));
        command.env("ORDER_SEATS", self.seats.to_string());
        for n in (1..=self.seats).map(Ordinal) {
            let peer = Member::Order(n);
            command.env(format!("ORDER_HOST_{n}"), LOOPBACK);
            command.env(format!("ORDER_PORT_{n}"), seen(peer, self.order_port(n)));
            command.env(format!("ORDER2_PORT_{n}"), seen(peer, self.order2_port(n)));
        }
        match member {
            Member::Catalog => command
                .arg("catalog")
                .env("CATALOG2_PORT", self.port(CATALOG2).to_string())
                .env("CATALOG_FILE", data("catalog.csv"))
                .env("CATALOG_DATA_DIR", data("catalog1")),
            Member::Order(n) => command
                .arg("order")
                .env("COMPONENT_ID", n.to_string())
                .env("ORDER_LOG_FILE", self.ledger(n))
                .env("ORDER_DATA_DIR", self.order_data(n)),
            Member::Frontend(n) => {
                let (port, callers_port) = self.advertised(n);
                command
                    .arg("frontend")
                    .env("REST_API_PORT", self.public_port(n).to_string())
                    .env("FRONT_HOST", LOOPBACK)
                    .env("FRONT_PORT", port.to_string())
                    .env("FRONT_PORT_ADVERTISED", callers_port.to_string())
            }
        };
        let own = self.member_variables.iter().filter(|(of, ..)| *of == member);
        command.envs(own.map(|(_, name, value)| (name, value)));
        command
    }

    /// The port that the caller's side of `link` is told: its own, or that of a [detour](Layout::with_detour).
    pub fn detour(&self, link: Link) -> u16 {
        self.detours.get(&link).copied().unwrap_or(link.port)
    }

    /// A frontend's internal port, and what the catalog is to call instead.
    fn advertised(&self, frontend: u8) -> (u16, u16) {
        let to = Member::Frontend(frontend);
        let port = self.internal_port(to);
        (port, self.detour(Link { from: Member::Catalog, to, port }))
    }

    fn order_data(&self, ordinal: Ordinal) -> PathBuf {
        self.data.join(format!("order{ordinal}"))
    }

    fn order_port(&self, ordinal: Ordinal) -> u16 {
        self.order_ports(ordinal).0
    }

    fn order2_port(&self, ordinal: Ordinal) -> u16 {
        self.order_ports(ordinal).1
    }

    /// An order replica's two ports. Only three have well-known ones.
    fn order_ports(&self, ordinal: Ordinal) -> (u16, u16) {
        let n = u16::from(ordinal.0);
        if ordinal.0 <= Self::ORDERS_MAX {
            (self.port(10 + n), self.port(13 + n))
        } else {
            (self.port(LATER_ORDERS + 2 * n), self.port(LATER_ORDERS + 2 * n + 1))
        }
    }

    /// Ports keep the distances that the well-known ones have: 1110 REST, 1111 cache, 1121… orders, 1124… replication, 1130 catalog.
    fn port(&self, offset: u16) -> u16 {
        self.ports.get() + offset
    }
}

/// Distances from the base.
const CATALOG: u16 = 20;
const CATALOG2: u16 = 21;
/// Seat 4 has the two ports 22 and 23 after the base, seat 5 the next two.
const LATER_ORDERS: u16 = 14;

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
        assert_eq!(port(Member::Order(Ordinal(5))), "127.0.0.1:1134");
    }

    #[test]
    fn a_detour_is_told_to_the_caller_alone() {
        let layout = Layout::default();
        let (catalog, order, frontend) = (Member::Catalog, Member::Order(Ordinal(2)), Member::Frontend(1));
        let links = layout.links();
        let detoured = links.iter().zip(40_000..).fold(layout, |layout, (link, port)| layout.with_detour(*link, port));
        let told = |member, name: &str| {
            let command = detoured.command(Path::new("toystore"), member);
            let value = command.as_std().get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
            value.and_then(|value| value.to_str()?.parse::<u16>().ok()).unwrap()
        };
        let detour = |from, to, port| {
            40_000 + u16::try_from(links.iter().position(|it| *it == Link { from, to, port }).unwrap()).unwrap()
        };
        assert_eq!(told(order, "ORDER2_PORT_2"), 1125, "its own port is as it is");
        assert_eq!(told(order, "ORDER2_PORT_1"), detour(order, Member::Order(Ordinal(1)), 1124));
        assert_eq!(told(order, "CATALOG_PORT"), detour(order, catalog, 1130));
        assert_eq!(told(catalog, "CATALOG_PORT"), 1130);
        assert_eq!(told(frontend, "ORDER_PORT_2"), detour(frontend, order, 1122));
        assert_eq!(
            (told(frontend, "FRONT_PORT"), told(frontend, "FRONT_PORT_ADVERTISED")),
            (1111, detour(catalog, frontend, 1111))
        );
    }

    #[test]
    fn members_start_from_the_inside_out() {
        let names: Vec<_> = Layout::default().members().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["catalog", "order-1", "order-2", "order-3", "frontend"]);
    }
}
