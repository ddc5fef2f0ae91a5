//! The service's settings.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use api::replica::Replicas;
use api::{Address, Ordinal};
use discovery::settings as lists;
use replication::StorageConfig;
use service::Token;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
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
    let mut settings = vec![
        Setting::optional("COMPONENT_ID", "Which of the order replicas this is: 1, 2, 3 …"),
        Setting::optional("ORDER_LOG_FILE", "The ledger, a CSV file [default: data/log<COMPONENT_ID>.csv]"),
        Setting::optional("ORDER_DATA_DIR", "Directory of everything else [default: data/order<COMPONENT_ID>]"),
        Setting::new("ORDER_QUEUE", "4096", "Orders that may wait for a batch; more are refused"),
        Setting::new("BATCH_SIZE_MAX", "256", "Orders in one batch"),
        Setting::new("BIND_HOST", "0.0.0.0", "Address that the ports are bound to"),
        Setting::optional("INTERNAL_TOKEN", "Secret that the internal ports ask for"),
    ];
    settings.extend(StorageConfig::settings());
    settings.extend(lists::order());
    settings.extend(lists::order_replication());
    settings.extend(lists::catalog());
    settings.extend(LogConfig::settings());
    settings
}

impl Config {
    /// Takes the settings' values; every mistake is noted.
    pub fn read(values: &mut Values) -> Option<Self> {
        let ordinal = values.within::<u8>("COMPONENT_ID", 1..=lists::REPLICAS_MAX).map(Ordinal);
        let founders = lists::order_founders(values);
        let replicas = lists::order_replicas(values);
        let peers = lists::order_peers(values);
        let catalog = lists::catalog_replicas(values);
        let ledger_file = values.optional::<PathBuf>("ORDER_LOG_FILE");
        let data_dir = values.optional::<PathBuf>("ORDER_DATA_DIR");
        let storage = StorageConfig::read(values);
        let queue_max = values.within("ORDER_QUEUE", 1..=QUEUE_MAX);
        let batch_orders_max = values.within("BATCH_SIZE_MAX", 1..=BATCH_ORDERS_MAX);
        let bind_host = values.required("BIND_HOST");
        let token = values.optional("INTERNAL_TOKEN");

        let (ordinal, replicas, peers, catalog) = (ordinal?, replicas?, peers?, catalog?);
        note_shared_addresses(values, [("order", &replicas), ("order replication", &peers), ("catalog", &catalog)]);
        if !replicas.contains_key(&ordinal) {
            let (id, count) = (values.name("COMPONENT_ID"), values.name("ORDER_REPLICAS"));
            values.mistake(format!("{id} is {ordinal}, but {count} is {}", replicas.len()));
            return None;
        }
        let port = values.required(&format!("ORDER_PORT_{ordinal}"));
        let replication_port = values.required(&format!("ORDER2_PORT_{ordinal}"));
        Some(Self {
            ordinal,
            founders: founders?,
            replicas: discovery::fixed(replicas),
            peers: discovery::fixed(peers),
            catalog: discovery::fixed(catalog),
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

/// Two services cannot have one address. (Twins within one list are found where the list is read.)
fn note_shared_addresses(values: &mut Values, lists: [(&str, &Replicas); 3]) {
    let mut owners: BTreeMap<&Address, String> = BTreeMap::new();
    for (list, replicas) in lists {
        for (ordinal, address) in replicas {
            let owner = format!("{list} {ordinal}");
            if let Some(other) = owners.insert(address, owner.clone()) {
                values.mistake(format!("{other} and {owner} have the same address, {address}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
