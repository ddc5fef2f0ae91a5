//! What is to come when: a file in TOML.
//!
//! ```toml
//! purchase_probability = 0.2        # after a look; or order_share, for visits of one request
//! popularity = "zipf:1"             # or "uniform"
//! connections = 64
//! keep_alive = true
//! answer_timeout_ms = 6000
//! thresholds = ["query p99<50ms", "errors<0.1%"]
//!
//! [[stage]]
//! name = "ramp"
//! seconds = 10
//! rate = [0, 1000]                  # visits per second, at its begin and its end; one number is steady
//! counted = false
//!
//! [[stage]]
//! name = "crowd"
//! seconds = 10
//! shoppers = 16                     # a closed loop
//! ```

use std::time::Duration;

use serde::Deserialize;

use super::Threshold;
use crate::load::{ANSWER_TIMEOUT, Pace, Popularity, Stage, Visit};

/// Each connection is a task and a file.
pub(super) const CONNECTIONS_MAX: usize = 20_000;
/// As many as one machine can think of sending.
pub(super) const RATE_MAX: f64 = 1_000_000.0;
/// A day.
pub(super) const SECONDS_MAX: f64 = 86_400.0;
/// A minute; no answer takes longer.
pub(super) const ANSWER_TIMEOUT_MS_MAX: u64 = 60_000;
/// For as many visits at a time.
const CONNECTIONS: usize = 64;
const PURCHASE_PROBABILITY: f64 = 0.2;
/// More is no plan but a mistake.
const STAGES_MAX: usize = 1000;

/// A load, whatever the store is.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// At least one, and at least one that counts.
    pub stages: Vec<Stage>,
    /// What a visit is.
    pub visit: Visit,
    /// How visits spread over the products.
    pub popularity: Popularity,
    /// At least as many as any stage has shoppers.
    pub connections: usize,
    /// Whether they are kept open.
    pub keep_alive: bool,
    /// Time for an answer.
    pub answer_timeout: Duration,
    /// What the store must keep to.
    pub thresholds: Vec<Threshold>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    purchase_probability: Option<f64>,
    order_share: Option<f64>,
    popularity: Option<String>,
    connections: Option<usize>,
    keep_alive: Option<bool>,
    answer_timeout_ms: Option<u64>,
    #[serde(default)]
    thresholds: Vec<String>,
    #[serde(default)]
    stage: Vec<FileStage>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStage {
    name: String,
    seconds: f64,
    rate: Option<Rate>,
    shoppers: Option<usize>,
    #[serde(default = "yes")]
    counted: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Rate {
    Steady(f64),
    Ramp([f64; 2]),
}

fn yes() -> bool {
    true
}

impl Scenario {
    /// A scenario of these stages, and otherwise as it is by default.
    pub fn new(stages: Vec<Stage>) -> Self {
        let shoppers = stages.iter().filter_map(Stage::shoppers).max();
        Self {
            stages,
            visit: Visit::LookThenBuy { purchase_probability: PURCHASE_PROBABILITY },
            popularity: Popularity::Uniform,
            connections: shoppers.unwrap_or(CONNECTIONS),
            keep_alive: true,
            answer_timeout: ANSWER_TIMEOUT,
            thresholds: Vec::new(),
        }
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let file: File = toml::from_str(text).map_err(|error| vec![error.to_string()])?;
        let mut mistakes = Vec::new();
        let stages: Vec<_> = file.stage.iter().filter_map(|stage| read_stage(stage, &mut mistakes)).collect();
        if file.stage.is_empty() || file.stage.len() > STAGES_MAX {
            mistakes.push(format!("there must be 1 to {STAGES_MAX} stages: [[stage]]"));
        } else if !file.stage.iter().any(|stage| stage.counted) {
            mistakes.push("no stage counts".into());
        }
        let mut scenario = Self::new(stages);
        scenario.visit = read_visit(&file, &mut mistakes);
        if let Some(popularity) = &file.popularity {
            match popularity.parse() {
                Ok(popularity) => scenario.popularity = popularity,
                Err(why) => mistakes.push(format!("popularity is {popularity:?}: {why}")),
            }
        }
        scenario.connections = file.connections.unwrap_or(scenario.connections.max(CONNECTIONS));
        scenario.keep_alive = file.keep_alive.unwrap_or(true);
        if let Some(ms) = file.answer_timeout_ms {
            within(ms, 1..=ANSWER_TIMEOUT_MS_MAX, "answer_timeout_ms", &mut mistakes);
            scenario.answer_timeout = Duration::from_millis(ms);
        }
        for threshold in &file.thresholds {
            match threshold.parse() {
                Ok(threshold) => scenario.thresholds.push(threshold),
                Err(why) => mistakes.push(why),
            }
        }
        mistakes.extend(scenario.contradictions());
        if mistakes.is_empty() { Ok(scenario) } else { Err(mistakes) }
    }

    /// What does not go together.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let Self { connections, stages, .. } = self;
        let mut mistakes = Vec::new();
        within(*connections, 1..=CONNECTIONS_MAX, "connections", &mut mistakes);
        if let Some(shoppers) =
            stages.iter().filter_map(Stage::shoppers).max().filter(|shoppers| shoppers > connections)
        {
            mistakes.push(format!("{shoppers} shoppers need as many connections, and there are {connections}"));
        }
        mistakes
    }
}

fn read_stage(stage: &FileStage, mistakes: &mut Vec<String>) -> Option<Stage> {
    let FileStage { name, seconds, rate, shoppers, counted } = stage;
    let before = mistakes.len();
    within(*seconds, 0.1..=SECONDS_MAX, &format!("stage {name:?}: seconds"), mistakes);
    let pace = match (rate, shoppers) {
        (Some(Rate::Steady(rate)), None) => Some(Pace::steady(*rate)),
        (Some(Rate::Ramp([from_per_s, to_per_s])), None) => {
            Some(Pace::Open { from_per_s: *from_per_s, to_per_s: *to_per_s })
        }
        (None, Some(shoppers)) => Some(Pace::Closed { shoppers: *shoppers }),
        _ => {
            mistakes.push(format!("stage {name:?} needs a rate (an open loop) or shoppers (a closed one)"));
            None
        }
    };
    match pace? {
        Pace::Open { from_per_s, to_per_s } => {
            for rate in [from_per_s, to_per_s] {
                within(rate, 0.0..=RATE_MAX, &format!("stage {name:?}: rate"), mistakes);
            }
        }
        Pace::Closed { shoppers } => {
            within(shoppers, 1..=CONNECTIONS_MAX, &format!("stage {name:?}: shoppers"), mistakes);
        }
    }
    let length = (mistakes.len() == before).then(|| Duration::from_secs_f64(*seconds))?;
    Some(Stage { name: name.clone(), pace: pace?, length, counted: *counted })
}

fn read_visit(file: &File, mistakes: &mut Vec<String>) -> Visit {
    let visit = match (file.purchase_probability, file.order_share) {
        (Some(_), Some(_)) => {
            mistakes.push("purchase_probability and order_share are two ways to say what a visit is".into());
            None
        }
        (None, Some(order_share)) => Some((order_share, Visit::OneRequest { order_share })),
        (given, None) => {
            let purchase_probability = given.unwrap_or(PURCHASE_PROBABILITY);
            Some((purchase_probability, Visit::LookThenBuy { purchase_probability }))
        }
    };
    if let Some((probability, _)) = visit {
        within(probability, 0.0..=1.0, "purchase_probability or order_share", mistakes);
    }
    visit.map_or(Visit::OneRequest { order_share: 0.0 }, |(_, visit)| visit)
}

fn within<T>(value: T, bounds: std::ops::RangeInclusive<T>, what: &str, mistakes: &mut Vec<String>)
where
    T: Copy + PartialOrd + std::fmt::Display,
{
    if !bounds.contains(&value) {
        mistakes.push(format!("{what} is {value}: it must be from {} to {}", bounds.start(), bounds.end()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_in_full() {
        let text = r#"
            purchase_probability = 0.5
            popularity = "zipf:0.8"
            thresholds = ["p99<50ms"]
            [[stage]]
            name = "ramp"
            seconds = 10
            rate = [0, 1000]
            counted = false
            [[stage]]
            name = "crowd"
            seconds = 2.5
            shoppers = 100
        "#;
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!(scenario.visit, Visit::LookThenBuy { purchase_probability: 0.5 });
        assert_eq!((scenario.connections, scenario.thresholds.len()), (100, 1));
        assert_eq!(scenario.stages[0].pace, Pace::Open { from_per_s: 0.0, to_per_s: 1000.0 });
        assert!(!scenario.stages[0].counted && scenario.stages[1].counted);
        assert_eq!(scenario.stages[1].length, Duration::from_millis(2500));
    }

    #[test]
    fn every_mistake_is_told() {
        let text = r#"
            order_share = 2
            popularity = "gauss"
            connections = 5
            answer_timeout_ms = 0
            thresholds = ["p99"]
            stage = [
                { name = "a", seconds = 0, rate = -1 },
                { name = "b", seconds = 1, rate = 1, shoppers = 1 },
                { name = "c", seconds = 1, shoppers = 6 },
            ]
        "#;
        let mistakes = Scenario::parse(text).unwrap_err();
        assert_eq!(mistakes.len(), 9, "{mistakes:#?}");
        assert!(Scenario::parse("stages = 1").unwrap_err()[0].contains("unknown field"));
        assert!(Scenario::parse("").unwrap_err()[0].contains("1 to 1000 stages"));
    }
}
