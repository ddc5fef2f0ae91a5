//! The settings of `toystore console`.

use std::net::IpAddr;

use discovery::{Discovery, settings as replicas};
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use service::{Token, access};

use crate::discovered::Discovered;

/// The default port of the console.
pub const DEFAULT_PORT: u16 = 1100;

/// The settings of `toystore console`.
pub fn settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting::new("CONSOLE_PORT", DEFAULT_PORT.to_string(), "Port of the console's page"),
        Setting::new(
            "BIND_HOST",
            "127.0.0.1",
            "Address that the page is served on. Any client that reaches it sees the store, without a password",
        ),
        Setting::optional("STORE_URL", "URL of the store's REST API, for the commands that the page shows"),
    ];
    settings.extend(access::token_settings());
    settings.extend(replicas::discovery());
    settings.extend(replicas::frontends());
    settings.extend(replicas::order());
    settings.extend(replicas::catalog());
    settings.extend(LogConfig::settings());
    settings
}

/// The configuration of `toystore console`.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) port: u16,
    pub(crate) bind_host: IpAddr,
    pub(crate) store_url: Option<String>,
    pub(crate) token: Option<Token>,
    pub(crate) discovered: Discovered,
    pub(crate) discovery: Discovery,
}

impl Config {
    /// Reads the settings. Reports every mistake to `values`, and returns `None` if there is any.
    pub fn read(values: &mut Values) -> Option<Self> {
        let port = values.within("CONSOLE_PORT", 1..=u16::MAX);
        let bind_host = values.required::<IpAddr>("BIND_HOST");
        let store_url = values.optional("STORE_URL");
        let token = access::read_token(values);
        let mut discovery = Discovery::read(values);
        let frontends = discovery.frontends(values);
        let orders = discovery.order_replicas(values);
        let catalogs = discovery.catalog_replicas(values);
        let discovered = Discovered { frontends: frontends?, catalogs: catalogs?, orders: orders? };
        Some(Self { port: port?, bind_host: bind_host?, store_url, token, discovered, discovery })
    }
}
