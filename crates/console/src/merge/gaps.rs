//! How long a group had no leader, and how long orders waited for the next one.
//!
//! A leader's end is the first sign of it: a process suspects it, it does not answer the console,
//! it hands its leadership over, or a person stops it from the page. The gap is from there to the
//! election of the next leader, and on to the first order after it. Events of different processes
//! arrive in any order within some 100 ms, so a gap is reported only after that.

use std::collections::VecDeque;
use std::fmt;

use api::event::Event;
use api::{Ordinal, Term};

use super::units::{ms, tenths};
use crate::history::KEPT_MS;
use crate::source::ServiceKind;

/// How long after the first order a gap is reported.
const SETTLE_US: u64 = 300_000;

/// How long a gap waits for the first order. If there is none, no client has ordered.
const ORDER_WAIT_US: u64 = 1_500_000;

/// A leader that says after this time that it still leads did not end. An earlier answer may have
/// been under way.
const DOUBT_US: u64 = 1_000_000;

/// The reason for which a frontend replaces a leader that does not answer.
const SILENT: &str = "silent";

/// More gaps than there are in ten minutes of anything but trouble.
const GAPS_MAX: usize = 1024;

/// The gaps of all groups.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    orders: GroupGaps,
    catalog: GroupGaps,
    /// When the gaps of the last ten minutes ended, and how long they were, in ms.
    recent: VecDeque<(u64, f64)>,
}

/// The time between two leaders of a group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gap {
    pub(super) service: ServiceKind,
    /// The new leader.
    pub(super) ordinal: Ordinal,
    pub(super) at_us: u64,
    pub(super) without_ms: f64,
    pub(super) order_ms: Option<f64>,
}

#[derive(Debug, Default)]
struct GroupGaps {
    leader: Option<Leadership>,
    /// A new leader whose gap is not reported yet.
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug)]
struct Leadership {
    term: Term,
    ordinal: Ordinal,
    ended_us: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    before: Leadership,
    ordinal: Ordinal,
    term: Term,
    leads_us: u64,
    order_us: Option<u64>,
}

impl Gaps {
    /// Takes an event of a process.
    pub(super) fn event(&mut self, service: ServiceKind, ordinal: Ordinal, event: &Event, at_us: u64) {
        match event {
            Event::Leads { term, .. } => self.group(service).elected(ordinal, *term, at_us),
            Event::LeaderSuspected { group, ordinal, term } => {
                self.named(group).suspected(*ordinal, *term, at_us);
            }
            Event::LeaderFound { group, ordinal, term } => self.named(group).found(*ordinal, *term),
            // The leader was silent before anyone suspected it.
            Event::LeaderConfirmed { group, term, reason, elapsed_ms, .. } if reason == SILENT => {
                self.named(group).was_silent(*term, at_us.saturating_sub(elapsed_ms.0 * 1000));
            }
            Event::LeadershipTransferred { .. } => self.group(service).ended(ordinal, at_us),
            Event::BatchPlaced { term, .. } => {
                self.orders.placed(Some(*term), at_us);
                self.catalog.placed(None, at_us);
            }
            _ => {}
        }
    }

    /// A replica says that it leads.
    pub(super) fn leads(&mut self, service: ServiceKind, ordinal: Ordinal, term: Term, now_us: u64) {
        // A later leader is known by its event only, which has the time.
        let leader = self.group(service).leader.get_or_insert(Leadership { term, ordinal, ended_us: None });
        if (leader.term, leader.ordinal) == (term, ordinal) {
            leader.ended_us.take_if(|ended_us| *ended_us + DOUBT_US < now_us);
        }
    }

    /// A process does not work any more, as the console knows.
    pub(super) fn ended(&mut self, service: ServiceKind, ordinal: Ordinal, at_us: u64) {
        if service != ServiceKind::Frontend {
            self.group(service).ended(ordinal, at_us);
        }
    }

    /// The gaps that can be reported.
    pub(super) fn take(&mut self, now_us: u64) -> Vec<Gap> {
        let found = [(ServiceKind::Order, &mut self.orders), (ServiceKind::Catalog, &mut self.catalog)]
            .into_iter()
            .filter_map(|(service, group)| group.take(service, now_us));
        let found: Vec<_> = found.collect();
        for gap in &found {
            if self.recent.len() == GAPS_MAX {
                self.recent.pop_front();
            }
            self.recent.push_back((gap.at_us, gap.order_ms.unwrap_or(gap.without_ms)));
        }
        found
    }

    /// The longest gap of the last ten minutes.
    pub(super) fn longest_ms(&self, now_us: u64) -> Option<f64> {
        let recent = self.recent.iter().filter(|(at_us, _)| at_us + KEPT_MS * 1000 > now_us);
        recent.map(|(_, ms)| *ms).max_by(f64::total_cmp)
    }

    fn group(&mut self, service: ServiceKind) -> &mut GroupGaps {
        if service == ServiceKind::Catalog { &mut self.catalog } else { &mut self.orders }
    }

    fn named(&mut self, group: &str) -> &mut GroupGaps {
        self.group(if group == ServiceKind::Catalog.group() { ServiceKind::Catalog } else { ServiceKind::Order })
    }
}

impl GroupGaps {
    fn elected(&mut self, ordinal: Ordinal, term: Term, at_us: u64) {
        if self.leader.is_some_and(|leader| leader.term >= term) {
            return;
        }
        // Of several elections in a row, only the last one ended the gap.
        let before = match self.pending {
            Some(pending) if pending.order_us.is_none() => Some(pending.before),
            _ => self.leader,
        };
        self.leader = Some(Leadership { term, ordinal, ended_us: None });
        self.pending = before.map(|before| Pending { before, ordinal, term, leads_us: at_us, order_us: None });
    }

    fn suspected(&mut self, ordinal: Ordinal, term: Term, at_us: u64) {
        let before = self.pending.as_mut().map(|pending| &mut pending.before);
        for leader in before.into_iter().chain(self.leader.as_mut()) {
            if (leader.term, leader.ordinal) == (term, ordinal) {
                leader.end(at_us);
            }
        }
    }

    /// The leader before that of `term` was last heard then.
    fn was_silent(&mut self, term: Term, since_us: u64) {
        if let Some(pending) = self.pending.as_mut().filter(|pending| pending.term == term) {
            pending.before.end(since_us);
        }
    }

    /// A process was wrong: the leader still leads.
    fn found(&mut self, ordinal: Ordinal, term: Term) {
        if let Some(leader) = self.leader.as_mut().filter(|leader| (leader.term, leader.ordinal) == (term, ordinal)) {
            leader.ended_us = None;
        }
    }

    fn ended(&mut self, ordinal: Ordinal, at_us: u64) {
        if let Some(leader) = self.leader.as_mut().filter(|leader| leader.ordinal == ordinal) {
            leader.end(at_us);
        }
    }

    fn placed(&mut self, term: Option<Term>, at_us: u64) {
        if let Some(pending) = self.pending.as_mut()
            && term.is_none_or(|term| term == pending.term)
            && at_us >= pending.leads_us
        {
            pending.order_us = Some(pending.order_us.map_or(at_us, |known| known.min(at_us)));
        }
    }

    fn take(&mut self, service: ServiceKind, now_us: u64) -> Option<Gap> {
        let Pending { before, ordinal, leads_us, order_us, .. } =
            self.pending.take_if(|pending| match pending.order_us {
                Some(order_us) => now_us >= order_us + SETTLE_US,
                None => now_us >= pending.leads_us + ORDER_WAIT_US,
            })?;
        let ended_us = before.ended_us.filter(|ended_us| *ended_us <= leads_us)?;
        let since_end = |us: u64| tenths(ms(us - ended_us));
        let (without_ms, order_ms) = (since_end(leads_us), order_us.map(since_end));
        Some(Gap { service, ordinal, at_us: order_us.unwrap_or(leads_us), without_ms, order_ms })
    }
}

impl Leadership {
    fn end(&mut self, at_us: u64) {
        self.ended_us = Some(self.ended_us.map_or(at_us, |known| known.min(at_us)));
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.service == ServiceKind::Catalog { "catalog leader" } else { "leader" };
        write!(f, "{} ms without a {what}", self.without_ms)?;
        match self.order_ms {
            Some(order_ms) => write!(f, ", {order_ms} ms until the next order"),
            None => f.write_str("; no order was placed soon after"),
        }
    }
}

#[cfg(test)]
mod tests;
