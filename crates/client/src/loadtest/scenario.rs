//! A scenario: the stages of a load test and its thresholds, as a TOML file.
//!
//! ```toml
//! purchase_probability = 0.2        # after a product read; or order_share: visits of one request
//! popularity = "zipf:1"             # or "uniform"
//! connections = 64
//! keep_alive = true
//! answer_timeout_ms = 6000
//! thresholds = ["query p99<50ms", "errors<0.1%"]
//!
//! [[stage]]
//! name = "ramp"
//! seconds = 10
//! rate = [0, 1000]                  # visits per second, begin and end; or one constant number
//! counted = false
//!
//! [[stage]]
//! name = "crowd"
//! seconds = 10
//! shoppers = 16                     # a closed loop
//! ```

use std::time::Duration;

use serde::Deserialize;
use workload::load::{LoadModel, Popularity, REQUEST_TIMEOUT, Stage, Visit};

use super::threshold::Threshold;

/// Each connection takes a task and a file descriptor.
pub(super) const CONNECTIONS_MAX: usize = 20_000;
/// More than one machine can send.
pub(super) const RATE_MAX: f64 = 1_000_000.0;
/// One day.
pub(super) const SECONDS_MAX: f64 = 86_400.0;
/// One minute; no response takes longer.
pub(super) const REQUEST_TIMEOUT_MS_MAX: u64 = 60_000;
/// The default number of connections, and so of concurrent visits.
const CONNECTIONS: usize = 64;
/// The default probability that a visit orders the product that it has read.
const PURCHASE_PROBABILITY: f64 = 0.2;
/// A file with more stages is assumed to be a mistake.
const STAGES_MAX: usize = 1000;

/// A load test, independent of the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// At least one, and at least one that counts.
    pub stages: Vec<Stage>,
    /// The requests of a visit.
    pub visit: Visit,
    /// How the visits are distributed over the products.
    pub popularity: Popularity,
    /// The number of connections; at least as many as any stage has shoppers.
    pub connections: usize,
    /// Whether connections stay open between requests.
    pub keep_alive: bool,
    /// How long to wait for a response.
    pub request_timeout: Duration,
    /// The limits that the store must meet.
    pub thresholds: Vec<Threshold>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
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
    rate: Option<RateSpec>,
    shoppers: Option<usize>,
    #[serde(default = "yes")]
    counted: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RateSpec {
    Steady(f64),
    Ramp([f64; 2]),
}

fn yes() -> bool {
    true
}

impl Scenario {
    /// A scenario with these stages, and defaults for everything else.
    pub fn new(stages: Vec<Stage>) -> Self {
        let shoppers = stages.iter().filter_map(Stage::shoppers).max();
        Self {
            stages,
            visit: Visit::ReadThenOrder { purchase_probability: PURCHASE_PROBABILITY },
            popularity: Popularity::Uniform,
            connections: shoppers.unwrap_or(CONNECTIONS),
            keep_alive: true,
            request_timeout: REQUEST_TIMEOUT,
            thresholds: Vec::new(),
        }
    }

    /// Parses the text of a scenario file.
    ///
    /// # Errors
    /// All mistakes in the text.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let file: ScenarioFile = toml::from_str(text).map_err(|error| vec![error.to_string()])?;
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
            within(ms, 1..=REQUEST_TIMEOUT_MS_MAX, "answer_timeout_ms", &mut mistakes);
            scenario.request_timeout = Duration::from_millis(ms);
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

    /// Values that contradict each other.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let Self { connections, stages, .. } = self;
        let mut mistakes = Vec::new();
        within(*connections, 1..=CONNECTIONS_MAX, "connections", &mut mistakes);
        if let Some(shoppers) =
            stages.iter().filter_map(Stage::shoppers).max().filter(|shoppers| shoppers > connections)
        {
            mistakes.push(format!("{shoppers} shoppers need {shoppers} connections, but there are only {connections}"));
        }
        mistakes
    }
}

fn read_stage(stage: &FileStage, mistakes: &mut Vec<String>) -> Option<Stage> {
    let FileStage { name, seconds, rate, shoppers, counted } = stage;
    let before = mistakes.len();
    within(*seconds, 0.1..=SECONDS_MAX, &format!("stage {name:?}: seconds"), mistakes);
    let model = match (rate, shoppers) {
        (Some(RateSpec::Steady(rate)), None) => Some(LoadModel::constant(*rate)),
        (Some(RateSpec::Ramp([from_per_s, to_per_s])), None) => {
            Some(LoadModel::Open { from_per_s: *from_per_s, to_per_s: *to_per_s })
        }
        (None, Some(shoppers)) => Some(LoadModel::Closed { shoppers: *shoppers }),
        _ => {
            mistakes.push(format!("stage {name:?} needs either a rate (open loop) or shoppers (closed loop)"));
            None
        }
    };
    match model? {
        LoadModel::Open { from_per_s, to_per_s } => {
            for rate in [from_per_s, to_per_s] {
                within(rate, 0.0..=RATE_MAX, &format!("stage {name:?}: rate"), mistakes);
            }
        }
        LoadModel::Closed { shoppers } => {
            within(shoppers, 1..=CONNECTIONS_MAX, &format!("stage {name:?}: shoppers"), mistakes);
        }
    }
    let length = (mistakes.len() == before).then(|| Duration::from_secs_f64(*seconds))?;
    Some(Stage { name: name.clone(), model: model?, length, counted: *counted })
}

fn read_visit(file: &ScenarioFile, mistakes: &mut Vec<String>) -> Visit {
    let visit = match (file.purchase_probability, file.order_share) {
        (Some(_), Some(_)) => {
            mistakes
                .push("purchase_probability and order_share cannot both be set: each defines what a visit is".into());
            None
        }
        (None, Some(order_share)) => Some((order_share, Visit::OneRequest { order_share })),
        (given, None) => {
            let purchase_probability = given.unwrap_or(PURCHASE_PROBABILITY);
            Some((purchase_probability, Visit::ReadThenOrder { purchase_probability }))
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
    fn a_complete_scenario() {
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
        assert_eq!(scenario.visit, Visit::ReadThenOrder { purchase_probability: 0.5 });
        assert_eq!((scenario.connections, scenario.thresholds.len()), (100, 1));
        assert_eq!(scenario.stages[0].model, LoadModel::Open { from_per_s: 0.0, to_per_s: 1000.0 });
        assert!(!scenario.stages[0].counted && scenario.stages[1].counted);
        assert_eq!(scenario.stages[1].length, Duration::from_millis(2500));
    }

    #[test]
    fn every_mistake_is_reported() {
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
