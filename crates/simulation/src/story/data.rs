//! The story as the page reads it: lists of short rows, and texts once.

use std::collections::HashMap;

use history::{OrderCall, OrderOutcome, OrderRead, OrderReadOutcome, ProductCall, ProductOutcome};
use serde::Serialize;

use super::facts::{self, BrokenPromise};
use super::fault::RecordedFault;
use super::message::{MessageKind, RecordedMessage, key};
use super::page;
use super::recorder::{RecordedEvent, StoryRecorder};
use super::state::ProcessState;
use crate::report::{SimulationReport, Wanted};
use crate::trace::{Fate, Millis};

/// How much longer than its last fact a story is, in ms: so that the end can be seen.
const AFTER_THE_END: Millis = 40;
/// How far before the first fact, or before the end, a story that is too long begins at the latest.
const BEFORE_THE_FACTS: Millis = 500;

/// Bounds of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoryLimits {
    /// The most bytes of the story's data.
    pub bytes_max: usize,
}

impl Default for StoryLimits {
    /// A page of less than 3 MB.
    fn default() -> Self {
        Self { bytes_max: 2_700_000 }
    }
}

/// The story of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    title: String,
    seed: u64,
    /// The command that tells this story again.
    command: String,
    /// The deliberate bug, and what it does.
    mutation: Option<[String; 2]>,
    /// What the run was, in sentences.
    about: Vec<String>,
    /// What was left out of the story, in sentences.
    left_out: Vec<String>,
    broken: Option<BrokenPromise>,
    from: Millis,
    to: Millis,
    lanes: Vec<Lane>,
    kinds: Vec<MessageKind>,
    texts: Vec<String>,
    /// Sent, time until it arrives or −1, from, to, kind, part, fate, text, flags.
    messages: Vec<[i64; 9]>,
    /// At, lane, whether it is notable, kind, topic, sentence.
    events: Vec<EventRow>,
    faults: Vec<FaultRow>,
    /// Client, called, returned or −1, what, outcome, text.
    calls: Vec<(u32, Millis, i64, &'static str, &'static str, String)>,
    states: Vec<(Millis, usize, ProcessState)>,
}

type EventRow = (Millis, usize, u8, &'static str, &'static str, String);

#[derive(Clone, Debug, Serialize)]
struct Lane {
    name: String,
    service: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct FaultRow {
    kind: &'static str,
    begin: Millis,
    end: Option<Millis>,
    lanes: Vec<usize>,
    cuts: Vec<usize>,
    text: String,
}

impl Story {
    pub(super) fn of(
        report: &SimulationReport,
        recorder: &StoryRecorder,
        wanted: Wanted,
        shrunk: Option<String>,
    ) -> Self {
        let broken = facts::explain(&report.failures, recorder, wanted);
        let last = broken.as_ref().map_or(recorder.now, |broken| broken.facts[1].at);
        let to = (last + AFTER_THE_END).min(recorder.now.max(last));
        let mut story = Self {
            title: format!("Seed {}", report.seed),
            seed: report.seed,
            command: format!("toystore simulate --seed {} --story FILE.html", report.seed),
            mutation: None,
            about: vec![about(report)],
            left_out: Vec::new(),
            broken,
            from: 0,
            to,
            lanes: recorder.lanes.iter().map(|name| Lane { name: name.clone(), service: service(name) }).collect(),
            kinds: Vec::new(),
            texts: Vec::new(),
            messages: Vec::new(),
            events: (recorder.events.iter()).filter(|event| event.at <= to).map(row_of_event).collect(),
            faults: recorder.faults.iter().filter(|fault| fault.begin <= to).map(row_of_fault).collect(),
            calls: calls(recorder, to),
            states: recorder
                .states
                .iter()
                .filter(|it| it.at <= to)
                .map(|it| (it.at, it.lane, it.state.clone()))
                .collect(),
        };
        story.about.extend(shrunk);
        if to < recorder.now {
            let rest = (recorder.now - to) / 100;
            story.left_out.push(format!(
                "The run went on for {}.{} s after the promise was broken: until everything was healed, read and judged.",
                rest / 10,
                rest % 10
            ));
        }
        if recorder.forgotten > 0 {
            story.left_out.push(format!("The first {} messages were not kept.", recorder.forgotten));
        }
        story.add_messages(recorder.messages.iter().filter(|message| message.sent <= to));
        story
    }

    fn add_messages<'a>(&mut self, messages: impl Iterator<Item = &'a RecordedMessage>) {
        let mut places: HashMap<&'a str, usize> = HashMap::new();
        for message in messages {
            let kind = self.kinds.iter().position(|kind| *kind == message.kind).unwrap_or_else(|| {
                self.kinds.push(message.kind);
                self.kinds.len() - 1
            });
            let text = *places.entry(message.text.as_str()).or_insert_with(|| {
                self.texts.push(message.text.clone());
                self.texts.len() - 1
            });
            let (arrives, fate) = match message.fate {
                Fate::Arrives(at) => (signed(at - message.sent), 0),
                Fate::Lost => (-1, 1),
                Fate::CutOff => (-1, 2),
                Fate::HeldBack => (-1, 3),
                Fate::NoPower => (-1, 4),
            };
            let flags = i64::from(message.is_repeated) + 2 * i64::from(message.is_error);
            self.messages.push([
                signed(message.sent),
                arrives,
                signed(message.from as u64),
                signed(message.to as u64),
                signed(kind as u64),
                message.part as i64,
                fate,
                signed(text as u64),
                flags,
            ]);
        }
    }

    /// Tells that the run had a deliberate bug.
    #[must_use]
    pub fn with_mutation(mut self, name: &str, does: &str) -> Self {
        self.title = format!("{name}: a deliberate bug");
        self.command = format!("toystore simulate --mutation {name} --seed {} --story FILE.html", self.seed);
        self.mutation = Some([name.to_owned(), does.to_owned()]);
        self
    }

    /// The title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The broken promise with which the story ends, if it does.
    pub fn broken(&self) -> Option<&BrokenPromise> {
        self.broken.as_ref()
    }

    /// When the story ends, in virtual milliseconds.
    pub fn ends_at(&self) -> u64 {
        self.to
    }

    /// How many messages, events and faults are in it.
    pub fn counts(&self) -> [usize; 3] {
        [self.messages.len(), self.events.len(), self.faults.len()]
    }

    /// One HTML file, without any external request.
    pub fn html(&self, limits: StoryLimits) -> String {
        page::html(&self.title, &self.json(limits))
    }

    /// The story as JSON, within `limits`.
    pub fn json(&self, limits: StoryLimits) -> String {
        let json = |story: &Self| serde_json::to_string(story).expect("a story is JSON");
        let mut text = json(self);
        if text.len() <= limits.bytes_max {
            return text;
        }
        let mut shorter = self.clone();
        shorter.drop_routine();
        text = json(&shorter);
        while text.len() > limits.bytes_max && shorter.begin_later() {
            text = json(&shorter);
        }
        text
    }

    /// Leaves out heartbeats, status polls and the like.
    fn drop_routine(&mut self) {
        let before = self.messages.len();
        let kinds = std::mem::take(&mut self.kinds);
        self.messages.retain(|row| usize::try_from(row[4]).is_ok_and(|kind| !kinds[kind].routine));
        self.kinds = kinds;
        let dropped = before - self.messages.len();
        self.left_out
            .push(format!("{dropped} heartbeats, status polls and renewals of leases, so that this page stays small."));
    }

    /// Leaves out the first quarter of what is left. False if too little would remain.
    fn begin_later(&mut self) -> bool {
        let latest = self.broken.as_ref().map_or(self.to, |broken| broken.facts[0].at).saturating_sub(BEFORE_THE_FACTS);
        let from = (self.from + (self.to - self.from) / 4 + 1).min(latest);
        if from <= self.from {
            return false;
        }
        self.from = from;
        self.messages.retain(|row| row[0] + row[1].max(0) >= signed(from));
        self.events.retain(|event| event.0 >= from);
        self.faults.retain(|fault| fault.end.is_none_or(|end| end >= from));
        self.calls.retain(|call| call.1 >= from);
        // The last state of each process before is where it begins.
        let mut base = vec![None; self.lanes.len()];
        for state in self.states.iter().filter(|state| state.0 < from) {
            base[state.1] = Some(state.clone());
        }
        self.states.retain(|state| state.0 >= from);
        self.states.splice(..0, base.into_iter().flatten());
        let said = "What happened before this story begins was left out, so that this page stays small.";
        if !self.left_out.iter().any(|it| it == said) {
            self.left_out.push(said.to_owned());
        }
        true
    }
}

fn about(report: &SimulationReport) -> String {
    let faults: u64 = report.faults.values().sum();
    format!(
        "A run of seed {}: {}.{} s of virtual time, {} orders, {} order leaders, {faults} faults and disturbed messages.",
        report.seed,
        report.virtual_ms / 1000,
        report.virtual_ms % 1000 / 100,
        report.acknowledged,
        report.elections,
    )
}

fn row_of_event(event: &RecordedEvent) -> EventRow {
    let RecordedEvent { at, lane, kind, topic, is_notable, sentence } = event.clone();
    (at, lane, u8::from(is_notable), kind, topic, sentence)
}

fn row_of_fault(fault: &RecordedFault) -> FaultRow {
    let RecordedFault { kind, begin, end, lanes, cuts, sentence } = fault.clone();
    FaultRow { kind, begin, end, lanes, cuts, text: sentence }
}

fn service(name: &str) -> &'static str {
    match name.split('-').next() {
        Some("frontend") => "frontend",
        Some("catalog") => "catalog",
        Some("order") => "order",
        _ => "client",
    }
}

type CallRow = (u32, Millis, i64, &'static str, &'static str, String);

/// The calls of clients, in the order in which they began. A list is one call, not one per product.
fn calls(recorder: &StoryRecorder, to: Millis) -> Vec<CallRow> {
    let history = &recorder.history;
    let ms = |moment: history::Moment| moment.0 / 1_000_000;
    let end = |returned: Option<history::Moment>| returned.map_or(-1, |moment| signed(ms(moment)));
    let orders = history.orders.iter().map(|call| {
        let OrderCall { client, order_id, product, quantity, called, returned, outcome } = call;
        let (outcome, says) = match outcome {
            OrderOutcome::Acknowledged(number) => ("ok", format!("order {number}")),
            OrderOutcome::Refused(code) => ("refused", code.as_str().replace('_', " ")),
            OrderOutcome::Unknown => ("unknown", "no answer".to_owned()),
        };
        let text = format!("orders {quantity} × {product} (key {}): {says}", key(*order_id));
        (client.0, ms(*called), end(*returned), "order", outcome, text)
    });
    let products = history.products.iter().map(|call| {
        let ProductCall { client, product, called, returned, outcome } = call;
        let (outcome, says) = match outcome {
            ProductOutcome::Quantity(stock) => ("ok", format!("{stock} in stock")),
            ProductOutcome::Unknown => ("unknown", "no answer".to_owned()),
        };
        (client.0, ms(*called), end(*returned), "read", outcome, format!("reads {product}: {says}"))
    });
    let reads = history.order_reads.iter().map(|call| {
        let OrderRead { client, number, called, returned, outcome } = call;
        let (outcome, says) = match outcome {
            OrderReadOutcome::Found { product, quantity } => ("ok", format!("{quantity} × {product}")),
            OrderReadOutcome::NotFound => ("ok", "there is none".to_owned()),
            OrderReadOutcome::Unknown => ("unknown", "no answer".to_owned()),
        };
        (client.0, ms(*called), end(*returned), "read", outcome, format!("reads order {number}: {says}"))
    });
    let mut calls: Vec<CallRow> = orders.chain(products).chain(reads).filter(|call| call.1 <= to).collect();
    calls.sort_by_key(|call| (call.1, call.2));
    calls
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("times and counts are small")
}
