//! What `toystore up` can be told.

use std::path::PathBuf;

use service::logging::LogConfig;
use service::settings::{Setting, Values};

use crate::local::{Layout, WELL_KNOWN_BASE};

/// How to run the store.
#[derive(Clone, Debug)]
pub struct Config {
    /// The REST API's port; everything else lies at fixed distances from it.
    pub port_base: u16,
    /// Ports that nobody uses instead.
    pub ephemeral: bool,
    /// All files of the store.
    pub data_dir: PathBuf,
    /// How many frontends.
    pub frontends: u8,
    /// Whether a child that dies is started again.
    pub restart: bool,
    /// What the shoppers do, if they are let in. Where the store is they are told when it runs.
    pub shopping: Option<client::Config>,
    /// Stop when the shoppers are done.
    pub once: bool,
}

/// The settings of `toystore up`. Those of the members themselves (`CACHE_SIZE`, …) pass through the environment.
pub fn settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting::new(
            "PORT_BASE",
            WELL_KNOWN_BASE.to_string(),
            "Port of the REST API; the others keep their distance to it",
        ),
        Setting::switch("EPHEMERAL", "Take ports that nobody uses, for a second store beside the first"),
        Setting::new("DATA_DIR", "data", "Directory of all files"),
        Setting::new("FRONTENDS", "1", "How many frontends, 1 to 5"),
        Setting::switch("NO_RESTART", "Leave a process that died dead"),
        Setting::switch("SHOP", "Let shoppers in once, and print their summary"),
        Setting::switch("ONCE", "With --shop: stop when they are done, with their exit code"),
    ];
    settings.extend(client::shopping_settings());
    settings.extend(LogConfig::settings());
    settings
}

impl Config {
    /// Takes the settings' values.
    pub fn read(values: &mut Values) -> Option<Self> {
        // The highest base leaves room for the store's own 40 ports.
        let port_base = values.within("PORT_BASE", 1..=65_000);
        let ephemeral = values.required::<bool>("EPHEMERAL");
        let data_dir = values.required::<PathBuf>("DATA_DIR");
        let frontends = values.within("FRONTENDS", 1..=5);
        let no_restart = values.required::<bool>("NO_RESTART");
        let shop = values.required::<bool>("SHOP");
        let once = values.required::<bool>("ONCE");
        let orders_file = data_dir.clone().unwrap_or_default().join("client_orders.csv");
        let shopping = client::Config::read_shopping(values, Layout::default().public(1), orders_file);
        if once == Some(true) && shop == Some(false) {
            let (once, shop) = (values.name("ONCE"), values.name("SHOP"));
            values.mistake(format!("{once} needs {shop}"));
        }
        Some(Self {
            port_base: port_base?,
            ephemeral: ephemeral?,
            data_dir: data_dir?,
            frontends: frontends?,
            restart: !no_restart?,
            shopping: Some(shopping?).filter(|_| shop == Some(true)),
            once: once?,
        })
    }
}
