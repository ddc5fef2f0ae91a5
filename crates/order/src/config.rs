//! The service's settings.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use api::replica::Replicas;
use api::{Address, Ordinal};
use discovery::{Discovery, settings as lists};
use replication::StorageConfig;
use service::Token;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use service::trace::TraceConfig;
use tokio::sync::watch;

use crate::pipeline::BATCH_ORDERS_MAX;

/// The most orders that may wait: more than a second's worth of what one leader places.
const QUEUE_MAX: usize = 65_536;

/// What one order replica is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its seat, from 1.
    pub ordinal: Ordinal,
    /// How many replicas found the group: the seats 1 to this.
    pub founders: usize,
    /// Where the replicas' services are, this one's included.
    pub replicas: watch::Receiver<Replicas>,
    /// Where they replicate, this one's included.
    pub peers: watch::Receiver<Replicas>,
    /// Where the catalog's replicas are.
    pub catalog: watch::Receiver<Replicas>,
    /// What fills these lists.
    pub discovery: Discovery,
    /// The interface to bind.
    pub bind_host: IpAddr,
    /// The service's port.
    pub port: u16,
    /// The replication port.
    pub replication_port: u16,
    /// The ledger.
    pub ledger_file: PathBuf,
    /// Everything else that is kept.
    pub data_dir: PathBuf,
    /// Checkpoints, and the room on the disks.
    pub storage: StorageConfig,
    /// Orders that may wait for a batch; more are refused.
    pub queue_max: usize,
    /// Orders in one batch, at most 256.
    pub batch_orders_max: usize,
    /// The secret of the internal ports, if there is one.
    pub token: Option<Token>,
}

/// All settings of `toystore order`.
pub fn settings() -> Vec<Setting> {
    let own = vec![
        Setting::optional("ORDER_LOG_FILE", "The ledger, a CSV file [default: data/log<COMPONENT_ID>.csv]"),
        Setting::optional("ORDER_DATA_DIR", "Directory of everything else [default: data/order<COMPONENT_ID>]"),
        Setting::new("ORDER_QUEUE", "4096", "Orders that may wait for a batch; more are refused"),
        Setting::new("BATCH_SIZE_MAX", "256", "Orders in one batch"),
        Setting::new("BIND_HOST", "0.0.0.0", "Address that the ports are bound to"),
        Setting::optional("INTERNAL_TOKEN", "Secret that the internal ports ask for"),
        Setting::new("ORDER_PORT", "1121", "With DISCOVERY=kubernetes: port of this replica"),
        Setting::new("ORDER2_PORT", "1124", "With DISCOVERY=kubernetes: replication port of this replica"),
    ];
    let groups = [lists::discovery(), lists::order(), lists::order_replication(), lists::catalog()];
    let own = [lists::own_seat("order", None), own, StorageConfig::settings()].concat();
    [own, groups.concat(), LogConfig::settings(), TraceConfig::settings()].concat()
}

impl Config {
    /// Takes the settings' values; every mistake is noted.
    pub fn read(values: &mut Values) -> Option<Self> {
        let mut discovery = Discovery::read(values);
        let ordinal = discovery.seat(values, None);
        let founders = lists::order_founders(values);
        let replicas = discovery.order_replicas(values);
        let peers = discovery.order_peers(values);
        let catalog = discovery.catalog_replicas(values);
        let ports = ordinal.map(|ordinal| ports(values, &discovery, ordinal));
        let ledger_file = values.optional::<PathBuf>("ORDER_LOG_FILE");
        let data_dir = values.optional::<PathBuf>("ORDER_DATA_DIR");
        let storage = StorageConfig::read(values);
        let queue_max = values.within("ORDER_QUEUE", 1..=QUEUE_MAX);
        let batch_orders_max = values.within("BATCH_SIZE_MAX", 1..=BATCH_ORDERS_MAX);
        let bind_host = values.required("BIND_HOST");
        let token = values.optional("INTERNAL_TOKEN");

        let (ordinal, replicas, peers, catalog) = (ordinal?, replicas?, peers?, catalog?);
        if discovery.is_static() {
            note_contradictions(values, ordinal, &replicas.borrow(), &peers.borrow(), &catalog.borrow());
        }
        let (port, replication_port) = ports?;
        Some(Self {
            ordinal,
            founders: founders?,
            replicas,
            peers,
            catalog,
            discovery,
            bind_host: bind_host?,
            port: port?,
            replication_port: replication_port?,
            ledger_file: ledger_file.unwrap_or_else(|| format!("data/log{ordinal}.csv").into()),
            data_dir: data_dir.unwrap_or_else(|| format!("data/order{ordinal}").into()),
            storage: storage?,
            queue_max: queue_max?,
            batch_orders_max: batch_orders_max?,
            token,
        })
    }
}

impl Config {
    /// Where it writes; ledger and log may lie on different disks. Each of these is there, or can be made.
    pub(crate) fn places(&self) -> Vec<PathBuf> {
        let ledger_dir = self.ledger_file.parent().filter(|dir| !dir.as_os_str().is_empty());
        vec![self.data_dir.clone(), ledger_dir.map_or_else(|| PathBuf::from("."), PathBuf::from)]
    }
}

/// The ports to listen on: its own on the static lists, or the ones that every pod has.
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

/// What cannot be true of static lists: a seat that is on none of them; two services with one address. (Twins within one list are found
/// where the list is read.)
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
