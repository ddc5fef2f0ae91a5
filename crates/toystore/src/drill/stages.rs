//! The stages of a failover of the order group, from the events of its processes.

use api::event::Event;
use serde::Serialize;
use store_console::ProcessEvent;

/// The duration of each stage of one failover, in microseconds. The times of events are those of
/// the machine's clock, so a clock that is set during a failover makes them wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stages {
    /// From the fault to the first order that was acknowledged after the new leader had taken over:
    /// the sum of the other fields.
    pub fail_over_us: u64,
    /// From the fault until a frontend starts an election.
    pub detection_us: u64,
    /// Until the replica is elected that then accepts orders.
    pub election_us: u64,
    /// Until it accepts orders.
    pub take_over_us: u64,
    /// Until the first order is acknowledged.
    pub first_order_us: u64,
}

impl Stages {
    /// The stages of the first failover after a fault; `None` if there was none, or if not every
    /// stage was seen. `events` are sorted by time; `fault_us` and the acknowledgements `acks_us`
    /// are by the same clock.
    pub(super) fn of(events: &[ProcessEvent], fault_us: u64, acks_us: impl Iterator<Item = u64>) -> Option<Self> {
        let mut later = events.iter().filter(|it| it.at_us >= fault_us);
        let takes_orders = |it: &&ProcessEvent| matches!(it.event, Event::TakesOrders { .. });
        let serves = later.clone().find(takes_orders)?;
        let Event::TakesOrders { term, .. } = serves.event else { return None };
        let leads = later.clone().find(|it| match &it.event {
            Event::TakingOver { term: of, .. } => *of == term && it.process == serves.process,
            _ => false,
        })?;
        let election = later.find(|it| match &it.event {
            Event::ElectionStarted { group, .. } => *group == order::GROUP,
            _ => false,
        })?;
        let order_us = acks_us.filter(|at_us| *at_us > serves.at_us).min()?;
        let stage = |from_us: u64, to_us: u64| to_us.checked_sub(from_us);
        Some(Self {
            fail_over_us: stage(fault_us, order_us)?,
            detection_us: stage(fault_us, election.at_us)?,
            election_us: stage(election.at_us, leads.at_us)?,
            take_over_us: stage(leads.at_us, serves.at_us)?,
            first_order_us: stage(serves.at_us, order_us)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use api::event::Milliseconds;
    use api::{Ordinal, Term};

    use super::*;

    fn at(at_us: u64, process: &str, event: Event) -> ProcessEvent {
        ProcessEvent { at_us, process: process.into(), text: format!("{process} {event}"), event }
    }

    fn election(group: &'static str) -> Event {
        Event::ElectionStarted { group: group.into(), candidate: Ordinal(2), reason: "gone".into() }
    }

    fn taking_over(term: u64) -> Event {
        Event::TakingOver { term: Term(term) }
    }

    fn takes_orders(term: u64) -> Event {
        Event::TakesOrders { term: Term(term), elapsed_ms: Milliseconds(4) }
    }

    #[test]
    fn the_stages_are_those_of_the_leader_that_accepts_orders() {
        let events = [
            at(90, "frontend", election("order")),
            at(95, "order-1", takes_orders(4)),
            at(103, "frontend", election("catalog")),
            at(105, "frontend-2", election("order")),
            at(106, "frontend", election("order")),
            // It is elected, and loses its leadership at once.
            at(110, "order-3", taking_over(5)),
            at(120, "order-2", taking_over(6)),
            at(150, "order-2", takes_orders(6)),
            at(170, "order-3", takes_orders(7)),
        ];
        let stages = |events: &[ProcessEvent]| Stages::of(events, 100, [99, 150, 180, 160].into_iter());
        let expected =
            Stages { fail_over_us: 60, detection_us: 5, election_us: 15, take_over_us: 30, first_order_us: 10 };
        assert_eq!(stages(&events), Some(expected));
        for gone in [0..5, 3..5, 6..7, 7..9] {
            let rest = events.iter().enumerate().filter(|(n, _)| !gone.contains(n));
            let rest: Vec<_> = rest.map(|(_, event)| event.clone()).collect();
            assert_eq!(stages(&rest), None, "without {gone:?}");
        }
        assert_eq!(Stages::of(&events, 100, [99, 150].into_iter()), None, "no order was acknowledged");
    }
}
