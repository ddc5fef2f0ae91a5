//! What is known of one process.

use std::collections::VecDeque;
use std::sync::Arc;

use api::{BatchNumber, Term};

use crate::control::{ControlsState, ProcessState};
use crate::follower::Report;
use crate::frame::{CacheView, LedgerLine, LedgerView, Process, ReplicaView, State, StockLine};
use crate::source::ProcessAddress;
use crate::traffic::Window;

/// A process that does not answer this often in a row is unreachable. One answer can be late on a
/// busy machine.
const MISSED_MAX: u32 = 2;

/// The most products that a page shows.
const STOCK_LINES_MAX: usize = 14;

/// The most products of a cache that a page shows.
const CACHE_PRODUCTS_MAX: usize = 64;

/// The most batches that are remembered until they are settled: a leader has a few.
const UNSETTLED_MAX: usize = 1024;

/// What is known of one process.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) process: ProcessAddress,
    pub(super) state: State,
    since_us: u64,
    /// How often in a row it has not answered.
    missed: u32,
    /// Whether it has answered since it was started or resumed.
    answered: bool,
    /// Whether it has ever answered.
    was_up: bool,
    owned: Option<ProcessState>,
    faults: Vec<&'static str>,
    /// The last answer.
    pub(super) report: Report,
    pub(super) traffic: Window,
    pub(super) unsettled: Unsettled,
    /// As it was in the last frame.
    shown: Option<Arc<Process>>,
}

/// A change that people want to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It does not answer any more.
    Lost,
    /// It answers again.
    Back,
}

impl Known {
    pub(super) fn new(process: &ProcessAddress, now_us: u64) -> Self {
        Self {
            process: process.clone(),
            state: State::Starting,
            since_us: now_us,
            missed: 0,
            answered: false,
            was_up: false,
            owned: None,
            faults: Vec::new(),
            report: Report::default(),
            traffic: Window::default(),
            unsettled: Unsettled::default(),
            shown: None,
        }
    }

    /// The same process, maybe at another address.
    pub(super) fn at(self, process: &ProcessAddress) -> Self {
        Self { process: process.clone(), ..self }
    }

    /// Takes an answer, or its absence.
    pub(super) fn polled(&mut self, report: Option<Report>, now_us: u64) -> Option<Turn> {
        match report {
            Some(report) => {
                self.missed = 0;
                self.answered = true;
                self.report = report;
            }
            None => self.missed = self.missed.saturating_add(1),
        }
        self.update(now_us)
    }

    /// Takes what the owner knows.
    pub(super) fn owned(&mut self, state: ProcessState, now_us: u64) -> Option<Turn> {
        let before = self.owned.replace(state);
        // While it was frozen or stopped it could not answer, so that says nothing about it now.
        let was_away = matches!(before, Some(ProcessState::Frozen | ProcessState::Stopped));
        if was_away && state == ProcessState::Running {
            (self.answered, self.missed) = (false, 0);
        }
        self.update(now_us)
    }

    /// Takes the faults that the controls inject.
    pub(super) fn set_faults(&mut self, controls: &ControlsState) {
        let injected = [("slow disk", &controls.slow), ("full disk", &controls.full)];
        let faults = injected.iter().filter(|(_, names)| names.contains(&self.process.name));
        self.faults = faults.map(|(fault, _)| *fault).collect();
    }

    fn update(&mut self, now_us: u64) -> Option<Turn> {
        let now = match self.owned {
            Some(ProcessState::Frozen) => State::Frozen,
            Some(ProcessState::Stopped) => State::Stopped,
            Some(ProcessState::Running) | None if !self.answered => State::Starting,
            Some(ProcessState::Running) | None if self.missed < MISSED_MAX => State::Up,
            Some(ProcessState::Running) | None => State::Unreachable,
        };
        let before = std::mem::replace(&mut self.state, now);
        if before == now {
            return None;
        }
        self.since_us = now_us;
        match now {
            State::Up => std::mem::replace(&mut self.was_up, true).then_some(Turn::Back),
            State::Unreachable => Some(Turn::Lost),
            State::Starting | State::Frozen | State::Stopped => None,
        }
    }

    /// Whether it leads its group, as far as it says itself.
    pub(super) fn leads(&self) -> bool {
        self.state == State::Up && self.report.replica.as_ref().is_some_and(api::replica::ReplicaStatus::leads)
    }

    /// The term that it has seen.
    pub(super) fn term(&self) -> Term {
        self.report.replica.as_ref().map(|status| status.term).unwrap_or_default()
    }

    /// The process for the next frame, if it is not as it was in the last one.
    pub(super) fn changed(&mut self) -> Option<Arc<Process>> {
        let now = self.show();
        if self.shown.as_deref() == Some(&now) {
            return None;
        }
        Some(Arc::clone(self.shown.insert(Arc::new(now))))
    }

    fn show(&self) -> Process {
        let Report { replica, cache, ledger, stock } = &self.report;
        Process {
            name: self.process.name.clone(),
            service: self.process.service,
            ordinal: self.process.ordinal.0,
            address: self.process.internal.to_string(),
            state: self.state,
            since_ms: self.since_us / 1000,
            faults: self.faults.clone(),
            replica: replica.as_ref().map(|status| ReplicaView {
                role: status.role,
                term: status.term.0,
                leads: self.leads(),
                leader: status.leader.map(|leader| leader.ordinal().0),
                last_log: status.last_log.map_or(0, |at| at.index),
                applied: status.applied.map_or(0, |at| at.index),
                disk_full: status.disk_full,
            }),
            cache: cache.as_ref().map(|cache| CacheView {
                capacity: cache.capacity,
                lease_valid: cache.lease_valid,
                products: cache.products.iter().take(CACHE_PRODUCTS_MAX).map(|it| it.name.to_string()).collect(),
            }),
            stock: stock.as_ref().map(|stock| {
                let lines = stock.products.iter().take(STOCK_LINES_MAX);
                let line = |product: &api::Product| StockLine {
                    name: product.name.to_string(),
                    quantity: product.quantity.0,
                    price_cents: product.price.cents(),
                };
                lines.map(line).collect()
            }),
            stock_count: stock.as_ref().map(|stock| stock.count),
            ledger: ledger
                .as_ref()
                .map(|ledger| LedgerView { orders: ledger.orders, tail: ledger.tail.iter().map(line).collect() }),
        }
    }
}

fn line(order: &api::public::Order) -> LedgerLine {
    LedgerLine { number: order.number.get(), product: order.name.to_string(), quantity: order.quantity.get() }
}

/// The placed batches that the catalog does not know to be sold yet.
#[derive(Debug, Default)]
pub(super) struct Unsettled(VecDeque<(Term, BatchNumber, usize)>);

impl Unsettled {
    pub(super) fn placed(&mut self, term: Term, batch: BatchNumber, orders: usize) {
        if self.0.len() == UNSETTLED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((term, batch, orders));
    }

    /// How many orders are settled with this batch and those before it.
    pub(super) fn settled(&mut self, term: Term, batch: BatchNumber) -> usize {
        let mut orders = 0;
        while let Some((.., placed)) = self.0.pop_front_if(|(in_term, number, _)| (*in_term, *number) <= (term, batch))
        {
            orders += placed;
        }
        orders
    }
}
