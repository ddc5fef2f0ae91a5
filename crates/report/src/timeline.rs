//! A timeline: one row per item, filled during intervals, with dots for the events of the item.

use plotters::prelude::{Circle, DrawingBackend, PathElement, Rectangle, Text};
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::document::Figure;
use crate::legend::{self, Area, Drawn};
use crate::theme::{self, AXIS, GRID, TEXT, WIDTH};

const ROW: i32 = 17;
const LABEL_SIZE: u32 = 13;
const RIGHT: i32 = 24;
const BELOW: i32 = 46;
const TICKS: i32 = 8;
const DOT: i32 = 4;
/// The opacity of an interval with intensity 0.
const PALEST: f64 = 0.15;

/// A period in which a row is filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimelineInterval {
    /// The index of the row.
    pub row: usize,
    /// Its start.
    pub from: f64,
    /// Its end.
    pub to: f64,
    /// The intensity of the fill, from 0 to 1.
    pub intensity: f64,
}

/// An event in a row, drawn as a dot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimelineEvent {
    /// The index of the row.
    pub row: usize,
    /// Its time.
    pub at: f64,
    /// Its kind: an index into [`Timeline::event_kinds`].
    pub kind: usize,
}

/// Intervals and events of several items over time. To draw an interval or an event of a row or a
/// kind that does not exist is a panic.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The title, drawn above the timeline.
    pub title: String,
    /// The label of the time axis, such as its unit.
    pub x_label: String,
    /// The end of the time axis, which starts at 0.
    pub x_max: f64,
    /// The names of the rows, from top to bottom.
    pub rows: Vec<String>,
    /// What an interval means, for the legend.
    pub interval_label: String,
    /// The intervals.
    pub intervals: Vec<TimelineInterval>,
    /// The kinds of events, for the legend. Each kind has its own color.
    pub event_kinds: Vec<String>,
    /// The events.
    pub events: Vec<TimelineEvent>,
}

impl Figure for Timeline {
    fn svg(&self) -> String {
        let names: Vec<_> =
            std::iter::once(self.interval_label.as_str()).chain(self.event_kinds.iter().map(String::as_str)).collect();
        let rows = i32::try_from(self.rows.len()).expect("a few rows") * ROW;
        let (height, scale) = (u32::try_from(rows + BELOW).expect("a height"), TimeScale::of(self));
        legend::frame(&self.title, &names, height, |area| {
            self.draw_rows(area, scale)?;
            self.draw_time(area, scale, rows)
        })
    }
}

impl Timeline {
    fn draw_rows<B: DrawingBackend>(&self, area: &Area<B>, scale: TimeScale) -> Drawn<(), B> {
        for (row, name) in self.rows.iter().enumerate() {
            let (y, right) = (y(row), scale.left + scale.width);
            area.draw(&PathElement::new(vec![(scale.left, y + ROW), (right, y + ROW)], GRID.line(1)))?;
            let style = TEXT.text(LABEL_SIZE).pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(name.clone(), (scale.left - 8, y + ROW / 2), style))?;
        }
        for TimelineInterval { row, from, to, intensity } in &self.intervals {
            assert!(*row < self.rows.len(), "the row of an interval exists");
            let color = theme::series(0).rgb().mix(PALEST + (1.0 - PALEST) * intensity.clamp(0.0, 1.0)).filled();
            let (from, to) = (scale.x(*from), scale.x(*to));
            let corners = [(from, y(*row) + 2), (to.max(from + 1), y(*row) + ROW - 2)];
            area.draw(&Rectangle::new(corners, color))?;
        }
        for TimelineEvent { row, at, kind } in &self.events {
            assert!(*row < self.rows.len() && *kind < self.event_kinds.len(), "the row and the kind of an event exist");
            area.draw(&Circle::new((scale.x(*at), y(*row) + ROW / 2), DOT, theme::series(kind + 1).fill()))?;
        }
        Ok(())
    }

    fn draw_time<B: DrawingBackend>(&self, area: &Area<B>, scale: TimeScale, bottom: i32) -> Drawn<(), B> {
        let ticks = Pos::new(HPos::Center, VPos::Top);
        for tick in 0..=TICKS {
            let value = self.x_max * f64::from(tick) / f64::from(TICKS);
            let (x, digits) = (scale.x(value), usize::from(self.x_max < f64::from(TICKS) * 2.0));
            area.draw(&PathElement::new(vec![(x, bottom), (x, bottom + 4)], AXIS.line(1)))?;
            let style = TEXT.text(LABEL_SIZE).pos(ticks);
            area.draw(&Text::new(format!("{value:.digits$}"), (x, bottom + 6), style))?;
        }
        let style = AXIS.text(LABEL_SIZE).pos(ticks);
        area.draw(&Text::new(self.x_label.clone(), (scale.left + scale.width / 2, bottom + 24), style))
    }
}

/// Maps times to pixels.
#[derive(Clone, Copy)]
struct TimeScale {
    left: i32,
    width: i32,
    x_max: f64,
}

impl TimeScale {
    fn of(timeline: &Timeline) -> Self {
        let widest = timeline.rows.iter().map(|row| legend::text_width(row, LABEL_SIZE)).max();
        let left = 24 + widest.unwrap_or(0);
        Self { left, width: i32::try_from(WIDTH).expect("a width") - RIGHT - left, x_max: timeline.x_max }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a pixel position")]
    fn x(self, value: f64) -> i32 {
        self.left + (f64::from(self.width) * (value / self.x_max).clamp(0.0, 1.0)).round() as i32
    }
}

/// The y position of the top of a row.
fn y(row: usize) -> i32 {
    i32::try_from(row).expect("a few rows") * ROW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_rectangle_and_an_event_a_circle() {
        let timeline = Timeline {
            title: "Cache".into(),
            x_label: "seconds".into(),
            x_max: 10.0,
            rows: vec!["Tux".into(), "Uno".into()],
            interval_label: "in the cache".into(),
            intervals: vec![TimelineInterval { row: 1, from: 2.0, to: 5.0, intensity: 1.0 }],
            event_kinds: vec!["bought".into()],
            events: vec![TimelineEvent { row: 0, at: 5.0, kind: 0 }],
        };
        let svg = timeline.svg();
        // Two of the rectangles are legend swatches.
        assert_eq!((svg.matches("<rect").count(), svg.matches("<circle").count()), (3, 1), "{svg}");
        assert!(svg.contains("Uno") && svg.contains("seconds"), "{svg}");
    }
}
