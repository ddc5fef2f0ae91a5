use ::report::Checks;
use api::event::Event;
use api::{Ordinal, Term};

use super::super::fault_timeline::TimelineEntry;
use super::super::load::ErrorCounts;
use super::*;

fn timeline(gap_us: i64) -> FaultTimeline {
    let entry = |at_us, process: &str, event: Event| TimelineEntry {
        at_us,
        process: process.into(),
        text: format!("{process} {event}"),
        event: Some(event),
    };
    FaultTimeline {
        from_us: -100_000,
        healed_us: 200_000,
        to_us: 630_000,
        gap_from_us: 0,
        gap_to_us: gap_us,
        affected: vec!["order-1".into()],
        entries: vec![
            entry(
                1200,
                "frontend-2",
                Event::LeaderSuspected { group: "order".into(), ordinal: Ordinal(1), term: Term(4) },
            ),
            entry(6600, "order-2", Event::Leads { group: "order".into(), term: Term(5) }),
        ],
        left_out: Vec::new(),
        missing: vec!["What order-1 did at last is lost.".into()],
    }
}

fn report(faults: &[(Fault, u64)]) -> DrillReport {
    let mut report = DrillReport {
        seed: 7,
        elapsed_ms: 60_000,
        shoppers: 16,
        order_latency: Latency::default(),
        faults: Vec::new(),
        events: Vec::new(),
        errors: ErrorCounts::default(),
        counts: Counts::default(),
        ledgers_identical: Some(true),
        checks: Checks::default(),
    };
    for (index, (fault, gap_us)) in faults.iter().enumerate() {
        report.add(FaultEvent {
            fault: *fault,
            victims: "order-1".into(),
            at_ms: 1,
            held_ms: 200,
            gap_us: *gap_us,
            healing_gap_us: 0,
            recovered_after_ms: 430,
            stages: None,
            errors: ErrorCounts::default(),
            timeline: None,
        });
        report.add_timeline(index, || timeline(gap_us.cast_signed()));
    }
    report
}

#[test]
fn the_faults_with_the_longest_gaps_have_timelines() {
    let (leader, follower) = (Fault::KillLeader, Fault::KillFollower);
    let report = report(&[(leader, 20), (leader, 50), (follower, 5), (leader, 40), (leader, 30), (leader, 10)]);
    let kept: Vec<_> = report.events.iter().map(|it| it.timeline.is_some()).collect();
    assert_eq!(kept, [false, true, true, true, true, false]);
    let page = report.page().html();
    let summaries: Vec<_> = page.split("<summary>").skip(1).map(|it| it.split(" (").next().unwrap()).collect();
    assert_eq!(
        summaries,
        ["kill-leader: order-1", "kill-leader: order-1", "kill-leader: order-1", "kill-follower: order-1"]
    );
    assert!(page.find("(fault 2)").unwrap() < page.find("(fault 4)").unwrap(), "the longest gap comes first");
    assert!(page.contains("with the longest gaps have a timeline: 4 of 6 faults."), "{page}");
}

#[test]
fn pages_have_timelines_and_a_terminal_has_none() {
    let report = report(&[(Fault::KillLeader, 14_000)]);
    let page = report.page();
    let sentences = ["frontend-2 suspects order-1, the leader of term 4", "order-2 leads the order group in term 5"];
    for rendered in [page.html(), page.markdown("plots")] {
        let at = sentences.map(|sentence| rendered.find(sentence).unwrap_or_else(|| panic!("{rendered}")));
        assert!(at[0] < at[1] && rendered.contains("What order-1 did at last is lost."), "{rendered}");
        assert!(rendered.contains("+1.20") && rendered.contains("no order for 14.0 ms"), "{rendered}");
    }
    assert_eq!(page.figures().map(|(name, _)| name).collect::<Vec<_>>(), ["kill-leader-1-gap", "kill-leader-1"]);
    assert!(!report.to_string().contains("suspects"), "{report}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["events"][0]["timeline"]["entries"][1]["kind"], "leads");
}
