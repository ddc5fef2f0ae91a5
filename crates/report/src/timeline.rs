//! A timeline: one row per item, filled during intervals, with dots for the events of the item.

use std::ops::Range;

use plotters::prelude::{Circle, DrawingBackend, PathElement, Rectangle, Text};
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::document::Figure;
use crate::legend::{self, Area, Drawn};
use crate::number::tick;
use crate::theme::{self, AXIS, GRID, TEXT, WIDTH};

const ROW: i32 = 17;
const LABEL_SIZE: u32 = 13;
const RIGHT: i32 = 24;
const BELOW: i32 = 46;
/// The most ticks of the time axis.
const TICKS_MAX: f64 = 9.0;
const DOT: i32 = 4;
/// The opacity of an interval with intensity 0.
const PALEST: f64 = 0.15;
/// The opacity of a shade.
const SHADE: f64 = 0.18;

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

/// A period in which the background of all rows is shaded.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelineShade {
    /// Its start.
    pub from: f64,
    /// Its end.
    pub to: f64,
    /// What it means, written above the rows.
    pub label: String,
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

/// Intervals and events of several items over time. Events outside of the time axis are not drawn.
/// To draw an interval or an event of a row or a kind that does not exist is a panic.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The title, drawn above the timeline.
    pub title: String,
    /// The label of the time axis, such as its unit.
    pub x_label: String,
    /// The time axis.
    pub x: Range<f64>,
    /// The names of the rows, from top to bottom.
    pub rows: Vec<String>,
    /// What is shaded.
    pub shades: Vec<TimelineShade>,
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
        let scale = Layout::of(self);
        let height = u32::try_from(scale.bottom + BELOW).expect("a height");
        legend::frame(&self.title, &names, height, |area| {
            self.draw_shades(area, scale)?;
            self.draw_rows(area, scale)?;
            self.draw_time(area, scale)
        })
    }
}

impl Timeline {
    fn draw_shades<B: DrawingBackend>(&self, area: &Area<B>, scale: Layout) -> Drawn<(), B> {
        for TimelineShade { from, to, label } in &self.shades {
            let (from, to) = (scale.x(*from), scale.x(*to));
            let corners = [(from, 0), (to.max(from + 1), scale.bottom)];
            area.draw(&Rectangle::new(corners, AXIS.rgb().mix(SHADE).filled()))?;
            // A label that would not fit is moved to the left.
            let text_width = legend::text_width(label, LABEL_SIZE);
            let at = (from + 4).min(scale.left + scale.width - text_width).max(scale.left);
            area.draw(&Text::new(label.clone(), (at, 2), TEXT.text(LABEL_SIZE)))?;
        }
        Ok(())
    }

    fn draw_rows<B: DrawingBackend>(&self, area: &Area<B>, scale: Layout) -> Drawn<(), B> {
        for (row, name) in self.rows.iter().enumerate() {
            let (y, right) = (scale.y(row), scale.left + scale.width);
            area.draw(&PathElement::new(vec![(scale.left, y + ROW), (right, y + ROW)], GRID.line(1)))?;
            let style = TEXT.text(LABEL_SIZE).pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(name.clone(), (scale.left - 8, y + ROW / 2), style))?;
        }
        for TimelineInterval { row, from, to, intensity } in &self.intervals {
            assert!(*row < self.rows.len(), "the row of an interval exists");
            let color = theme::series(0).rgb().mix(PALEST + (1.0 - PALEST) * intensity.clamp(0.0, 1.0)).filled();
            let (from, to, y) = (scale.x(*from), scale.x(*to), scale.y(*row));
            area.draw(&Rectangle::new([(from, y + 2), (to.max(from + 1), y + ROW - 2)], color))?;
        }
        for TimelineEvent { row, at, kind } in &self.events {
            assert!(*row < self.rows.len() && *kind < self.event_kinds.len(), "the row and the kind of an event exist");
            if self.x.start <= *at && *at <= self.x.end {
                let center = (scale.x(*at), scale.y(*row) + ROW / 2);
                area.draw(&Circle::new(center, DOT, theme::series(kind + 1).fill()))?;
            }
        }
        Ok(())
    }

    fn draw_time<B: DrawingBackend>(&self, area: &Area<B>, scale: Layout) -> Drawn<(), B> {
        let ticks = Pos::new(HPos::Center, VPos::Top);
        for value in self.ticks() {
            let (x, bottom) = (scale.x(value), scale.bottom);
            area.draw(&PathElement::new(vec![(x, bottom), (x, bottom + 4)], AXIS.line(1)))?;
            let style = TEXT.text(LABEL_SIZE).pos(ticks);
            area.draw(&Text::new(tick(value), (x, bottom + 6), style))?;
        }
        let style = AXIS.text(LABEL_SIZE).pos(ticks);
        area.draw(&Text::new(self.x_label.clone(), (scale.left + scale.width / 2, scale.bottom + 24), style))
    }

    /// The ticks of the time axis: multiples of 1, 2 or 5 times a power of ten.
    #[expect(clippy::cast_possible_truncation, reason = "a few ticks")]
    fn ticks(&self) -> Vec<f64> {
        let Range { start, end } = self.x;
        let closest = (end - start) / TICKS_MAX;
        let power = 10_f64.powf(closest.log10().floor());
        let step = [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power).find(|step| *step >= closest);
        let step = step.unwrap_or(10.0 * power);
        let (first, last) = ((start / step).ceil() as i64, (end / step).floor() as i64);
        #[expect(clippy::cast_precision_loss, reason = "a few ticks")]
        (first..=last).map(|n| n as f64 * step).collect()
    }
}

/// Maps times and rows to pixels.
#[derive(Clone, Copy)]
struct Layout {
    left: i32,
    width: i32,
    top: i32,
    bottom: i32,
    start: f64,
    end: f64,
}

impl Layout {
    fn of(timeline: &Timeline) -> Self {
        let widest = timeline.rows.iter().map(|row| legend::text_width(row, LABEL_SIZE)).max();
        let left = 24 + widest.unwrap_or(0);
        let width = i32::try_from(WIDTH).expect("a width") - RIGHT - left;
        // Above the rows is a line for the labels of shades.
        let top = if timeline.shades.is_empty() { 0 } else { ROW };
        let bottom = top + i32::try_from(timeline.rows.len()).expect("a few rows") * ROW;
        let Range { start, end } = timeline.x;
        Self { left, width, top, bottom, start, end }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a pixel position")]
    fn x(self, value: f64) -> i32 {
        let share = (value - self.start) / (self.end - self.start);
        self.left + (f64::from(self.width) * share.clamp(0.0, 1.0)).round() as i32
    }

    /// The top of a row.
    fn y(self, row: usize) -> i32 {
        self.top + i32::try_from(row).expect("a few rows") * ROW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline() -> Timeline {
        Timeline {
            title: "Cache".into(),
            x_label: "seconds".into(),
            x: -2.0..10.0,
            rows: vec!["Tux".into(), "Uno".into()],
            shades: Vec::new(),
            interval_label: "in the cache".into(),
            intervals: vec![TimelineInterval { row: 1, from: 2.0, to: 5.0, intensity: 1.0 }],
            event_kinds: vec!["bought".into()],
            events: [5.0, -3.0, 11.0].map(|at| TimelineEvent { row: 0, at, kind: 0 }).to_vec(),
        }
    }

    #[test]
    fn an_interval_is_a_rectangle_and_an_event_a_circle() {
        let svg = timeline().svg();
        // Two of the rectangles are legend swatches, and two of the events are not on the axis.
        assert_eq!((svg.matches("<rect").count(), svg.matches("<circle").count()), (3, 1), "{svg}");
        assert!(svg.contains("Uno") && svg.contains("seconds"), "{svg}");
    }

    #[test]
    fn a_shade_is_a_labeled_rectangle_behind_the_rows() {
        let shade = TimelineShade { from: 0.0, to: 4.0, label: "no lease".into() };
        let svg = Timeline { shades: vec![shade], ..timeline() }.svg();
        assert_eq!(svg.matches("<rect").count(), 4, "{svg}");
        assert!(svg.find("no lease").unwrap() < svg.find("Tux").unwrap(), "{svg}");
    }

    #[test]
    fn ticks_are_round_numbers() {
        let ticks = |x: Range<f64>| Timeline { x, ..timeline() }.ticks();
        assert_eq!(ticks(0.0..64.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(ticks(-7.0..22.0), [-5.0, 0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(ticks(-100.0..1630.0), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0, 1400.0, 1600.0]);
        assert_eq!(ticks(0.1..0.9).len(), 9);
    }
}
