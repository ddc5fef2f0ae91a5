//! The configuration of an experiment.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use api::Address;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use service::{Token, access};
use workload::parse_address;

/// Enough for any spread; with the longest length it takes several hours.
const REPETITIONS_MAX: u32 = 1000;
const SECONDS_MAX: f64 = 600.0;
const ROUNDS_MAX: u32 = 1000;

/// The configuration of an experiment.
#[derive(Clone, Debug)]
pub struct Config {
    /// A running store to measure. If there is none, the experiment starts its own, and kills its
    /// processes.
    pub existing: Option<ExistingStore>,
    /// How much to measure.
    pub size: ExperimentSize,
    /// The seed for the choice of products and victims; random if there is none.
    pub seed: Option<u64>,
    /// The directory for the files of the stores; a temporary directory if there is none.
    pub data_dir: Option<PathBuf>,
    /// The directory for reports and raw data.
    pub report_dir: PathBuf,
    /// A Markdown file into whose marked section the report is written, if any.
    pub document: Option<PathBuf>,
}

/// A store that was not started by the experiment.
#[derive(Clone, Debug)]
pub struct ExistingStore {
    /// The REST API of a frontend.
    pub frontend: Address,
    /// The REST API of a frontend of the same store whose cache is off.
    pub uncached: Option<Address>,
    /// The first frontend's internal port.
    pub internal: Option<Address>,
    /// The token of that port, if it requires one.
    pub token: Option<Token>,
}

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExperimentSize {
    /// Number of measurements per purchase probability and cache setting.
    pub repetitions: u32,
    /// Length of each measurement.
    pub length: Duration,
    /// How often a follower, and then the leader, is killed.
    pub rounds: u32,
    /// Number of requests of the cache trace.
    pub steps: u32,
}

impl ExperimentSize {
    /// Takes about a quarter of an hour.
    pub const FULL: Self = Self { repetitions: 15, length: Duration::from_millis(2500), rounds: 10, steps: 4000 };
    /// Takes a minute or two.
    pub const QUICK: Self = Self { repetitions: 3, length: Duration::from_secs(1), rounds: 3, steps: 1000 };
}

/// The settings of `toystore experiment`. The members' own settings are passed through the
/// environment, except `CACHE_SIZE`.
pub fn settings() -> Vec<Setting> {
    let optional = |name, help: String| Setting::optional(name, help);
    let ExperimentSize { repetitions, length, rounds, .. } = ExperimentSize::FULL;
    let quick = ExperimentSize::QUICK;
    let of_size = |what: &str, full: String, quick: String| format!("{what} [default: {full}; quick: {quick}]");
    let (seconds, quick_seconds) = (length.as_secs_f64().to_string(), quick.length.as_secs_f64().to_string());
    let (repetitions, rounds) = (repetitions.to_string(), rounds.to_string());
    let mut settings = vec![
        Setting::switch("QUICK", "A short run: a minute or two, with wider spreads"),
        optional(
            "REPETITIONS",
            of_size(
                "Repetitions of each purchase probability, with the cache on and off",
                repetitions,
                quick.repetitions.to_string(),
            ),
        ),
        optional("SECONDS", of_size("Length of each measurement, in seconds", seconds, quick_seconds)),
        optional(
            "ROUNDS",
            of_size("Rounds of killing a follower and then the leader", rounds, quick.rounds.to_string()),
        ),
        Setting::optional("SEED", "Seed, a whole number, for the choice of products and victims"),
        Setting::optional("TARGET", "REST API of a running store, as host:port; none of its processes is killed"),
        Setting::optional("TARGET_UNCACHED", "With --target: REST API of a frontend of that store whose cache is off"),
        Setting::optional("TARGET_INTERNAL", "With --target: its internal port, to read the cache contents"),
        Setting::optional("DATA_DIR", "Directory for the files of the stores [default: a temporary directory]"),
        Setting::new(
            "REPORT_DIR",
            "experiment",
            "Output directory for report.html, report.md, plots, and raw data as CSV",
        ),
        Setting::optional(
            "DOCUMENT",
            "Markdown file into which the report is also written, between its lines <!-- experiment: … -->",
        ),
    ];
    settings.extend(access::token_settings());
    settings.extend(LogConfig::settings());
    settings
}

impl Config {
    /// Takes the values of the settings.
    pub fn read(values: &mut Values) -> Option<Self> {
        let quick = values.required::<bool>("QUICK");
        let size = if quick == Some(true) { ExperimentSize::QUICK } else { ExperimentSize::FULL };
        let repetitions = within(values, "REPETITIONS", 1..=REPETITIONS_MAX, size.repetitions);
        let seconds = within(values, "SECONDS", 0.01..=SECONDS_MAX, size.length.as_secs_f64());
        let rounds = within(values, "ROUNDS", 1..=ROUNDS_MAX, size.rounds);
        let seed = values.optional("SEED");
        let existing = read_existing(values);
        let (data_dir, document) = (values.optional("DATA_DIR"), values.optional("DOCUMENT"));
        let report_dir = values.required("REPORT_DIR");
        quick?;
        Some(Self {
            existing: existing.ok()?,
            size: ExperimentSize {
                repetitions: repetitions?,
                length: Duration::from_secs_f64(seconds?),
                rounds: rounds?,
                ..size
            },
            seed,
            data_dir,
            report_dir: report_dir?,
            document,
        })
    }
}

/// The value is invalid, and the mistake has been noted.
struct MistakeNoted;

/// Reads the addresses of a running store, if they are set.
fn read_existing(values: &mut Values) -> Result<Option<ExistingStore>, MistakeNoted> {
    let frontend = read_address(values, "TARGET");
    let uncached = read_address(values, "TARGET_UNCACHED");
    let internal = read_address(values, "TARGET_INTERNAL");
    let token = access::read_token(values);
    let (frontend, uncached, internal) = (frontend?, uncached?, internal?);
    let Some(frontend) = frontend else {
        for other in ["TARGET_UNCACHED", "TARGET_INTERNAL"] {
            if values.is_set(other) {
                let (other, target) = (values.name(other), values.name("TARGET"));
                values.mistake(format!("{other} needs {target}: it belongs to a running store"));
                return Err(MistakeNoted);
            }
        }
        return Ok(None);
    };
    Ok(Some(ExistingStore { frontend, uncached, internal, token }))
}

fn read_address(values: &mut Values, env: &str) -> Result<Option<Address>, MistakeNoted> {
    let Some(text) = values.optional::<String>(env) else { return Ok(None) };
    let name = values.name(env);
    parse_address(&text).map(Some).map_err(|why| {
        values.mistake(format!("{name}: {why}"));
        MistakeNoted
    })
}

/// A value within bounds, or the default if it is not set.
fn within<T>(values: &mut Values, env: &str, bounds: RangeInclusive<T>, default: T) -> Option<T>
where
    T: FromStr<Err: Display> + PartialOrd + Display,
{
    if values.is_set(env) { values.within(env, bounds) } else { Some(default) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use service::settings::{Mistakes, command};

    use super::*;

    fn read(args: &[&str]) -> Result<Config, Mistakes> {
        let settings = settings();
        let matches =
            command("experiment", "", &settings).try_get_matches_from([&["experiment"], args].concat()).unwrap();
        let mut values = Values::read(&settings, &matches, &BTreeMap::new());
        let config = Config::read(&mut values);
        values.finish(config)
    }

    #[test]
    fn quick_measures_less_and_each_number_can_be_set() {
        assert_eq!(read(&[]).unwrap().size, ExperimentSize::FULL);
        assert_eq!(read(&["--quick"]).unwrap().size, ExperimentSize::QUICK);
        let size = read(&["--quick", "--repetitions=2", "--seconds=0.5", "--rounds=1"]).unwrap().size;
        let length = Duration::from_millis(500);
        assert_eq!(size, ExperimentSize { repetitions: 2, length, rounds: 1, steps: ExperimentSize::QUICK.steps });
    }

    #[test]
    fn an_existing_store_is_read() {
        let existing = read(&["--target=a:1", "--target-uncached=a:3"]).unwrap().existing;
        let (frontend, uncached) = (Address::new("a", 1), Some(Address::new("a", 3)));
        let existing = existing.unwrap();
        assert_eq!((existing.frontend, existing.uncached, existing.internal), (frontend, uncached, None));
        assert_eq!(read(&["--target-uncached=a:1"]).unwrap_err().0.len(), 1);
        assert_eq!(read(&["--target=a", "--repetitions=0", "--seconds=x", "--rounds=-1"]).unwrap_err().0.len(), 4);
    }
}
