//! The members of a local store, their ports and their files.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use api::{Address, Ordinal};
use service::Token;
use tokio::process::Command;

use super::parent::STOP_WITH_PARENT;
use super::ports::{self, PortBase, WELL_KNOWN_BASE};

/// One process of the store, in the order in which processes are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreMember {
    /// The catalog.
    Catalog,
    /// A replica of the order log.
    Order(Ordinal),
    /// A frontend, counted from 1.
    Frontend(u8),
}

impl fmt::Display for StoreMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog => f.write_str("catalog"),
            Self::Order(ordinal) => write!(f, "order-{ordinal}"),
            Self::Frontend(1) => f.write_str("frontend"),
            Self::Frontend(n) => write!(f, "frontend-{n}"),
        }
    }
}

/// A connection from one member to a port of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The member that opens the connections.
    pub from: StoreMember,
    /// The member that listens.
    pub to: StoreMember,
    /// The port on which it listens.
    pub port: u16,
}

/// A store's members, ports and files.
#[derive(Clone, Debug)]
pub struct StoreLayout {
    data: PathBuf,
    ports: PortBase,
    orders: u8,
    order_addresses: u8,
    frontends: u8,
    variables: Vec<(String, String)>,
    member_variables: Vec<(StoreMember, String, String)>,
    redirects: BTreeMap<Link, u16>,
    token: Option<Token>,
    catalog_file: Option<PathBuf>,
}

impl StoreLayout {
    /// The number of order replicas that have well-known ports.
    const ORDERS_MAX: u8 = 3;

    /// A catalog, three order replicas and one frontend, with their files under `data`.
    pub fn new(data: impl Into<PathBuf>, ports: PortBase) -> Self {
        Self {
            data: data.into(),
            ports,
            orders: Self::ORDERS_MAX,
            order_addresses: Self::ORDERS_MAX,
            frontends: 1,
            variables: Vec::new(),
            member_variables: Vec::new(),
            redirects: BTreeMap::new(),
            token: None,
            catalog_file: None,
        }
    }

    /// Sets the token of the members' internal ports.
    #[must_use]
    pub fn with_token(self, token: Token) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The token of the members' internal ports, if there is one.
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// Sets the number of frontends.
    ///
    /// # Panics
    /// If there are none, or more than five: there are ports for five before those of the orders.
    #[must_use]
    pub fn with_frontends(self, frontends: u8) -> Self {
        assert!((1..=5).contains(&frontends), "one to five frontends");
        Self { frontends, ..self }
    }

    /// Sets the number of order replicas that have an address. Replicas beyond the first three are
    /// not [members](Self::members) at first: they join when they are started.
    ///
    /// # Panics
    /// If there are fewer than three or more than five.
    #[must_use]
    pub fn with_order_addresses(self, count: u8) -> Self {
        assert!((Self::ORDERS_MAX..=5).contains(&count), "three to five addresses of order replicas");
        Self { order_addresses: count, ..self }
    }

    /// Sets the file with the initial products; the default is `catalog.csv` in the data directory.
    #[must_use]
    pub fn with_catalog_file(self, path: PathBuf) -> Self {
        Self { catalog_file: Some(path), ..self }
    }

    /// Sets an environment variable of all members, such as `CACHE_SIZE`.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.variables.push((name.to_owned(), format!("{value}")));
        self
    }

    /// Sets an environment variable of one member; it takes precedence over all others.
    #[must_use]
    pub fn with_member_variable(mut self, member: StoreMember, name: &str, value: impl fmt::Display) -> Self {
        self.member_variables.push((member, name.to_owned(), format!("{value}")));
        self
    }

    /// Takes a variable of one member back.
    #[must_use]
    pub fn without_member_variable(mut self, member: StoreMember, name: &str) -> Self {
        self.member_variables.retain(|(of, variable, _)| (*of, variable.as_str()) != (member, name));
        self
    }

    /// Redirects `link`: the caller is given another port, on which something listens that forwards
    /// connections.
    #[must_use]
    pub fn with_redirect(mut self, link: Link, port: u16) -> Self {
        self.redirects.insert(link, port);
        self
    }

    /// All connections between members.
    pub fn links(&self) -> Vec<Link> {
        let catalog = StoreMember::Catalog;
        let mut links = Vec::new();
        for order in self.ordinals() {
            let from = StoreMember::Order(order);
            links.push(Link { from, to: catalog, port: self.port(CATALOG) });
            for peer in self.ordinals().filter(|peer| *peer != order) {
                let to = StoreMember::Order(peer);
                links.extend([self.order_port(peer), self.order2_port(peer)].map(|port| Link { from, to, port }));
            }
        }
        for frontend in (1..=self.frontends).map(StoreMember::Frontend) {
            links.push(Link { from: frontend, to: catalog, port: self.port(CATALOG) });
            links.push(Link { from: catalog, to: frontend, port: self.internal_port(frontend) });
            let orders = self.ordinals().map(|n| (StoreMember::Order(n), self.order_port(n)));
            links.extend(orders.map(|(to, port)| Link { from: frontend, to, port }));
        }
        links
    }

    /// A member's files and directories. They may not exist yet.
    pub fn files(&self, member: StoreMember) -> Vec<PathBuf> {
        match member {
            StoreMember::Catalog => vec![self.data.join("catalog.csv"), self.data.join("catalog1")],
            StoreMember::Order(n) => vec![self.ledger(n), self.order_data(n)],
            StoreMember::Frontend(_) => Vec::new(),
        }
    }

    /// All members, in the order in which they are started; they are stopped in the reverse order.
    pub fn members(&self) -> Vec<StoreMember> {
        let orders = self.ordinals().map(StoreMember::Order);
        let frontends = (1..=self.frontends).map(StoreMember::Frontend);
        std::iter::once(StoreMember::Catalog).chain(orders).chain(frontends).collect()
    }

    /// The ordinals of the order replicas.
    pub fn ordinals(&self) -> impl Iterator<Item = Ordinal> + use<> {
        (1..=self.orders).map(Ordinal)
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The ledger of one order replica.
    pub fn ledger(&self, ordinal: Ordinal) -> PathBuf {
        self.data.join(format!("log{ordinal}.csv"))
    }

    /// The address of a member's internal port: readiness, status, metrics and internal calls.
    pub fn internal(&self, member: StoreMember) -> Address {
        local(self.internal_port(member))
    }

    fn internal_port(&self, member: StoreMember) -> u16 {
        match member {
            StoreMember::Catalog => self.port(CATALOG),
            StoreMember::Order(ordinal) => self.order_port(ordinal),
            StoreMember::Frontend(n) => self.port(u16::from(n) * 2 - 1),
        }
    }

    /// The address of a frontend's REST API.
    pub fn public(&self, frontend: u8) -> Address {
        local(self.public_port(frontend))
    }

    /// The port of a frontend's REST API.
    pub fn public_port(&self, frontend: u8) -> u16 {
        self.port(u16::from(frontend) * 2 - 2)
    }

    /// The ports of this layout that are already in use.
    pub fn ports_in_use(&self) -> Vec<u16> {
        let orders = (1..=self.order_addresses).map(Ordinal).flat_map(|n| [self.order_port(n), self.order2_port(n)]);
        let frontends = (0..u16::from(self.frontends) * 2).map(|offset| self.port(offset));
        ports::in_use(orders.chain(frontends).chain([self.port(CATALOG), self.port(CATALOG2)]).collect())
    }

    /// The command that starts a member, with the environment variables for its identity and
    /// addresses. All other variables come from [`StoreLayout::with_variable`] and from this
    /// process's environment.
    pub fn command(&self, binary: &Path, member: StoreMember) -> Command {
        let mut command = Command::new(binary);
        for name in identity_variables() {
            command.env_remove(name);
        }
        let data = |name: &str| self.data.join(name);
        // A member is given its own ports unchanged: no link leads from a member to itself.
        let seen = |to, port| self.caller_port(Link { from: member, to, port }).to_string();
        command.env(STOP_WITH_PARENT, "true").envs(self.variables.iter().cloned());
        command.env("CATALOG_HOST", LOOPBACK).env("BIND_HOST", LOOPBACK);
        // All members have the same token or none, never one that happens to be in this process's
        // environment.
        command.env_remove("INTERNAL_TOKEN_FILE").env_remove("INTERNAL_TOKEN");
        if let Some(token) = &self.token {
            command.env("INTERNAL_TOKEN", token.secret());
        }
        command.env("CATALOG_PORT", seen(StoreMember::Catalog, self.port(CATALOG)));
        command.env("ORDER_SEATS", self.order_addresses.to_string());
        for n in (1..=self.order_addresses).map(Ordinal) {
            let peer = StoreMember::Order(n);
            command.env(format!("ORDER_HOST_{n}"), LOOPBACK);
            command.env(format!("ORDER_PORT_{n}"), seen(peer, self.order_port(n)));
            command.env(format!("ORDER2_PORT_{n}"), seen(peer, self.order2_port(n)));
        }
        match member {
            StoreMember::Catalog => command
                .arg("catalog")
                .env("CATALOG2_PORT", self.port(CATALOG2).to_string())
                .env("CATALOG_FILE", self.catalog_file.clone().unwrap_or_else(|| data("catalog.csv")))
                .env("CATALOG_DATA_DIR", data("catalog1")),
            StoreMember::Order(n) => command
                .arg("order")
                .env("COMPONENT_ID", n.to_string())
                .env("ORDER_LOG_FILE", self.ledger(n))
                .env("ORDER_DATA_DIR", self.order_data(n)),
            StoreMember::Frontend(n) => {
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

    /// The port that the caller of `link` is given: the port itself, or a
    /// [redirect](StoreLayout::with_redirect).
    pub fn caller_port(&self, link: Link) -> u16 {
        self.redirects.get(&link).copied().unwrap_or(link.port)
    }

    /// A frontend's internal port, and the port that the catalog has to call.
    fn advertised(&self, frontend: u8) -> (u16, u16) {
        let to = StoreMember::Frontend(frontend);
        let port = self.internal_port(to);
        (port, self.caller_port(Link { from: StoreMember::Catalog, to, port }))
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

    /// An order replica's two ports. Only the first three replicas have well-known ones.
    fn order_ports(&self, ordinal: Ordinal) -> (u16, u16) {
        let n = u16::from(ordinal.0);
        if ordinal.0 <= Self::ORDERS_MAX {
            (self.port(10 + n), self.port(13 + n))
        } else {
            (self.port(EXTRA_ORDERS + 2 * n), self.port(EXTRA_ORDERS + 2 * n + 1))
        }
    }

    /// Ports are at the offsets of the well-known ones: 1110 REST, 1111 cache, 1121… orders, 1124…
    /// replication, 1130 catalog.
    fn port(&self, offset: u16) -> u16 {
        self.ports.get() + offset
    }
}

/// The variables for a process's identity and for the addresses of the others. A member gets them
/// from its [command](StoreLayout::command) only: variables that were exported for another store
/// must not reach it.
fn identity_variables() -> impl Iterator<Item = String> {
    use discovery::settings::{catalog, catalog_replication, discovery, order, order_replication, own_ordinal};
    let others = ["CATALOG_DATA_DIR", "ORDER_PORT", "ORDER2_PORT", "FRONT_PORT_ADVERTISED", "INTERNAL_TOKEN_FILE"];
    [own_ordinal("", None), discovery(), order(), order_replication(), catalog(), catalog_replication()]
        .into_iter()
        .flatten()
        .map(|setting| setting.env().to_owned())
        .chain(others.map(str::to_owned))
}

/// Offsets from the port base.
const CATALOG: u16 = 20;
const CATALOG2: u16 = 21;
/// Order replica 4 has the ports at offsets 22 and 23, replica 5 the next two.
const EXTRA_ORDERS: u16 = 14;

const LOOPBACK: &str = "127.0.0.1";

fn local(port: u16) -> Address {
    Address::new(LOOPBACK, port)
}

impl Default for StoreLayout {
    /// The store of `toystore up`: well-known ports, files in `./data`.
    fn default() -> Self {
        Self::new("data", PortBase::fixed(WELL_KNOWN_BASE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_layout_has_the_well_known_ports() {
        let layout = StoreLayout::default().with_frontends(2);
        let port = |member| layout.internal(member).to_string();
        assert_eq!(layout.public(1).to_string(), "127.0.0.1:1110");
        assert_eq!(port(StoreMember::Frontend(1)), "127.0.0.1:1111");
        assert_eq!(layout.public(2).to_string(), "127.0.0.1:1112");
        assert_eq!(port(StoreMember::Order(Ordinal(1))), "127.0.0.1:1121");
        assert_eq!(layout.order2_port(Ordinal(3)), 1126);
        assert_eq!(port(StoreMember::Catalog), "127.0.0.1:1130");
        assert_eq!(port(StoreMember::Order(Ordinal(5))), "127.0.0.1:1134");
    }

    #[test]
    fn variables_of_another_store_do_not_reach_the_members() {
        let layout = StoreLayout::default().with_catalog_file("mine.csv".into());
        let variable = |member, name: &str| {
            let command = layout.command(Path::new("toystore"), member);
            let mut variables = command.as_std().get_envs();
            variables.find(|(key, _)| *key == name).map(|(_, value)| value.map(std::borrow::ToOwned::to_owned))
        };
        for name in ["COMPONENT_ID", "POD_NAME", "DISCOVERY", "CATALOG_REPLICAS", "CATALOG_PORT_2", "ORDER_REPLICAS"] {
            assert_eq!(variable(StoreMember::Catalog, name), Some(None), "{name} is removed from the environment");
        }
        assert_eq!(variable(StoreMember::Order(Ordinal(2)), "COMPONENT_ID"), Some(Some("2".into())));
        assert_eq!(variable(StoreMember::Catalog, "CATALOG_FILE"), Some(Some("mine.csv".into())));
    }

    #[test]
    fn only_the_caller_sees_a_redirected_port() {
        let layout = StoreLayout::default();
        let (catalog, order, frontend) =
            (StoreMember::Catalog, StoreMember::Order(Ordinal(2)), StoreMember::Frontend(1));
        let links = layout.links();
        let redirected =
            links.iter().zip(40_000..).fold(layout, |layout, (link, port)| layout.with_redirect(*link, port));
        let variable = |member, name: &str| {
            let command = redirected.command(Path::new("toystore"), member);
            let value = command.as_std().get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
            value.and_then(|value| value.to_str()?.parse::<u16>().ok()).unwrap()
        };
        let redirect = |from, to, port| {
            40_000 + u16::try_from(links.iter().position(|it| *it == Link { from, to, port }).unwrap()).unwrap()
        };
        assert_eq!(variable(order, "ORDER2_PORT_2"), 1125, "its own port is not redirected");
        assert_eq!(variable(order, "ORDER2_PORT_1"), redirect(order, StoreMember::Order(Ordinal(1)), 1124));
        assert_eq!(variable(order, "CATALOG_PORT"), redirect(order, catalog, 1130));
        assert_eq!(variable(catalog, "CATALOG_PORT"), 1130);
        assert_eq!(variable(frontend, "ORDER_PORT_2"), redirect(frontend, order, 1122));
        assert_eq!(
            (variable(frontend, "FRONT_PORT"), variable(frontend, "FRONT_PORT_ADVERTISED")),
            (1111, redirect(catalog, frontend, 1111))
        );
    }

    #[test]
    fn members_start_with_the_catalog_and_end_with_the_frontend() {
        let names: Vec<_> = StoreLayout::default().members().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["catalog", "order-1", "order-2", "order-3", "frontend"]);
    }
}
