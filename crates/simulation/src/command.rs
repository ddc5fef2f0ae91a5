//! `toystore simulate`: one seed with its story, or many seeds on all cores.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use service::lifecycle::ExitCode;
use service::settings::{Setting, Values};

use crate::{Options, Report, Tell, run, run_told};

/// Failed seeds after which the rest is not tried any more.
const FAILURES_MAX: usize = 5;
/// Between two lines about how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// A day.
const MINUTES_MAX: f64 = 24.0 * 60.0;
const THREADS_MAX: usize = 256;

/// What is simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The seeds.
    pub seeds: Seeds,
    /// How many at once.
    pub threads: usize,
    /// How much of a single seed is told.
    pub tell: Tell,
    /// A bug to put in.
    #[cfg(feature = "mutations")]
    pub mutation: Option<service::mutation::Mutation>,
}

/// Which seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seeds {
    /// One, with its story.
    One(u64),
    /// So many, from the first on.
    Many {
        /// The first.
        from: u64,
        /// How many.
        runs: u64,
    },
    /// As many as there is time for.
    During {
        /// The first.
        from: u64,
        /// How long new ones are begun.
        time: Duration,
    },
}

/// The settings of `toystore simulate`.
pub fn settings() -> Vec<Setting> {
    #[cfg_attr(not(feature = "mutations"), expect(unused_mut, reason = "a mutation is one more"))]
    let mut settings = vec![
        Setting::optional("SEED", "Run this seed alone, and tell its story"),
        Setting::new("RUNS", "100", "How many seeds, one after the other"),
        Setting::optional("MINUTES", "As many seeds as there is time for, instead"),
        Setting::new("FROM", "1", "The first seed"),
        Setting::optional("THREADS", "Seeds at the same time [default: as many as there are cores]"),
        Setting::switch("EVERYTHING", "With --seed: tell each message, too"),
    ];
    #[cfg(feature = "mutations")]
    settings.push(Setting::optional("MUTATION", "A bug to put in, by its name; a wrong one lists them all"));
    settings
}

impl Config {
    /// Takes the settings' values.
    pub fn read(values: &mut Values) -> Option<Self> {
        let seed = values.optional::<u64>("SEED");
        let runs = values.within("RUNS", 1..=u64::MAX);
        let minutes = if values.is_set("MINUTES") { values.within("MINUTES", 0.0..=MINUTES_MAX) } else { None };
        let from = values.required::<u64>("FROM");
        let threads = if values.is_set("THREADS") { values.within("THREADS", 1..=THREADS_MAX) } else { Some(cores()) };
        let everything = values.required::<bool>("EVERYTHING");
        #[cfg(feature = "mutations")]
        let mutation = values.optional::<Name>("MUTATION").map(|name| name.0);
        let (runs, from) = (runs?, from?);
        let seeds = match (seed, minutes) {
            (Some(seed), _) => Seeds::One(seed),
            (None, Some(minutes)) => Seeds::During { from, time: Duration::from_secs_f64(minutes * 60.0) },
            (None, None) => Seeds::Many { from, runs },
        };
        Some(Self {
            seeds,
            threads: threads?,
            tell: if everything? { Tell::Everything } else { Tell::Story },
            #[cfg(feature = "mutations")]
            mutation,
        })
    }

    #[cfg_attr(not(feature = "mutations"), expect(clippy::unused_self, reason = "there is no bug to switch on"))]
    fn mutate(&self) {
        #[cfg(feature = "mutations")]
        service::mutation::activate(self.mutation);
    }
}

#[cfg(feature = "mutations")]
struct Name(service::mutation::Mutation);

#[cfg(feature = "mutations")]
impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        use service::mutation::Mutation;
        let found = Mutation::ALL.into_iter().find(|mutation| mutation.name() == name);
        found.map(Self).ok_or_else(|| format!("not one of {}", Mutation::ALL.map(Mutation::name).join(", ")))
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// What many seeds have shown.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    runs: u64,
    virtual_ms: u64,
    events: u64,
    acknowledged: u64,
    elections: u64,
    undecided: u64,
    faults: BTreeMap<&'static str, u64>,
    failed: Vec<u64>,
}

impl Summary {
    /// How the process ends.
    pub fn exit_code(&self) -> ExitCode {
        if self.failed.is_empty() { ExitCode::Ok } else { ExitCode::Failure }
    }

    fn add(&mut self, report: &Report) {
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

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, virtual_ms, events, acknowledged, elections, undecided, faults, failed } = self;
        let hours = virtual_ms / 3_600_000;
        let minutes = virtual_ms / 60_000 % 60;
        write!(
            f,
            "{runs} seeds, {hours} h {minutes} min of virtual time: {acknowledged} orders acknowledged, {elections} order leaders, \
             {events} events, {undecided} products undecided, {} failed",
            failed.len()
        )?;
        let faults: Vec<_> = faults.iter().map(|(kind, times)| format!("{kind} {times}")).collect();
        if faults.is_empty() { Ok(()) } else { write!(f, "\nfaults: {}", faults.join(", ")) }
    }
}

/// Runs the seeds until they are done, or too many have failed. Every line goes to `print`.
pub fn simulate(config: &Config, print: &(dyn Fn(&str) + Sync)) -> Summary {
    let begun = Instant::now();
    let (from, runs, time) = match config.seeds {
        Seeds::One(seed) => return tell_one(config, seed, print),
        Seeds::Many { from, runs } => (from, runs, Duration::MAX),
        Seeds::During { from, time } => (from, u64::MAX, time),
    };
    let taken = AtomicU64::new(0);
    let shared = Mutex::new((Summary::default(), Instant::now()));
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        config.mutate();
        while begun.elapsed() < time && lock().0.failed.len() < FAILURES_MAX {
            let nth = taken.fetch_add(1, Ordering::Relaxed);
            if nth >= runs {
                return;
            }
            let report = run(from.wrapping_add(nth), Options::default());
            let (summary, told) = &mut *lock();
            summary.add(&report);
            if !report.is_clean() {
                print(&format!("{report}\n  replay: toystore simulate --seed {}", report.seed));
            } else if told.elapsed() >= PROGRESS_INTERVAL {
                *told = Instant::now();
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
    print(&summary.to_string());
    summary
}

fn tell_one(config: &Config, seed: u64, print: &(dyn Fn(&str) + Sync)) -> Summary {
    config.mutate();
    let lines = std::sync::Arc::new(Mutex::new(String::new()));
    let told = std::sync::Arc::clone(&lines);
    // The listener outlives this call's borrow of `print`, so the story is collected and then printed.
    let listener = Box::new(move |line: &str| {
        let _ = writeln!(told.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
    });
    let report = run_told(seed, Options { tell: config.tell, ..Options::default() }, listener);
    print(lines.lock().unwrap_or_else(PoisonError::into_inner).trim_end());
    print(&report.to_string());
    let mut summary = Summary::default();
    summary.add(&report);
    summary
}
