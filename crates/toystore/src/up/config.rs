//! The configuration of `toystore up`.

use std::path::PathBuf;

use service::logging::LogConfig;
use service::settings::{Setting, Values};
use service::{Token, access};

use crate::local::{StoreLayout, WELL_KNOWN_BASE};

/// The default log level of the members. `up` itself reports what goes well.
const QUIET: &str = "warn";

/// How to run the store.
#[derive(Clone, Debug)]
pub struct Config {
    /// The REST API's port; all other ports are at fixed offsets from it.
    pub port_base: u16,
    /// Use a free block of ports instead.
    pub ephemeral: bool,
    /// The directory for all files of the store.
    pub data_dir: PathBuf,
    /// Number of frontends.
    pub frontends: u8,
    /// The port of the console; 0 switches it off. The console costs a proxy on every link between
    /// the members, so that people can cut it.
    pub console_port: u16,
    /// Whether a child that exits is restarted.
    pub restart: bool,
    /// The shoppers to run, if any. The store's address is filled in once the store runs.
    pub shopping: Option<client::Config>,
    /// Stop when the shoppers are done.
    pub once: bool,
    /// The token of the internal ports; generated if there is none.
    pub token: Option<Token>,
    /// A CSV file with the initial products; the default is `catalog.csv` in the data directory.
    pub catalog_file: Option<PathBuf>,
    /// Environment variables for all members: log settings and the number of threads.
    pub variables: Vec<(&'static str, String)>,
}

/// The settings of `toystore up`. The members' own settings (`CACHE_SIZE`, …) are passed through
/// the environment.
pub fn settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting::new(
            "PORT_BASE",
            WELL_KNOWN_BASE.to_string(),
            "Port of the REST API; the other ports are at fixed offsets from it",
        ),
        Setting::switch("EPHEMERAL", "Use free ports, to run a second store on the same machine"),
        Setting::new("DATA_DIR", "data", "Directory for all files"),
        Setting::new("FRONTENDS", "1", "Number of frontends, 1 to 5"),
        Setting::new(
            "CONSOLE_PORT",
            store_console::DEFAULT_PORT.to_string(),
            "Port of the console, a live page of the store; 0 switches it off. With --ephemeral, a free port",
        ),
        Setting::optional(
            "CATALOG_FILE",
            "CSV file with the initial products of a new store [default: catalog.csv in DATA_DIR]",
        ),
        Setting::switch("VERBOSE", "Show all log lines of the processes, not only warnings and errors: LOG_LEVEL=info"),
        Setting::switch("NO_RESTART", "Do not restart processes that exit"),
        Setting::switch("SHOP", "Run shoppers once, and print their summary"),
        Setting::switch(
            "ONCE",
            "With --shop: stop the store when the shoppers are done, and exit with their exit code",
        ),
    ];
    settings.extend(access::token_settings());
    settings.extend(client::shopping_settings());
    settings.extend(LogConfig::settings_with(QUIET));
    settings
}

impl Config {
    /// Takes the values of the settings.
    pub fn read(values: &mut Values) -> Option<Self> {
        // The highest base leaves room for the 40 ports of a store.
        let port_base = values.within("PORT_BASE", 1..=65_000);
        let ephemeral = values.required::<bool>("EPHEMERAL");
        let data_dir = values.required::<PathBuf>("DATA_DIR");
        let frontends = values.within("FRONTENDS", 1..=5);
        let console_port = values.within("CONSOLE_PORT", 0..=u16::MAX);
        let no_restart = values.required::<bool>("NO_RESTART");
        let shop = values.required::<bool>("SHOP");
        let once = values.required::<bool>("ONCE");
        let token = access::read_token(values);
        let catalog_file = values.optional::<PathBuf>("CATALOG_FILE");
        let variables = read_variables(values);
        let orders_file = data_dir.clone().unwrap_or_default().join("client_orders.csv");
        let shopping = client::Config::read_shopping(values, StoreLayout::default().public(1), orders_file);
        if once == Some(true) && shop == Some(false) {
            let (once, shop) = (values.name("ONCE"), values.name("SHOP"));
            values.mistake(format!("{once} requires {shop}"));
        }
        Some(Self {
            port_base: port_base?,
            ephemeral: ephemeral?,
            data_dir: data_dir?,
            frontends: frontends?,
            console_port: console_port?,
            restart: !no_restart?,
            shopping: Some(shopping?).filter(|_| shop == Some(true)),
            once: once?,
            token,
            catalog_file,
            variables: variables?,
        })
    }
}

/// The variables for the members. Their values have been validated as this process's own settings.
fn read_variables(values: &mut Values) -> Option<Vec<(&'static str, String)>> {
    let is_verbose = values.required::<bool>("VERBOSE");
    let level = values.required::<String>("LOG_LEVEL");
    let level = level.map(|level| if is_verbose == Some(true) && level == QUIET { "info".into() } else { level });
    let mut variables = vec![("LOG_LEVEL", level?), ("LOG_FORMAT", values.required("LOG_FORMAT")?)];
    variables.extend(values.optional("WORKER_THREADS").map(|threads: String| ("WORKER_THREADS", threads)));
    is_verbose.map(|_| variables)
}
