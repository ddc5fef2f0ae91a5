//! The recorder: what happened in a run, as data, within bounds.
//!
//! It is told everything that the trace and the network note, and never asked: it draws no random
//! number and answers nothing, so a run with a recorder is the same run.

use std::collections::{BTreeMap, VecDeque};

use api::event::{Event, Topic};
use api::replica::ReplicaStatus;
use history::{BatchEffect, History};

use super::fault::{self, RecordedFault};
use super::message::{self, MessagePart, RecordedMessage};
use super::state::{ProcessState, StateChange};
use crate::network::{CallId, MachineId};
use crate::trace::{Fate, MessageContent, Millis, RunRecorder, TraceEvent};

/// The most messages that are kept, about 120 bytes each. The oldest are forgotten first.
pub(crate) const MESSAGES_MAX: usize = 200_000;
/// The most events that are kept, and the most changes of states.
pub(crate) const EVENTS_MAX: usize = 100_000;
/// The most calls that wait for an answer. Those whose request was lost wait forever.
const OPEN_MAX: usize = 10_000;
/// The most faults that are kept. No seed draws so many.
const FAULTS_MAX: usize = 2_000;

const FAULT: &str = Topic::Fault.name();
const GOOD: &str = Topic::Good.name();

/// An event that is not a message: a protocol event, a start, an end, a phase.
#[derive(Clone, Debug)]
pub(crate) struct RecordedEvent {
    pub(crate) at: Millis,
    pub(crate) lane: MachineId,
    /// Its kind: that of the protocol event, or `started`, `ended`, `phase`, `fault`.
    pub(crate) kind: &'static str,
    /// Its topic: that of the protocol event, or `fault`, `good`, `phase`.
    pub(crate) topic: &'static str,
    /// Whether a reader wants to see it who does not look for details.
    pub(crate) is_notable: bool,
    pub(crate) sentence: String,
}

/// Records a run.
#[derive(Debug)]
pub(crate) struct StoryRecorder {
    /// The names of the machines.
    pub(crate) lanes: Vec<String>,
    pub(crate) messages: VecDeque<RecordedMessage>,
    /// How many messages were forgotten.
    pub(crate) forgotten: usize,
    /// Messages that a partition holds back: their places in all messages.
    held: BTreeMap<(CallId, MessagePart), VecDeque<usize>>,
    /// The requests whose response has not been sent: sender, kind and path.
    open: BTreeMap<CallId, message::OpenCall>,
    pub(crate) events: VecDeque<RecordedEvent>,
    pub(crate) faults: Vec<RecordedFault>,
    pub(crate) states: VecDeque<StateChange>,
    now_states: Vec<ProcessState>,
    /// The last status of each replica that a message carried, and since when its log is the same.
    pub(crate) statuses: BTreeMap<MachineId, (Millis, ReplicaStatus)>,
    pub(crate) history: History,
    pub(crate) effects: Vec<BatchEffect>,
    pub(crate) now: Millis,
}

impl StoryRecorder {
    /// A recorder for machines with these names.
    pub(crate) fn new(lanes: Vec<String>) -> Self {
        Self {
            now_states: lanes.iter().map(|_| ProcessState::default()).collect(),
            lanes,
            messages: VecDeque::new(),
            forgotten: 0,
            held: BTreeMap::new(),
            open: BTreeMap::new(),
            events: VecDeque::new(),
            faults: Vec::new(),
            states: VecDeque::new(),
            statuses: BTreeMap::new(),
            history: History::default(),
            effects: Vec::new(),
            now: 0,
        }
    }

    /// How many shoppers have called the store.
    pub(super) fn shoppers(&self) -> u32 {
        let history = &self.history;
        let clients = history.orders.iter().map(|call| call.client);
        let clients = clients.chain(history.products.iter().map(|call| call.client));
        clients.chain(history.order_reads.iter().map(|call| call.client)).map(|client| client.0).max().unwrap_or(0)
    }

    /// The machine with this name.
    pub(crate) fn lane(&self, name: &str) -> MachineId {
        self.lanes.iter().position(|lane| lane == name).unwrap_or(self.lanes.len() - 1)
    }

    fn fault(&mut self, now: Millis, lane: MachineId, kind: &'static str, what: &str) {
        if what == "resumed" {
            self.end_faults(now, |fault| fault.lanes == [lane] && fault.kind == kind);
            self.change(now, lane, |state, _| state.resumed());
            self.add(lane, ["resumed", GOOD], true, format!("{} continues", self.lanes[lane]));
            return;
        }
        self.change(now, lane, |state, _| state.of_fault(kind, what));
        let sentence = fault::sentence(&self.lanes[lane], kind, what);
        self.add(lane, ["fault", FAULT], true, sentence.clone());
        if self.faults.len() < FAULTS_MAX {
            let cuts = Vec::new();
            self.faults.push(RecordedFault { kind, begin: now, end: None, lanes: vec![lane], cuts, sentence });
        }
    }

    fn end_faults(&mut self, now: Millis, which: impl Fn(&RecordedFault) -> bool) {
        for fault in self.faults.iter_mut().filter(|fault| fault.end.is_none() && which(fault)) {
            fault.end = Some(now);
        }
    }

    fn add(&mut self, lane: MachineId, [kind, topic]: [&'static str; 2], is_notable: bool, sentence: String) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(RecordedEvent { at: self.now, lane, kind, topic, is_notable, sentence });
    }

    fn change(&mut self, now: Millis, lane: MachineId, change: impl FnOnce(&mut ProcessState, &str)) {
        let Some(state) = self.now_states.get_mut(lane) else { return };
        let before = state.clone();
        change(state, &self.lanes[lane]);
        if *state == before {
            return;
        }
        if self.states.len() == EVENTS_MAX {
            self.states.pop_front();
        }
        let state = state.clone();
        match self.states.back_mut() {
            Some(last) if last.at == now && last.lane == lane => last.state = state,
            _ => self.states.push_back(StateChange { at: now, lane, state }),
        }
    }
}

impl RunRecorder for StoryRecorder {
    fn event(&mut self, now: Millis, who: &str, event: &TraceEvent) {
        self.now = now;
        let lane = self.lane(who);
        match event {
            TraceEvent::Protocol { event } => {
                self.change(now, lane, |state, name| state.of_event(event, name));
                let sentence = format!("{who} {}", with_names(event, who));
                self.add(lane, [event.kind(), event.topic().name()], event.is_notable(), sentence);
            }
            TraceEvent::Started => {
                self.end_faults(now, |fault| fault.lanes == [lane] && fault.ends_with_start());
                self.change(now, lane, |state, _| state.started());
                self.add(lane, ["started", GOOD], lane + 1 < self.lanes.len(), format!("{who} is started"));
            }
            TraceEvent::Ended { code, what } => {
                self.change(now, lane, |state, _| state.ended());
                let sentence = format!("{who} ends with exit code {code}: {}", fault::shortened(what));
                self.add(lane, ["ended", FAULT], true, sentence);
            }
            TraceEvent::Fault { kind, what } => self.fault(now, lane, kind, what),
            TraceEvent::Phase { what } => {
                if what.contains("healed") {
                    let all = what.starts_with("everything");
                    self.end_faults(now, |fault| fault.ends_with_healing(all));
                    for lane in 0..self.lanes.len() {
                        self.change(now, lane, |state, _| state.resumed());
                    }
                }
                self.add(lane, ["phase", "phase"], true, capitalized(what));
            }
            TraceEvent::NoResponse { .. }
            | TraceEvent::Requested { .. }
            | TraceEvent::Responded { .. }
            | TraceEvent::Delayed { .. }
            | TraceEvent::Dropped { .. }
            | TraceEvent::Duplicated { .. }
            | TraceEvent::Observed { .. }
            | TraceEvent::Logged { .. } => {}
        }
    }

    fn fault_cuts(&mut self, here: &[MachineId], there: &[MachineId]) {
        let names = |ids: &[MachineId]| ids.iter().map(|id| self.lanes[*id].clone()).collect::<Vec<_>>().join(", ");
        let (from, to) = (names(here), names(there));
        if let Some(fault) = self.faults.last_mut() {
            let and_back =
                if fault.kind == "partition" { "no message passes between" } else { "no message passes from" };
            let to_or_and = if fault.kind == "partition" { "and" } else { "to" };
            fault.sentence = format!("partition: {and_back} {from} {to_or_and} {to}");
            fault.lanes = here.to_vec();
            fault.cuts = there.to_vec();
            if let Some(event) = self.events.back_mut() {
                event.sentence.clone_from(&fault.sentence);
                event.lane = here.first().copied().unwrap_or(event.lane);
            }
        }
    }

    fn fault_ends_at(&mut self, at: Millis) {
        if let Some(fault) = self.faults.last_mut() {
            fault.end = Some(at);
        }
    }

    fn disk_healed(&mut self, lane: MachineId) {
        let now = self.now;
        self.end_faults(now, |fault| fault.lanes == [lane] && fault.is_of_disk());
        self.change(now, lane, |state, _| state.disk_healed());
    }

    fn sent(
        &mut self,
        now: Millis,
        link: (MachineId, MachineId),
        (call, content): (CallId, MessageContent<'_>),
        fate: Fate,
    ) {
        self.now = now;
        let part = message::part_of(content);
        let is_repeated = part == MessagePart::Request && self.open.contains_key(&call);
        if let MessageContent::Request(request) = content {
            if self.open.len() == OPEN_MAX {
                self.open.pop_first();
            }
            self.open.entry(call).or_insert_with(|| message::OpenCall::of(request));
        }
        let (kind, text) = match (content, self.open.get(&call)) {
            (MessageContent::Response(outcome), Some(open)) => (open.kind, message::answer(open, outcome)),
            (MessageContent::Request(request), Some(open)) => (open.kind, message::request(open, request)),
            (MessageContent::Cancel, Some(open)) => (open.kind, String::new()),
            (_, None) => (message::OTHER, String::new()),
        };
        if part != MessagePart::Request {
            self.open.remove(&call);
        }
        if fate == Fate::HeldBack {
            let place = self.forgotten + self.messages.len();
            self.held.entry((call, part)).or_default().push_back(place);
        }
        if self.messages.len() == MESSAGES_MAX {
            self.messages.pop_front();
            self.forgotten += 1;
        }
        let is_error = matches!(content, MessageContent::Response(outcome)
            if !outcome.as_ref().is_ok_and(|response| response.status().is_success()));
        let (sent, (from, to)) = (now, link);
        self.messages.push_back(RecordedMessage {
            call,
            part,
            sent,
            from,
            to,
            fate,
            kind,
            text,
            is_repeated,
            is_error,
        });
    }

    fn arrived(&mut self, now: Millis, (call, content): (CallId, MessageContent<'_>)) {
        self.now = now;
        let identity = (call, message::part_of(content));
        if let Some(places) = self.held.get_mut(&identity)
            && let Some(place) = places.pop_front()
        {
            if places.is_empty() {
                self.held.remove(&identity);
            }
            if let Some(message) = place.checked_sub(self.forgotten).and_then(|place| self.messages.get_mut(place)) {
                message.fate = Fate::Arrives(now);
            }
        }
    }

    fn lost_without_power(&mut self, call: CallId) {
        let now = self.now;
        let lost = |message: &&mut RecordedMessage| {
            message.call == call && message.part == MessagePart::Request && message.fate == Fate::Arrives(now)
        };
        if let Some(message) = self.messages.iter_mut().rev().find(lost) {
            message.fate = Fate::NoPower;
        }
    }

    fn status(&mut self, now: Millis, lane: MachineId, status: &ReplicaStatus) {
        self.change(now, lane, |state, _| state.of_status(status));
        let log = |status: &ReplicaStatus| (status.node_id, status.last_log, status.applied);
        let since = self.statuses.get(&lane).filter(|(_, last)| log(last) == log(status)).map_or(now, |(at, _)| *at);
        self.statuses.insert(lane, (since, status.clone()));
    }

    fn judged(&mut self, history: &History, effects: &[BatchEffect]) {
        self.history = history.clone();
        self.effects = effects.to_vec();
    }
}

/// The sentence of an event, with the names of replicas instead of the identities of their disks.
fn with_names(event: &Event, who: &str) -> String {
    let sentence = event.to_string();
    let (Event::Follows { leader: id, .. }
    | Event::Voted { candidate: id, .. }
    | Event::LeadershipTransferred { successor: id }
    | Event::ReplicaJoining { joining: id }
    | Event::ReplicaJoined { joining: id }
    | Event::StateSent { target_id: id, .. }) = event
    else {
        return sentence;
    };
    let group = who.split('-').next().unwrap_or_default();
    let name = format!("{group}-{}", id.ordinal());
    sentence.replace(&id.to_string(), if name == who { "itself" } else { &name })
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
