//! What a recorder tells of a period.

use api::event::Event;

/// An event that was read from a process.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessEvent {
    /// When it happened, in µs since 1970, by the clock of its machine.
    pub at_us: u64,
    /// The name of the process.
    pub process: String,
    /// What happened.
    pub event: Event,
    /// The sentence, which begins with the name of the process.
    pub text: String,
}

/// What was read of some period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedEvents {
    /// By time.
    pub events: Vec<ProcessEvent>,
    /// What could not be read.
    pub missing: Vec<MissingEvents>,
}

/// Events of a process that could not be read. There may have been none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingEvents {
    /// The name of the process.
    pub process: String,
    /// The last event before them, in µs since 1970; 0 if there is none.
    pub after_us: u64,
    /// They happened before this, in µs since 1970.
    pub until_us: u64,
    /// Why they are missing.
    pub why: WhyMissing,
}

/// Why events could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyMissing {
    /// The process ended before it had sent them.
    Ended,
    /// The process had this many more than it keeps.
    Overrun(u64),
    /// The process has not been reached since.
    Unreached,
    /// The recorder keeps only the newest events.
    Forgotten,
}
