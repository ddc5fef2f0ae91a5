use api::{NodeId, Ordinal, Term};

use super::*;

const INJECTED_US: u64 = 1_000_000_000;

fn span() -> InjectedFaultSpan {
    let ms = |ms: u64| Moment((7000 + ms) * 1_000_000);
    InjectedFaultSpan {
        fault: Fault::KillLeader,
        victims: "order-1".into(),
        affected: vec!["order-1".into()],
        injected_us: INJECTED_US,
        injected: ms(0),
        healed: ms(200),
        recovered: ms(630),
        gap: Gap { from: ms(1), to: ms(15) },
        acks: vec![ms(15)],
    }
}

fn at(after_us: i64, process: &str, event: Event) -> ProcessEvent {
    let at_us = INJECTED_US.checked_add_signed(after_us).unwrap();
    ProcessEvent { at_us, process: process.into(), text: format!("{process} {event}"), event }
}

fn suspects(term: u64) -> Event {
    Event::LeaderSuspected { group: "order".into(), ordinal: Ordinal(1), term: Term(term) }
}

fn leads(term: u64) -> Event {
    Event::Leads { group: "order".into(), term: Term(term) }
}

fn timeline(events: Vec<ProcessEvent>) -> FaultTimeline {
    FaultTimeline::of(&span(), RecordedEvents { events, missing: Vec::new() })
}

#[test]
fn a_timeline_is_in_the_order_of_time_and_has_the_gap() {
    let follows = Event::Follows { group: "order".into(), leader: NodeId::new(Ordinal(2), 7) };
    let timeline = timeline(vec![
        at(-40_000, "order-3", follows),
        at(2100, "frontend-2", suspects(4)),
        at(6600, "order-2", leads(5)),
    ]);
    let lines: Vec<_> = timeline
        .entries
        .iter()
        .map(|it| format!("{} {}", signed_ms(it.at_us), it.text.replace("-000000007", "")))
        .collect();
    let texts: Vec<_> = lines.iter().map(String::as_str).collect();
    assert!(texts[0].starts_with("−40.0 order-3 follows "), "{texts:?}");
    assert_eq!(
        texts[1..],
        [
            "+0 drill injects kill-leader: order-1",
            "+1.00 shoppers get no acknowledgement of an order for 14.0 ms",
            "+2.10 frontend-2 suspects order-1, the leader of term 4",
            "+6.60 order-2 leads the order group in term 5",
            "+15.0 shoppers get an acknowledgement again",
            "+200 drill ends the fault",
            "+630 drill finds that the store has recovered",
        ]
    );
    assert_eq!((timeline.from_us, timeline.healed_us, timeline.to_us), (-100_000, 200_000, 630_000));
    assert_eq!((timeline.gap_from_us, timeline.gap_to_us), (1000, 15_000));
    assert_eq!(timeline.entries.iter().filter_map(TimelineEntry::term).collect::<Vec<_>>(), [(false, 4), (false, 5)]);
    assert_eq!((timeline.left_out_sentence(), timeline.missing), (None, vec![]));
    assert_eq!(span().period_us(), (INJECTED_US - BEFORE_US, INJECTED_US + 630_000));
}

#[test]
fn of_repeated_events_the_first_and_the_last_are_kept() {
    let mut events: Vec<_> = (0..12).map(|n| at(n, "frontend", suspects(4))).collect();
    events.extend((0..10).map(|n| at(20 + n, "frontend-2", suspects(4))));
    events.push(at(50, "catalog", Event::Restocked { products: api::event::Text::of("Tux"), pieces: 500 }));
    let timeline = timeline(events);
    let of =
        |name: &str| -> Vec<_> { timeline.entries.iter().filter(|it| it.process == name).map(|it| it.at_us).collect() };
    assert_eq!(of("frontend"), [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]);
    assert_eq!((of("frontend-2").len(), of("catalog").len()), (10, 0));
    assert_eq!(
        timeline.left_out_sentence().unwrap(),
        "Events that are left out: 1 × `restocked` of catalog, 2 × `leader_suspected` of frontend."
    );
}

#[test]
fn a_timeline_has_a_bound() {
    let process = |n: i64| format!("order-{}", n % 100);
    let timeline = timeline((0..1000).map(|n| at(n, &process(n), leads(5))).collect());
    let events = timeline.entries.iter().filter(|it| it.event.is_some()).count();
    let left_out: usize = timeline.left_out.iter().map(|it| it.count).sum();
    assert_eq!((events, events + left_out), (EVENTS_MAX, 1000));
}

#[test]
fn what_is_missing_is_told() {
    let missing = |why, after_us: i64| MissingEvents {
        process: "order-1".into(),
        after_us: INJECTED_US.checked_add_signed(after_us).unwrap(),
        until_us: INJECTED_US + 400,
        why,
    };
    let sentence = |missing: &MissingEvents| missing_sentence(missing, INJECTED_US);
    assert_eq!(
        sentence(&missing(WhyMissing::Ended, -3200)),
        "What order-1 did between −3.20 ms (its last event that was read) and +0.400 ms (when it ended), if anything, is lost: it ended before it had sent it."
    );
    assert_eq!(
        sentence(&missing(WhyMissing::Overrun(7), 100)),
        "7 events of order-1 between +0.100 ms and +0.400 ms are missing: it had more than it keeps."
    );
    for (why, after_us, part) in [
        (WhyMissing::Unreached, -3200, "could not be reached again"),
        (WhyMissing::Unreached, -INJECTED_US.cast_signed(), "could not be reached."),
        (WhyMissing::Forgotten, -3200, "before +0.400 ms"),
    ] {
        let text = sentence(&missing(why, after_us));
        assert!(text.contains(part) && text.contains("order-1") && !text.contains("1,000"), "{text}");
    }
}

#[test]
fn json_has_the_fields_of_events() {
    let json = serde_json::to_value(timeline(vec![at(6600, "order-2", leads(5))])).unwrap();
    let entry = &json["entries"][2];
    assert_eq!(
        (&entry["at_us"], &entry["process"], &entry["kind"]),
        (&6600.into(), &"order-2".into(), &"leads".into())
    );
    assert_eq!((&entry["term"], &entry["text"]), (&5.into(), &"order-2 leads the order group in term 5".into()));
    assert_eq!((&json["entries"][0]["process"], json["entries"][0].get("kind")), (&"drill".into(), None));
}
