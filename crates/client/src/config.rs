//! The settings of `toystore client`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use api::{Address, Quantity};
use serde::Serialize;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use workload::{RetryPolicy, base_url};

/// Each shopper has a connection and a task.
const SHOPPERS_MAX: u32 = 10_000;
/// Every attempt at an order is kept in memory (about 100 bytes) until it is verified, which takes
/// some hundred bytes more.
pub(crate) const ORDERS_MAX: usize = 10_000_000;
/// At most one order each.
const SESSIONS_MAX: u64 = 10_000_000;
/// One hour: a cluster may have to create nodes first.
const WAIT_MS_MAX: u64 = 3_600_000;

/// One day.
const SECONDS_MAX: u64 = 86_400;

/// One minute: a shopper who thinks longer than that has left.
const THINK_MS_MAX: u64 = 60_000;

/// At the default pause, these take more than three minutes.
const TRIES_MAX: u32 = 100;

/// One minute: a store that was restarted is back by then.
const RETRY_DELAY_MS_MAX: u64 = 60_000;

/// What shoppers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunType {
    /// They only read products.
    Query,
    /// They read products and order them.
    Session,
    /// They read and order products, and verify every acknowledged order at the end.
    SessionCheck,
    /// They only verify the orders of an earlier run.
    Check,
}

impl RunType {
    /// Whether products are ordered.
    pub(crate) fn orders(self) -> bool {
        matches!(self, Self::Session | Self::SessionCheck)
    }

    /// Whether orders are verified at the end.
    pub(crate) fn verifies(self) -> bool {
        matches!(self, Self::SessionCheck | Self::Check)
    }
}

impl FromStr for RunType {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "query" => Ok(Self::Query),
            "session" => Ok(Self::Session),
            "session_check" | "session-check" => Ok(Self::SessionCheck),
            "check" => Ok(Self::Check),
            _ => Err("it must be session_check, query, session or check"),
        }
    }
}

/// One run of shoppers.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The store's public port.
    pub front: Address,
    /// Concurrent shoppers: 1 to 10,000.
    pub shoppers: u32,
    /// Sessions per shopper, 1 or more; at most ten million for all shoppers together.
    pub sessions: u32,
    /// The probability that a shopper orders a product that is in stock: 0 to 1.
    pub order_probability: f64,
    /// What the shoppers do.
    pub run_type: RunType,
    /// An order is for 1 to this many pieces.
    pub quantity_max: Quantity,
    /// The CSV file of acknowledged orders. Each run that places orders overwrites it, and creates
    /// its directory if necessary. [`RunType::Check`] reads it.
    pub orders_file: PathBuf,
    /// The file that the summary is written to as JSON, if any.
    pub summary_file: Option<PathBuf>,
    /// Determines which products are read and ordered; random if `None`.
    pub seed: Option<u64>,
    /// How shoppers deal with failures.
    pub retry_policy: RetryPolicy,
    /// Shoppers stop after this time, however many sessions were planned. The sessions that were
    /// run then count as the planned ones.
    pub time_limit: Option<Duration>,
    /// The pause between two sessions of a shopper.
    pub think_time: Duration,
    /// Whether to show progress. A program that has output of its own turns it off.
    pub show_progress: bool,
}

/// The default values of all settings.
impl Default for Config {
    fn default() -> Self {
        Self {
            front: Address::new("127.0.0.1", 1110),
            shoppers: 5,
            sessions: 100,
            order_probability: 0.5,
            run_type: RunType::SessionCheck,
            quantity_max: Quantity::ONE,
            orders_file: "data/client_orders.csv".into(),
            summary_file: None,
            seed: None,
            retry_policy: RetryPolicy::default(),
            time_limit: None,
            think_time: Duration::ZERO,
            show_progress: true,
        }
    }
}

/// All settings.
pub fn settings() -> Vec<Setting> {
    let front = [
        Setting::new("FRONT_HOST", "127.0.0.1", "Host of the store's REST API"),
        Setting::new("REST_API_PORT", "1110", "Port of the store's REST API").with_flag("front-port"),
        Setting::new(
            "ORDERS_FILE",
            "data/client_orders.csv",
            "CSV file of the acknowledged orders; overwritten, or read by RUN_TYPE check",
        ),
        Setting::new("WAIT_MS", "30000", "How long to wait for a store that is still starting; 0: do not wait"),
        Setting::new("TRIES", "3", "Maximum number of attempts per request, 1 to 100"),
        Setting::new("RETRY_DELAY_MS", "2000", "How long a shopper waits before the next attempt, up to a minute"),
    ];
    front.into_iter().chain(shopping_settings()).chain(LogConfig::settings()).collect()
}

/// The settings that say what the shoppers do, for a program that runs a store of its own.
pub fn shopping_settings() -> Vec<Setting> {
    vec![
        Setting::new("N_REPEATS", "100", "Sessions per shopper"),
        Setting::optional("SECONDS", "Shop for this long instead of a number of sessions, up to a day"),
        Setting::new("THINK_MS", "0", "How long a shopper pauses after each session"),
        Setting::new("N_THREADS", "5", "Concurrent shoppers"),
        Setting::new("P", "0.5", "Probability that a shopper orders a product that is in stock"),
        Setting::new(
            "RUN_TYPE",
            "session_check",
            "query: read products; session: also order them; session_check: also verify every order at the end; \
             check: only verify the orders in ORDERS_FILE",
        ),
        Setting::new("QUANTITY_MAX", "1", "An order is for 1 to this many pieces"),
        Setting::optional("SUMMARY_JSON", "File to write the summary to, as JSON"),
        Setting::optional("SEED", "Integer that makes the choice of products repeatable"),
    ]
}

impl Config {
    /// Reads the values of [`settings`]. `None` means that `values` has recorded a mistake.
    pub fn read(values: &mut Values) -> Option<Self> {
        let front = read_front(values);
        let orders_file = values.required("ORDERS_FILE");
        let startup_timeout = values.within("WAIT_MS", 0..=WAIT_MS_MAX).map(Duration::from_millis);
        let tries = values.within("TRIES", 1..=TRIES_MAX);
        let retry_delay = values.within("RETRY_DELAY_MS", 0..=RETRY_DELAY_MS_MAX).map(Duration::from_millis);
        let shopping = Self::read_shopping(values, Address::new("", 0), PathBuf::new());
        let retry_policy = RetryPolicy {
            startup_timeout: startup_timeout?,
            tries: tries?,
            retry_delay: retry_delay?,
            ..RetryPolicy::default()
        };
        Some(Self { front: front?, orders_file: orders_file?, retry_policy, ..shopping? })
    }

    /// Reads the values of [`shopping_settings`], for shoppers in the store at `front`. `None`
    /// means that `values` has recorded a mistake.
    pub fn read_shopping(values: &mut Values, front: Address, orders_file: PathBuf) -> Option<Self> {
        let shoppers = values.within("N_THREADS", 1..=SHOPPERS_MAX);
        let seconds = values.is_set("SECONDS").then(|| values.within("SECONDS", 1..=SECONDS_MAX));
        let sessions = match (seconds, shoppers) {
            (Some(_), Some(shoppers)) => u32::try_from(SESSIONS_MAX / u64::from(shoppers)).ok(),
            _ => values.within("N_REPEATS", 1..=u32::MAX),
        };
        let think_time = values.within("THINK_MS", 0..=THINK_MS_MAX).map(Duration::from_millis);
        let order_probability = values.within("P", 0.0..=1.0);
        let run_type = values.required("RUN_TYPE");
        let quantity_max = values.within("QUANTITY_MAX", 1..=u64::from(Quantity::MAX));
        let summary_file = values.optional("SUMMARY_JSON");
        let seed = values.optional("SEED");
        let config = Self {
            front,
            shoppers: shoppers?,
            sessions: sessions?,
            order_probability: order_probability?,
            run_type: run_type?,
            quantity_max: Quantity::new(quantity_max?).expect("the value was checked against the same bounds"),
            orders_file,
            summary_file,
            seed,
            time_limit: seconds.map_or(Some(None), |seconds| Some(Some(Duration::from_secs(seconds?))))?,
            think_time: think_time?,
            ..Self::default()
        };
        if config.sessions_planned() > SESSIONS_MAX {
            let (threads, repeats) = (values.name("N_THREADS"), values.name("N_REPEATS"));
            values.mistake(format!("{threads} times {repeats} is more than {SESSIONS_MAX} sessions"));
            return None;
        }
        Some(config)
    }

    /// The sessions of all shoppers together.
    pub fn sessions_planned(&self) -> u64 {
        u64::from(self.shoppers) * u64::from(self.sessions)
    }
}

pub(crate) fn read_front(values: &mut Values) -> Option<Address> {
    let host = values.required::<String>("FRONT_HOST");
    let port = values.within::<u16>("REST_API_PORT", 1..=u16::MAX);
    let front = Address::new(&host?, port?);
    if let Err(why) = base_url(&front) {
        let name = values.name("FRONT_HOST");
        values.mistake(format!("{name} is not a host name or address: {why}"));
        return None;
    }
    Some(front)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use service::settings::{Mistakes, command};

    use super::*;

    fn read(args: &[&str], environment: &BTreeMap<&str, &str>) -> Result<Config, Mistakes> {
        let settings = settings();
        let command = command("client", "Sends shoppers", &settings);
        let matches = command.try_get_matches_from([&["client"], args].concat()).unwrap();
        let mut values = Values::read(&settings, &matches, environment);
        let config = Config::read(&mut values);
        values.finish(config)
    }

    #[test]
    fn the_defaults() {
        assert_eq!(read(&[], &BTreeMap::new()), Ok(Config::default()));
    }

    #[test]
    fn flags_with_hyphens_and_with_underscores() {
        let hyphens = ["--front-host", "::1", "--front-port", "1", "--n-repeats=2", "--n-threads=3", "--p=1"];
        let underscores = ["--front_host", "::1", "--front_port", "1", "--n_repeats=2", "--n_threads=3", "--p=1"];
        let rest = ["--seed=9", "--summary-json", "s.json", "--wait-ms=5", "--tries=7", "--retry-delay-ms=20"];
        let one = read(&[&hyphens[..], &["--run-type", "query"], &rest].concat(), &BTreeMap::new()).unwrap();
        let other = read(&[&underscores[..], &["--run_type", "query"], &rest].concat(), &BTreeMap::new()).unwrap();
        assert_eq!(one, other);
        assert_eq!((one.front, one.sessions, one.shoppers), (Address::new("::1", 1), 2, 3));
        let (ms, policy) = (Duration::from_millis, one.retry_policy);
        assert_eq!((policy.startup_timeout, policy.tries, policy.retry_delay), (ms(5), 7, ms(20)));
        assert_eq!((one.run_type, one.seed, one.summary_file), (RunType::Query, Some(9), Some("s.json".into())));
    }

    #[test]
    fn seconds_replaces_the_number_of_sessions() {
        let config = read(&["--seconds=60", "--think-ms=20", "--n-threads=10"], &BTreeMap::new()).unwrap();
        assert_eq!((config.time_limit, config.think_time), (Some(Duration::from_mins(1)), Duration::from_millis(20)));
        assert_eq!(config.sessions, 1_000_000, "the maximum for all shoppers together");
        assert_eq!(read(&["--seconds=0", "--think-ms=70000"], &BTreeMap::new()).unwrap_err().0.len(), 2);
    }

    #[test]
    fn settings_come_from_the_environment_too() {
        let environment = BTreeMap::from([("FRONT_HOST", "store.example"), ("REST_API_PORT", "80"), ("P", "0.25")]);
        let config = read(&[], &environment).unwrap();
        assert_eq!((config.front, config.order_probability), (Address::new("store.example", 80), 0.25));
    }

    #[test]
    fn every_mistake_is_reported() {
        let args = [
            "--front-host=a/b",
            "--wait-ms=-1",
            "--tries=0",
            "--retry-delay-ms=x",
            "--n-threads=0",
            "--n-repeats=x",
            "--p=NaN",
            "--run-type=buy",
            "--seed=-1",
        ];
        let mistakes = read(&args, &BTreeMap::new()).unwrap_err().0;
        let names =
            ["FRONT_HOST", "WAIT_MS", "TRIES", "RETRY_DELAY_MS", "N_THREADS", "N_REPEATS", "P ", "RUN_TYPE", "SEED"];
        assert_eq!(mistakes.len(), names.len(), "{mistakes:?}");
        for (mistake, name) in mistakes.iter().zip(names) {
            assert!(mistake.starts_with(name), "{mistake}");
        }
    }

    #[test]
    fn the_total_number_of_sessions_is_bounded() {
        let mistakes = read(&["--n-threads=10000", "--n-repeats=1001"], &BTreeMap::new()).unwrap_err();
        assert!(mistakes.to_string().contains("more than 10000000 sessions"), "{mistakes}");
    }
}
