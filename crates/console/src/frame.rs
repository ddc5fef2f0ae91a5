//! What the page is sent: a *frame* every 250 ms, with everything that changed since the one
//! before.

use std::sync::Arc;

use api::event::{Event, Topic};
use serde::Serialize;

use crate::control::{ControlsState, CutLink};
use crate::source::ServiceKind;

/// Everything that changed since the frame before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Frame {
    /// Counts frames. A console that was restarted continues with a higher number.
    pub(crate) n: u64,
    /// Unix time.
    pub(crate) at_ms: u64,
    /// Whether `changes` has everything there is, instead of what changed.
    pub(crate) complete: bool,
    #[serde(flatten)]
    pub(crate) changes: Changes,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) flows: Vec<Flow>,
    pub(crate) events: Vec<EventLine>,
    /// How many events were left out: details of what `flows` has.
    pub(crate) dropped: u64,
}

impl Frame {
    /// The same frame with notable events only.
    pub(crate) fn without_details(&self) -> Self {
        let events: Vec<_> = self.events.iter().filter(|event| event.notable).cloned().collect();
        let dropped = self.dropped + (self.events.len() - events.len()) as u64;
        Self { events, dropped, ..self.clone() }
    }

    /// Its bytes on the wire.
    pub(crate) fn json(&self) -> bytes::Bytes {
        serde_json::to_vec(self).expect("a frame is JSON").into()
    }
}

/// The part of a frame that replaces what was known before.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Changes {
    pub(crate) processes: Vec<Arc<Process>>,
    /// Names of processes that are no longer there.
    pub(crate) removed: Vec<String>,
    /// The directions that are cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) links: Option<Vec<CutLink>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agreement: Option<Agreement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traffic: Option<Traffic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) controls: Option<ControlsState>,
}

impl Changes {
    /// Applies later changes, so that this has everything there is after them.
    pub(crate) fn fold(&mut self, later: &Self, is_complete: bool) {
        if is_complete {
            self.processes.clear();
        }
        self.processes.retain(|process| !later.removed.contains(&process.name));
        for process in &later.processes {
            match self.processes.iter_mut().find(|known| known.name == process.name) {
                Some(known) => *known = Arc::clone(process),
                None => self.processes.push(Arc::clone(process)),
            }
        }
        replace(&mut self.links, later.links.as_ref());
        replace(&mut self.agreement, later.agreement.as_ref());
        replace(&mut self.traffic, later.traffic.as_ref());
        replace(&mut self.controls, later.controls.as_ref());
    }
}

fn replace<T: Clone>(known: &mut Option<T>, later: Option<&T>) {
    if let Some(later) = later {
        *known = Some(later.clone());
    }
}

/// A process, as the page draws it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) service: ServiceKind,
    pub(crate) ordinal: u8,
    /// Its internal port.
    pub(crate) address: String,
    pub(crate) state: State,
    /// Unix time since when it is in this state.
    pub(crate) since_ms: u64,
    /// What the controls did to it.
    pub(crate) faults: Vec<&'static str>,
    pub(crate) replica: Option<ReplicaView>,
    pub(crate) cache: Option<CacheView>,
    pub(crate) stock: Option<Vec<StockLine>>,
    /// How many products there are; `stock` has the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stock_count: Option<usize>,
    pub(crate) ledger: Option<LedgerView>,
}

/// Whether a process works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It answers.
    Up,
    /// It has not answered yet.
    Starting,
    /// It no longer answers, and its owner, if known, has nothing to do with it.
    Unreachable,
    /// Its owner has frozen it.
    Frozen,
    /// Its owner has stopped it.
    Stopped,
}

/// What a replica says about itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ReplicaView {
    pub(crate) role: api::replica::Role,
    pub(crate) term: u64,
    /// Whether it is a leader that a majority follows.
    pub(crate) leads: bool,
    /// The ordinal of the leader that it knows.
    pub(crate) leader: Option<u8>,
    /// Index in its log.
    pub(crate) last_log: u64,
    /// Index in its log.
    pub(crate) applied: u64,
    pub(crate) disk_full: bool,
}

/// A frontend's cache.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct CacheView {
    pub(crate) capacity: usize,
    pub(crate) lease_valid: bool,
    /// The most recently used first.
    pub(crate) products: Vec<String>,
}

/// A product in the catalog.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct StockLine {
    pub(crate) name: String,
    pub(crate) quantity: u64,
    pub(crate) price_cents: u64,
}

/// The end of a replica's ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LedgerView {
    /// How many lines it has.
    pub(crate) orders: u64,
    /// The newest of them, the newest last.
    pub(crate) tail: Vec<LedgerLine>,
}

/// A line of a ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LedgerLine {
    pub(crate) number: u64,
    pub(crate) product: String,
    pub(crate) quantity: u32,
}

/// Whether the ledgers of all replicas that answer have the same checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Agreement {
    /// After how many orders they were compared.
    pub(crate) orders: u64,
    pub(crate) identical: bool,
}

/// What moved from one process to another in a frame.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Flow {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) kind: FlowKind,
    /// Requests or batches.
    pub(crate) count: u64,
    /// Orders or products in them.
    pub(crate) items: u64,
    /// Mean duration, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ms: Option<f64>,
}

/// What kind of thing moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FlowKind {
    /// Orders, from clients to a frontend and from there to the leader.
    Order,
    /// Product reads of clients.
    Read,
    /// A product that a cache did not have.
    Fill,
    /// Stock is reserved for a batch.
    Reserve,
    /// A batch is replicated.
    Place,
    /// The catalog learns that batches are sold.
    Settle,
    /// Products are dropped from a cache.
    Invalidate,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct EventLine {
    /// Unix time, by the clock of the machine on which it happened.
    pub(crate) at_ms: f64,
    pub(crate) process: String,
    /// Its number in its process; events of the console itself have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequence: Option<u64>,
    pub(crate) notable: bool,
    /// What it is about: decides its colour.
    pub(crate) topic: &'static str,
    /// A whole sentence, with the name of the process in it.
    pub(crate) text: String,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// The kind of an event, and its fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum What {
    /// A process said it.
    Store(Event),
    /// The console found out.
    Console(ConsoleEvent),
}

/// What the console itself found out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum ConsoleEvent {
    /// A process does not answer any more.
    Unreachable,
    /// A process answers again.
    Back,
    /// Events of a process are missing: it had more than it keeps.
    Missed {
        /// How many.
        missed: u64,
    },
    /// What a person clicked.
    Control {
        /// The name of the action.
        action: &'static str,
    },
    /// How long a group had no leader.
    Gap {
        /// The group.
        group: &'static str,
        /// From the end of the old leader to the election of the new one.
        without_ms: f64,
        /// From the end of the old leader to the next order, if there was one.
        order_ms: Option<f64>,
    },
}

impl What {
    /// The topic of a protocol event, or one of the console's own: `control`, `gap`.
    pub(crate) fn topic(&self) -> &'static str {
        match self {
            Self::Store(event) => event.topic().name(),
            Self::Console(ConsoleEvent::Unreachable | ConsoleEvent::Missed { .. }) => Topic::Fault.name(),
            Self::Console(ConsoleEvent::Back) => Topic::Good.name(),
            Self::Console(ConsoleEvent::Control { .. }) => "control",
            Self::Console(ConsoleEvent::Gap { .. }) => "gap",
        }
    }
}

/// The traffic of the last second or so.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Traffic {
    /// Orders that were placed.
    pub(crate) orders_per_s: f64,
    /// `null` if there was no order.
    pub(crate) order_p50_ms: Option<f64>,
    pub(crate) order_p99_ms: Option<f64>,
    /// Products and lists that were read.
    pub(crate) reads_per_s: f64,
    pub(crate) read_p50_ms: Option<f64>,
    pub(crate) read_p99_ms: Option<f64>,
    /// Requests that failed because of the store.
    pub(crate) errors_per_s: f64,
    /// Orders that got no number because the product was sold out, for example, or because there
    /// was too much to do.
    pub(crate) refused_per_s: f64,
    /// Orders and reads in flight between the frontends and the services behind them.
    pub(crate) waiting: u64,
    /// How long the oldest of them has waited at least.
    pub(crate) waiting_ms: f64,
    /// `null` if nothing was looked up in a cache.
    pub(crate) hit_ratio: Option<f64>,
    /// The longest time that orders waited for a leader in the last ten minutes.
    pub(crate) longest_gap_ms: Option<f64>,
}
