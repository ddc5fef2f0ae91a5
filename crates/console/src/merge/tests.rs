use api::order::LedgerEnd;
use api::replica::{ReplicaStatus, Role};
use api::{Address, NodeId, Ordinal, Term};
use serde_json::{Value, json};

use super::*;
use crate::control::{ControlsState, Shoppers};

/// The store of `toystore up`, as far as a test tells it.
struct Scene {
    merger: Merger,
    now_us: u64,
    sequence: u64,
}

impl Scene {
    fn new() -> Self {
        let mut merger = Merger::new(1);
        let process = |name: &str, service, ordinal, port| ProcessAddress {
            name: name.to_owned(),
            service,
            ordinal: Ordinal(ordinal),
            internal: Address::new("127.0.0.1", port),
            known_as: Vec::new(),
        };
        let list = [
            process("catalog", ServiceKind::Catalog, 1, 1130),
            process("order-1", ServiceKind::Order, 1, 1121),
            process("order-2", ServiceKind::Order, 2, 1122),
            process("order-3", ServiceKind::Order, 3, 1123),
            process("frontend", ServiceKind::Frontend, 1, 1111),
        ];
        merger.list(&list, 1_000_000);
        Self { merger, now_us: 1_000_000, sequence: 0 }
    }

    /// All replicas follow replica 1.
    fn running() -> Self {
        let mut scene = Self::new();
        scene.polled("catalog", ServiceKind::Catalog, 1, Some(1));
        for ordinal in 1..=3 {
            scene.polled(&format!("order-{ordinal}"), ServiceKind::Order, ordinal, Some(1));
        }
        scene.frame();
        scene
    }

    fn see(&mut self, process: &str, what: Observation) {
        self.merger.observe(Observed { process: process.into(), what }, self.now_us);
    }

    fn polled(&mut self, process: &str, service: ServiceKind, ordinal: u8, leader: Option<u8>) {
        let id = |ordinal| NodeId::new(Ordinal(ordinal), 1);
        let role = if leader == Some(ordinal) { Role::Leader } else { Role::Follower };
        let empty = ReplicaStatus::empty(service.group(), id(ordinal));
        let replica = Some(ReplicaStatus { role, term: Term(4), leader: leader.map(id), ..empty });
        let ledger = (service == ServiceKind::Order).then(|| LedgerEnd { orders: 7, tail: Vec::new(), checksum: None });
        let report = Report { replica, ledger, ..Report::default() };
        self.see(process, Observation::Polled(Some(Box::new(report))));
    }

    fn missed(&mut self, process: &str) {
        self.see(process, Observation::Polled(None));
    }

    fn event(&mut self, process: &str, event: Value) {
        self.sequence += 1;
        let event = serde_json::from_value(event).unwrap();
        let recorded = Recorded { sequence: self.sequence, at_us: self.now_us, event };
        self.see(process, Observation::Event { recorded, past: false });
    }

    fn after_ms(&mut self, ms: u64) {
        self.now_us += ms * 1000;
    }

    fn frame(&mut self) -> Value {
        serde_json::to_value(self.merger.frame(self.now_us)).unwrap()
    }

    fn texts(&mut self) -> Vec<String> {
        let frame = self.frame();
        frame["events"].as_array().unwrap().iter().map(|it| it["text"].as_str().unwrap().to_owned()).collect()
    }
}

/// The names and states of the processes in a frame.
fn states(frame: &Value) -> Vec<String> {
    let shown =
        |process: &Value| format!("{} {}", process["name"].as_str().unwrap(), process["state"].as_str().unwrap());
    frame["processes"].as_array().unwrap().iter().map(shown).collect()
}

#[test]
fn the_first_frame_is_complete_and_the_next_ones_have_what_changed() {
    let mut scene = Scene::new();
    let first = scene.frame();
    assert_eq!((&first["n"], &first["complete"]), (&json!(1), &json!(true)));
    assert_eq!(states(&first).len(), 5);
    assert_eq!(states(&first)[0], "catalog starting");
    let second = scene.frame();
    assert_eq!(
        second,
        json!({"n": 2, "at_ms": 1000, "complete": false, "processes": [], "removed": [], "events": [], "dropped": 0})
    );
    scene.polled("order-2", ServiceKind::Order, 2, Some(1));
    let third = scene.frame();
    assert_eq!(states(&third), ["order-2 up"]);
    let replica = &third["processes"][0]["replica"];
    assert_eq!(
        (&replica["role"], &replica["leads"], &replica["leader"]),
        (&json!("follower"), &json!(false), &json!(1))
    );
    scene.polled("order-2", ServiceKind::Order, 2, Some(1));
    assert_eq!(scene.frame()["processes"], json!([]), "nothing changed");
}

#[test]
fn a_process_is_unreachable_after_two_missed_polls() {
    let mut scene = Scene::running();
    scene.missed("order-1");
    assert_eq!(states(&scene.frame()), [""; 0], "one answer may be late");
    scene.after_ms(400);
    scene.missed("order-1");
    let frame = scene.frame();
    assert_eq!(states(&frame), ["order-1 unreachable"]);
    let process = &frame["processes"][0];
    assert_eq!((&process["since_ms"], &process["replica"]["leads"]), (&json!(1400), &json!(false)));
    let event = &frame["events"][0];
    assert_eq!((&event["kind"], &event["text"]), (&json!("unreachable"), &json!("order-1 does not answer")));
    assert_eq!(event.get("sequence"), None);
    scene.polled("order-1", ServiceKind::Order, 1, None);
    assert_eq!(scene.texts(), ["order-1 answers again"]);
}

#[test]
fn every_sentence_begins_with_its_process_and_has_a_topic() {
    let mut scene = Scene::running();
    scene.event("catalog", json!({"kind": "lease_granted", "address": "127.0.0.1:1111"}));
    scene.event("order-2", json!({"kind": "voted", "term": 5, "candidate": NodeId::new(Ordinal(2), 1)}));
    scene.event("frontend", json!({"kind": "leader_found", "group": "catalog", "ordinal": 1, "term": 4}));
    scene.see("frontend", Observation::Missed(9));
    (0..2).for_each(|_| scene.missed("order-3"));
    scene.polled("order-3", ServiceKind::Order, 3, Some(1));
    for action in ["kill", "restart", "freeze", "resume", "wipe_disk"] {
        let click = serde_json::from_value(json!({"action": action, "process": "order-1"})).unwrap();
        scene.merger.control(&click, scene.now_us);
    }
    let frame = scene.frame();
    let events = frame["events"].as_array().unwrap();
    assert_eq!(events.len(), 11);
    for event in events {
        let (process, text) = (event["process"].as_str().unwrap(), event["text"].as_str().unwrap());
        assert!(text.strip_prefix(process).is_some_and(|rest| rest.starts_with(' ')), "{event}");
        assert_eq!(text.matches(process).count(), 1 + usize::from(text.contains("votes for")), "{text}");
    }
    let topics: Vec<_> = events.iter().map(|event| event["topic"].as_str().unwrap()).collect();
    assert_eq!(topics[..6], ["cache", "election", "election", "fault", "fault", "good"]);
    assert_eq!(topics[6..], ["control"; 5]);
}

#[test]
fn a_process_that_never_answered_is_starting() {
    let mut scene = Scene::new();
    scene.frame();
    (0..9).for_each(|_| scene.missed("order-1"));
    assert_eq!(scene.frame()["events"], json!([]));
}

fn controls(slow: &[&str]) -> ControlsState {
    let shoppers = Shoppers { count: 4, order_probability: 0.2, hot_product: None };
    let slow = slow.iter().map(|name| (*name).to_owned()).collect();
    ControlsState { shoppers, cache: true, cut: Vec::new(), slow, full: Vec::new() }
}

#[test]
fn what_the_owner_knows_wins() {
    let mut scene = Scene::running();
    let owned = |state| vec![OwnedProcess { name: "order-1".to_owned(), state }];
    scene.merger.owner(&owned(ProcessState::Frozen), controls(&["order-2"]), scene.now_us);
    // The answer was under way.
    scene.polled("order-1", ServiceKind::Order, 1, Some(1));
    let frame = scene.frame();
    assert_eq!(states(&frame), ["order-1 frozen", "order-2 up"]);
    assert_eq!((&frame["processes"][1]["faults"], &frame["controls"]["cache"]), (&json!(["slow disk"]), &json!(true)));
    assert_eq!(frame["links"], json!([]));
    (0..4).for_each(|_| scene.missed("order-1"));
    scene.merger.owner(&owned(ProcessState::Stopped), controls(&["order-2"]), scene.now_us);
    let frame = scene.frame();
    assert_eq!((states(&frame), frame.get("controls")), (vec!["order-1 stopped".to_owned()], None));
    assert_eq!(frame["events"], json!([]), "the owner did it");
    scene.merger.owner(&owned(ProcessState::Running), controls(&[]), scene.now_us);
    assert_eq!(states(&scene.frame()), ["order-1 starting", "order-2 up"]);
    scene.polled("order-1", ServiceKind::Order, 1, None);
    assert_eq!(scene.texts(), ["order-1 answers again"]);
}

#[test]
fn a_process_that_is_resumed_is_not_reported_lost() {
    let mut scene = Scene::running();
    let owner = |scene: &mut Scene, state| {
        let owned = [OwnedProcess { name: "order-1".to_owned(), state }];
        scene.merger.owner(&owned, controls(&[]), scene.now_us);
    };
    owner(&mut scene, ProcessState::Frozen);
    (0..4).for_each(|_| scene.missed("order-1"));
    scene.frame();
    owner(&mut scene, ProcessState::Running);
    let frame = scene.frame();
    assert_eq!((states(&frame), &frame["events"]), (vec!["order-1 starting".to_owned()], &json!([])));
    scene.polled("order-1", ServiceKind::Order, 1, Some(1));
    assert_eq!(scene.texts(), ["order-1 answers again"]);
}

#[test]
fn details_become_flows() {
    let mut scene = Scene::running();
    for batch in 1..=2 {
        scene.event(
            "order-1",
            json!({"kind": "batch_reserved", "term": 4, "batch": batch, "reserved": 5, "refused": 1, "elapsed_us": 1000 * batch}),
        );
        scene.event(
            "order-1",
            json!({"kind": "batch_placed", "term": 4, "batch": batch, "orders": 5, "last": 5 * batch, "elapsed_us": 700}),
        );
    }
    scene.event("order-1", json!({"kind": "batch_settled", "term": 4, "batch": 2}));
    scene.event(
        "catalog",
        json!({"kind": "invalidated", "address": "127.0.0.1:1111", "products": 3, "elapsed_us": 200}),
    );
    let flows = scene.frame()["flows"].clone();
    assert_eq!(
        flows,
        json!([
            {"from": "catalog", "to": "frontend", "kind": "invalidate", "count": 1, "items": 3, "ms": 0.2},
            {"from": "order-1", "to": "catalog", "kind": "reserve", "count": 2, "items": 12, "ms": 1.5},
            {"from": "order-1", "to": "catalog", "kind": "settle", "count": 1, "items": 10},
            {"from": "order-1", "to": "order-2", "kind": "place", "count": 2, "items": 10, "ms": 0.7},
            {"from": "order-1", "to": "order-3", "kind": "place", "count": 2, "items": 10, "ms": 0.7},
        ])
    );
    assert_eq!(scene.frame().get("flows"), None, "they are of one frame");
}

#[test]
fn what_the_cache_did_not_have_comes_from_the_catalog() {
    let mut scene = Scene::running();
    let scrape = |misses: u32| {
        let text = format!("toystore_cache_misses_total {misses}\ntoystore_cache_list_misses_total 1\n");
        Observation::Scraped(Box::new(Sample::read(&text)))
    };
    for misses in [3, 3, 7] {
        assert_eq!(scene.frame().get("flows"), None);
        scene.see("frontend", scrape(misses));
    }
    let fill = json!([{"from": "frontend", "to": "catalog", "kind": "fill", "count": 4, "items": 4}]);
    assert_eq!(scene.frame()["flows"], fill);
}

#[test]
fn a_frame_has_all_notable_events_and_some_details_by_time() {
    let mut scene = Scene::running();
    for _ in 0..50 {
        scene.event(
            "catalog",
            json!({"kind": "invalidated", "address": "127.0.0.1:1111", "products": 3, "elapsed_us": 200}),
        );
    }
    scene.now_us -= 100;
    for term in 1..=50 {
        scene.event("order-2", json!({"kind": "stood_for_election", "group": "order", "term": term}));
    }
    let frame = scene.frame();
    let events = frame["events"].as_array().unwrap();
    assert_eq!((events.len(), &frame["dropped"]), (50 + DETAILS_MAX, &json!(10)));
    assert_eq!((&events[0]["kind"], &events[0]["notable"]), (&json!("stood_for_election"), &json!(true)));
    assert_eq!((&events[0]["at_ms"], &events[0]["sequence"]), (&json!(999.9), &json!(51)));
    assert_eq!(frame["flows"][0]["count"], json!(50), "the flows have all of them");
    assert_eq!(scene.frame()["dropped"], json!(0));
}

#[test]
fn what_happened_before_the_console_is_no_flow() {
    let mut scene = Scene::running();
    for event in [json!({"kind": "cache_filled", "product": "Tux"}), json!({"kind": "lease_held"})] {
        let recorded = Recorded { sequence: 1, at_us: 1, event: serde_json::from_value(event).unwrap() };
        scene.see("frontend", Observation::Event { recorded, past: true });
    }
    scene.see("frontend", Observation::Missed(9));
    let frame = scene.frame();
    assert_eq!((frame.get("flows"), &frame["dropped"]), (None, &json!(0)));
    let texts: Vec<_> = frame["events"].as_array().unwrap().iter().map(|it| it["text"].as_str().unwrap()).collect();
    let expected =
        ["frontend holds a lease: it may serve products from its cache", "frontend had 9 more events than it keeps"];
    assert_eq!(texts, expected);
}

#[test]
fn a_click_is_shown_and_ends_a_leadership() {
    let mut scene = Scene::running();
    scene.event("order-1", json!({"kind": "leads", "group": "order", "term": 4}));
    scene.after_ms(1000);
    let kill: Control = serde_json::from_value(json!({"action": "kill", "process": "order-1"})).unwrap();
    scene.merger.control(&kill, scene.now_us);
    let frame = scene.frame();
    let click = &frame["events"][1];
    assert_eq!(
        (&click["kind"], &click["action"], &click["process"]),
        (&json!("control"), &json!("kill"), &json!("order-1"))
    );
    scene.after_ms(12);
    scene.event("order-3", json!({"kind": "leads", "group": "order", "term": 5}));
    scene.after_ms(3);
    scene.event(
        "order-3",
        json!({"kind": "batch_placed", "term": 5, "batch": 1, "orders": 1, "last": 8, "elapsed_us": 700}),
    );
    scene.frame();
    scene.after_ms(500);
    let frame = scene.frame();
    let gap = &frame["events"][0];
    assert_eq!(gap["text"], json!("12 ms without a leader, 15 ms until the next order"));
    assert_eq!((&gap["kind"], &gap["process"], &gap["at_ms"]), (&json!("gap"), &json!("order-3"), &json!(2015.0)));
    assert_eq!((&gap["without_ms"], &gap["order_ms"], &gap["group"]), (&json!(12.0), &json!(15.0), &json!("order")));
}

#[test]
fn processes_come_and_go() {
    let mut scene = Scene::running();
    let mut list: Vec<_> = scene.merger.known.iter().map(|known| known.process.clone()).collect();
    let removed = list.remove(3);
    let added = ProcessAddress { name: "order-4".to_owned(), ordinal: Ordinal(4), ..removed };
    list.push(added);
    scene.merger.list(&list, scene.now_us);
    // Its follower was just stopped.
    scene.missed("order-3");
    let frame = scene.frame();
    assert_eq!((&frame["removed"], states(&frame)), (&json!(["order-3"]), vec!["order-4 starting".to_owned()]));
    assert_eq!(scene.frame()["removed"], json!([]));
}
