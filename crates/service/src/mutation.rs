//! Deliberate bugs, by which the simulation shows that it would find real ones.
//!
//! Each stands at the very line that keeps a promise, as `if mutation::active(…)`. Without the feature `mutations`, which no binary
//! that serves has, that is a constant `false` and the compiler drops it.

/// A promise that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// A leader counts its followers as having an entry before they have answered.
    AcknowledgeBeforeMajority,
    /// The catalog lets a deposed leader reserve and settle.
    SkipFence,
    /// A frontend serves from its cache without a lease, and the catalog does not wait for one to run out.
    IgnoreLease,
    /// A frontend keeps a product although it changed while it was fetched.
    StoreRacedFill,
    /// An order that has a number gets another one.
    PlaceTwice,
    /// A write to the log is reported done, and synced before the next one.
    SyncAfterAcknowledgement,
    /// A replica votes for a candidate whose log is shorter than its own.
    ElectShorterLog,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::AcknowledgeBeforeMajority,
        Self::SkipFence,
        Self::IgnoreLease,
        Self::StoreRacedFill,
        Self::PlaceTwice,
        Self::SyncAfterAcknowledgement,
        Self::ElectShorterLog,
    ];

    /// Its word on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgeBeforeMajority => "acknowledge-before-majority",
            Self::SkipFence => "skip-fence",
            Self::IgnoreLease => "ignore-lease",
            Self::StoreRacedFill => "store-raced-fill",
            Self::PlaceTwice => "place-twice",
            Self::SyncAfterAcknowledgement => "sync-after-acknowledgement",
            Self::ElectShorterLog => "elect-shorter-log",
        }
    }
}

#[cfg(feature = "mutations")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// From now on this thread has that bug, or none.
#[cfg(feature = "mutations")]
pub fn activate(mutation: Option<Mutation>) {
    ACTIVE.set(mutation);
}

/// Whether this thread has that bug.
#[cfg(feature = "mutations")]
pub fn active(mutation: Mutation) -> bool {
    ACTIVE.get() == Some(mutation)
}

/// Never: there are no mutations in this binary.
#[cfg(not(feature = "mutations"))]
pub const fn active(_: Mutation) -> bool {
    false
}
