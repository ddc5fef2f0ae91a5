//! The settings of `toystore load`.

use std::path::PathBuf;
use std::time::Duration;

use api::Address;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use workload::load::{LoadModel, Stage, Visit};
use workload::parse_address;

use super::scenario::Scenario;
use super::scenario::{CONNECTIONS_MAX, RATE_MAX, REQUEST_TIMEOUT_MS_MAX, SECONDS_MAX};
use super::threshold::Threshold;
use crate::config::read_front;

/// The default rate, in visits per second.
const RATE: f64 = 100.0;
/// The default length of the measured stage and of the warm-up.
const SECONDS: f64 = 30.0;
const WARM_UP_SECONDS: f64 = 5.0;

/// One hour: someone may have to bring the store back first.
const CHECK_SECONDS_MAX: u64 = 3600;

/// A load test.
#[derive(Clone, Debug)]
pub struct Config {
    /// The public ports that connections are spread over. The list of products is read from the
    /// first one.
    pub targets: Vec<Address>,
    /// The stages, and everything else that is independent of the store.
    pub scenario: Scenario,
    /// Determines which products are read and ordered; random if `None`.
    pub seed: Option<u64>,
    /// The directory for the reports, if any.
    pub report_dir: Option<PathBuf>,
    /// Whether the reports are printed at the end, for environments whose files are not accessible.
    pub print_reports: bool,
    /// The port of `/metrics` during the test, if any.
    pub metrics_port: Option<u16>,
    /// Whether every acknowledged order is verified at the end.
    pub check: bool,
    /// An order that the store does not return within this time is not checked.
    pub check_timeout: Duration,
    /// Whether no other client buys during the test, so that the stock must add up.
    pub sole_buyer: bool,
    /// The level that sold-out products are restocked to, if it is known.
    pub restock_level: Option<u64>,
}

/// All settings.
pub fn settings() -> Vec<Setting> {
    let own = [
        Setting::new("FRONT_HOST", "127.0.0.1", "Host of the store's REST API"),
        Setting::new("REST_API_PORT", "1110", "Port of the store's REST API").with_flag("front-port"),
        Setting::optional("TARGETS", "Several REST APIs instead, as a comma-separated list of host:port"),
        Setting::optional("SCENARIO", "File with the stages of the load, instead of the next four settings"),
        Setting::optional("RATE", "Open loop: visits per second, regardless of responses [default: 100]"),
        Setting::optional("SHOPPERS", "Closed loop instead: number of shoppers, each waiting for its response"),
        Setting::optional("SECONDS", "Length of the measured stage [default: 30]"),
        Setting::optional("WARM_UP_SECONDS", "Length of the warm-up before it [default: 5]"),
        Setting::optional("P", "Probability that a visit orders the product that it has read [default: 0.2]"),
        Setting::optional("POPULARITY", "Popularity of the products: uniform, or zipf:EXPONENT [default: uniform]"),
        Setting::optional("CONNECTIONS", "Number of connections [default: as many as shoppers, or 64]"),
        Setting::switch("NO_KEEP_ALIVE", "Open a new connection for each request"),
        Setting::optional("ANSWER_TIMEOUT_MS", "Timeout of a request in milliseconds [default: 6000]"),
        Setting::optional(
            "THRESHOLDS",
            "Comma-separated limits that decide the exit code: p99<50ms, order p99.9<1s, errors<0.1%, rate>900",
        ),
        Setting::optional("SEED", "Integer that makes the choice of products repeatable"),
        Setting::optional("REPORT_DIR", "Directory for report.html, report.json, seconds.csv and latency.hlog"),
        Setting::switch(
            "PRINT_REPORTS",
            "Print report.json and report.html at the end, each between two marker lines, so that `sed` can extract it from a log",
        ),
        Setting::optional("METRICS_PORT", "Port of /metrics during the test"),
        Setting::switch("NO_CHECK", "Do not verify the acknowledged orders at the end"),
        Setting::new(
            "CHECK_SECONDS",
            "30",
            "How long to ask the store for an order at the end before the order counts as not checked",
        ),
        Setting::switch("SOLE_BUYER", "No other client buys during the test, so the stock must add up"),
        Setting::optional(
            "RESTOCK_LEVEL",
            "With --sole-buyer: the level that sold-out products are restocked to, for a stricter check",
        ),
    ];
    own.into_iter().chain(LogConfig::settings()).collect()
}

impl Config {
    /// Reads the values of [`settings`]. `None` means that `values` has recorded a mistake.
    pub fn read(values: &mut Values) -> Option<Self> {
        let targets = read_targets(values);
        let scenario = read_scenario(values);
        let no_check = values.required::<bool>("NO_CHECK");
        let check_seconds = values.within("CHECK_SECONDS", 0..=CHECK_SECONDS_MAX);
        let sole_buyer = values.required::<bool>("SOLE_BUYER");
        let (seed, report_dir) = (values.optional("SEED"), values.optional("REPORT_DIR"));
        let print_reports = values.required::<bool>("PRINT_REPORTS");
        let metrics_port = values.optional_within("METRICS_PORT", 1..=u16::MAX);
        let restock_level = values.optional("RESTOCK_LEVEL");
        if sole_buyer == Some(true) && no_check == Some(true) {
            let (sole_buyer, no_check) = (values.name("SOLE_BUYER"), values.name("NO_CHECK"));
            values.mistake(format!("{sole_buyer} needs the check that {no_check} turns off"));
        }
        Some(Self {
            targets: targets?,
            scenario: scenario?,
            seed,
            report_dir,
            print_reports: print_reports?,
            metrics_port,
            check: !no_check?,
            check_timeout: Duration::from_secs(check_seconds?),
            sole_buyer: sole_buyer?,
            restock_level,
        })
    }
}

fn read_targets(values: &mut Values) -> Option<Vec<Address>> {
    let front = read_front(values);
    let Some(list) = values.optional::<String>("TARGETS") else {
        return front.map(|front| vec![front]);
    };
    let mut targets = Vec::new();
    for target in list.split(',').map(str::trim) {
        match parse_address(target) {
            Ok(address) => targets.push(address),
            Err(why) => {
                let name = values.name("TARGETS");
                values.mistake(format!("{name}: {why}"));
            }
        }
    }
    Some(targets).filter(|targets| !targets.is_empty())
}

/// Reads the scenario from a file or from the settings. With a file, settings may override
/// everything but the stages.
fn read_scenario(values: &mut Values) -> Option<Scenario> {
    let stages = read_stages(values);
    let file = values.optional::<PathBuf>("SCENARIO");
    let mut scenario = match file {
        Some(path) => {
            for stage in ["RATE", "SHOPPERS", "SECONDS", "WARM_UP_SECONDS"] {
                if values.is_set(stage) {
                    let (name, file) = (values.name(stage), values.name("SCENARIO"));
                    values.mistake(format!("{name} cannot be set together with {file}: the file has the stages"));
                }
            }
            read_file(values, &path)?
        }
        None => Scenario::new(stages?),
    };
    if let Some(purchase_probability) = values.optional_within("P", 0.0..=1.0) {
        scenario.visit = Visit::ReadThenOrder { purchase_probability };
    }
    scenario.popularity = values.optional("POPULARITY").unwrap_or(scenario.popularity);
    scenario.connections = values.optional_within("CONNECTIONS", 1..=CONNECTIONS_MAX).unwrap_or(scenario.connections);
    scenario.keep_alive &= !values.required::<bool>("NO_KEEP_ALIVE")?;
    if let Some(ms) = values.optional_within("ANSWER_TIMEOUT_MS", 1..=REQUEST_TIMEOUT_MS_MAX) {
        scenario.request_timeout = Duration::from_millis(ms);
    }
    if let Some(thresholds) = values.optional::<String>("THRESHOLDS") {
        scenario.thresholds = thresholds.split(',').filter_map(|text| read_threshold(values, text)).collect();
    }
    for contradiction in scenario.contradictions() {
        values.mistake(contradiction);
    }
    Some(scenario)
}

fn read_threshold(values: &mut Values, text: &str) -> Option<Threshold> {
    let name = values.name("THRESHOLDS");
    text.parse().map_err(|why| values.mistake(format!("{name}: {why}"))).ok()
}

fn read_file(values: &mut Values, path: &std::path::Path) -> Option<Scenario> {
    let name = values.name("SCENARIO");
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            values.mistake(format!("{name}: {}: {error}", path.display()));
            return None;
        }
    };
    match Scenario::parse(&text) {
        Ok(scenario) => Some(scenario),
        Err(mistakes) => {
            for mistake in mistakes {
                values.mistake(format!("{}: {mistake}", path.display()));
            }
            None
        }
    }
}

/// A warm-up and the measured stage, with the same load model.
fn read_stages(values: &mut Values) -> Option<Vec<Stage>> {
    let rate = values.optional_within("RATE", 0.1..=RATE_MAX);
    let shoppers = values.optional_within("SHOPPERS", 1..=CONNECTIONS_MAX);
    let seconds = values.optional_within("SECONDS", 0.1..=SECONDS_MAX).unwrap_or(SECONDS);
    let warm_up = values.optional_within("WARM_UP_SECONDS", 0.0..=SECONDS_MAX).unwrap_or(WARM_UP_SECONDS);
    let model = match (rate, shoppers) {
        (Some(_), Some(_)) => {
            let (rate, shoppers) = (values.name("RATE"), values.name("SHOPPERS"));
            values.mistake(format!("{rate} is for an open loop, {shoppers} for a closed one: set only one of them"));
            return None;
        }
        (rate, None) => LoadModel::constant(rate.unwrap_or(RATE)),
        (None, Some(shoppers)) => LoadModel::Closed { shoppers },
    };
    let stage = |name: &str, seconds, counted| Stage {
        name: name.into(),
        model,
        length: Duration::from_secs_f64(seconds),
        counted,
    };
    let warm_up = (warm_up > 0.0).then(|| stage("warm-up", warm_up, false));
    Some(warm_up.into_iter().chain([stage("steady", seconds, true)]).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use service::settings::{Mistakes, command};

    use super::*;

    fn read(args: &[&str]) -> Result<Config, Mistakes> {
        let settings = settings();
        let matches =
            command("load", "Loads a store", &settings).try_get_matches_from([&["load"], args].concat()).unwrap();
        let mut values = Values::read(&settings, &matches, &BTreeMap::new());
        let config = Config::read(&mut values);
        values.finish(config)
    }

    #[test]
    fn flags_define_a_scenario() {
        let config = read(&["--rate=500", "--seconds=10", "--p=0", "--thresholds=p99<50ms, errors<1%"]).unwrap();
        assert_eq!(
            config.scenario.stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>(),
            ["warm-up", "steady"]
        );
        assert_eq!((config.scenario.connections, config.scenario.thresholds.len()), (64, 2));
        let config = read(&["--shoppers=7", "--warm-up-seconds=0", "--targets=a:1, [::1]:2"]).unwrap();
        assert_eq!((config.scenario.connections, config.scenario.stages.len()), (7, 1));
        assert_eq!(config.targets, [Address::new("a", 1), Address::new("::1", 2)]);
    }

    #[test]
    fn flags_override_a_scenario_file_but_not_its_stages() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "connections = 9\n[[stage]]\nname = 'x'\nseconds = 1\nrate = 5\n").unwrap();
        let path = format!("--scenario={}", file.path().display());
        let config = read(&[&path, "--popularity=zipf:2", "--no-keep-alive"]).unwrap();
        assert_eq!((config.scenario.connections, config.scenario.keep_alive), (9, false));
        assert!(read(&[&path, "--rate=1"]).unwrap_err().to_string().contains("the file has the stages"));
    }

    #[test]
    fn every_mistake_is_reported() {
        let args = ["--rate=1", "--shoppers=0", "--p=2", "--thresholds=p99,max<1", "--targets=x", "--metrics-port=0"];
        let mistakes = read(&args).unwrap_err();
        assert_eq!(mistakes.0.len(), 6, "{mistakes}");
        assert_eq!(read(&["--rate=1", "--shoppers=1"]).unwrap_err().0.len(), 1);
        assert_eq!(read(&["--shoppers=9", "--connections=8"]).unwrap_err().0.len(), 1);
        assert_eq!(read(&["--scenario=/nowhere"]).unwrap_err().0.len(), 1);
    }
}
