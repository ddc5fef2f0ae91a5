//! The configuration of a drill.

use std::path::PathBuf;
use std::time::Duration;

use service::logging::LogConfig;
use service::settings::{Setting, Values};

use super::fault::{Fault, FaultSelection};

/// A longer drill would fill the history; see `CALLS_MAX` in `load/mod.rs`.
const MINUTES_MAX: f64 = 24.0 * 60.0;

/// Longer than any request, and than any lease, waits.
const HOLD_MAX_MS: u64 = 60_000;

/// The configuration of a drill.
#[derive(Clone, Debug)]
pub struct Config {
    /// The faults to inject.
    pub faults: Vec<Fault>,
    /// When the drill ends.
    pub length: Length,
    /// How long a fault is held; a random time that suits it if there is none.
    pub hold: Option<Duration>,
    /// The seed of the fault schedule; random if there is none.
    pub seed: Option<u64>,
    /// Number of writers; there is one reader for every four.
    pub shoppers: u32,
    /// Orders per second of all writers together; 0 is unlimited.
    pub orders_per_s: u32,
    /// The data directory of the store; a temporary directory if there is none.
    pub data_dir: Option<PathBuf>,
    /// The file to which the report is written as JSON, if any.
    pub json: Option<PathBuf>,
    /// The directory for the report as a page, Markdown and JSON, if any.
    pub report_dir: Option<PathBuf>,
}

/// When a drill ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// After the first fault that ends after this time.
    Time(Duration),
    /// When each fault was injected this many times.
    Rounds(u32),
}

/// The settings of `toystore drill`. The members' own settings (`CACHE_SIZE`, …) are passed through
/// the environment.
pub fn settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting::new("FAULTS", "all", "Faults to inject, separated by commas; an unknown name lists all of them"),
        Setting::new("MINUTES", "2", "Duration in minutes"),
        Setting::optional("ROUNDS", "Inject each fault this many times, regardless of MINUTES"),
        Setting::optional("HOLD_MS", "Hold each fault this long instead of a random time, up to 60000"),
        Setting::optional("SEED", "Seed, a whole number, for the order, victims and lengths of the faults"),
        Setting::new("SHOPPERS", "16", "Number of concurrent writers; there is one reader for every four"),
        Setting::new("ORDERS_PER_S", "500", "Orders per second of all writers together; 0 is unlimited"),
        Setting::optional(
            "DATA_DIR",
            "Empty directory for all files [default: a temporary directory, kept if a promise is broken]",
        ),
        Setting::optional("JSON", "File to which the report is written as JSON"),
        Setting::optional("REPORT_DIR", "Directory for report.html, report.md, plots and report.json"),
    ];
    settings.extend(LogConfig::settings());
    settings
}

impl Config {
    /// Takes the values of the settings.
    pub fn read(values: &mut Values) -> Option<Self> {
        let faults = values.required::<FaultSelection>("FAULTS");
        let minutes = values.within("MINUTES", 0.0..=MINUTES_MAX);
        let rounds = values.optional::<std::num::NonZeroU32>("ROUNDS");
        let hold = values.optional_within("HOLD_MS", 0..=HOLD_MAX_MS);
        let seed = values.optional("SEED");
        let shoppers = values.within("SHOPPERS", 1..=1000);
        let orders_per_s = values.within("ORDERS_PER_S", 0..=100_000);
        let data_dir = values.optional::<PathBuf>("DATA_DIR");
        let (json, report_dir) = (values.optional("JSON"), values.optional("REPORT_DIR"));
        if let Some(dir) = data_dir.as_ref().filter(|dir| dir.read_dir().is_ok_and(|mut files| files.next().is_some()))
        {
            // The checkers need the complete history of the store.
            let name = values.name("DATA_DIR");
            values.mistake(format!("{name} is {}: the directory is not empty", dir.display()));
        }
        Some(Self {
            faults: faults?.0,
            length: rounds.map_or(Length::Time(Duration::from_secs_f64(minutes? * 60.0)), |n| Length::Rounds(n.get())),
            hold: hold.map(Duration::from_millis),
            seed,
            shoppers: shoppers?,
            orders_per_s: orders_per_s?,
            data_dir,
            json,
            report_dir,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use service::settings::{Mistakes, command};

    use super::*;

    fn read(args: &[&str]) -> Result<Config, Mistakes> {
        let settings = settings();
        let matches = command("drill", "", &settings).try_get_matches_from([&["drill"], args].concat()).unwrap();
        let mut values = Values::read(&settings, &matches, &BTreeMap::new());
        let config = Config::read(&mut values);
        values.finish(config)
    }

    #[test]
    fn the_default_is_all_faults_for_two_minutes() {
        let config = read(&[]).unwrap();
        assert_eq!((config.faults, config.length), (Fault::ALL.to_vec(), Length::Time(Duration::from_mins(2))));
        assert_eq!((config.shoppers, config.seed), (16, None));
        assert_eq!(config.hold, None);
        let config = read(&["--faults=kill-all", "--rounds=3", "--seed=9", "--minutes=0.5", "--hold-ms=0"]).unwrap();
        assert_eq!(config.hold, Some(Duration::ZERO));
        assert_eq!((config.faults, config.length, config.seed), (vec![Fault::KillAll], Length::Rounds(3), Some(9)));
    }

    #[test]
    fn every_mistake_is_reported() {
        let args = [
            "--faults=kill-me",
            "--minutes=-1",
            "--rounds=0",
            "--hold-ms=60001",
            "--shoppers=0",
            "--seed=x",
            "--data-dir=/usr",
        ];
        let mistakes = read(&args).unwrap_err().0;
        assert_eq!(mistakes.len(), args.len(), "{mistakes:#?}");
    }
}
