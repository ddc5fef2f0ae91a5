//! The timeline of one fault: what each process did, from shortly before the fault until the store
//! had recovered, in the order of time. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use ::report::number;
use api::event::Event;
use history::Moment;
use serde::Serialize;
use store_console::{MissingEvents, ProcessEvent, RecordedEvents, WhyMissing};

use super::ack_monitor::Gap;
use super::fault::Fault;

/// How long before the fault a timeline begins, in microseconds.
pub(super) const BEFORE_US: u64 = 100_000;

/// Of the events of one kind of one process, a timeline has this many of the first and as many of
/// the last: a frontend that finds no leader says so again and again.
const REPEATED_MAX: usize = 5;

/// The most events of a timeline. A failover has about thirty.
const EVENTS_MAX: usize = 150;

/// The process that injects faults.
pub(super) const DRILL: &str = "drill";

/// The process that notices when orders are acknowledged.
pub(super) const SHOPPERS: &str = "shoppers";

/// A fault from its injection to the recovery of the store.
#[derive(Clone, Debug)]
pub(super) struct InjectedFaultSpan {
    pub(super) fault: Fault,
    /// What it affected, for messages.
    pub(super) victims: String,
    /// The names of the processes that it affected.
    pub(super) affected: Vec<String>,
    /// When it was injected, by the clock of events, in microseconds since 1970.
    pub(super) injected_us: u64,
    /// The same, by the clock of the drill.
    pub(super) injected: Moment,
    pub(super) healed: Moment,
    pub(super) recovered: Moment,
    pub(super) gap: Gap,
    /// The acknowledgements of orders since the fault.
    pub(super) acks: Vec<Moment>,
}

/// What happened around one fault. Times are in microseconds after the injection of the fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultTimeline {
    /// The begin of the timeline.
    pub from_us: i64,
    /// When the fault was healed.
    pub healed_us: i64,
    /// When the store had recovered: the end of the timeline.
    pub to_us: i64,
    /// The begin of the longest time without an acknowledged order.
    pub gap_from_us: i64,
    /// Its end.
    pub gap_to_us: i64,
    /// The names of the processes that the fault affected.
    pub affected: Vec<String>,
    /// By time.
    pub entries: Vec<TimelineEntry>,
    /// Events that are not among the entries.
    pub left_out: Vec<LeftOut>,
    /// What could not be read, in sentences.
    pub missing: Vec<String>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimelineEntry {
    /// When, in microseconds after the injection of the fault.
    pub at_us: i64,
    /// The name of the process; `drill` or `shoppers` if it is none of the store's.
    pub process: String,
    /// The sentence, which begins with the name of the process.
    pub text: String,
    /// Its kind and its fields, if it is an event of a process.
    #[serde(flatten)]
    pub event: Option<Event>,
}

/// Events of one kind that are not in a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The name of the process.
    pub process: String,
    /// The kind of the events.
    pub kind: &'static str,
    /// How many.
    pub count: usize,
}

impl InjectedFaultSpan {
    /// The period of the timeline, by the clock of events, in microseconds since 1970.
    pub(super) fn period_us(&self) -> (u64, u64) {
        (self.injected_us - BEFORE_US, self.wall_us(self.recovered))
    }

    /// A moment by the clock of events, in microseconds since 1970.
    pub(super) fn wall_us(&self, moment: Moment) -> u64 {
        self.injected_us.saturating_add_signed(self.after_us(moment))
    }

    /// A moment in microseconds after the fault.
    fn after_us(&self, moment: Moment) -> i64 {
        (moment.0.cast_signed() - self.injected.0.cast_signed()) / 1000
    }
}

impl FaultTimeline {
    /// The timeline of a fault from what was recorded in its period.
    pub(super) fn of(span: &InjectedFaultSpan, recorded: RecordedEvents) -> Self {
        let (events, left_out) = bounded(recorded.events);
        let mut entries = own_entries(span);
        entries.extend(events.into_iter().map(|it| TimelineEntry {
            at_us: it.at_us.cast_signed() - span.injected_us.cast_signed(),
            process: it.process,
            text: it.text,
            event: Some(it.event),
        }));
        entries.sort_by_key(|entry| entry.at_us);
        let missing = recorded.missing.iter().map(|it| missing_sentence(it, span.injected_us)).collect();
        Self {
            from_us: -BEFORE_US.cast_signed(),
            healed_us: span.after_us(span.healed),
            to_us: span.after_us(span.recovered),
            gap_from_us: span.after_us(span.gap.from),
            gap_to_us: span.after_us(span.gap.to),
            affected: span.affected.clone(),
            entries,
            left_out,
            missing,
        }
    }

    /// What was left out, as a sentence; `None` if that is nothing.
    pub(super) fn left_out_sentence(&self) -> Option<String> {
        let part = |LeftOut { process, kind, count }: &LeftOut| format!("{count} × `{kind}` of {process}");
        let parts: Vec<_> = self.left_out.iter().map(part).collect();
        (!parts.is_empty()).then(|| format!("Events that are left out: {}.", parts.join(", ")))
    }
}

impl TimelineEntry {
    /// The term of the event, if it has one, and whether it is one of the catalog.
    pub(super) fn term(&self) -> Option<(bool, u64)> {
        let event = serde_json::to_value(self.event.as_ref()?).ok()?;
        // A replica's events may not name its group.
        let group = event.get("group").and_then(|group| group.as_str()).unwrap_or(&self.process);
        Some((group.starts_with(catalog::GROUP), event.get("term")?.as_u64()?))
    }
}

/// A time after the fault with its unit: `+12.3 ms`.
pub(super) fn after_fault(us: i64) -> String {
    format!("{} ms", signed_ms(us))
}

/// A duration in ms, for people.
pub(super) fn in_ms(us: u64) -> String {
    number(Duration::from_micros(us).as_secs_f64() * 1e3)
}

/// A time after the fault in ms, with its sign.
pub(super) fn signed_ms(us: i64) -> String {
    let ms = in_ms(us.unsigned_abs());
    if us < 0 { format!("−{ms}") } else { format!("+{ms}") }
}

/// What the drill did, and what its shoppers noticed.
fn own_entries(span: &InjectedFaultSpan) -> Vec<TimelineEntry> {
    let entry = |at: Moment, process: &str, text: String| TimelineEntry {
        at_us: span.after_us(at),
        process: process.to_owned(),
        text: format!("{process} {text}"),
        event: None,
    };
    let gap_ms = in_ms(span.gap.length_us());
    vec![
        entry(span.injected, DRILL, format!("injects {}: {}", span.fault, span.victims)),
        entry(span.gap.from, SHOPPERS, format!("get no acknowledgement of an order for {gap_ms} ms")),
        entry(span.gap.to, SHOPPERS, "get an acknowledgement again".into()),
        entry(span.healed, DRILL, "ends the fault".into()),
        entry(span.recovered, DRILL, "finds that the store has recovered".into()),
    ]
}

/// Whether an event happens all the time while shoppers order, with or without a fault.
fn is_routine(event: &Event) -> bool {
    matches!(event, Event::Restocked { .. } | Event::FillRefused { .. })
}

/// The events for a timeline, and how many others there are.
fn bounded(events: Vec<ProcessEvent>) -> (Vec<ProcessEvent>, Vec<LeftOut>) {
    let of = |it: &ProcessEvent| (it.process.clone(), it.event.kind());
    let mut all = BTreeMap::<_, usize>::new();
    for event in &events {
        *all.entry(of(event)).or_default() += 1;
    }
    let (mut seen, mut left_out) = (all.clone(), all.clone());
    let mut kept = Vec::new();
    for event in events {
        let key = of(&event);
        // How many there are with this one and those after it.
        let rest = seen.get_mut(&key).expect("it was counted");
        let is_edge = *rest <= REPEATED_MAX || all[&key] - *rest < REPEATED_MAX;
        *rest -= 1;
        if is_edge && !is_routine(&event.event) && kept.len() < EVENTS_MAX {
            *left_out.get_mut(&key).expect("it was counted") -= 1;
            kept.push(event);
        }
    }
    let left_out = left_out.into_iter().filter(|(_, count)| *count > 0);
    (kept, left_out.map(|((process, kind), count)| LeftOut { process, kind, count }).collect())
}

fn missing_sentence(missing: &MissingEvents, injected_us: u64) -> String {
    let MissingEvents { process, after_us, until_us, why } = missing;
    let at = |us: u64| after_fault(us.cast_signed() - injected_us.cast_signed());
    let (after, until) = (at(*after_us), at(*until_us));
    match why {
        WhyMissing::Ended => format!(
            "What {process} did between {after} (its last event that was read) and {until} (when it ended), if anything, is lost: it ended before it had sent it."
        ),
        WhyMissing::Overrun(count) => {
            format!("{count} events of {process} between {after} and {until} are missing: it had more than it keeps.")
        }
        WhyMissing::Unreached if *after_us == 0 => {
            format!("What {process} did, if anything, is missing: it could not be reached.")
        }
        WhyMissing::Unreached => format!(
            "What {process} did after {after} (its last event that was read), if anything, is missing: it could not be reached again."
        ),
        WhyMissing::Forgotten => {
            format!(
                "What {process} did before {until}, if anything, is missing: the drill keeps the newest events only."
            )
        }
    }
}

#[cfg(test)]
mod tests;
