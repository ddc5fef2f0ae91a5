//! What happened in a run, in order: counted, hashed, and told if somebody wants to read it.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Virtual milliseconds since the run began, by nobody's clock but the simulation's own.
pub(crate) type Millis = u64;

/// Something that happened.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Event {
    /// A request was sent. `body` is the hash of its body.
    Asked { call: u64, to: String, what: String, body: u64 },
    /// An answer was sent.
    Answered { call: u64, status: u16, body: u64 },
    /// A request or an answer comes late.
    Delayed { call: u64, what: String, by: Millis },
    /// A request or an answer is lost.
    Dropped { call: u64, what: String },
    /// A request arrives twice.
    Doubled { call: u64, what: String },
    /// Nobody listened, or the process that was asked is gone.
    NoAnswer { call: u64, why: &'static str },
    /// A fault of that kind began or ended.
    Fault { kind: &'static str, what: String },
    /// A process was started.
    Started,
    /// A process ended by itself.
    Ended { code: u8, what: String },
    /// A client was told something.
    Told { client: usize, what: String },
    /// A process logged it.
    Logged { line: String },
    /// The run itself has something to say.
    Stage { what: String },
}

impl Event {
    /// Whether it is of no interest to who looks for a fault's story.
    fn is_routine(&self) -> bool {
        matches!(self, Self::Asked { .. } | Self::Answered { .. })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { call, to, what, .. } => write!(f, "→ {to} #{call} {what}"),
            Self::Answered { call, status, .. } => write!(f, "← #{call} {status}"),
            Self::Delayed { call, what, by } => write!(f, "late by {by} ms: #{call} {what}"),
            Self::Dropped { call, what } => write!(f, "dropped: #{call} {what}"),
            Self::Doubled { call, what } => write!(f, "doubled: #{call} {what}"),
            Self::NoAnswer { call, why } => write!(f, "no answer: #{call} {why}"),
            Self::Fault { kind, what } => write!(f, "FAULT {kind}: {what}"),
            Self::Started => f.write_str("started"),
            Self::Ended { code, what } => write!(f, "ended with exit code {code}: {what}"),
            Self::Told { client, what } => write!(f, "client {client}: {what}"),
            Self::Logged { line } => write!(f, "· {line}"),
            Self::Stage { what } => write!(f, "== {what}"),
        }
    }
}

/// How much of a run is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tell {
    /// Nothing.
    #[default]
    Nothing,
    /// Faults, lost messages, leaderships, what clients were told.
    Story,
    /// Each message, too.
    Everything,
}

/// Takes the lines.
pub type Listener = Box<dyn FnMut(&str) + Send>;

/// The run's memory.
pub(crate) struct Trace {
    hasher: DefaultHasher,
    events: u64,
    faults: BTreeMap<&'static str, u64>,
    tell: Tell,
    listener: Option<Listener>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("events", &self.events).finish_non_exhaustive()
    }
}

impl Trace {
    pub(crate) fn new(tell: Tell, listener: Option<Listener>) -> Self {
        // The default hasher's keys are fixed, unlike those of a `HashMap`'s.
        Self { hasher: DefaultHasher::new(), events: 0, faults: BTreeMap::new(), tell, listener }
    }

    /// Notes that `event` happened at `who`.
    pub(crate) fn note(&mut self, now: Millis, who: &str, event: &Event) {
        // Logs are told and not hashed: what they contain is no part of the promise that a seed is a run.
        if !matches!(event, Event::Logged { .. }) {
            (now, who, event).hash(&mut self.hasher);
            self.events += 1;
        }
        let enough = if event.is_routine() { Tell::Everything } else { Tell::Story };
        if self.tell >= enough
            && let Some(listener) = &mut self.listener
        {
            listener(&format!("{:>6}.{:03} {who:<10} {event}", now / 1000, now % 1000));
        }
    }

    /// Tells a line that is no event.
    pub(crate) fn tell_line(&mut self, line: &str) {
        if let Some(listener) = &mut self.listener {
            listener(line);
        }
    }

    /// Counts a fault of that kind.
    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    pub(crate) fn faults(&self) -> &BTreeMap<&'static str, u64> {
        &self.faults
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// Two runs with the same hash were the same run.
    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}

/// A body's hash.
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
