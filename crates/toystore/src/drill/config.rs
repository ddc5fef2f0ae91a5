//! What a drill can be told.

use std::path::PathBuf;
use std::time::Duration;

use service::logging::LogConfig;
use service::settings::{Setting, Values};

use super::fault::{Fault, Faults};

/// Longer drills fill the history: see the load.
const MINUTES_MAX: f64 = 24.0 * 60.0;

/// A drill.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is done to the store.
    pub faults: Vec<Fault>,
    /// When it ends.
    pub length: Length,
    /// What draws the plan; a random one if there is none.
    pub seed: Option<u64>,
    /// Writers; there is a reader for every four.
    pub shoppers: u32,
    /// Orders per second of all writers together; 0: as fast as they are answered.
    pub orders_per_s: u32,
    /// Where the store has its files; a temporary directory if it is not said.
    pub data_dir: Option<PathBuf>,
    /// Where the report goes as JSON, if anywhere.
    pub json: Option<PathBuf>,
}

/// When a drill ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// After the first fault that ends after so long.
    Time(Duration),
    /// When each fault was done so many times.
    Rounds(u32),
}

/// The settings of `toystore drill`. Those of the members themselves (`CACHE_SIZE`, …) pass through the environment.
pub fn settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting::new("FAULTS", "all", "What is done, with commas between; a wrong one lists them all"),
        Setting::new("MINUTES", "2", "How long"),
        Setting::optional("ROUNDS", "Each fault so many times, however long that takes"),
        Setting::optional("SEED", "Whole number that draws order, victims and lengths of the faults"),
        Setting::new("SHOPPERS", "16", "Writers at the same time; for every four there is a reader"),
        Setting::new("ORDERS_PER_S", "500", "Orders per second of all writers; 0: as fast as they are answered"),
        Setting::optional(
            "DATA_DIR",
            "Empty directory for all files [default: a temporary one, kept if something breaks]",
        ),
        Setting::optional("JSON", "File that gets the report as JSON"),
    ];
    settings.extend(LogConfig::settings());
    settings
}

impl Config {
    /// Takes the settings' values.
    pub fn read(values: &mut Values) -> Option<Self> {
        let faults = values.required::<Faults>("FAULTS");
        let minutes = values.within("MINUTES", 0.0..=MINUTES_MAX);
        let rounds = values.optional::<std::num::NonZeroU32>("ROUNDS");
        let seed = values.optional("SEED");
        let shoppers = values.within("SHOPPERS", 1..=1000);
        let orders_per_s = values.within("ORDERS_PER_S", 0..=100_000);
        let data_dir = values.optional::<PathBuf>("DATA_DIR");
        let json = values.optional("JSON");
        if let Some(dir) = data_dir.as_ref().filter(|dir| dir.read_dir().is_ok_and(|mut files| files.next().is_some()))
        {
            // The checkers know the whole history, or none.
            let name = values.name("DATA_DIR");
            values.mistake(format!("{name} is {}: there is something in it already", dir.display()));
        }
        Some(Self {
            faults: faults?.0,
            length: rounds.map_or(Length::Time(Duration::from_secs_f64(minutes? * 60.0)), |n| Length::Rounds(n.get())),
            seed,
            shoppers: shoppers?,
            orders_per_s: orders_per_s?,
            data_dir,
            json,
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
    fn everything_for_two_minutes_unless_told_otherwise() {
        let config = read(&[]).unwrap();
        assert_eq!((config.faults, config.length), (Fault::ALL.to_vec(), Length::Time(Duration::from_mins(2))));
        assert_eq!((config.shoppers, config.seed), (16, None));
        let config = read(&["--faults=kill-all", "--rounds=3", "--seed=9", "--minutes=0.5"]).unwrap();
        assert_eq!((config.faults, config.length, config.seed), (vec![Fault::KillAll], Length::Rounds(3), Some(9)));
    }

    #[test]
    fn every_mistake_is_told() {
        let args = ["--faults=kill-me", "--minutes=-1", "--rounds=0", "--shoppers=0", "--seed=x", "--data-dir=/usr"];
        let mistakes = read(&args).unwrap_err().0;
        assert_eq!(mistakes.len(), args.len(), "{mistakes:#?}");
    }
}
