//! The trace of a run: its events in order, counted, hashed, and written as lines on request.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use api::replica::ReplicaStatus;
use bytes::Bytes;
use history::{BatchEffect, ClientId, History};
use http::{Request, Response};
use service::world::ConnectionError;

/// Virtual milliseconds since the run began, by the simulation's clock.
pub(crate) type Millis = u64;

/// An event of a run.
#[derive(Clone, Debug, Hash)]
pub(crate) enum TraceEvent {
    /// A request was sent. `body` is the hash of its body.
    Requested { call: u64, to: String, what: String, body: u64 },
    /// A response was sent.
    Responded { call: u64, status: u16, body: u64 },
    /// A message is delayed.
    Delayed { call: u64, what: String, by: Millis },
    /// A message is lost.
    Dropped { call: u64, what: String },
    /// A request arrives twice.
    Duplicated { call: u64, what: String },
    /// The connection was refused or reset.
    NoResponse { call: u64, why: &'static str },
    /// A fault of that kind began or ended.
    Fault { kind: &'static str, what: String },
    /// A process was started.
    Started,
    /// A process ended itself.
    Ended { code: u8, what: String },
    /// A client observed the result of a call.
    Observed { client: ClientId, what: String },
    /// A protocol event of a process. Its log line is the next [`Logged`](Self::Logged) or the one
    /// before.
    Protocol { event: api::event::Event },
    /// A process logged a line.
    Logged { line: String },
    /// A phase of the run began.
    Phase { what: String },
}

impl TraceEvent {
    /// Whether the story of a run leaves it out.
    fn is_routine(&self) -> bool {
        matches!(self, Self::Requested { .. } | Self::Responded { .. })
    }
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested { call, to, what, .. } => write!(f, "→ {to} #{call} {what}"),
            Self::Responded { call, status, .. } => write!(f, "← #{call} {status}"),
            Self::Delayed { call, what, by } => write!(f, "delayed by {by} ms: #{call} {what}"),
            Self::Dropped { call, what } => write!(f, "dropped: #{call} {what}"),
            Self::Duplicated { call, what } => write!(f, "duplicated: #{call} {what}"),
            Self::NoResponse { call, why } => write!(f, "no response: #{call} {why}"),
            Self::Fault { kind, what } => write!(f, "FAULT {kind}: {what}"),
            Self::Started => f.write_str("started"),
            Self::Ended { code, what } => write!(f, "ended with exit code {code}: {what}"),
            Self::Observed { client, what } => write!(f, "{client}: {what}"),
            Self::Protocol { event } => event.fmt(f),
            Self::Logged { line } => write!(f, "· {line}"),
            Self::Phase { what } => write!(f, "== {what}"),
        }
    }
}

/// How many of a run's events are written as lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceDetail {
    /// None.
    #[default]
    Nothing,
    /// Faults, lost messages, logs, and the results that clients observed.
    Story,
    /// The story and each message.
    Everything,
}

/// Receives the lines of a trace.
pub type TraceListener = Box<dyn FnMut(&str) + Send>;

/// What happens to a message when it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives at this time.
    Arrives(Millis),
    /// It is lost.
    Lost,
    /// A partition stops it.
    CutOff,
    /// A partition holds it back. It may arrive when the partition is over.
    HeldBack,
    /// It arrived at a machine without power.
    NoPower,
}

/// What a message contains.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MessageContent<'a> {
    Request(&'a Request<Bytes>),
    Response(&'a Result<Response<Bytes>, ConnectionError>),
    Cancel,
}

/// Is told what happens in a run, and changes nothing. Machines and calls are the numbers that the
/// network has for them.
pub(crate) trait RunRecorder: Any + fmt::Debug + Send {
    /// An event of the trace.
    fn event(&mut self, now: Millis, who: &str, event: &TraceEvent);
    /// A message of a call was sent from one machine to another.
    fn sent(&mut self, now: Millis, link: (usize, usize), message: (u64, MessageContent<'_>), fate: Fate);
    /// A message arrives.
    fn arrived(&mut self, now: Millis, message: (u64, MessageContent<'_>));
    /// A request has arrived at a machine without power.
    fn lost_without_power(&mut self, call: u64);
    /// A message carries the status of that machine's replica.
    fn status(&mut self, now: Millis, machine: usize, status: &ReplicaStatus);
    /// The last fault cuts these machines off from those.
    fn fault_cuts(&mut self, here: &[usize], there: &[usize]);
    /// The last fault ends by itself at this time.
    fn fault_ends_at(&mut self, at: Millis);
    /// A machine's disk has no fault any more.
    fn disk_healed(&mut self, machine: usize);
    /// What clients saw, and what leaders did to the catalog.
    fn judged(&mut self, history: &History, effects: &[BatchEffect]);
}

/// The trace of a run.
pub(crate) struct RunTrace {
    hasher: DefaultHasher,
    events: u64,
    faults: BTreeMap<&'static str, u64>,
    detail: TraceDetail,
    listener: Option<TraceListener>,
    recorder: Option<Box<dyn RunRecorder>>,
}

impl fmt::Debug for RunTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("events", &self.events).finish_non_exhaustive()
    }
}

impl RunTrace {
    pub(crate) fn new(detail: TraceDetail, listener: Option<TraceListener>) -> Self {
        // The keys of `DefaultHasher::new` are fixed, unlike those of a `HashMap`.
        let (hasher, faults) = (DefaultHasher::new(), BTreeMap::new());
        Self { hasher, events: 0, faults, detail, listener, recorder: None }
    }

    /// From now on, this recorder is told everything. That does not change the run.
    pub(crate) fn start_recording(&mut self, recorder: Box<dyn RunRecorder>) {
        self.recorder = Some(recorder);
    }

    /// Ends the recording.
    pub(crate) fn take_recorder(&mut self) -> Option<Box<dyn RunRecorder>> {
        self.recorder.take()
    }

    /// Tells the recorder something, if there is one.
    pub(crate) fn record(&mut self, what: impl FnOnce(&mut dyn RunRecorder)) {
        if let Some(recorder) = &mut self.recorder {
            what(recorder.as_mut());
        }
    }

    /// Records that `event` happened at `who`.
    pub(crate) fn note(&mut self, now: Millis, who: &str, event: &TraceEvent) {
        // Neither logs nor protocol events are hashed: a seed does not determine their contents.
        if !matches!(event, TraceEvent::Logged { .. } | TraceEvent::Protocol { .. }) {
            (now, who, event).hash(&mut self.hasher);
            self.events += 1;
        }
        self.record(|story| story.event(now, who, event));
        if matches!(event, TraceEvent::Protocol { .. }) {
            // Its log line tells the same.
            return;
        }
        let enough = if event.is_routine() { TraceDetail::Everything } else { TraceDetail::Story };
        if self.detail >= enough
            && let Some(listener) = &mut self.listener
        {
            listener(&format!("{:>6}.{:03} {who:<10} {event}", now / 1000, now % 1000));
        }
    }

    /// Writes a line that is not an event.
    pub(crate) fn write_line(&mut self, line: &str) {
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

    /// The hash of all events. Two runs with the same hash are the same run.
    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}

/// The hash of a body.
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
