//! The frontend's settings.

use std::num::NonZeroU16;
use std::str::FromStr;
use std::time::Duration;

use api::Address;
use api::replica::Replicas;
use discovery::{Discovery, settings as replicas};
use service::access::Access;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use service::trace::TraceConfig;
use tokio::sync::watch;

use crate::admission::{LIMIT_MAX, LIMIT_MIN};
use crate::public::Origins;

/// The largest cache, in products. A store has dozens of products, and a response has about 100
/// bytes.
const CACHE_SIZE_MAX: usize = 1_000_000;
/// The highest bound of order requests in flight. With more, only a flood of orders is batched at
/// all.
const ORDER_REQUESTS_MAX_MAX: usize = 64;
/// The longest shutdown delay, one minute. A supervisor rarely waits for longer before it kills the
/// process; Kubernetes waits for 30 s by default.
const SHUTDOWN_DELAY_MS_MAX: u64 = 60_000;

/// All settings of a frontend.
pub fn settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting::new("REST_API_PORT", "1110", "Port of the public REST API"),
        Setting::new("FRONT_HOST", "127.0.0.1", "Host name or address at which the catalog reaches this frontend"),
        Setting::new("FRONT_PORT", "1111", "Internal port, for invalidations and cache contents"),
        Setting::optional(
            "FRONT_PORT_ADVERTISED",
            "Port at which the catalog reaches the internal port [default: FRONT_PORT]",
        ),
        Setting::new("CACHE_SIZE", "7", "Maximum number of products in the cache; 0 turns the cache off"),
        Setting::new("PUBLIC_ADMIN", "true", "Whether the public port also serves /healthz, /readyz and /metrics"),
        Setting::optional(
            "CORS_ORIGINS",
            "Origins whose pages may call the public API from a browser: a list such as https://shop.example,http://localhost:3000, or * for all [default: none]",
        ),
        Setting::new(
            "ORDERS_IN_FLIGHT_MAX",
            "512",
            "Maximum number of orders in flight; further orders are refused. The limit is lowered while the leader is overloaded",
        ),
        Setting::new(
            "ORDER_REQUESTS_MAX",
            "4",
            "Maximum number of order requests in flight to the leader, 1 to 64; orders that arrive meanwhile are batched",
        ),
        Setting::new(
            "READS_IN_FLIGHT_MAX",
            "1024",
            "Maximum number of reads in flight that miss the cache; further reads are refused",
        ),
        Setting::new(
            "SHUTDOWN_DELAY_MS",
            "0",
            "How long a frontend keeps serving after it was told to stop, with /readyz failing, so that load balancers notice",
        ),
    ];
    settings.extend(Access::settings());
    settings.extend(replicas::discovery());
    settings.extend(replicas::order());
    settings.extend(replicas::catalog());
    settings.extend(LogConfig::settings());
    settings.extend(TraceConfig::settings());
    settings
}

/// The configuration of a frontend.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the ports listen, and the secret of the internal ports.
    pub access: Access,
    /// Port of the public API; 0 lets the OS choose.
    pub rest_api_port: u16,
    /// Internal port; 0 lets the OS choose.
    pub front_port: u16,
    /// Host at which the catalog reaches the internal port.
    pub front_host: String,
    /// Port at which it does, if that is not `front_port`, as behind a port mapping.
    pub front_port_advertised: Option<u16>,
    /// Maximum number of products in the cache; 0 turns the cache off.
    pub cache_size: usize,
    /// Most orders in flight to the order service.
    pub orders_in_flight_max: u32,
    /// Most HTTP requests with orders in flight to the leader.
    pub order_requests_max: usize,
    /// Most reads in flight; reads that the cache answers do not count.
    pub reads_in_flight_max: u32,
    /// Whether the public port also serves health and metrics.
    pub public_admin: bool,
    /// The origins whose pages may call the public API.
    pub cors_origins: Option<Origins>,
    /// How long the frontend keeps serving, unready, after it was told to stop.
    pub shutdown_delay: Duration,
    /// Addresses of the order replicas.
    pub orders: watch::Receiver<Replicas>,
    /// Addresses of the catalog replicas.
    pub catalogs: watch::Receiver<Replicas>,
    /// Keeps these addresses up to date.
    pub discovery: Discovery,
}

impl Config {
    /// Reads the settings. Reports every mistake to `values`, and returns `None` if there is any.
    pub fn read(values: &mut Values) -> Option<Self> {
        let access = Access::read(values);
        let rest_api_port = values.within("REST_API_PORT", 1..=u16::MAX);
        let front_port = values.within("FRONT_PORT", 1..=u16::MAX);
        let front_host = values.required::<Host>("FRONT_HOST").map(|Host(host)| host);
        let advertised = values.optional::<NonZeroU16>("FRONT_PORT_ADVERTISED");
        let cache_size = values.within("CACHE_SIZE", 0..=CACHE_SIZE_MAX);
        let orders_in_flight_max = values.within("ORDERS_IN_FLIGHT_MAX", LIMIT_MIN..=LIMIT_MAX);
        let order_requests_max = values.within("ORDER_REQUESTS_MAX", 1..=ORDER_REQUESTS_MAX_MAX);
        let reads_in_flight_max = values.within("READS_IN_FLIGHT_MAX", LIMIT_MIN..=LIMIT_MAX);
        let public_admin = values.required("PUBLIC_ADMIN");
        let cors_origins = values.optional("CORS_ORIGINS");
        let shutdown_delay = values.within("SHUTDOWN_DELAY_MS", 0..=SHUTDOWN_DELAY_MS_MAX).map(Duration::from_millis);
        let mut discovery = Discovery::read(values);
        let orders = discovery.order_replicas(values);
        let catalogs = discovery.catalog_replicas(values);
        if rest_api_port.is_some() && rest_api_port == front_port {
            let (public, internal) = (values.name("REST_API_PORT"), values.name("FRONT_PORT"));
            values.mistake(format!("{public} and {internal} are the same port: the cache must not be public"));
        }
        Some(Self {
            access: access?,
            rest_api_port: rest_api_port?,
            front_port: front_port?,
            front_host: front_host?,
            front_port_advertised: advertised.map(NonZeroU16::get),
            cache_size: cache_size?,
            orders_in_flight_max: orders_in_flight_max?,
            order_requests_max: order_requests_max?,
            reads_in_flight_max: reads_in_flight_max?,
            public_admin: public_admin?,
            cors_origins,
            shutdown_delay: shutdown_delay?,
            orders: orders?,
            catalogs: catalogs?,
            discovery,
        })
    }
}

/// A host that can be part of an [`Address`], so that other processes accept the address.
struct Host(String);

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(host: &str) -> Result<Self, Self::Err> {
        let address = Address::try_from(Address::new(host, 1).to_string());
        address.map(|_| Self(host.to_owned())).map_err(|_| "it must be a host name or an IP address")
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
    fn the_defaults_are_for_a_store_on_one_machine() {
        let config = read(&[]).unwrap();
        assert_eq!((config.rest_api_port, config.front_port, config.cache_size), (1110, 1111, 7));
        assert_eq!((config.orders.borrow().len(), config.catalogs.borrow().len(), config.public_admin), (3, 1, true));
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let mistakes = read(&[
            ("REST_API_PORT", "1111"),
            ("CACHE_SIZE", "-1"),
            ("BIND_HOST", "here"),
            ("CORS_ORIGINS", "https://shop.example/"),
            ("ORDER_PORT_1", "1122"),
            ("INTERNAL_TOKEN", "short"),
        ])
        .unwrap_err()
        .0;
        assert_eq!(mistakes.len(), 6, "{mistakes:#?}");
    }
}
