//! Draws the timeline of a fault: a row for each process.

use std::collections::BTreeSet;
use std::ops::Range;

use ::report::{Timeline, TimelineEvent, TimelineInterval, TimelineShade, number};

use super::fault_timeline::{DRILL, FaultTimeline, SHOPPERS, TimelineEntry};

/// What is drawn around a gap, as a share of it.
const MARGIN: f64 = 0.25;

/// A closer view is drawn if it shows less than this share of the whole.
const CLOSER_MAX: f64 = 0.5;

/// From shortly before the fault until the store had recovered.
pub(super) fn whole(timeline: &FaultTimeline, title: String) -> Timeline {
    draw(timeline, title, ms(timeline.from_us)..ms(timeline.to_us))
}

/// From shortly before the fault, or before the gap if that began long after the fault, until
/// shortly after the gap. `None` if that is most of the timeline.
pub(super) fn around_the_gap(timeline: &FaultTimeline, title: String) -> Option<Timeline> {
    let (gap_from, gap_to) = (ms(timeline.gap_from_us), ms(timeline.gap_to_us));
    let length = gap_to - gap_from;
    let from = if gap_from < length { 0.0 } else { gap_from };
    let margin = (gap_to - from) * MARGIN;
    let (x, all) = (from - margin..gap_to + margin, ms(timeline.to_us - timeline.from_us));
    (x.end - x.start < all * CLOSER_MAX).then(|| draw(timeline, title, x))
}

fn draw(timeline: &FaultTimeline, title: String, x: Range<f64>) -> Timeline {
    let rows = rows(timeline);
    let row = |name: &String| rows.iter().position(|row| row == name);
    let terms: BTreeSet<_> = timeline.entries.iter().map(TimelineEntry::term).collect();
    let kind = |entry: &TimelineEntry| terms.iter().position(|term| *term == entry.term());
    let fault = |row| TimelineInterval { row, from: 0.0, to: ms(timeline.healed_us), intensity: 0.4 };
    let event = |entry: &TimelineEntry| {
        Some(TimelineEvent { row: row(&entry.process)?, at: ms(entry.at_us), kind: kind(entry)? })
    };
    let (from, to) = (ms(timeline.gap_from_us), ms(timeline.gap_to_us));
    Timeline {
        title,
        x_label: "ms after the fault".into(),
        x,
        shades: vec![TimelineShade { from, to, label: format!("no order for {} ms", number(to - from)) }],
        interval_label: "under the fault".into(),
        intervals: timeline.affected.iter().filter_map(row).map(fault).collect(),
        event_kinds: terms.iter().map(|term| term_name(*term)).collect(),
        events: timeline.entries.iter().filter_map(event).collect(),
        rows,
    }
}

fn term_name(term: Option<(bool, u64)>) -> String {
    match term {
        None => "no term".into(),
        Some((false, term)) => format!("term {term}"),
        Some((true, term)) => format!("term {term} of the catalog"),
    }
}

/// The shoppers and the drill, then the processes by name.
fn rows(timeline: &FaultTimeline) -> Vec<String> {
    let named: BTreeSet<_> = timeline.entries.iter().map(|it| &it.process).chain(&timeline.affected).collect();
    let is_own = |name: &&&String| [SHOPPERS, DRILL].contains(&name.as_str());
    let processes = named.iter().filter(|name| !is_own(name)).map(|name| (*name).clone());
    [SHOPPERS, DRILL].map(str::to_owned).into_iter().chain(processes).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a few seconds")]
fn ms(us: i64) -> f64 {
    us as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use api::Term;
    use api::event::{Event, Milliseconds};

    use super::*;

    fn timeline(gap_from_us: i64, gap_to_us: i64, to_us: i64) -> FaultTimeline {
        let entry =
            |at_us, process: &str, event| TimelineEntry { at_us, process: process.into(), text: String::new(), event };
        let leads = Event::Leads { group: "order".into(), term: Term(5) };
        let catalog_leads = Event::CatalogLeads { term: Term(5), opens_in_ms: Milliseconds(0) };
        FaultTimeline {
            from_us: -100_000,
            healed_us: 200_000,
            to_us,
            gap_from_us,
            gap_to_us,
            affected: vec!["order-1".into()],
            entries: vec![
                entry(0, DRILL, None),
                entry(7000, "order-2", Some(leads)),
                entry(8000, "catalog", Some(catalog_leads)),
            ],
            left_out: Vec::new(),
            missing: Vec::new(),
        }
    }

    #[test]
    fn each_process_has_a_row_and_each_term_a_color() {
        let drawn = whole(&timeline(0, 14_000, 630_000), "A kill".into());
        assert_eq!(drawn.rows, ["shoppers", "drill", "catalog", "order-1", "order-2"]);
        assert_eq!(drawn.event_kinds, ["no term", "term 5", "term 5 of the catalog"]);
        assert_eq!(drawn.events.iter().map(|it| (it.row, it.kind)).collect::<Vec<_>>(), [(1, 0), (4, 1), (2, 2)]);
        assert_eq!(drawn.intervals, [TimelineInterval { row: 3, from: 0.0, to: 200.0, intensity: 0.4 }]);
        assert_eq!(drawn.shades, [TimelineShade { from: 0.0, to: 14.0, label: "no order for 14.0 ms".into() }]);
        assert_eq!(drawn.x, -100.0..630.0);
    }

    #[test]
    fn a_short_gap_is_drawn_more_closely() {
        let closer = |timeline| around_the_gap(&timeline, String::new()).map(|it: Timeline| it.x);
        assert_eq!(closer(timeline(0, 16_000, 630_000)), Some(-4.0..20.0));
        assert_eq!(closer(timeline(4000, 16_000, 630_000)), Some(-4.0..20.0), "the fault is near");
        assert_eq!(closer(timeline(900_000, 940_000, 2_000_000)), Some(890.0..950.0), "the fault is long ago");
        assert_eq!(closer(timeline(0, 500_000, 630_000)), None);
    }
}
