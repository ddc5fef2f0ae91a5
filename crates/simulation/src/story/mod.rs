//! Stories: one run as a page that a person can look at, wind back and share.
//!
//! ```text
//! run ──► recorder ──► story (JSON) ──► page (one HTML file)
//!            │            ▲
//!            └► facts ────┘        shrink: runs again with less, while the same promise breaks
//! ```
//!
//! # Reading order
//! * `recorder`: what happened, as data, within bounds. It is told, and never asked, so a recorded
//!   run is the same run. `message`, `fault`, `state`: its parts.
//! * `facts`: the two facts that contradict each other when a promise is broken.
//! * `data`: the story, which is what the page reads; what is left out when it would be too long.
//! * `search`: which failure a run with a deliberate bug should show.
//! * `run`, `shrink`: runs of a seed with fewer faults, fewer shoppers, a shorter time.
//! * `page`: the HTML file. Its style sheet and modules are in `page/`, with tests of their own
//!   (`node --test crates/simulation/page/tests`).
//!
//! # Caveats
//! * Positions in a log are those of the last status that a replica sent in a message. They are up
//!   to 200 ms old.
//! * A shrunk run is *a* small run that breaks the promise, not the smallest one.

mod data;
mod facts;
mod fault;
mod message;
mod page;
mod recorder;
mod run;
#[cfg(feature = "mutations")]
pub(crate) mod search;
mod shrink;
mod state;

pub use data::{Story, StoryLimits};
pub use facts::{BrokenPromise, Fact};
pub use page::PAGE_BYTES_MAX;
pub use shrink::{ShrinkLimits, ShrinkSummary, shrink};

use crate::options::SimulationOptions;
use crate::report::SimulationReport;

/// Runs a seed, and tells its story. The run is the same as without.
pub fn tell(seed: u64, options: SimulationOptions) -> (SimulationReport, Story) {
    let run::Recorded { report, recorder, .. } = run::run_recorded(seed, options, &run::Cuts::default());
    let story = Story::of(&report, &recorder, |_| true, None);
    (report, story)
}

/// Runs a seed with a deliberate bug, shrinks it, and tells its story. `None` if the seed does not
/// show the bug.
#[cfg(feature = "mutations")]
pub fn tell_mutated(
    seed: u64,
    options: SimulationOptions,
    mutation: service::mutation::Mutation,
    limits: ShrinkLimits,
) -> Option<(SimulationReport, Story, ShrinkSummary)> {
    service::mutation::activate(Some(mutation));
    let shrunk = shrink(seed, search::options(mutation, options), search::wanted(mutation), limits);
    service::mutation::activate(None);
    shrunk.map(|(report, story, summary)| (report, story.with_mutation(mutation.name(), mutation.does()), summary))
}
