//! What an experiment can be told.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use api::Address;
use client::parse_address;
use service::logging::LogConfig;
use service::settings::{Setting, Values};

/// Enough for any spread; with the longest length it is a working day.
const REPETITIONS_MAX: u32 = 1000;
const SECONDS_MAX: f64 = 600.0;
const ROUNDS_MAX: u32 = 1000;

/// An experiment.
#[derive(Clone, Debug)]
pub struct Config {
    /// A store that runs already; one is started and broken if there is none.
    pub given: Option<Given>,
    /// How much is measured.
    pub size: Size,
    /// Decides what is looked at, bought and killed; a random one if there is none.
    pub seed: Option<u64>,
    /// Where the stores that are started have their files; a temporary directory if it is not said.
    pub data_dir: Option<PathBuf>,
    /// Where reports and raw data go.
    pub report_dir: PathBuf,
    /// A Markdown file that gets the report into its marked part, if any.
    pub document: Option<PathBuf>,
}

/// A store that somebody else runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// A frontend's REST API.
    pub front: Address,
    /// The REST API of a frontend of the same store whose cache is off.
    pub uncached: Option<Address>,
    /// The first frontend's internal port.
    pub internal: Option<Address>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// How often shoppers are let in for each probability, with the cache on and off.
    pub repetitions: u32,
    /// How long they shop each time.
    pub length: Duration,
    /// How often a replica, and then the leader, is killed.
    pub rounds: u32,
    /// Requests of the one shopper whose traces in the cache are looked at.
    pub steps: u32,
}

impl Size {
    /// About a quarter of an hour.
    pub const FULL: Self = Self { repetitions: 15, length: Duration::from_millis(2500), rounds: 10, steps: 4000 };
    /// A minute or two.
    pub const QUICK: Self = Self { repetitions: 3, length: Duration::from_secs(1), rounds: 3, steps: 1000 };
}

/// The settings of `toystore experiment`. Those of the members themselves pass through the environment, but for `CACHE_SIZE`.
pub fn settings() -> Vec<Setting> {
    let optional = |name, help: String| Setting::optional(name, help);
    let Size { repetitions, length, rounds, .. } = Size::FULL;
    let quick = Size::QUICK;
    let of_size = |what: &str, full: String, quick: String| format!("{what} [default: {full}; quick: {quick}]");
    let (seconds, quick_seconds) = (length.as_secs_f64().to_string(), quick.length.as_secs_f64().to_string());
    let (repetitions, rounds) = (repetitions.to_string(), rounds.to_string());
    let mut settings = vec![
        Setting::switch("QUICK", "Less of everything: a minute or two, and wider spreads"),
        optional(
            "REPETITIONS",
            of_size(
                "How often each probability is measured, cache on and off",
                repetitions,
                quick.repetitions.to_string(),
            ),
        ),
        optional("SECONDS", of_size("For how long each time", seconds, quick_seconds)),
        optional(
            "ROUNDS",
            of_size("How often a replica, and then the leader, is killed", rounds, quick.rounds.to_string()),
        ),
        Setting::optional("SEED", "Whole number that makes the choice of products and victims repeatable"),
        Setting::optional("TARGET", "REST API of a store that runs already, as host:port; nothing is killed then"),
        Setting::optional("TARGET_UNCACHED", "With --target: REST API of a frontend of that store whose cache is off"),
        Setting::optional("TARGET_INTERNAL", "With --target: its internal port, where the cache can be looked into"),
        Setting::optional("DATA_DIR", "Directory for the files of the stores [default: a temporary one]"),
        Setting::new(
            "REPORT_DIR",
            "experiment",
            "Directory that gets report.html, report.md, plots and raw data as CSV",
        ),
        Setting::optional(
            "DOCUMENT",
            "Markdown file that gets the report, too, between its lines <!-- experiment: … -->",
        ),
    ];
    settings.extend(LogConfig::settings());
    settings
}

impl Config {
    /// Takes the settings' values.
    pub fn read(values: &mut Values) -> Option<Self> {
        let quick = values.required::<bool>("QUICK");
        let size = if quick == Some(true) { Size::QUICK } else { Size::FULL };
        let repetitions = within(values, "REPETITIONS", 1..=REPETITIONS_MAX, size.repetitions);
        let seconds = within(values, "SECONDS", 0.01..=SECONDS_MAX, size.length.as_secs_f64());
        let rounds = within(values, "ROUNDS", 1..=ROUNDS_MAX, size.rounds);
        let seed = values.optional("SEED");
        let given = read_given(values);
        let (data_dir, document) = (values.optional("DATA_DIR"), values.optional("DOCUMENT"));
        let report_dir = values.required("REPORT_DIR");
        quick?;
        Some(Self {
            given: given.ok()?,
            size: Size {
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

/// A mistake was noted.
struct Noted;

/// A store that runs already, if one is named.
fn read_given(values: &mut Values) -> Result<Option<Given>, Noted> {
    let front = read_address(values, "TARGET");
    let uncached = read_address(values, "TARGET_UNCACHED");
    let internal = read_address(values, "TARGET_INTERNAL");
    let (front, uncached, internal) = (front?, uncached?, internal?);
    let Some(front) = front else {
        for beside in ["TARGET_UNCACHED", "TARGET_INTERNAL"] {
            if values.is_set(beside) {
                let (beside, target) = (values.name(beside), values.name("TARGET"));
                values.mistake(format!("{beside} belongs to a store that runs already: {target} is missing"));
                return Err(Noted);
            }
        }
        return Ok(None);
    };
    Ok(Some(Given { front, uncached, internal }))
}

fn read_address(values: &mut Values, env: &str) -> Result<Option<Address>, Noted> {
    let Some(text) = values.optional::<String>(env) else { return Ok(None) };
    let name = values.name(env);
    parse_address(&text).map(Some).map_err(|why| {
        values.mistake(format!("{name}: {why}"));
        Noted
    })
}

/// A value within bounds, if it is said.
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
    fn quick_is_less_and_each_number_can_be_said() {
        assert_eq!(read(&[]).unwrap().size, Size::FULL);
        assert_eq!(read(&["--quick"]).unwrap().size, Size::QUICK);
        let size = read(&["--quick", "--repetitions=2", "--seconds=0.5", "--rounds=1"]).unwrap().size;
        let length = Duration::from_millis(500);
        assert_eq!(size, Size { repetitions: 2, length, rounds: 1, steps: Size::QUICK.steps });
    }

    #[test]
    fn a_store_that_runs_already() {
        let given = read(&["--target=a:1", "--target-uncached=a:3"]).unwrap().given;
        let (front, uncached) = (Address::new("a", 1), Some(Address::new("a", 3)));
        assert_eq!(given, Some(Given { front, uncached, internal: None }));
        assert_eq!(read(&["--target-uncached=a:1"]).unwrap_err().0.len(), 1);
        assert_eq!(read(&["--target=a", "--repetitions=0", "--seconds=x", "--rounds=-1"]).unwrap_err().0.len(), 4);
    }
}
