use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::frame::{ConsoleEvent, EventLine, Process, State, Traffic, What};
use crate::source::ServiceKind;

fn process(name: &str, since_ms: u64) -> Arc<Process> {
    Arc::new(Process {
        name: name.to_owned(),
        service: ServiceKind::Order,
        ordinal: 1,
        address: String::new(),
        state: State::Up,
        since_ms,
        faults: Vec::new(),
        replica: None,
        cache: None,
        stock: None,
        stock_count: None,
        ledger: None,
    })
}

fn event(notable: bool) -> EventLine {
    let what = What::Console(ConsoleEvent::Back);
    let (process, topic, text) = ("a".to_owned(), what.topic(), "x".repeat(100));
    EventLine { at_ms: 1.0, process, sequence: None, notable, topic, text, what }
}

fn frame(n: u64, at_ms: u64, processes: &[Arc<Process>]) -> Frame {
    let changes = Changes { processes: processes.to_vec(), ..Changes::default() };
    Frame { n, at_ms, ..complete(changes) }.changed()
}

impl Frame {
    fn changed(self) -> Self {
        Self { complete: self.n == 1, ..self }
    }
}

fn parse(json: &Bytes) -> Value {
    serde_json::from_slice(json).unwrap()
}

fn numbers(frames: &[Bytes]) -> Vec<u64> {
    frames.iter().map(|frame| parse(frame)["n"].as_u64().unwrap()).collect()
}

#[test]
fn old_frames_are_folded_into_a_complete_one() {
    let mut history = History::default();
    history.push(&frame(1, 1000, &[process("a", 1), process("b", 1)]));
    let second = Frame {
        changes: Changes {
            processes: vec![process("a", 2), process("c", 2)],
            removed: vec!["b".to_owned()],
            traffic: Some(Traffic { orders_per_s: 7.0, ..Traffic::default() }),
            ..Changes::default()
        },
        ..frame(2, 2000, &[])
    };
    history.push(&second);
    assert_eq!(numbers(&history.all()), [1, 2]);
    history.push(&frame(3, 2000 + KEPT_MS + 1, &[process("c", 3)]));
    let all = history.all();
    assert_eq!(numbers(&all), [2, 3]);
    let base = parse(&all[0]);
    let shown: Vec<_> = base["processes"].as_array().unwrap().iter().map(|it| (&it["name"], &it["since_ms"])).collect();
    assert_eq!(shown, [(&"a".into(), &2.into()), (&"c".into(), &2.into())]);
    assert_eq!((&base["complete"], &base["traffic"]["orders_per_s"]), (&true.into(), &7.0.into()));
    assert_eq!(parse(&all[1])["complete"], false);
    assert_eq!(history.current().processes.len(), 2);
}

#[test]
fn a_page_continues_where_it_was_or_gets_a_complete_frame() {
    let mut history = History::default();
    assert_eq!(history.since(None), []);
    for n in 1..=4 {
        history.push(&frame(n, n * 1000, &[process("a", n)]));
    }
    let numbers = |after| history.since(after).iter().map(|(n, _)| *n).collect::<Vec<_>>();
    assert_eq!(numbers(Some(2)), [3, 4]);
    assert_eq!(numbers(Some(0)), [1, 2, 3, 4]);
    assert_eq!(numbers(Some(4)), [0; 0]);
    for elsewhere in [None, Some(5), Some(u64::MAX)] {
        let found = history.since(elsewhere);
        let complete = parse(&found[0].1);
        assert_eq!((found.len(), &complete["n"], &complete["complete"]), (1, &4.into(), &true.into()));
        assert_eq!(complete["processes"][0]["since_ms"], 4);
    }
    history.push(&frame(5, KEPT_MS + 3500, &[]));
    assert_eq!(history.since(Some(2)).len(), 1, "frame 3 is no longer kept");
    assert_eq!(history.since(Some(3)).len(), 2);
}

#[test]
fn details_are_kept_for_a_minute() {
    let mut history = History::default();
    let events = vec![event(true), event(false), event(false)];
    history.push(&Frame { events, ..frame(1, 1000, &[]) });
    assert_eq!(parse(&history.all()[0])["events"].as_array().unwrap().len(), 3);
    history.push(&frame(2, 1000 + DETAILS_KEPT_MS + 1, &[]));
    let first = parse(&history.all()[0]);
    assert_eq!((first["events"].as_array().unwrap().len(), &first["dropped"]), (1, &2.into()));
    assert_eq!(history.bytes, history.all().iter().map(Bytes::len).sum::<usize>());
}

#[test]
fn the_bytes_are_bounded() {
    let mut history = History::default();
    for n in 1..=50 {
        history.push(&Frame { events: vec![event(true)], ..frame(n, n, &[process("a", n)]) });
    }
    history.drop_old(50, 2000);
    assert!(history.bytes <= 2000 && history.frames.len() > 1);
    assert_eq!(history.bytes, history.frames.iter().map(|entry| entry.json.len()).sum::<usize>());
    let all = history.all();
    assert_eq!(parse(&all[0])["complete"], true);
    assert_eq!(numbers(&all).last(), Some(&50));
    history.drop_old(50, 0);
    assert_eq!(history.frames.len(), 1, "the newest frame always stays");
}
