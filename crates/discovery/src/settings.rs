//! The settings that say where replicas are: one table and one parser for all services.
//!
//! `DISCOVERY` says which of them are used. `kubernetes` uses `POD_NAMESPACE`, `ORDER_SERVICE`,
//! `CATALOG_SERVICE`, and `POD_NAME` for a replica. `ORDER_REPLICAS` and `CATALOG_REPLICAS` then
//! only say how many replicas bootstrap a group; later replicas have higher ordinals. `static` uses
//! these addresses, where *n* is an ordinal:
//!
//! * Order: the internal API on `ORDER_HOST_n:ORDER_PORT_n` (127.0.0.1, 1121 …), replication on
//!   `ORDER_HOST_n:ORDER2_PORT_n` (127.0.0.1, 1124 …). There are `ORDER_REPLICAS` (3) replicas at
//!   first, and addresses for `ORDER_SEATS`.
//! * Catalog with one replica: `CATALOG_HOST:CATALOG_PORT` (127.0.0.1, 1130) and
//!   `CATALOG_HOST:CATALOG2_PORT` (127.0.0.1, 1131).
//! * Catalog with more replicas: `CATALOG_HOST_n:CATALOG_PORT_n` and
//!   `CATALOG_HOST_n:CATALOG2_PORT_n`, without defaults.
//!
//! Mistakes are recorded in [`Values`]: a missing value, an invalid port, the same address twice,
//! or an even number of replicas. (An even group tolerates no more failures than the next smaller
//! odd one, and needs larger majorities.)

use std::collections::BTreeMap;

use api::replica::Replicas;
use api::{Address, Ordinal};
use service::settings::{Setting, Values};

/// The largest number of replicas of a group.
pub const REPLICAS_MAX: u8 = api::replica::MEMBERS_MAX;

/// How many ordinals have a default address.
const DEFAULT_ADDRESSES: u8 = 3;

/// `DISCOVERY`, `POD_NAMESPACE` and `KUBECONFIG`, beside [`order()`] and [`catalog()`].
pub fn discovery() -> Vec<Setting> {
    vec![
        Setting::new(
            "DISCOVERY",
            "static",
            "How to find replicas: static (the hosts and ports below) or kubernetes (EndpointSlices from the Kubernetes API)",
        ),
        Setting::optional("POD_NAMESPACE", "With DISCOVERY=kubernetes: the namespace of the services"),
        Setting::optional(
            "KUBECONFIG",
            "With DISCOVERY=kubernetes: the kubeconfig file for the Kubernetes API [default: the pod's service account]",
        ),
    ]
}

/// `COMPONENT_ID` and `POD_NAME`: the ordinal of this replica of `group`, or `default` if neither
/// is set.
pub fn own_ordinal(group: &str, default: Option<Ordinal>) -> Vec<Setting> {
    let default = default.map(|ordinal| format!("; else {ordinal}")).unwrap_or_default();
    vec![
        Setting::optional(
            "COMPONENT_ID",
            format!("The ordinal of this {group} replica: 1, 2, 3 … [default: from POD_NAME, if it is set{default}]"),
        ),
        Setting::optional(
            "POD_NAME",
            "With DISCOVERY=kubernetes: this pod's name; the number at its end determines the ordinal: …-0 has ordinal 1",
        ),
    ]
}

/// `ORDER_REPLICAS`, `ORDER_SEATS`, `ORDER_SERVICE`, `ORDER_HOST_n`, `ORDER_PORT_n`.
pub fn order() -> Vec<Setting> {
    let mut settings = vec![
        Setting::new("ORDER_REPLICAS", "3", "Number of order replicas that bootstrap the group: 1, 3 or 5"),
        Setting::optional(
            "ORDER_SEATS",
            "Number of order replicas with an address; those beyond ORDER_REPLICAS can join and leave [default: ORDER_REPLICAS]",
        ),
        Setting::optional("ORDER_SERVICE", "With DISCOVERY=kubernetes: the headless service of the order replicas"),
    ];
    settings.extend(hosts("ORDER_HOST", "order", Some("127.0.0.1")));
    settings.extend(ports("ORDER_PORT", "Port of order replica", Some(1121)));
    settings
}

/// `ORDER2_PORT_n`, beside [`order()`].
pub fn order_replication() -> Vec<Setting> {
    ports("ORDER2_PORT", "Replication port of order replica", Some(1124)).collect()
}

/// `CATALOG_REPLICAS`, `CATALOG_SERVICE`, `CATALOG_HOST`, `CATALOG_PORT`, `CATALOG_HOST_n`,
/// `CATALOG_PORT_n`.
pub fn catalog() -> Vec<Setting> {
    let mut settings = vec![
        Setting::new("CATALOG_REPLICAS", "1", "Number of catalog replicas: 1, 3 or 5"),
        Setting::optional("CATALOG_SERVICE", "With DISCOVERY=kubernetes: the headless service of the catalog replicas"),
        Setting::new("CATALOG_HOST", "127.0.0.1", "Host of the only catalog replica"),
        Setting::new("CATALOG_PORT", "1130", "Port of the only catalog replica"),
    ];
    settings.extend(hosts("CATALOG_HOST", "catalog", None));
    settings.extend(ports("CATALOG_PORT", "Port of catalog replica", None));
    settings
}

/// `CATALOG2_PORT`, `CATALOG2_PORT_n`, beside [`catalog()`].
pub fn catalog_replication() -> Vec<Setting> {
    let mut settings = vec![Setting::new("CATALOG2_PORT", "1131", "Replication port of the only catalog replica")];
    settings.extend(ports("CATALOG2_PORT", "Replication port of catalog replica", None));
    settings
}

/// `FRONTEND_ADDRESSES` and `FRONTEND_SERVICE`.
pub fn frontends() -> Vec<Setting> {
    vec![
        Setting::new(
            "FRONTEND_ADDRESSES",
            "127.0.0.1:1111",
            "The frontends' internal ports (FRONT_PORT), as host:port, separated by commas",
        ),
        Setting::optional(
            "FRONTEND_SERVICE",
            "With DISCOVERY=kubernetes: the headless service of the frontends' internal ports",
        ),
    ]
}

/// The frontends' internal ports by name: `frontend`, `frontend-2` …
pub(crate) fn frontend_addresses(values: &mut Values) -> Option<BTreeMap<String, Address>> {
    let list = values.required::<String>("FRONTEND_ADDRESSES")?;
    let mut found = BTreeMap::new();
    for (text, n) in list.split(',').map(str::trim).zip(1..) {
        match Address::try_from(text.to_owned()) {
            Ok(address) => {
                let name = if n == 1 { "frontend".to_owned() } else { format!("frontend-{n}") };
                found.insert(name, address);
            }
            Err(wrong) => {
                let name = values.name("FRONTEND_ADDRESSES");
                values.mistake(format!("{name} has {text:?}: {wrong}"));
            }
        }
    }
    Some(found)
}

/// How many order replicas bootstrap the group.
pub fn order_bootstrap_size(values: &mut Values) -> Option<usize> {
    replicas(values, "ORDER_REPLICAS").map(usize::from)
}

/// How many catalog replicas bootstrap the group.
pub fn catalog_bootstrap_size(values: &mut Values) -> Option<usize> {
    replicas(values, "CATALOG_REPLICAS").map(usize::from)
}

/// The addresses of the order replicas' internal APIs, including replicas that can join later.
pub(crate) fn order_replicas(values: &mut Values) -> Option<Replicas> {
    let all = order_ordinals_max(values)?;
    addresses(values, all, "ORDER_HOST", "ORDER_PORT")
}

/// The addresses on which the order replicas replicate. Needs [`order_replication()`].
pub(crate) fn order_peers(values: &mut Values) -> Option<Replicas> {
    let all = order_ordinals_max(values)?;
    addresses(values, all, "ORDER_HOST", "ORDER2_PORT")
}

fn order_ordinals_max(values: &mut Values) -> Option<u8> {
    let initial = replicas(values, "ORDER_REPLICAS")?;
    match values.optional::<u8>("ORDER_SEATS") {
        None => Some(initial),
        Some(all) if (initial..=REPLICAS_MAX).contains(&all) => Some(all),
        Some(all) => {
            let name = values.name("ORDER_SEATS");
            values.mistake(format!("{name} is {all}: it must be from ORDER_REPLICAS ({initial}) to {REPLICAS_MAX}"));
            None
        }
    }
}

/// The addresses of the catalog replicas' internal APIs.
pub(crate) fn catalog_replicas(values: &mut Values) -> Option<Replicas> {
    catalog_addresses(values, "CATALOG_PORT")
}

/// The addresses on which the catalog replicas replicate. Needs [`catalog_replication()`].
pub(crate) fn catalog_peers(values: &mut Values) -> Option<Replicas> {
    catalog_addresses(values, "CATALOG2_PORT")
}

fn catalog_addresses(values: &mut Values, port: &str) -> Option<Replicas> {
    match replicas(values, "CATALOG_REPLICAS")? {
        1 => {
            let (host, port) = (values.required::<String>("CATALOG_HOST"), values.within::<u16>(port, 1..=u16::MAX));
            Some(BTreeMap::from([(Ordinal(1), Address::new(&host?, port?))]))
        }
        more => addresses(values, more, "CATALOG_HOST", port),
    }
}

fn replicas(values: &mut Values, env: &str) -> Option<u8> {
    let replicas = values.within::<u8>(env, 1..=REPLICAS_MAX)?;
    if replicas % 2 == 0 {
        let name = values.name(env);
        values.mistake(format!(
            "{name} is {replicas}: it must be odd, because a group of {replicas} tolerates no more failures than a group of {}",
            replicas - 1
        ));
    }
    // The addresses are still read, so that their mistakes are reported too.
    Some(replicas)
}

/// The addresses of the replicas 1 to `replicas`. Every mistake in them is recorded.
fn addresses(values: &mut Values, replicas: u8, host: &str, port: &str) -> Option<Replicas> {
    let entries: Vec<_> = (1..=replicas)
        .map(|n| {
            (n, values.required::<String>(&numbered(host, n)), values.within::<u16>(&numbered(port, n), 1..=u16::MAX))
        })
        .collect();
    let mut found = Replicas::new();
    for (n, host, number) in entries {
        let address = Address::new(&host?, number?);
        if let Some((other, _)) = found.iter().find(|(_, known)| **known == address) {
            let (name, other) = (values.name(&numbered(port, n)), values.name(&numbered(port, other.0)));
            values.mistake(format!(
                "{name} and {other} are the same address, {address}: every replica needs an address of its own"
            ));
            return None;
        }
        found.insert(Ordinal(n), address);
    }
    Some(found)
}

fn hosts(prefix: &'static str, group: &str, default: Option<&'static str>) -> impl Iterator<Item = Setting> {
    (1..=REPLICAS_MAX).map(move |n| {
        let help = format!("Host of {group} replica {n}");
        match default.filter(|_| n <= DEFAULT_ADDRESSES) {
            Some(default) => Setting::new(numbered(prefix, n), default, help),
            None => Setting::optional(numbered(prefix, n), help),
        }
    })
}

fn ports(prefix: &'static str, what: &'static str, first: Option<u16>) -> impl Iterator<Item = Setting> {
    (1..=REPLICAS_MAX).map(move |n| {
        let help = format!("{what} {n}");
        match first.filter(|_| n <= DEFAULT_ADDRESSES) {
            Some(first) => Setting::new(numbered(prefix, n), (first + u16::from(n) - 1).to_string(), help),
            None => Setting::optional(numbered(prefix, n), help),
        }
    })
}

fn numbered(prefix: &str, n: u8) -> String {
    format!("{prefix}_{n}")
}

#[cfg(test)]
mod tests {
    use service::settings::{Mistakes, command};

    use super::*;

    fn read<T>(args: &[&str], read: impl FnOnce(&mut Values) -> Option<T>) -> Result<T, Mistakes> {
        let settings = [order(), order_replication(), catalog(), catalog_replication()].concat();
        let matches = command("x", "y", &settings).try_get_matches_from([&["x"], args].concat()).unwrap();
        let mut values = Values::read(&settings, &matches, &BTreeMap::new());
        let value = read(&mut values);
        values.finish(value)
    }

    fn listed(replicas: &Replicas) -> Vec<(u8, &str)> {
        replicas.iter().map(|(ordinal, address)| (ordinal.0, address.as_str())).collect()
    }

    #[test]
    fn the_well_known_ports_are_the_defaults() {
        let orders = read(&[], order_replicas).unwrap();
        assert_eq!(listed(&orders), [(1, "127.0.0.1:1121"), (2, "127.0.0.1:1122"), (3, "127.0.0.1:1123")]);
        let peers = read(&["--order-replicas", "1"], order_peers).unwrap();
        assert_eq!(listed(&peers), [(1, "127.0.0.1:1124")]);
        assert_eq!(listed(&read(&[], catalog_replicas).unwrap()), [(1, "127.0.0.1:1130")]);
        assert_eq!(listed(&read(&[], catalog_peers).unwrap()), [(1, "127.0.0.1:1131")]);
    }

    #[test]
    fn replicas_that_can_join_later_have_addresses_too() {
        let args = ["--order-seats=4", "--order-host-4=d", "--order-port-4=4"];
        let orders = read(&args, order_replicas).unwrap();
        assert_eq!((orders.len(), orders[&Ordinal(4)].as_str()), (4, "d:4"));
        assert_eq!(read(&args, order_bootstrap_size).unwrap(), 3);
    }

    #[test]
    fn a_catalog_of_three_has_an_address_per_replica() {
        let args = [
            "--catalog-replicas=3",
            "--catalog-host-1=a",
            "--catalog-host-2=a",
            "--catalog-host-3=b",
            "--catalog-port-1=1",
            "--catalog-port-2=2",
            "--catalog-port-3=1",
        ];
        assert_eq!(listed(&read(&args, catalog_replicas).unwrap()), [(1, "a:1"), (2, "a:2"), (3, "b:1")]);
    }

    #[test]
    fn frontends_are_named_in_their_order() {
        let settings = frontends();
        let read = |list: &str| {
            let matches =
                command("x", "y", &settings).try_get_matches_from(["x", "--frontend-addresses", list]).unwrap();
            let mut values = Values::read(&settings, &matches, &BTreeMap::new());
            let found = frontend_addresses(&mut values);
            values.finish(found)
        };
        let names: Vec<_> = read("a:1, b:2").unwrap().into_iter().map(|(name, at)| format!("{name} {at}")).collect();
        assert_eq!(names, ["frontend a:1", "frontend-2 b:2"]);
        assert_eq!(read("a:1,b,").unwrap_err().0.len(), 2);
    }

    #[test]
    fn every_missing_or_malformed_address_is_named() {
        let args = ["--order-replicas=5", "--order-port-2=x", "--order-host-4=there"];
        let mistakes = read(&args, order_replicas).unwrap_err().0;
        let expected = ["ORDER_PORT_2 (--order-port-2) is \"x\"", "ORDER_PORT_4 (", "ORDER_HOST_5 (", "ORDER_PORT_5 ("];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:?}");
        for (mistake, expected) in mistakes.iter().zip(expected) {
            assert!(mistake.starts_with(expected), "{mistake} does not start with {expected}");
        }
    }

    #[test]
    fn one_address_cannot_be_two_replicas_and_a_group_is_odd() {
        let twins = read(&["--order-port-3=1121"], order_replicas).unwrap_err().0;
        assert!(twins[0].contains("the same address, 127.0.0.1:1121"), "{twins:?}");
        let few = read(&["--order-seats=2"], order_replicas).unwrap_err().0;
        assert!(few[0].contains("from ORDER_REPLICAS (3) to 5"), "{few:?}");
        let even = read(&["--order-replicas=2"], order_replicas).unwrap_err().0;
        assert!(even[0].contains("it must be odd"), "{even:?}");
    }
}
