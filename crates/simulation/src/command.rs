//! `toystore simulate`: runs one seed and prints its trace, or runs many seeds on all cores. With a
//! deliberate bug, it runs seeds until one shows the bug, and shrinks it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::report::{Checks, Document, count};
use service::lifecycle::ExitCode;
use service::mutation::Mutation;
use service::settings::{Setting, Values};

use crate::options::SimulationOptions;
use crate::report::SimulationReport;
use crate::run::{run, run_traced};
#[cfg(feature = "mutations")]
use crate::story::search;
use crate::story::{self, Story, StoryLimits};
use crate::trace::TraceDetail;

/// After this many failed seeds, no more seeds are run.
const FAILURES_MAX: usize = 5;
/// How often progress is printed.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// One day.
const MINUTES_MAX: f64 = 24.0 * 60.0;
const THREADS_MAX: usize = 256;

/// The configuration of `toystore simulate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The seeds to run.
    pub seeds: Seeds,
    /// How many seeds are run to find one that shows a deliberate bug.
    pub runs: u64,
    /// How many seeds run at the same time.
    pub threads: usize,
    /// Which events of a single seed are printed.
    pub detail: TraceDetail,
    /// The file to which the story of the seed is written.
    pub story: Option<PathBuf>,
    /// A deliberate bug. Only a build with the feature `mutations` has it.
    pub mutation: Option<Mutation>,
}

/// Which seeds are run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seeds {
    /// One seed, whose trace is printed.
    One(u64),
    /// A number of seeds.
    Many {
        /// The first seed.
        from: u64,
        /// How many.
        runs: u64,
    },
    /// As many seeds as possible in a given time.
    During {
        /// The first seed.
        from: u64,
        /// How long new runs are started.
        time: Duration,
    },
}

/// The settings of `toystore simulate`.
pub fn settings() -> Vec<Setting> {
    vec![
        Setting::optional("SEED", "Run only this seed, and print what happens; with --mutation: the first seed"),
        Setting::new("RUNS", "100", "Number of seeds to run"),
        Setting::optional("MINUTES", "Run as many seeds as possible in this time instead"),
        Setting::new("FROM", "1", "First seed"),
        Setting::optional("THREADS", "Seeds to run at the same time [default: one per CPU core]"),
        Setting::switch("EVERYTHING", "With --seed: also print each message"),
        Setting::optional(
            "STORY",
            "With --seed or --mutation: write what happens to this file, as a page to look at (HTML)",
        ),
        Setting::optional(
            "MUTATION",
            "Name of a deliberate bug: run seeds, from --seed on, until one shows it, and shrink that one; \
             an unknown name lists all of them. Only in a build with `--features mutations`",
        ),
    ]
}

impl Config {
    /// Reads the values of [`settings`]. `None` means that `values` has recorded a mistake.
    pub fn read(values: &mut Values) -> Option<Self> {
        let seed = values.optional::<u64>("SEED");
        let runs = values.within("RUNS", 1..=u64::MAX);
        let minutes = if values.is_set("MINUTES") { values.within("MINUTES", 0.0..=MINUTES_MAX) } else { None };
        let from = values.required::<u64>("FROM");
        let threads = if values.is_set("THREADS") { values.within("THREADS", 1..=THREADS_MAX) } else { Some(cores()) };
        let everything = values.required::<bool>("EVERYTHING");
        let story = values.optional::<PathBuf>("STORY");
        let mutation = values.optional::<Mutation>("MUTATION");
        if mutation.is_some() && cfg!(not(feature = "mutations")) {
            let name = values.name("MUTATION");
            values.mistake(format!(
                "{name}: this binary has no deliberate bugs. Build one that has them: \
                 cargo run --release --features mutations -- simulate --mutation …"
            ));
        }
        if story.is_some() && seed.is_none() && !values.is_set("MUTATION") {
            let name = values.name("STORY");
            values.mistake(format!("{name} is the story of one seed: also set --seed or --mutation"));
        }
        let (runs, from) = (runs?, from?);
        let seeds = match (seed, minutes) {
            (Some(seed), _) => Seeds::One(seed),
            (None, Some(minutes)) => Seeds::During { from, time: Duration::from_secs_f64(minutes * 60.0) },
            (None, None) => Seeds::Many { from, runs },
        };
        Some(Self {
            seeds,
            runs,
            threads: threads?,
            detail: if everything? { TraceDetail::Everything } else { TraceDetail::Story },
            story,
            mutation,
        })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The results of all seeds.
#[derive(Clone, Debug, Default)]
pub struct SimulationSummary {
    runs: u64,
    virtual_ms: u64,
    events: u64,
    acknowledged: u64,
    elections: u64,
    undecided: u64,
    faults: BTreeMap<&'static str, u64>,
    failed: Vec<u64>,
    /// No seed showed a deliberate bug.
    not_shown: Option<String>,
    /// Why the story could not be written.
    not_written: Option<String>,
}

impl SimulationSummary {
    /// The exit code of the process.
    pub fn exit_code(&self) -> ExitCode {
        self.checks().result().exit_code(self.not_written.is_none())
    }

    /// What is broken, and what could not be checked: if the linearizability check of a product was
    /// given up, that product; without a single run, everything.
    fn checks(&self) -> Checks {
        let mut checks = Checks::default();
        for seed in &self.failed {
            checks.broken(format!("seed {seed}: toystore simulate --seed {seed}"));
        }
        if self.undecided > 0 {
            checks.not_checked(format!("the reads of {} products: the search budget was exceeded", self.undecided));
        }
        if let Some(not_shown) = &self.not_shown {
            checks.not_checked(not_shown);
        }
        if self.runs == 0 {
            checks.not_checked("no seed was run");
        }
        checks
    }

    fn document(&self) -> Document {
        let (hours, minutes) = (self.virtual_ms / 3_600_000, self.virtual_ms / 60_000 % 60);
        let mut page = Document::new(format!("{} seeds, {hours} h {minutes} min of virtual time", count(self.runs)));
        let checks = self.checks();
        page.conclude(checks.result(), checks.verdict("every seed is clean"), &checks);
        page.facts(
            "",
            [
                ("orders acknowledged", self.acknowledged),
                ("order leaders", self.elections),
                ("events", self.events),
                ("products undecided", self.undecided),
                ("seeds failed", self.failed.len() as u64),
            ],
        );
        page.facts("fault", self.faults.iter().map(|(kind, times)| (*kind, *times)));
        page
    }

    /// Writes a story to a file.
    fn write_story(&mut self, story: &Story, path: &Path, print: &(dyn Fn(&str) + Sync)) {
        let page = story.html(StoryLimits::default());
        match std::fs::write(path, &page) {
            Ok(()) => {
                print(&format!("the story is in {} ({} KB); open it in a browser", path.display(), page.len() / 1000));
            }
            Err(error) => {
                let what = format!("the story cannot be written to {}: {error}", path.display());
                print(&what);
                self.not_written = Some(what);
            }
        }
    }

    /// Counts a run that may fail, or have reads that are too many to be checked, because it has a
    /// deliberate bug.
    #[cfg(feature = "mutations")]
    fn add_expected(&mut self, report: &SimulationReport) {
        self.add(report);
        self.failed.clear();
        self.undecided = 0;
    }

    fn add(&mut self, report: &SimulationReport) {
        self.runs += 1;
        self.virtual_ms += report.virtual_ms;
        self.events += report.events;
        self.acknowledged += report.acknowledged;
        self.elections += report.elections;
        self.undecided += report.counts.undecided;
        for (kind, times) in &report.faults {
            *self.faults.entry(kind).or_default() += times;
        }
        if !report.is_clean() {
            self.failed.push(report.seed);
        }
    }
}

/// Runs the seeds until all are done, or too many have failed. Passes each line of output to
/// `print`.
pub fn simulate(config: &Config, print: &(dyn Fn(&str) + Sync)) -> SimulationSummary {
    let begun = Instant::now();
    #[cfg(feature = "mutations")]
    if let Some(mutation) = config.mutation {
        return show(config, mutation, print);
    }
    let (from, runs, time) = match config.seeds {
        Seeds::One(seed) => return run_one(config, seed, print),
        Seeds::Many { from, runs } => (from, runs, Duration::MAX),
        Seeds::During { from, time } => (from, u64::MAX, time),
    };
    let taken = AtomicU64::new(0);
    let shared = Mutex::new((SimulationSummary::default(), Instant::now()));
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        while begun.elapsed() < time && lock().0.failed.len() < FAILURES_MAX {
            let nth = taken.fetch_add(1, Ordering::Relaxed);
            if nth >= runs {
                return;
            }
            let report = run(from.wrapping_add(nth), SimulationOptions::default());
            let (summary, printed_at) = &mut *lock();
            summary.add(&report);
            if !report.is_clean() {
                print(&format!("{report}\n  replay: toystore simulate --seed {}", report.seed));
            } else if printed_at.elapsed() >= PROGRESS_INTERVAL {
                *printed_at = Instant::now();
                print(&format!(
                    "{} s: {} seeds, {} failed",
                    begun.elapsed().as_secs(),
                    summary.runs,
                    summary.failed.len()
                ));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..config.threads {
            scope.spawn(work);
        }
    });
    let summary = lock().0.clone();
    print(&summary.document().to_string());
    summary
}

fn run_one(config: &Config, seed: u64, print: &(dyn Fn(&str) + Sync)) -> SimulationSummary {
    let lines = std::sync::Arc::new(Mutex::new(String::new()));
    let collected = std::sync::Arc::clone(&lines);
    // The listener must be 'static and `print` is borrowed, so the lines are collected and then
    // printed.
    let listener = Box::new(move |line: &str| {
        let _ = writeln!(collected.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
    });
    let report =
        run_traced(seed, SimulationOptions { detail: config.detail, ..SimulationOptions::default() }, listener);
    print(lines.lock().unwrap_or_else(PoisonError::into_inner).trim_end());
    print(&report.to_string());
    let mut summary = SimulationSummary::default();
    summary.add(&report);
    if let Some(path) = &config.story {
        let (_, story) = story::tell(seed, SimulationOptions::default());
        summary.write_story(&story, path, print);
    }
    summary
}

/// Runs seeds with a deliberate bug until one shows it, shrinks that one, and tells its story.
#[cfg(feature = "mutations")]
fn show(config: &Config, mutation: Mutation, print: &(dyn Fn(&str) + Sync)) -> SimulationSummary {
    print(&format!("{}: {}", mutation.name(), mutation.does()));
    let mut summary = SimulationSummary::default();
    let Some(seed) = find(config, mutation, &mut summary, print) else {
        summary.not_shown = Some(format!("{} was not shown by {} seeds", mutation.name(), summary.runs));
        print(&summary.document().to_string());
        return summary;
    };
    print(&format!("shrinking the run of seed {seed} (seeds run: {})", summary.runs));
    let limits = story::ShrinkLimits::default();
    let Some((report, story, shrunk)) = story::tell_mutated(seed, SimulationOptions::default(), mutation, limits)
    else {
        return summary;
    };
    print(&format!("{shrunk}\nfailures of the shrunk run: {}", report.failures.len()));
    if let Some(broken) = story.broken() {
        let [one, other] = &broken.facts;
        let time = |at: u64| format!("{}.{:03}", at / 1000, at % 1000);
        print(&format!("promise: {}", broken.promise));
        print(&format!("  {} {}", time(one.at), one.text));
        print(&format!("  {} {}", time(other.at), other.text));
    }
    match &config.story {
        Some(path) => summary.write_story(&story, path, print),
        None => print("--story FILE.html writes the story of this run"),
    }
    summary
}

/// The first seed that breaks the bug's own promise; if none does soon after the first one that
/// fails at all, that one.
#[cfg(feature = "mutations")]
fn find(
    config: &Config,
    mutation: Mutation,
    summary: &mut SimulationSummary,
    print: &(dyn Fn(&str) + Sync),
) -> Option<u64> {
    let begun = Instant::now();
    let (from, runs, time) = match config.seeds {
        Seeds::One(seed) => (seed, config.runs, Duration::MAX),
        Seeds::Many { from, runs } => (from, runs, Duration::MAX),
        Seeds::During { from, time } => (from, u64::MAX, time),
    };
    let wanted = search::in_words(mutation);
    let mut first = None;
    for seed in from.. {
        let is_over = first.map_or(seed - from >= runs, |first| seed - first > search::MORE_SEEDS);
        if begun.elapsed() >= time || is_over {
            break;
        }
        let options = search::options(mutation, SimulationOptions::default());
        let report = crate::run::run_mutated(seed, options, mutation);
        summary.add_expected(&report);
        if search::is_shown(mutation, &report) {
            print(&format!("seed {seed} shows it: {wanted}"));
            return Some(seed);
        }
        if !report.is_clean() && first.is_none() {
            print(&format!("seed {seed} fails in another way; looking for a run in which {wanted}"));
            first = Some(seed);
        }
    }
    if let Some(first) = first {
        print(&format!(
            "no seed after {first} shows that {wanted} (seeds run: {}); so this is seed {first}",
            summary.runs
        ));
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_says_what_was_shown() {
        let summary = |runs, undecided, failed| SimulationSummary { runs, undecided, failed, ..Default::default() };
        assert_eq!(summary(1, 0, vec![]).exit_code(), ExitCode::Ok);
        assert_eq!(summary(0, 0, vec![]).exit_code(), ExitCode::Unverified, "no seed was run");
        assert_eq!(summary(1, 1, vec![]).exit_code(), ExitCode::Unverified);
        assert_eq!(summary(2, 1, vec![7]).exit_code(), ExitCode::Software);
    }
}
