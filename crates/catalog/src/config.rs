//! The settings of a catalog replica.

use std::path::PathBuf;
use std::time::Duration;

use api::replica::Replicas;
use api::{Ordinal, Product, Stock};
use discovery::{Discovery, settings as lists};
use replication::{StorageConfig, is_initialized};
use service::access::Access;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use service::trace::TraceConfig;
use tokio::sync::watch;

use crate::restock::Restock;
use crate::seed::{self, PIECES_MAX};

/// With a shorter lease, renewals (at a third of it) would come too close to a network hiccup.
const LEASE_MS_MIN: u64 = 100;
/// With a longer lease, requests that wait for its expiry would time out first: an order leader
/// retries after 3 s.
const LEASE_MS_MAX: u64 = 2000;
/// One day.
const RESTOCK_INTERVAL_MS_MAX: u64 = 86_400_000;

/// The ordinal of a catalog that is not given one.
const DEFAULT_ORDINAL: Ordinal = Ordinal(1);

/// All settings of `toystore catalog`.
pub fn settings() -> Vec<Setting> {
    let own = vec![
        Setting::new(
            "CATALOG_FILE",
            "data/catalog.csv",
            "CSV file with the initial products (name,price,quantity); created if missing, ignored once the catalog has products",
        ),
        Setting::optional(
            "CATALOG_DATA_DIR",
            "Directory of the log and the state [default: data/catalog<COMPONENT_ID>]",
        ),
        Setting::new("RESTOCK_INTERVAL_MS", "10000", "How often sold-out products are restocked; 0 means never"),
        Setting::new("RESTOCK_LEVEL", "100", "Pieces that a sold-out product is restocked to"),
        Setting::new("LEASE_MS", "250", "How long a frontend may serve from its cache without renewing its lease"),
    ];
    let groups = [lists::discovery(), lists::catalog(), lists::catalog_replication(), lists::order()];
    let own =
        [lists::own_ordinal("catalog", Some(DEFAULT_ORDINAL)), own, Access::settings(), StorageConfig::settings()]
            .concat();
    [own, groups.concat(), LogConfig::settings(), TraceConfig::settings()].concat()
}

/// The first products, as far as they are known before the start. They are used only if this
/// replica leads an empty catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seed {
    /// Read from the file.
    Products(Vec<Product>),
    /// There is no such file: it is created at the start, with the [initial](crate::seed::initial)
    /// products.
    Missing(PathBuf),
    /// The file cannot be used, for these reasons. Most catalogs have their products already and do
    /// not need it.
    Unusable(Vec<String>),
}

/// The configuration of one catalog replica.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its ordinal.
    pub ordinal: Ordinal,
    /// How many replicas bootstrap the group.
    pub bootstrap_size: usize,
    /// The replication addresses of all replicas, including this one.
    pub peers: watch::Receiver<Replicas>,
    /// The addresses of the order replicas: only terms that they have seen are accepted.
    pub orders: watch::Receiver<Replicas>,
    /// Keeps these lists up to date.
    pub discovery: Discovery,
    /// Where the ports listen, and the secret of the internal ports.
    pub access: Access,
    /// The service port; 0 lets the OS choose one.
    pub port: u16,
    /// The replication port; 0 lets the OS choose one.
    pub replication_port: u16,
    /// The directory of log and state.
    pub data_dir: PathBuf,
    /// The first products.
    pub seed: Seed,
    /// How often sold-out products are restocked, and to how many pieces.
    pub restock: Restock,
    /// How long a frontend may serve from its cache without renewing its lease.
    pub lease: Duration,
    /// Checkpoints and disk space.
    pub storage: StorageConfig,
}

impl Config {
    /// Reads the settings' values. Mistakes are recorded in `values`, including those in the seed
    /// file if that file is certain to be used. The binary reads `LogConfig`.
    pub fn read(values: &mut Values) -> Option<Self> {
        let mut discovery = Discovery::read(values);
        let addresses = Addresses::read(values, &mut discovery);
        let orders = discovery.order_replicas(values);
        let data_dir = values.optional::<PathBuf>("CATALOG_DATA_DIR");
        let data_dir = addresses
            .as_ref()
            .map(|Addresses { ordinal, .. }| data_dir.unwrap_or_else(|| format!("data/catalog{ordinal}").into()));
        // With several bootstrap members, this replica may be the only one whose disk is empty.
        let is_first = data_dir.as_ref().is_none_or(|dir| !is_initialized(dir))
            && addresses.as_ref().is_none_or(|addresses| addresses.bootstrap_size == 1);
        let seed = values.required::<PathBuf>("CATALOG_FILE").and_then(|path| read_seed(values, path, is_first));
        let restock = read_restock(values);
        let lease = values.within("LEASE_MS", LEASE_MS_MIN..=LEASE_MS_MAX).map(Duration::from_millis);
        let storage = StorageConfig::read(values);
        let access = Access::read(values);
        let Addresses { ordinal, bootstrap_size, peers, port, replication_port } = addresses?;
        Some(Self {
            ordinal,
            bootstrap_size,
            peers,
            orders: orders?,
            discovery,
            access: access?,
            port,
            replication_port,
            data_dir: data_dir?,
            seed: seed?,
            restock: restock?,
            lease: lease?,
            storage: storage?,
        })
    }
}

/// The ports of this replica and the addresses of its peers.
struct Addresses {
    ordinal: Ordinal,
    bootstrap_size: usize,
    peers: watch::Receiver<Replicas>,
    port: u16,
    replication_port: u16,
}

impl Addresses {
    fn read(values: &mut Values, discovery: &mut Discovery) -> Option<Self> {
        let replicas = discovery.catalog_replicas(values);
        let peers = replicas.is_some().then(|| discovery.catalog_peers(values)).flatten();
        let ordinal = discovery.ordinal(values, Some(DEFAULT_ORDINAL));
        let bootstrap_size = lists::catalog_bootstrap_size(values);
        let (ordinal, bootstrap_size, replicas, peers) = (ordinal?, bootstrap_size?, replicas?, peers?);
        if discovery.is_static() && !are_consistent(values, ordinal, &replicas.borrow(), &peers.borrow()) {
            return None;
        }
        let is_numbered = discovery.is_static() && bootstrap_size > 1;
        let setting = |prefix: &str| if is_numbered { format!("{prefix}_{ordinal}") } else { prefix.to_owned() };
        let port = values.within(&setting("CATALOG_PORT"), 1..=u16::MAX)?;
        let replication_port = values.within(&setting("CATALOG2_PORT"), 1..=u16::MAX)?;
        if port == replication_port {
            let (one, other) = (values.name(&setting("CATALOG_PORT")), values.name(&setting("CATALOG2_PORT")));
            values.mistake(format!("{one} and {other} are the same port"));
        }
        Some(Self { ordinal, bootstrap_size, peers, port, replication_port })
    }
}

/// Whether static lists are consistent: they contain this ordinal, and no address is on both.
fn are_consistent(values: &mut Values, ordinal: Ordinal, replicas: &Replicas, peers: &Replicas) -> bool {
    if !replicas.contains_key(&ordinal) {
        let (id, count) = (values.name("COMPONENT_ID"), values.name("CATALOG_REPLICAS"));
        values.mistake(format!("{id} is {ordinal}, but {count} is {}", replicas.len()));
        return false;
    }
    for (ordinal, address) in replicas {
        if let Some((peer, _)) = peers.iter().find(|(_, peer)| *peer == address) {
            values.mistake(format!(
                "{address} is both the service address of catalog {ordinal} and the replication address of {peer}"
            ));
            return false;
        }
    }
    true
}

/// `is_first`: whether only the file can tell what the products are.
fn read_seed(values: &mut Values, path: PathBuf, is_first: bool) -> Option<Seed> {
    match seed::read(&path) {
        Ok(products) => Some(Seed::Products(products)),
        Err(error) if error.kind() == Some(std::io::ErrorKind::NotFound) => Some(Seed::Missing(path)),
        Err(error) if !is_first => Some(Seed::Unusable(error.mistakes())),
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
    fn the_defaults_are_one_replica_on_the_well_known_ports() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("catalog.csv");
        let config = read(&missing, &[]).unwrap();
        assert_eq!(
            (config.ordinal, config.bootstrap_size, config.port, config.replication_port),
            (Ordinal(1), 1, 1130, 1131)
        );
        assert_eq!(config.data_dir, Path::new("data/catalog1"));
        assert_eq!(config.seed, Seed::Missing(missing));
        assert_eq!(config.restock, Restock { interval: Duration::from_secs(10), level: Stock(100) });
        assert_eq!(config.lease, Duration::from_millis(250));
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
        assert_eq!(
            (config.ordinal, config.bootstrap_size, config.port, config.replication_port),
            (Ordinal(2), 3, 2, 5)
        );
        assert_eq!(config.peers.borrow()[&Ordinal(3)].as_str(), "c:6");
        assert!(matches!(config.seed, Seed::Products(products) if products.len() == 1));
    }

    #[test]
    fn all_mistakes_are_reported_at_once_including_those_in_the_file() {
        let file = file("name,price,color\nTux,-1,red\n");
        let args = ["--component-id=2", "--lease-ms=5", "--restock-level=0", "--bind-host=here", "--internal-token=x"];
        let mistakes = read(file.path(), &args).unwrap_err().0;
        let expected = [
            "COMPONENT_ID (--component-id) is 2, but CATALOG_REPLICAS (--catalog-replicas) is 1",
            "unknown column \"color\"",
            "column \"quantity\" is missing",
            "RESTOCK_LEVEL (--restock-level) is 0",
            "LEASE_MS (--lease-ms) is 5",
            "BIND_HOST (--bind-host) is \"here\"",
            "INTERNAL_TOKEN (--internal-token) must be 8",
        ];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
        for (mistake, expected) in mistakes.iter().zip(expected) {
            assert!(mistake.contains(expected), "{mistake} does not contain {expected}");
        }
    }

    #[test]
    fn mistakes_in_a_file_that_may_be_unused_are_accepted() {
        let (file, data) = (file("name,price,quantity\nTux,-1,1\n"), tempfile::tempdir().unwrap());
        let dir = format!("--catalog-data-dir={}", data.path().display());
        assert!(read(file.path(), &[&dir]).is_err(), "only the file can tell what the products are");
        std::fs::create_dir(data.path().join("log")).unwrap();
        let Seed::Unusable(mistakes) = read(file.path(), &[&dir]).unwrap().seed else { panic!("it is unusable") };
        assert!(mistakes[0].contains("line 2"), "{mistakes:?}");
    }

    #[test]
    fn the_two_ports_differ() {
        let file = file("name,price,quantity\nTux,1,1\n");
        let mistakes = read(file.path(), &["--catalog2-port=1130"]).unwrap_err().0;
        assert!(mistakes[0].contains("both the service address"), "{mistakes:?}");
    }
}
