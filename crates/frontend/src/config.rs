//! The frontend's settings.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use api::replica::Replicas;
use discovery::{Discovery, settings as replicas};
use service::Token;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use service::trace::TraceConfig;
use tokio::sync::watch;

use crate::admission::{PLACES_MAX, PLACES_MIN};

/// The largest cache. A store has dozens of products; an answer has about 100 bytes.
const CACHE_SIZE_MAX: usize = 1_000_000;
/// With so many, nobody travels together any more but in a flood.
const ORDER_REQUESTS_MAX_MAX: usize = 64;
/// A minute; who kills what does not stop (Kubernetes after 30 s, unless told otherwise) waits for no longer, mostly.
const SHUTDOWN_DELAY_MS_MAX: u64 = 60_000;

/// All that can be configured.
pub fn settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting::new("REST_API_PORT", "1110", "Port of the public REST API"),
        Setting::new("FRONT_HOST", "127.0.0.1", "Host by which the catalog reaches this frontend's cache"),
        Setting::new("FRONT_PORT", "1111", "Internal port: invalidations and cache contents"),
        Setting::optional("FRONT_PORT_ADVERTISED", "Port by which the catalog reaches it [default: FRONT_PORT]"),
        Setting::new("BIND_HOST", "0.0.0.0", "Address that the ports listen on"),
        Setting::new("CACHE_SIZE", "7", "Products that the cache holds; 0 switches it off"),
        Setting::new("PUBLIC_ADMIN", "true", "Whether the public port has /healthz, /readyz and /metrics, too"),
        Setting::new(
            "ORDERS_IN_FLIGHT_MAX",
            "512",
            "Orders under way at once; more are refused (fewer while the leader refuses, too)",
        ),
        Setting::new(
            "ORDER_REQUESTS_MAX",
            "4",
            "Requests with orders on their way to the leader at once, 1 to 64; orders that come meanwhile share the next one",
        ),
        Setting::new("READS_IN_FLIGHT_MAX", "1024", "The same for what is read from the services behind"),
        Setting::new(
            "SHUTDOWN_DELAY_MS",
            "0",
            "Told to stop, it says so at once (/readyz) but serves on for so long, until load balancers have noticed",
        ),
        Setting::optional("INTERNAL_TOKEN", "Secret that the internal ports share"),
    ];
    settings.extend(replicas::discovery());
    settings.extend(replicas::order());
    settings.extend(replicas::catalog());
    settings.extend(LogConfig::settings());
    settings.extend(TraceConfig::settings());
    settings
}

/// What a frontend needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub bind_host: IpAddr,
    /// Port of the public API; 0 lets the OS pick.
    pub rest_api_port: u16,
    /// Internal port; 0 lets the OS pick.
    pub front_port: u16,
    /// Host by which the catalog reaches the internal port.
    pub front_host: String,
    /// Port by which it does, if that is not the internal port itself: something stands between.
    pub front_port_advertised: Option<u16>,
    /// Products in the cache; 0 is off.
    pub cache_size: usize,
    /// Orders under way at once, at most.
    pub orders_in_flight_max: u32,
    /// Requests with orders on their way to the leader at once, at most.
    pub order_requests_max: usize,
    /// Reads under way at once, at most; what is cached does not count.
    pub reads_in_flight_max: u32,
    /// Whether health and metrics are on the public port, too.
    pub public_admin: bool,
    /// Secret of the internal ports.
    pub token: Option<Token>,
    /// How long it serves on, unready, when it is told to stop.
    pub shutdown_delay: Duration,
    /// Where the order replicas are asked.
    pub orders: watch::Receiver<Replicas>,
    /// Where the catalog replicas are asked.
    pub catalogs: watch::Receiver<Replicas>,
    /// What fills these lists.
    pub discovery: Discovery,
}

impl Config {
    /// Takes the settings' values; what is wrong is noted in `values`.
    pub fn read(values: &mut Values) -> Option<Self> {
        let bind_host = values.required("BIND_HOST");
        let rest_api_port = values.within("REST_API_PORT", 1..=u16::MAX);
        let front_port = values.within("FRONT_PORT", 1..=u16::MAX);
        let front_host = values.required::<String>("FRONT_HOST");
        let advertised = values.optional::<NonZeroU16>("FRONT_PORT_ADVERTISED");
        let cache_size = values.within("CACHE_SIZE", 0..=CACHE_SIZE_MAX);
        let orders_in_flight_max = values.within("ORDERS_IN_FLIGHT_MAX", PLACES_MIN..=PLACES_MAX);
        let order_requests_max = values.within("ORDER_REQUESTS_MAX", 1..=ORDER_REQUESTS_MAX_MAX);
        let reads_in_flight_max = values.within("READS_IN_FLIGHT_MAX", PLACES_MIN..=PLACES_MAX);
        let public_admin = values.required("PUBLIC_ADMIN");
        let token = values.optional("INTERNAL_TOKEN");
        let shutdown_delay = values.within("SHUTDOWN_DELAY_MS", 0..=SHUTDOWN_DELAY_MS_MAX).map(Duration::from_millis);
        let mut discovery = Discovery::read(values);
        let orders = discovery.order_replicas(values);
        let catalogs = discovery.catalog_replicas(values);
        if rest_api_port.is_some() && rest_api_port == front_port {
            let (public, internal) = (values.name("REST_API_PORT"), values.name("FRONT_PORT"));
            values.mistake(format!("{public} and {internal} are the same port: the cache must not be public"));
        }
        Some(Self {
            bind_host: bind_host?,
            rest_api_port: rest_api_port?,
            front_port: front_port?,
            front_host: front_host?,
            front_port_advertised: advertised.map(NonZeroU16::get),
            cache_size: cache_size?,
            orders_in_flight_max: orders_in_flight_max?,
            order_requests_max: order_requests_max?,
            reads_in_flight_max: reads_in_flight_max?,
            public_admin: public_admin?,
            token,
            shutdown_delay: shutdown_delay?,
            orders: orders?,
            catalogs: catalogs?,
            discovery,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use service::settings::{Mistakes, command};

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
        let settings = settings();
        let matches = command("frontend", "", &settings).try_get_matches_from(["frontend"]).unwrap();
        let mut values = Values::read(&settings, &matches, &variables.iter().copied().collect::<BTreeMap<_, _>>());
        let config = Config::read(&mut values);
        values.finish(config)
    }

    #[test]
    fn without_any_variable_it_is_the_store_on_one_machine() {
        let config = read(&[]).unwrap();
        assert_eq!((config.rest_api_port, config.front_port, config.cache_size), (1110, 1111, 7));
        assert_eq!((config.orders.borrow().len(), config.catalogs.borrow().len(), config.public_admin), (3, 1, true));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let mistakes = read(&[
            ("REST_API_PORT", "1111"),
            ("CACHE_SIZE", "-1"),
            ("BIND_HOST", "here"),
            ("ORDER_PORT_1", "1122"),
            ("INTERNAL_TOKEN", "short"),
        ])
        .unwrap_err()
        .0;
        assert_eq!(mistakes.len(), 5, "{mistakes:#?}");
    }
}
