//! The settings of an order replica.

use std::collections::BTreeMap;
use std::path::PathBuf;

use api::catalog::BATCH_ORDERS_MAX;
use api::replica::Replicas;
use api::{Address, Ordinal};
use discovery::{Discovery, settings as lists};
use replication::StorageConfig;
use service::access::Access;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use service::trace::TraceConfig;
use tokio::sync::watch;

use crate::data_mismatch::DIFFERENCE_SETTING;
use crate::orders::DedupWindow;

/// The most orders that may wait: more than one leader places in a second.
const QUEUE_MAX: usize = 65_536;

/// The configuration of one order replica.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its ordinal, from 1.
    pub ordinal: Ordinal,
    /// How many replicas bootstrap the group: those with the ordinals from 1 to this.
    pub bootstrap_size: usize,
    /// The service addresses of all order replicas, including this one.
    pub replicas: watch::Receiver<Replicas>,
    /// The replication addresses of all order replicas, including this one.
    pub peers: watch::Receiver<Replicas>,
    /// The addresses of the catalog's replicas.
    pub catalog: watch::Receiver<Replicas>,
    /// Keeps these lists up to date.
    pub discovery: Discovery,
    /// Where the ports listen, and the secret of the internal ports.
    pub access: Access,
    /// The service port.
    pub port: u16,
    /// The replication port.
    pub replication_port: u16,
    /// The path of the ledger.
    pub ledger_file: PathBuf,
    /// The directory of all other files.
    pub data_dir: PathBuf,
    /// Checkpoints and disk space.
    pub storage: StorageConfig,
    /// The most orders that may wait for a batch; further orders are refused.
    pub queue_max: usize,
    /// The most orders in one batch, up to 256.
    pub batch_orders_max: usize,
    /// How many of the last orders and refusals are recognized. Not a setting, because the
    /// replicated state depends on it: it must be equal on all replicas.
    pub dedup_window: DedupWindow,
    /// The number of pieces by which the orders may exceed what the catalog knows, after an
    /// operator has deliberately restored older data.
    pub accepted_difference: i64,
}

/// All settings of `toystore order`.
pub fn settings() -> Vec<Setting> {
    let own = vec![
        Setting::optional("ORDER_LOG_FILE", "Path of the ledger, a CSV file [default: data/log<COMPONENT_ID>.csv]"),
        Setting::optional("ORDER_DATA_DIR", "Directory of all other files [default: data/order<COMPONENT_ID>]"),
        Setting::new(
            "ORDER_QUEUE",
            "4096",
            "Maximum number of orders that wait for a batch; further orders are refused",
        ),
        Setting::new("BATCH_SIZE_MAX", "256", "Maximum number of orders in a batch"),
        Setting::new(
            DIFFERENCE_SETTING,
            "0",
            "Pieces of orders that the catalog may be missing, after an older copy of its data was restored on purpose",
        ),
        Setting::new("ORDER_PORT", "1121", "With DISCOVERY=kubernetes: service port of this replica"),
        Setting::new("ORDER2_PORT", "1124", "With DISCOVERY=kubernetes: replication port of this replica"),
    ];
    let groups = [lists::discovery(), lists::order(), lists::order_replication(), lists::catalog()];
    let own = [lists::own_ordinal("order", None), own, Access::settings(), StorageConfig::settings()].concat();
    [own, groups.concat(), LogConfig::settings(), TraceConfig::settings()].concat()
}

impl Config {
    /// Reads the settings' values; every mistake is recorded in `values`.
    pub fn read(values: &mut Values) -> Option<Self> {
        let mut discovery = Discovery::read(values);
        let ordinal = discovery.ordinal(values, None);
        let bootstrap_size = lists::order_bootstrap_size(values);
        let replicas = discovery.order_replicas(values);
        let peers = discovery.order_peers(values);
        let catalog = discovery.catalog_replicas(values);
        let ports = ordinal.map(|ordinal| ports(values, &discovery, ordinal));
        let ledger_file = values.optional::<PathBuf>("ORDER_LOG_FILE");
        let data_dir = values.optional::<PathBuf>("ORDER_DATA_DIR");
        let storage = StorageConfig::read(values);
        let queue_max = values.within("ORDER_QUEUE", 1..=QUEUE_MAX);
        let batch_orders_max = values.within("BATCH_SIZE_MAX", 1..=BATCH_ORDERS_MAX);
        let accepted_difference = values.required(DIFFERENCE_SETTING);
        let access = Access::read(values);

        let (ordinal, replicas, peers, catalog) = (ordinal?, replicas?, peers?, catalog?);
        if discovery.is_static() {
            note_contradictions(values, ordinal, &replicas.borrow(), &peers.borrow(), &catalog.borrow());
        }
        let (port, replication_port) = ports?;
        Some(Self {
            ordinal,
            bootstrap_size: bootstrap_size?,
            replicas,
            peers,
            catalog,
            discovery,
            access: access?,
            port: port?,
            replication_port: replication_port?,
            ledger_file: ledger_file.unwrap_or_else(|| format!("data/log{ordinal}.csv").into()),
            data_dir: data_dir.unwrap_or_else(|| format!("data/order{ordinal}").into()),
            storage: storage?,
            queue_max: queue_max?,
            batch_orders_max: batch_orders_max?,
            dedup_window: DedupWindow::default(),
            accepted_difference: accepted_difference?,
        })
    }
}

impl Config {
    /// The directories that it writes to; ledger and log may be on different disks. Each of them
    /// exists or can be created.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let ledger_dir = self.ledger_file.parent().filter(|dir| !dir.as_os_str().is_empty());
        vec![self.data_dir.clone(), ledger_dir.map_or_else(|| PathBuf::from("."), PathBuf::from)]
    }
}

/// The ports to listen on: this replica's own from the static lists, or those that all pods share.
fn ports(values: &mut Values, discovery: &Discovery, ordinal: Ordinal) -> (Option<u16>, Option<u16>) {
    if discovery.is_static() {
        return (values.optional(&format!("ORDER_PORT_{ordinal}")), values.optional(&format!("ORDER2_PORT_{ordinal}")));
    }
    let port = values.within("ORDER_PORT", 1..=u16::MAX);
    let replication_port = values.within("ORDER2_PORT", 1..=u16::MAX);
    if port.is_some() && port == replication_port {
        let (one, other) = (values.name("ORDER_PORT"), values.name("ORDER2_PORT"));
        values.mistake(format!("{one} and {other} are the same port"));
    }
    (port, replication_port)
}

/// Records contradictions in static lists: an ordinal that none of them has, or one address for two
/// services. (Duplicates within one list are found where the list is read.)
fn note_contradictions(
    values: &mut Values,
    ordinal: Ordinal,
    replicas: &Replicas,
    peers: &Replicas,
    catalog: &Replicas,
) {
    let mut owners: BTreeMap<&Address, String> = BTreeMap::new();
    for (list, replicas) in [("order", replicas), ("order replication", peers), ("catalog", catalog)] {
        for (ordinal, address) in replicas {
            let owner = format!("{list} {ordinal}");
            if let Some(other) = owners.insert(address, owner.clone()) {
                values.mistake(format!("{other} and {owner} have the same address, {address}"));
            }
        }
    }
    if !replicas.contains_key(&ordinal) {
        let (id, count) = (values.name("COMPONENT_ID"), values.name("ORDER_REPLICAS"));
        values.mistake(format!("{id} is {ordinal}, but {count} is {}", replicas.len()));
    }
}

#[cfg(test)]
mod tests;
