//! The catalog's settings.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use api::replica::Replicas;
use api::{Ordinal, Product, Stock};
use discovery::{Discovery, settings as lists};
use replication::StorageConfig;
use service::Token;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use service::trace::TraceConfig;
use tokio::sync::watch;

use crate::restock::Restock;
use crate::seed::{self, PIECES_MAX};

/// Shorter, and renewals (at a third of it) would come too close to a hiccup of the network.
const LEASE_MS_MIN: u64 = 100;
/// Longer, and whoever waits for a lease to run out would give up first: an order leader asks again after 3 s.
const LEASE_MS_MAX: u64 = 2000;
/// A day.
const RESTOCK_INTERVAL_MS_MAX: u64 = 86_400_000;

/// The seat of a catalog that is told nothing.
const ONLY: Ordinal = Ordinal(1);

/// The table of a catalog process.
pub fn settings() -> Vec<Setting> {
    let own = vec![
        Setting::new(
            "CATALOG_FILE",
            "data/catalog.csv",
            "The first products (name,price,quantity); made if it is not there, ignored once there is stock",
        ),
        Setting::optional("CATALOG_DATA_DIR", "Where the stock's log lies [default: data/catalog{COMPONENT_ID}]"),
        Setting::new("RESTOCK_INTERVAL_MS", "10000", "How often sold-out products are restocked; 0 is never"),
        Setting::new("RESTOCK_LEVEL", "100", "Pieces that a sold-out product comes back to"),
        Setting::new("LEASE_MS", "1000", "How long a frontend may serve from its cache without asking again"),
        Setting::new("BIND_HOST", "0.0.0.0", "Address on which both ports listen"),
        Setting::optional("INTERNAL_TOKEN", "Secret that the internal ports want"),
    ];
    let groups = [lists::discovery(), lists::catalog(), lists::catalog_replication()];
    let own = [lists::own_seat("catalog", Some(ONLY)), own, StorageConfig::settings()].concat();
    [own, groups.concat(), LogConfig::settings(), TraceConfig::settings()].concat()
}

/// The first products, as far as they are known before the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seed {
    /// Read from the file.
    Products(Vec<Product>),
    /// There is no such file: it is made at the start, with the [initial](crate::seed::initial) products.
    Missing(PathBuf),
}

/// What one catalog replica is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its seat.
    pub ordinal: Ordinal,
    /// How many replicas found the group.
    pub founders: usize,
    /// The replication addresses, its own included.
    pub peers: watch::Receiver<Replicas>,
    /// What fills that list.
    pub discovery: Discovery,
    /// Address to listen on.
    pub bind_host: IpAddr,
    /// The service's port; 0 lets the OS pick.
    pub port: u16,
    /// The replication port; 0 lets the OS pick.
    pub replication_port: u16,
    /// Where log and state lie.
    pub data_dir: PathBuf,
    /// The first products.
    pub seed: Seed,
    /// How often sold-out products come back, and to how many pieces.
    pub restock: Restock,
    /// How long a frontend may serve from its cache without asking again.
    pub lease: Duration,
    /// Checkpoints, and the room on the disks.
    pub storage: StorageConfig,
    /// The secret of the internal ports.
    pub token: Option<Token>,
}

impl Config {
    /// Takes the settings' values; what is wrong, also within the seed file, is noted there. `LogConfig` is the binary's to read.
    pub fn read(values: &mut Values) -> Option<Self> {
        let mut discovery = Discovery::read(values);
        let places = Places::read(values, &mut discovery);
        let seed = values.required::<PathBuf>("CATALOG_FILE").and_then(|path| read_seed(values, path));
        let data_dir = values.optional::<PathBuf>("CATALOG_DATA_DIR");
        let restock = read_restock(values);
        let lease = values.within("LEASE_MS", LEASE_MS_MIN..=LEASE_MS_MAX).map(Duration::from_millis);
        let storage = StorageConfig::read(values);
        let bind_host = values.required("BIND_HOST");
        let token = values.optional("INTERNAL_TOKEN");
        let Places { ordinal, founders, peers, port, replication_port } = places?;
        Some(Self {
            ordinal,
            founders,
            peers,
            discovery,
            bind_host: bind_host?,
            port,
            replication_port,
            data_dir: data_dir.unwrap_or_else(|| format!("data/catalog{ordinal}").into()),
            seed: seed?,
            restock: restock?,
            lease: lease?,
            storage: storage?,
            token,
        })
    }
}

/// Where this replica and its peers are.
struct Places {
    ordinal: Ordinal,
    founders: usize,
    peers: watch::Receiver<Replicas>,
    port: u16,
    replication_port: u16,
}

impl Places {
    fn read(values: &mut Values, discovery: &mut Discovery) -> Option<Self> {
        let replicas = discovery.catalog_replicas(values);
        let peers = replicas.is_some().then(|| discovery.catalog_peers(values)).flatten();
        let ordinal = discovery.seat(values, Some(ONLY));
        let founders = lists::catalog_founders(values);
        let (ordinal, founders, replicas, peers) = (ordinal?, founders?, replicas?, peers?);
        if discovery.is_static() && !agree(values, ordinal, &replicas.borrow(), &peers.borrow()) {
            return None;
        }
        let several = discovery.is_static() && founders > 1;
        let seat = |prefix: &str| if several { format!("{prefix}_{ordinal}") } else { prefix.to_owned() };
        let port = values.within(&seat("CATALOG_PORT"), 1..=u16::MAX)?;
        let replication_port = values.within(&seat("CATALOG2_PORT"), 1..=u16::MAX)?;
        if port == replication_port {
            let (one, other) = (values.name(&seat("CATALOG_PORT")), values.name(&seat("CATALOG2_PORT")));
            values.mistake(format!("{one} and {other} are the same port"));
        }
        Some(Self { ordinal, founders, peers, port, replication_port })
    }
}

/// Whether static lists can be true: this seat is on them, and no address is on both.
fn agree(values: &mut Values, ordinal: Ordinal, replicas: &Replicas, peers: &Replicas) -> bool {
    if !replicas.contains_key(&ordinal) {
        let (id, count) = (values.name("COMPONENT_ID"), values.name("CATALOG_REPLICAS"));
        values.mistake(format!("{id} is {ordinal}, but {count} is {}", replicas.len()));
        return false;
    }
    for (seat, address) in replicas {
        if let Some((peer, _)) = peers.iter().find(|(_, peer)| *peer == address) {
            values.mistake(format!(
                "{address} is both the service address of catalog replica {seat} and the replication address of {peer}"
            ));
            return false;
        }
    }
    true
}

fn read_seed(values: &mut Values, path: PathBuf) -> Option<Seed> {
    match seed::read(&path) {
        Ok(products) => Some(Seed::Products(products)),
        Err(error) if error.kind() == Some(std::io::ErrorKind::NotFound) => Some(Seed::Missing(path)),
        Err(error) => {
            let name = values.name("CATALOG_FILE");
            error.mistakes().into_iter().for_each(|mistake| values.mistake(format!("{name}: {mistake}")));
            None
        }
    }
}

fn read_restock(values: &mut Values) -> Option<Restock> {
    let interval_ms = values.within("RESTOCK_INTERVAL_MS", 0..=RESTOCK_INTERVAL_MS_MAX);
    let level = values.within("RESTOCK_LEVEL", 1..=PIECES_MAX);
    Some(Restock { interval: Duration::from_millis(interval_ms?), level: Stock(level?) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use service::settings::{Mistakes, command};

    use super::*;

    fn read(file: &Path, args: &[&str]) -> Result<Config, Mistakes> {
        let settings = settings();
        let file = ["--catalog-file", file.to_str().unwrap()];
        let matches =
            command("catalog", "x", &settings).try_get_matches_from([&["x"], &file[..], args].concat()).unwrap();
        let mut values = Values::read(&settings, &matches, &BTreeMap::new());
        let config = Config::read(&mut values);
        values.finish(config)
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn without_a_word_it_is_one_replica_on_the_well_known_ports() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("catalog.csv");
        let config = read(&missing, &[]).unwrap();
        assert_eq!(
            (config.ordinal, config.founders, config.port, config.replication_port),
            (Ordinal(1), 1, 1130, 1131)
        );
        assert_eq!(config.data_dir, Path::new("data/catalog1"));
        assert_eq!(config.seed, Seed::Missing(missing));
        assert_eq!(config.restock, Restock { interval: Duration::from_secs(10), level: Stock(100) });
        assert_eq!(config.lease, Duration::from_secs(1));
    }

    #[test]
    fn one_of_three_listens_on_its_own_ports() {
        let file = file("name,price,quantity\nTux,1,1\n");
        let args = [
            "--catalog-replicas=3",
            "--component-id=2",
            "--catalog-host-1=a",
            "--catalog-host-2=b",
            "--catalog-host-3=c",
            "--catalog-port-1=1",
            "--catalog-port-2=2",
            "--catalog-port-3=3",
            "--catalog2-port-1=4",
            "--catalog2-port-2=5",
            "--catalog2-port-3=6",
        ];
        let config = read(file.path(), &args).unwrap();
        assert_eq!((config.ordinal, config.founders, config.port, config.replication_port), (Ordinal(2), 3, 2, 5));
        assert_eq!(config.peers.borrow()[&Ordinal(3)].as_str(), "c:6");
        assert!(matches!(config.seed, Seed::Products(products) if products.len() == 1));
    }

    #[test]
    fn all_mistakes_are_told_at_once_those_in_the_file_too() {
        let file = file("name,price,colour\nTux,-1,red\n");
        let args = ["--component-id=2", "--lease-ms=5", "--restock-level=0", "--bind-host=here", "--internal-token=x"];
        let mistakes = read(file.path(), &args).unwrap_err().0;
        let expected = [
            "COMPONENT_ID (--component-id) is 2, but CATALOG_REPLICAS (--catalog-replicas) is 1",
            "unknown column \"colour\"",
            "column \"quantity\" is missing",
            "RESTOCK_LEVEL (--restock-level) is 0",
            "LEASE_MS (--lease-ms) is 5",
            "BIND_HOST (--bind-host) is \"here\"",
            "INTERNAL_TOKEN (--internal-token) is \"x\"",
        ];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
        for (mistake, expected) in mistakes.iter().zip(expected) {
            assert!(mistake.contains(expected), "{mistake} does not contain {expected}");
        }
    }

    #[test]
    fn the_two_ports_differ() {
        let file = file("name,price,quantity\nTux,1,1\n");
        let mistakes = read(file.path(), &["--catalog2-port=1130"]).unwrap_err().0;
        assert!(mistakes[0].contains("both the service address"), "{mistakes:?}");
    }
}
