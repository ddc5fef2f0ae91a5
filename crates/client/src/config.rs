//! What a run is: the settings of `toystore client`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use api::{Address, Quantity};
use serde::Serialize;
use service::logging::LogConfig;
use service::settings::{Setting, Values};

use crate::Patience;
use crate::store::base_url;

/// Each shopper has a connection and a task.
const SHOPPERS_MAX: u32 = 10_000;
/// Every acknowledged order is kept in memory (about 64 bytes) until it is checked.
const SESSIONS_MAX: u64 = 10_000_000;
/// An hour: a cluster that has to make nodes first.
const WAIT_MS_MAX: u64 = 3_600_000;

/// With the pauses between them these are more than three minutes.
const TRIES_MAX: u32 = 100;

/// What shoppers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunType {
    /// They only look at products.
    Query,
    /// They look, and order.
    Session,
    /// They look, order, and in the end check every acknowledged order.
    SessionCheck,
}

impl FromStr for RunType {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "query" => Ok(Self::Query),
            "session" => Ok(Self::Session),
            "session_check" | "session-check" => Ok(Self::SessionCheck),
            _ => Err("it must be session_check, query or session"),
        }
    }
}

/// One run of shoppers.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The store's public port.
    pub front: Address,
    /// How many shop at the same time: 1 to 10,000.
    pub shoppers: u32,
    /// Sessions of each shopper, 1 or more; at most ten million in all.
    pub sessions: u32,
    /// How likely a shopper is to order what is in stock: 0 to 1.
    pub order_probability: f64,
    /// What they do.
    pub run_type: RunType,
    /// An order takes 1 to this many pieces.
    pub quantity_max: Quantity,
    /// The CSV of acknowledged orders; made anew by each run that orders, its folder too.
    pub orders_file: PathBuf,
    /// Where the summary goes as JSON, if anywhere.
    pub summary_file: Option<PathBuf>,
    /// Decides which products are looked at and ordered; a random one if there is none.
    pub seed: Option<u64>,
    /// How long shoppers put up with failures.
    pub patience: Patience,
    /// They go home after this, however many sessions were planned: then those count as planned that there were.
    pub time_limit: Option<Duration>,
    /// Whether to show how far they are. A program that shows something of its own says no.
    pub is_shown: bool,
}

/// The whole table of settings.
pub fn settings() -> Vec<Setting> {
    let front = [
        Setting::new("FRONT_HOST", "127.0.0.1", "Host of the store's REST API"),
        Setting::new("REST_API_PORT", "1110", "Port of the store's REST API").with_flag("front-port"),
        Setting::new("ORDERS_FILE", "data/client_orders.csv", "CSV of the acknowledged orders, made anew"),
        Setting::new("WAIT_MS", "30000", "How long to wait for a store that is still starting; 0: not at all"),
        Setting::new("TRIES", "3", "How often a request is tried in all, 1 to 100"),
    ];
    front.into_iter().chain(shopping_settings()).chain(LogConfig::settings()).collect()
}

/// Those of them that say what the shoppers do, for a program that has a store of its own.
pub fn shopping_settings() -> Vec<Setting> {
    vec![
        Setting::new("N_REPEATS", "100", "Sessions per shopper"),
        Setting::new("N_THREADS", "5", "Shoppers at the same time"),
        Setting::new("P", "0.5", "Probability that a shopper orders what is in stock"),
        Setting::new(
            "RUN_TYPE",
            "session_check",
            "query: look at products; session: order too; session_check: and check every order in the end",
        ),
        Setting::new("QUANTITY_MAX", "1", "An order takes 1 to so many pieces"),
        Setting::optional("SUMMARY_JSON", "File that gets the summary as JSON"),
        Setting::optional("SEED", "Whole number that makes the choice of products repeatable"),
    ]
}

impl Config {
    /// Takes the values of [`settings`]. `None` means that a mistake was noted.
    pub fn read(values: &mut Values) -> Option<Self> {
        let front = read_front(values);
        let orders_file = values.required("ORDERS_FILE");
        let opening = values.within("WAIT_MS", 0..=WAIT_MS_MAX).map(Duration::from_millis);
        let tries = values.within("TRIES", 1..=TRIES_MAX);
        let shopping = Self::read_shopping(values, Address::new("", 0), PathBuf::new());
        let patience = Patience { opening: opening?, tries: tries?, ..Patience::default() };
        Some(Self { front: front?, orders_file: orders_file?, patience, ..shopping? })
    }

    /// Takes the values of [`shopping_settings`], for shoppers in the store at `front`. `None` means that a mistake was noted.
    pub fn read_shopping(values: &mut Values, front: Address, orders_file: PathBuf) -> Option<Self> {
        let shoppers = values.within("N_THREADS", 1..=SHOPPERS_MAX);
        let sessions = values.within("N_REPEATS", 1..=u32::MAX);
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
            quantity_max: Quantity::new(quantity_max?).expect("checked against the same bounds"),
            orders_file,
            summary_file,
            seed,
            patience: Patience::default(),
            time_limit: None,
            is_shown: true,
        };
        if config.sessions_planned() > SESSIONS_MAX {
            let (threads, repeats) = (values.name("N_THREADS"), values.name("N_REPEATS"));
            values.mistake(format!("{threads} times {repeats} is more than {SESSIONS_MAX} sessions"));
            return None;
        }
        Some(config)
    }

    /// Sessions of all shoppers together.
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
        values.mistake(format!("{name} is no host: {why}"));
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
        let command = command("client", "shops", &settings);
        let matches = command.try_get_matches_from([&["client"], args].concat()).unwrap();
        let mut values = Values::read(&settings, &matches, environment);
        let config = Config::read(&mut values);
        values.finish(config)
    }

    #[test]
    fn the_defaults() {
        let expected = Config {
            front: Address::new("127.0.0.1", 1110),
            shoppers: 5,
            sessions: 100,
            order_probability: 0.5,
            run_type: RunType::SessionCheck,
            quantity_max: Quantity::ONE,
            orders_file: "data/client_orders.csv".into(),
            summary_file: None,
            seed: None,
            patience: Patience::default(),
            time_limit: None,
            is_shown: true,
        };
        assert_eq!(read(&[], &BTreeMap::new()), Ok(expected));
    }

    #[test]
    fn flags_with_hyphens_and_with_underscores() {
        let hyphens = ["--front-host", "::1", "--front-port", "1", "--n-repeats=2", "--n-threads=3", "--p=1"];
        let underscores = ["--front_host", "::1", "--front_port", "1", "--n_repeats=2", "--n_threads=3", "--p=1"];
        let rest = ["--seed=9", "--summary-json", "s.json", "--wait-ms=5", "--tries=7"];
        let one = read(&[&hyphens[..], &["--run-type", "query"], &rest].concat(), &BTreeMap::new()).unwrap();
        let other = read(&[&underscores[..], &["--run_type", "query"], &rest].concat(), &BTreeMap::new()).unwrap();
        assert_eq!(one, other);
        assert_eq!((one.front, one.sessions, one.shoppers), (Address::new("::1", 1), 2, 3));
        assert_eq!((one.patience.opening, one.patience.tries), (Duration::from_millis(5), 7));
        assert_eq!((one.run_type, one.seed, one.summary_file), (RunType::Query, Some(9), Some("s.json".into())));
    }

    #[test]
    fn variables_count_too() {
        let environment = BTreeMap::from([("FRONT_HOST", "store.example"), ("REST_API_PORT", "80"), ("P", "0.25")]);
        let config = read(&[], &environment).unwrap();
        assert_eq!((config.front, config.order_probability), (Address::new("store.example", 80), 0.25));
    }

    #[test]
    fn every_mistake_is_told() {
        let args = [
            "--front-host=a/b",
            "--wait-ms=-1",
            "--tries=0",
            "--n-threads=0",
            "--n-repeats=x",
            "--p=NaN",
            "--run-type=buy",
            "--seed=-1",
        ];
        let mistakes = read(&args, &BTreeMap::new()).unwrap_err().0;
        let names = ["FRONT_HOST", "WAIT_MS", "TRIES", "N_THREADS", "N_REPEATS", "P ", "RUN_TYPE", "SEED"];
        assert_eq!(mistakes.len(), names.len(), "{mistakes:?}");
        for (mistake, name) in mistakes.iter().zip(names) {
            assert!(mistake.starts_with(name), "{mistake}");
        }
    }

    #[test]
    fn the_sessions_are_bounded_in_all() {
        let mistakes = read(&["--n-threads=10000", "--n-repeats=1001"], &BTreeMap::new()).unwrap_err();
        assert!(mistakes.to_string().contains("more than 10000000 sessions"), "{mistakes}");
    }
}
