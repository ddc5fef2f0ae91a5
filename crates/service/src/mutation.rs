//! Deliberate bugs, which show that the simulation would find real ones.
//!
//! Each bug is at the line that keeps a promise, as `if mutation::active(…)`. Without the feature
//! `mutations`, which no serving binary has, `active` is the constant `false` and the compiler
//! removes the bug.

/// A promise that is broken deliberately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// A leader counts its followers as having an entry before they have answered.
    AcknowledgeBeforeMajority,
    /// The catalog lets a deposed leader reserve and settle.
    SkipFence,
    /// A frontend serves from its cache without a lease, and the catalog does not wait for a lease
    /// to expire.
    IgnoreLease,
    /// A frontend caches a product although it changed while it was fetched.
    StoreRacedFill,
    /// An order that has a number gets a second one.
    PlaceTwice,
    /// A write to the log is reported as done before it is synced; the sync follows before the next
    /// write.
    SyncAfterAcknowledgement,
    /// A replica votes for a candidate whose log is shorter than its own.
    ElectShorterLog,
    /// An order whose key has a final refusal is treated as a new order.
    ForgetRefusals,
    /// A replica whose disk went back in time keeps its identity.
    TrustOldDisk,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::AcknowledgeBeforeMajority,
        Self::SkipFence,
        Self::IgnoreLease,
        Self::StoreRacedFill,
        Self::PlaceTwice,
        Self::SyncAfterAcknowledgement,
        Self::ElectShorterLog,
        Self::ForgetRefusals,
        Self::TrustOldDisk,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgeBeforeMajority => "acknowledge-before-majority",
            Self::SkipFence => "skip-fence",
            Self::IgnoreLease => "ignore-lease",
            Self::StoreRacedFill => "store-raced-fill",
            Self::PlaceTwice => "place-twice",
            Self::SyncAfterAcknowledgement => "sync-after-acknowledgement",
            Self::ElectShorterLog => "elect-shorter-log",
            Self::ForgetRefusals => "forget-refusals",
            Self::TrustOldDisk => "trust-old-disk",
        }
    }

    /// What the store does wrong, and which promise that breaks, in one line.
    pub fn does(self) -> &'static str {
        match self {
            Self::AcknowledgeBeforeMajority => {
                "A leader counts its followers as having an entry before they have answered. Breaks: what is \
                 acknowledged is on the disks of a majority."
            }
            Self::SkipFence => {
                "The catalog lets a deposed leader reserve and settle. Breaks: no piece stays reserved for an order \
                 that nobody places."
            }
            Self::IgnoreLease => {
                "A frontend serves from its cache without a lease, and the catalog does not wait for it. Breaks: no \
                 read is older than an acknowledged order."
            }
            Self::StoreRacedFill => {
                "A frontend caches a product although it changed while it was fetched. Breaks: no read is older than \
                 an acknowledged order."
            }
            Self::PlaceTwice => "An order that has a number gets a second one. Breaks: one order, one number.",
            Self::SyncAfterAcknowledgement => {
                "A write to the log is reported as done before it is synced. Breaks: what is acknowledged survives \
                 a power failure."
            }
            Self::ElectShorterLog => {
                "A replica votes for a candidate whose log is shorter than its own. Breaks: a leader has everything \
                 that was acknowledged."
            }
            Self::ForgetRefusals => {
                "An order whose key was refused for good is treated as a new one. Breaks: the first final answer \
                 stays the answer."
            }
            Self::TrustOldDisk => {
                "A replica whose disk went back in time keeps its identity. Breaks: all replicas have the same log."
            }
        }
    }
}

/// Reads a name; an unknown one lists all of them.
impl std::str::FromStr for Mutation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|mutation| mutation.name() == name);
        found.ok_or_else(|| {
            let lines = Self::ALL.map(|mutation| format!("\n    {}: {}", mutation.name(), mutation.does()));
            format!("it must be the name of a deliberate bug:{}", lines.concat())
        })
    }
}

#[cfg(feature = "mutations")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// Activates a bug, or none, on this thread.
#[cfg(feature = "mutations")]
pub fn activate(mutation: Option<Mutation>) {
    ACTIVE.set(mutation);
}

/// Whether the bug is active on this thread.
#[cfg(feature = "mutations")]
pub fn active(mutation: Mutation) -> bool {
    ACTIVE.get() == Some(mutation)
}

/// Always `false`: this binary has no deliberate bugs.
#[cfg(not(feature = "mutations"))]
pub const fn active(_: Mutation) -> bool {
    false
}
