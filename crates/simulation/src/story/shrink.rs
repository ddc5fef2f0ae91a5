//! Shrinks a run that breaks a promise to what matters: runs it again with fewer faults, fewer
//! shoppers, a calmer network and a shorter time, as long as the same promise breaks.
//!
//! The algorithm is `ddmin` (Zeller and Hildebrandt, *Simplifying and Isolating Failure-Inducing
//! Input*, 2002) on the list of everything that the seed has: it leaves out one half, then one
//! quarter, and so on. The seed stays the same, and what was drawn for a fault that stays, too.

use std::fmt;

use serde::Serialize;

use super::data::Story;
use super::facts;
use super::run::{CONDITIONS, Cuts, Recorded, conditions_of, length_of, run_cut, run_recorded, signature};
use crate::options::SimulationOptions;
use crate::repeated_faults::PlannedFault;
use crate::report::{SimulationReport, Wanted};

/// The most shoppers that a seed has.
const SHOPPERS_MAX: u32 = 5;

/// How much longer than the first run a run may be, in virtual ms.
const LONGER_MS: u64 = 1_000;

/// How much work shrinking may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShrinkLimits {
    /// The most runs.
    pub runs_max: usize,
}

impl Default for ShrinkLimits {
    /// At most a few minutes.
    fn default() -> Self {
        Self { runs_max: 120 }
    }
}

/// What shrinking has achieved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShrinkSummary {
    /// How many runs were made.
    pub runs: usize,
    /// The faults that the seed has, and those that are left.
    pub faults: [usize; 2],
    /// Kinds of trouble with the network that the seed has, and those that are left.
    pub conditions: [usize; 2],
    /// The shoppers that the seed may have, and those that are left.
    pub shoppers: [usize; 2],
    /// The length of the run, in virtual milliseconds, before and after.
    pub virtual_ms: [u64; 2],
    /// Whether the runs were used up before nothing more could be left out.
    pub gave_up: bool,
}

impl fmt::Display for ShrinkSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, faults, conditions, shoppers, virtual_ms, gave_up } = self;
        write!(
            f,
            "{runs} runs of the same seed have shrunk it: from {} planned faults to {}, from {} to {} shoppers, \
             from {} to {} kinds of network trouble, from {}.{} s to {}.{} s",
            faults[0],
            faults[1],
            shoppers[0],
            shoppers[1],
            conditions[0],
            conditions[1],
            virtual_ms[0] / 1000,
            virtual_ms[0] % 1000 / 100,
            virtual_ms[1] / 1000,
            virtual_ms[1] % 1000 / 100
        )?;
        if *gave_up { f.write_str("; more might be left out with more runs") } else { Ok(()) }
    }
}

/// Something that a run can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Fault(usize),
    Condition(usize),
    Rewind,
    Shopper(u32),
}

/// Runs a seed that breaks a promise, and shrinks it, as long as the failure that is wanted most
/// remains. `None` if the seed breaks no promise.
pub fn shrink(
    seed: u64,
    options: SimulationOptions,
    wanted: Wanted,
    limits: ShrinkLimits,
) -> Option<(SimulationReport, Story, ShrinkSummary)> {
    let Recorded { report: first, recorder, plan } = run_recorded(seed, options, &Cuts::default());
    let best = facts::most_telling(&first.failures, &recorder, wanted)?;
    let conditions = conditions_of(seed, options);
    let mut parts: Vec<Part> = (0..plan.len()).filter(|at| plan[*at].fault.is_some()).map(Part::Fault).collect();
    let faults = parts.len();
    parts.extend((0..CONDITIONS.len()).filter(|at| conditions[*at]).map(Part::Condition));
    parts.push(Part::Rewind);
    parts.extend((1..=recorder.shoppers()).map(Part::Shopper));
    let shoppers = recorder.shoppers();
    let mut search = Search {
        seed,
        options,
        plan: &plan,
        signature: signature(best),
        with_orders: first.acknowledged > 0,
        longest_ms: first.virtual_ms + LONGER_MS,
        runs: 0,
        runs_max: limits.runs_max,
        length: None,
    };
    let kept = search.minimize(parts);
    search.shorten(&kept);
    let Recorded { report, recorder, .. } = run_recorded(seed, options, &search.cuts(&kept));
    let count = |which: fn(&Part) -> bool| kept.iter().filter(|part| which(part)).count();
    let summary = ShrinkSummary {
        runs: search.runs + 2,
        faults: [faults, count(|part| matches!(part, Part::Fault(_)))],
        conditions: [conditions.iter().filter(|on| **on).count(), count(|part| matches!(part, Part::Condition(_)))],
        shoppers: [shoppers as usize, count(|part| matches!(part, Part::Shopper(_)))],
        virtual_ms: [first.virtual_ms, report.virtual_ms],
        gave_up: search.runs >= search.runs_max,
    };
    let story = Story::of(&report, &recorder, wanted, Some(format!("{summary}.")));
    Some((report, story, summary))
}

struct Search<'a> {
    seed: u64,
    options: SimulationOptions,
    plan: &'a [PlannedFault],
    /// Of the failure that must remain.
    signature: String,
    /// Whether an order must be acknowledged: a store that works tells more.
    with_orders: bool,
    /// The most virtual milliseconds that a run may take.
    longest_ms: u64,
    runs: usize,
    runs_max: usize,
    length: Option<u64>,
}

impl Search<'_> {
    fn cuts(&self, kept: &[Part]) -> Cuts {
        let faults = (0..self.plan.len()).map(|at| kept.contains(&Part::Fault(at))).collect();
        let mut conditions = [false; CONDITIONS.len()];
        for (at, off) in conditions.iter_mut().enumerate() {
            *off = !kept.contains(&Part::Condition(at));
        }
        Cuts {
            faults: Some((self.plan.to_vec(), faults)),
            conditions,
            no_rewind: !kept.contains(&Part::Rewind),
            absent: (1..=SHOPPERS_MAX).filter(|client| !kept.contains(&Part::Shopper(*client))).collect(),
            length: self.length,
        }
    }

    /// Whether the same promise breaks with these parts.
    fn breaks(&mut self, kept: &[Part]) -> bool {
        if self.runs >= self.runs_max {
            return false;
        }
        self.runs += 1;
        let report = run_cut(self.seed, self.options, &self.cuts(kept));
        report.virtual_ms <= self.longest_ms
            && (report.acknowledged > 0 || !self.with_orders)
            && report.failures.iter().any(|failure| signature(failure) == self.signature)
    }

    /// The algorithm `ddmin`, with complements only: a subset alone hardly ever breaks anything.
    fn minimize(&mut self, mut kept: Vec<Part>) -> Vec<Part> {
        let mut pieces = 2;
        while !kept.is_empty() && self.runs < self.runs_max {
            let size = kept.len().div_ceil(pieces);
            let mut from = 0;
            let mut is_smaller = false;
            // From the end: the later faults matter less often.
            while from < kept.len() && self.runs < self.runs_max {
                let end = kept.len() - from;
                let begin = end.saturating_sub(size);
                let fewer = [&kept[..begin], &kept[end..]].concat();
                if self.breaks(&fewer) {
                    kept = fewer;
                    is_smaller = true;
                } else {
                    from += size;
                }
            }
            if size <= 1 && !is_smaller {
                break;
            }
            pieces = (pieces * 2).min(kept.len().max(1));
        }
        kept
    }

    /// Shortens the time in which faults are injected, and shoppers shop.
    fn shorten(&mut self, kept: &[Part]) {
        let mut length = length_of(self.seed, self.options);
        for _ in 0..5 {
            length /= 2;
            let before = self.length.replace(length);
            if !self.breaks(kept) {
                self.length = before;
                break;
            }
        }
    }
}
