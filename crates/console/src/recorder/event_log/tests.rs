use api::{Address, BatchNumber, OrderNumber, Ordinal};

use super::*;
use crate::source::ServiceKind;

fn log() -> EventLog {
    let process = |ordinal: u8| ProcessAddress {
        name: format!("order-{ordinal}"),
        service: ServiceKind::Order,
        ordinal: Ordinal(ordinal),
        internal: Address::new("127.0.0.1", 1120 + u16::from(ordinal)),
        known_as: Vec::new(),
    };
    let mut log = EventLog::new(&[process(1), process(2)]);
    for name in ["order-1", "order-2"] {
        observe(&mut log, name, Observation::Opened { restarted: false }, 0);
    }
    log
}

fn observe(log: &mut EventLog, name: &str, what: Observation, now_us: u64) {
    log.observe(Observed { process: name.into(), what }, now_us);
}

fn happens(log: &mut EventLog, name: &str, at_us: u64, event: Event) {
    let recorded = Recorded { sequence: at_us, at_us, event };
    observe(log, name, Observation::Event { recorded, past: false }, at_us);
}

fn leads(term: u64) -> Event {
    Event::Leads { group: "order".into(), term: Term(term) }
}

fn placed(term: u64, last: u64) -> Event {
    let batch = BatchNumber(last);
    let last = OrderNumber::new(last).unwrap();
    Event::BatchPlaced { term: Term(term), batch, orders: 1, last, elapsed_us: api::event::Microseconds(1) }
}

fn sentences(recorded: &RecordedEvents) -> Vec<(u64, &str)> {
    recorded.events.iter().map(|it| (it.at_us, it.text.as_str())).collect()
}

fn missing(process: &str, after_us: u64, until_us: u64, why: WhyMissing) -> MissingEvents {
    MissingEvents { process: process.to_owned(), after_us, until_us, why }
}

#[test]
fn the_events_of_all_processes_are_in_one_order_and_details_are_left_out() {
    let mut log = log();
    happens(&mut log, "order-2", 30, leads(5));
    happens(&mut log, "order-1", 10, leads(4));
    happens(&mut log, "order-1", 20, Event::BatchSettled { term: Term(4), batch: BatchNumber(1) });
    happens(&mut log, "order-1", 40, leads(6));
    happens(&mut log, "unknown", 25, leads(7));
    let recorded = log.between(10, 30);
    let expected = [(10, "order-1 leads the order group in term 4"), (30, "order-2 leads the order group in term 5")];
    assert_eq!((sentences(&recorded), &recorded.missing[..]), (expected.to_vec(), &[][..]));
}

#[test]
fn the_first_batch_of_each_term_is_kept() {
    let mut log = log();
    for (at_us, term, last) in [(1, 4, 7), (2, 4, 8), (3, 5, 9), (4, 5, 10)] {
        happens(&mut log, "order-1", at_us, placed(term, last));
    }
    let recorded = log.between(0, 10);
    assert_eq!(recorded.events.iter().map(|it| it.at_us).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn what_ended_with_a_process_is_told() {
    let mut log = log();
    happens(&mut log, "order-1", 10, leads(4));
    happens(&mut log, "order-1", 12, placed(4, 1));
    happens(&mut log, "order-1", 15, placed(4, 2));
    observe(&mut log, "order-1", Observation::Closed, 20);
    // Attempts to reach it again.
    observe(&mut log, "order-1", Observation::Closed, 30);
    assert_eq!(log.between(0, 20).missing, [], "until then everything was read");
    assert_eq!(log.between(0, 40).missing, [missing("order-1", 15, 40, WhyMissing::Unreached)]);
    assert!(!log.is_following_all());
    observe(&mut log, "order-1", Observation::Opened { restarted: true }, 50);
    assert!(log.is_following_all() && !log.is_following_none());
    let lost = missing("order-1", 15, 20, WhyMissing::Ended);
    assert_eq!(log.between(0, 40).missing, std::slice::from_ref(&lost));
    assert_eq!(log.between(20, 40).missing, [lost]);
    assert_eq!((log.between(0, 14).missing, log.between(21, 40).missing), (vec![], vec![]));
}

#[test]
fn what_happened_long_before_the_end_of_a_process_was_sent() {
    let mut log = log();
    happens(&mut log, "order-1", 10, leads(4));
    observe(&mut log, "order-1", Observation::Closed, 20 + SENT_WITHIN_US);
    observe(&mut log, "order-1", Observation::Opened { restarted: true }, 30 + SENT_WITHIN_US);
    assert_eq!(log.between(0, 19).missing, []);
    assert_eq!(log.between(0, 20).missing, [missing("order-1", 10, 20 + SENT_WITHIN_US, WhyMissing::Ended)]);
}

#[test]
fn a_stream_that_broke_and_was_continued_lacks_nothing() {
    let mut log = log();
    observe(&mut log, "order-1", Observation::Closed, 20);
    observe(&mut log, "order-1", Observation::Opened { restarted: false }, 50);
    assert_eq!(log.between(0, 100).missing, []);
}

#[test]
fn what_a_process_did_not_keep_is_told() {
    let mut log = log();
    happens(&mut log, "order-2", 10, leads(4));
    observe(&mut log, "order-2", Observation::Missed(3), 40);
    observe(&mut log, "order-2", Observation::Missed(4), 40);
    happens(&mut log, "order-2", 30, leads(5));
    assert_eq!(log.between(0, 100).missing, [missing("order-2", 10, 30, WhyMissing::Overrun(7))]);
}

#[test]
fn only_the_newest_events_are_kept_and_that_is_told() {
    let mut log = log();
    let last = KEPT_MAX as u64 + 2;
    (1..=last).for_each(|at_us| happens(&mut log, "order-2", at_us, leads(at_us)));
    assert_eq!(log.between(0, last).events.len(), KEPT_MAX);
    let forgotten = ["order-1", "order-2"].map(|name| missing(name, 0, 2, WhyMissing::Forgotten));
    assert_eq!(log.between(2, last).missing, forgotten);
    assert_eq!(log.between(3, last).missing, []);
}
