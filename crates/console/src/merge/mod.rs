//! Makes frames of what the followers see. Pure: observations and times in, frames out.
//!
//! Reading order: `known` (one process), `flows` (what moved between them), `gaps` (how long a
//! group had no leader), `agreement` (whether the ledgers are the same), and this file, which puts
//! them together.
//!
//! # Clocks
//! An event has the time of the machine on which it happened. The events of a frame are sorted by
//! it. On one machine this is the order in which they happened, up to a frame. Between machines it
//! is as good as their clocks, and so is the length of a gap.

mod agreement;
mod flows;
mod gaps;
mod known;
mod units;

use api::event::{Event, Recorded};

use crate::control::{Control, ControlsState, OwnedProcess, ProcessState};
use crate::follower::{Observation, Observed, Report};
use crate::frame::{Changes, ConsoleEvent, EventLine, Frame, State, Traffic, What};
use crate::history::KEPT_MS;
use crate::names::Names;
use crate::source::{ProcessAddress, ServiceKind};
use crate::traffic::{Sample, float};
use agreement::LedgerComparison;
use flows::Flows;
use gaps::{Gap, Gaps};
use known::{Known, Turn};
use units::{hundredths, ms, tenths};

/// The most events of a frame that are only details. The flows have all of them.
const DETAILS_MAX: usize = 40;

/// The most events of a frame. There are a few, or as many as the processes keep when the console
/// is started.
const PENDING_MAX: usize = 16_384;

/// How often the traffic is computed, in frames.
const TRAFFIC_EVERY: u64 = 4;

/// Everything that is known of the store.
#[derive(Debug)]
pub(crate) struct Merger {
    /// The number of the next frame.
    n: u64,
    is_first: bool,
    known: Vec<Known>,
    names: Names,
    removed: Vec<String>,
    pending: Vec<EventLine>,
    /// How many of them are details.
    details: usize,
    /// How many events were left out.
    dropped: u64,
    flows: Flows,
    gaps: Gaps,
    ledgers: LedgerComparison,
    controls: Option<ControlsState>,
    has_news_of_controls: bool,
}

impl Merger {
    /// Nothing is known yet. `n`: the number of the first frame.
    pub(crate) fn new(n: u64) -> Self {
        Self {
            n,
            is_first: true,
            known: Vec::new(),
            names: Names::default(),
            removed: Vec::new(),
            pending: Vec::new(),
            details: 0,
            dropped: 0,
            flows: Flows::default(),
            gaps: Gaps::default(),
            ledgers: LedgerComparison::default(),
            controls: None,
            has_news_of_controls: false,
        }
    }

    /// Takes the list of processes. What is known of those that stay is kept.
    pub(crate) fn list(&mut self, list: &[ProcessAddress], now_us: u64) {
        let mut before = std::mem::take(&mut self.known);
        for process in list {
            let same = before.iter().position(|known| known.process.name == process.name);
            self.known.push(match same.map(|at| before.swap_remove(at)) {
                Some(known) => known.at(process),
                None => Known::new(process, now_us),
            });
        }
        for gone in before {
            self.ledgers.forget(&gone.process.name);
            self.removed.push(gone.process.name);
        }
        self.names = Names::of(list);
    }

    /// Takes what a follower has seen.
    pub(crate) fn observe(&mut self, Observed { process, what }: Observed, now_us: u64) {
        // A follower that was just stopped may still report something.
        let Some(index) = self.known.iter().position(|known| *known.process.name == *process) else { return };
        match what {
            // A page shows ten minutes.
            Observation::Event { recorded, past: true } if recorded.at_us + KEPT_MS * 1000 < now_us => {}
            Observation::Event { recorded, past } => self.event(index, recorded, past),
            Observation::Missed(missed) => {
                let text = format!("{process} had {missed} more events than it keeps");
                self.console_event(process.to_string(), now_us, text, ConsoleEvent::Missed { missed });
            }
            // The answers to polls show whether a process works.
            Observation::Opened { .. } | Observation::Closed => {}
            Observation::Polled(report) => self.polled(index, report, now_us),
            Observation::Scraped(sample) => self.scraped(index, *sample, now_us),
        }
    }

    /// Takes what the owner of the processes knows.
    pub(crate) fn owner(&mut self, owned: &[OwnedProcess], controls: ControlsState, now_us: u64) {
        for index in 0..self.known.len() {
            let name = &self.known[index].process.name;
            if let Some(state) = owned.iter().find(|owned| owned.name == *name).map(|owned| owned.state) {
                let turn = self.known[index].owned(state, now_us);
                self.turned(index, turn, now_us);
                if state != ProcessState::Running {
                    let Known { process, .. } = &self.known[index];
                    self.gaps.ended(process.service, process.ordinal, now_us);
                }
            }
        }
        for known in &mut self.known {
            known.set_faults(&controls);
        }
        if self.controls.as_ref() != Some(&controls) {
            self.controls = Some(controls);
            self.has_news_of_controls = true;
        }
    }

    /// Takes what a person clicked, just before it is done.
    pub(crate) fn control(&mut self, control: &Control, now_us: u64) {
        let process = control.process().unwrap_or_default().to_owned();
        self.console_event(process, now_us, control.to_string(), ConsoleEvent::Control { action: control.name() });
        for known in &self.known {
            if control.may_end_leadership_of(&known.process.name) {
                self.gaps.ended(known.process.service, known.process.ordinal, now_us);
            }
        }
    }

    /// After how many orders the ledgers should be compared next.
    pub(crate) fn compared_at(&self) -> u64 {
        let orders = self.known.iter().filter(|known| known.state == State::Up);
        orders.filter_map(|known| known.report.ledger.as_ref()).map(|ledger| ledger.orders).min().unwrap_or(0)
    }

    /// Everything that changed since the last frame.
    pub(crate) fn frame(&mut self, now_us: u64) -> Frame {
        let is_first = std::mem::replace(&mut self.is_first, false);
        let changed = self.known.iter_mut().filter_map(Known::changed).collect();
        self.report_gaps(now_us);
        let (events, dropped) = self.take_events();
        let has_news_of_controls = std::mem::take(&mut self.has_news_of_controls);
        let controls = self.controls.clone().filter(|_| has_news_of_controls);
        let replicas = self.known.iter().filter(|known| known.state == State::Up && known.report.ledger.is_some());
        let frame = Frame {
            n: self.n,
            at_ms: now_us / 1000,
            complete: is_first,
            changes: Changes {
                processes: changed,
                removed: std::mem::take(&mut self.removed),
                links: controls.as_ref().map(|controls| controls.cut.clone()),
                agreement: self.ledgers.news(replicas.map(|known| known.process.name.as_str())),
                traffic: self.n.is_multiple_of(TRAFFIC_EVERY).then(|| self.traffic(now_us)).flatten(),
                controls,
            },
            flows: self.flows.take(),
            events,
            dropped,
        };
        self.n += 1;
        frame
    }

    fn event(&mut self, index: usize, recorded: Recorded, past: bool) {
        let Recorded { sequence, at_us, event } = recorded;
        let process = &self.known[index].process;
        let (name, service, ordinal) = (process.name.clone(), process.service, process.ordinal);
        self.gaps.event(service, ordinal, &event, at_us);
        if !past {
            self.add_flow(index, &event);
        }
        let notable = event.is_notable();
        if !notable && past {
            return;
        }
        // Under load most details end here, before anything is made of them.
        if (!notable && self.details == DETAILS_MAX) || self.pending.len() == PENDING_MAX {
            self.dropped += 1;
            return;
        }
        self.details += usize::from(!notable);
        let text = self.names.sentence(&name, service, &event);
        let (sequence, what) = (Some(sequence), What::Store(event));
        let topic = what.topic();
        self.pending.push(EventLine { at_ms: ms(at_us), process: name, sequence, notable, topic, text, what });
    }

    fn polled(&mut self, index: usize, report: Option<Box<Report>>, now_us: u64) {
        if let Some(ledger) = report.as_ref().and_then(|report| report.ledger.as_ref()) {
            self.ledgers.add(&self.known[index].process.name, ledger);
        }
        if let Some(status) = report.as_ref().and_then(|report| report.replica.as_ref()).filter(|it| it.leads()) {
            self.gaps.leads(self.known[index].process.service, status.ordinal, status.term, now_us);
        }
        let turn = self.known[index].polled(report.map(|report| *report), now_us);
        self.turned(index, turn, now_us);
    }

    fn turned(&mut self, index: usize, turn: Option<Turn>, now_us: u64) {
        let (name, service, ordinal) = {
            let ProcessAddress { name, service, ordinal, .. } = &self.known[index].process;
            (name.clone(), *service, *ordinal)
        };
        match turn {
            Some(Turn::Lost) => {
                self.gaps.ended(service, ordinal, now_us);
                let text = format!("{name} does not answer");
                self.console_event(name, now_us, text, ConsoleEvent::Unreachable);
            }
            Some(Turn::Back) => {
                let text = format!("{name} answers again");
                self.console_event(name, now_us, text, ConsoleEvent::Back);
            }
            None => {}
        }
    }

    fn scraped(&mut self, index: usize, sample: Sample, now_us: u64) {
        let Some(news) = self.known[index].traffic.add(now_us, sample) else { return };
        let name = self.known[index].process.name.clone();
        let leader = self.leader_name(ServiceKind::Order).map(str::to_owned);
        let catalog = self.leader_name(ServiceKind::Catalog).map(str::to_owned);
        self.flows.requests(&name, leader.as_deref(), catalog.as_deref(), &news);
    }

    fn add_flow(&mut self, index: usize, event: &Event) {
        let name = self.known[index].process.name.clone();
        match event {
            Event::BatchReserved { reserved, refused, elapsed_us, .. } => {
                if let Some(catalog) = self.leader_name(ServiceKind::Catalog).map(str::to_owned) {
                    self.flows.reserved(&name, &catalog, reserved + refused, *elapsed_us);
                }
            }
            Event::BatchPlaced { term, batch, orders, elapsed_us, .. } => {
                self.known[index].unsettled.placed(*term, *batch, *orders);
                let others = |known: &&Known| {
                    known.process.service == ServiceKind::Order
                        && known.process.name != name
                        && known.state == State::Up
                };
                for follower in self.known.iter().filter(others) {
                    self.flows.placed(&name, &follower.process.name, *orders, *elapsed_us);
                }
            }
            Event::BatchSettled { term, batch } => {
                let orders = self.known[index].unsettled.settled(*term, *batch);
                if let Some(catalog) = self.leader_name(ServiceKind::Catalog).map(str::to_owned) {
                    self.flows.settled(&name, &catalog, orders);
                }
            }
            Event::Invalidated { address, products, elapsed_us } => {
                if let Some(frontend) = self.names.at(address) {
                    self.flows.invalidated(&name, frontend, *products, *elapsed_us);
                }
            }
            _ => {}
        }
    }

    /// The leader of a group; the only replica of a group may not have said yet that it leads.
    fn leader_name(&self, service: ServiceKind) -> Option<&str> {
        let replicas = || self.known.iter().filter(|known| known.process.service == service);
        let leader = replicas().filter(|known| known.leads()).max_by_key(|known| known.term());
        let only = replicas().next().filter(|_| replicas().count() == 1);
        leader.or(only).map(|known| known.process.name.as_str())
    }

    fn console_event(&mut self, process: String, at_us: u64, text: String, event: ConsoleEvent) {
        let what = What::Console(event);
        let topic = what.topic();
        self.pending.push(EventLine { at_ms: ms(at_us), process, sequence: None, notable: true, topic, text, what });
    }

    fn report_gaps(&mut self, now_us: u64) {
        for gap in self.gaps.take(now_us) {
            let process = self.names.replica(gap.service, gap.ordinal);
            let Gap { at_us, without_ms, order_ms, .. } = gap;
            let event = ConsoleEvent::Gap { group: gap.service.group(), without_ms, order_ms };
            self.console_event(process, at_us, gap.to_string(), event);
        }
    }

    /// The events for a frame, by time, and how many were left out.
    fn take_events(&mut self) -> (Vec<EventLine>, u64) {
        let mut events = std::mem::take(&mut self.pending);
        events.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        self.details = 0;
        (events, std::mem::take(&mut self.dropped))
    }

    /// The traffic of all frontends. `None` if none of them answers.
    fn traffic(&self, now_us: u64) -> Option<Traffic> {
        let recent = |known: &Known| known.traffic.recent(now_us).map(|recent| (recent, known.traffic.waited_us()));
        let recent: Vec<_> = self.known.iter().filter_map(recent).collect();
        if recent.is_empty() {
            return None;
        }
        let mut all = Sample::default();
        let [mut orders, mut reads, mut errors, mut refusals] = [0.0; 4];
        let waited_us = recent.iter().map(|(_, waited_us)| *waited_us).max().unwrap_or(0);
        for ((sample, seconds), _) in &recent {
            orders += float(sample.orders.count) / seconds;
            reads += float(sample.reads.count) / seconds;
            errors += float(sample.errors()) / seconds;
            refusals += float(sample.refusals()) / seconds;
            all.add(sample);
        }
        Some(Traffic {
            orders_per_s: tenths(orders),
            order_p50_ms: all.orders.quantile_ms(0.5).map(hundredths),
            order_p99_ms: all.orders.quantile_ms(0.99).map(hundredths),
            reads_per_s: tenths(reads),
            read_p50_ms: all.reads.quantile_ms(0.5).map(hundredths),
            read_p99_ms: all.reads.quantile_ms(0.99).map(hundredths),
            errors_per_s: tenths(errors),
            refused_per_s: tenths(refusals),
            waiting: all.in_flight(),
            waiting_ms: ms(waited_us),
            hit_ratio: all.hit_ratio(),
            longest_gap_ms: self.gaps.longest_ms(now_us),
        })
    }
}

#[cfg(test)]
mod tests;
