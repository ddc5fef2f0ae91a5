//! What a run should show of a deliberate bug: the promise that the bug breaks, by two facts that
//! contradict each other. Many runs fail for another reason first.

use history::Violation;
use service::mutation::Mutation;

use crate::options::SimulationOptions;
use crate::report::{SimulationFailure, SimulationReport, Wanted};

/// After the first seed that shows a bug, as many more are run for one that breaks the bug's own
/// promise.
pub(crate) const MORE_SEEDS: u64 = 200;

/// An exit code of a replica that finds its disk damaged.
const DAMAGED: u8 = service::lifecycle::ExitCode::Io as u8;

/// The failure that breaks the bug's own promise.
pub(crate) fn wanted(mutation: Mutation) -> Wanted {
    match mutation {
        Mutation::AcknowledgeBeforeMajority => |failure| is_of(failure, "I1"),
        Mutation::SkipFence => |failure| match failure {
            SimulationFailure::Invariant(violation) => matches!(**violation, Violation::TermWentBack { .. }),
            _ => false,
        },
        Mutation::IgnoreLease | Mutation::StoreRacedFill => |failure| is_of(failure, "I5"),
        Mutation::PlaceTwice => |failure| is_of(failure, "I2"),
        Mutation::SyncAfterAcknowledgement => |failure| match failure {
            SimulationFailure::UnexpectedExit { who, code, .. } => who.starts_with("order") && *code == DAMAGED,
            other => is_of(other, "I1"),
        },
        Mutation::ForgetRefusals => |failure| is_of(failure, "I7"),
        Mutation::ElectShorterLog | Mutation::TrustOldDisk => |_| true,
    }
}

/// What [`wanted`] looks for, in words.
pub(crate) fn in_words(mutation: Mutation) -> &'static str {
    match mutation {
        Mutation::AcknowledgeBeforeMajority => "an acknowledged order is lost",
        Mutation::SkipFence => "a batch of a deposed leader takes effect after its successor's",
        Mutation::IgnoreLease | Mutation::StoreRacedFill => "a read is older than an acknowledged order",
        Mutation::PlaceTwice => "one order has two numbers",
        Mutation::SyncAfterAcknowledgement => "a disk has lost what it had acknowledged",
        Mutation::ForgetRefusals => "a final answer changes",
        Mutation::ElectShorterLog | Mutation::TrustOldDisk => "two replicas contradict each other",
    }
}

/// Whether a run shows that.
pub(crate) fn is_shown(mutation: Mutation, report: &SimulationReport) -> bool {
    report.failures.iter().any(wanted(mutation))
}

/// The options of runs with this bug.
pub(crate) fn options(mutation: Mutation, options: SimulationOptions) -> SimulationOptions {
    // The consensus engine nearly always finds the contradiction before a client can, and ends the
    // leader. A store starts its processes again, and only then is the order gone.
    let goes_on_after_exits = mutation == Mutation::AcknowledgeBeforeMajority;
    SimulationOptions { goes_on_after_exits, ..options }
}

fn is_of(failure: &SimulationFailure, invariant: &str) -> bool {
    matches!(failure, SimulationFailure::Invariant(violation) if violation.to_string().starts_with(invariant))
}
