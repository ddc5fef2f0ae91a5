//! Why a group is without a leader.

use tokio::time::Instant;

use super::plan::Obstacle;

/// A period without a confirmed leader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) since: Instant,
    pub(super) reason: OutageReason,
    /// The last obstacle that was logged, so that each one is logged once.
    pub(super) logged: Option<Obstacle>,
}

impl Outage {
    /// An outage that began at `since`.
    pub(super) fn new(since: Instant, reason: OutageReason) -> Self {
        Self { since, reason, logged: None }
    }
}

/// Why the leader was found to be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutageReason {
    /// No leader was known yet: this process, or the whole store, has just started.
    Unknown,
    /// A request to the leader failed.
    Suspected,
    /// The leader refuses connections.
    Unreachable,
    /// The leader did not return its status in time.
    Silent,
    /// The leader says that it does not lead any more.
    Deposed,
    /// The leader says that no majority has acknowledged it recently.
    Isolated,
}

impl OutageReason {
    pub(super) const ALL: [Self; 6] =
        [Self::Unknown, Self::Suspected, Self::Unreachable, Self::Silent, Self::Deposed, Self::Isolated];

    /// The value of the label `reason` in metrics, and of the field `reason` in logs.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Suspected => "suspected",
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::Deposed => "deposed",
            Self::Isolated => "isolated",
        }
    }
}
