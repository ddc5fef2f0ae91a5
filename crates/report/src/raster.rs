//! What is where over time: a row per thing, filled while it is there, with dots where something happened to it.

use plotters::prelude::{Circle, DrawingBackend, IntoDrawingArea, PathElement, Rectangle, SVGBackend, Text};
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::ink::{self, AXIS, GRID, TEXT, WIDTH};
use crate::legend::{self, Area, Drawn};

const ROW: i32 = 17;
const LABEL_SIZE: u32 = 13;
const RIGHT: i32 = 24;
const BELOW: i32 = 46;
const TICKS: i32 = 8;
const DOT: i32 = 4;
/// The palest fill.
const PALEST: f64 = 0.15;

/// A time in which a row is filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Which row, from 0.
    pub row: usize,
    /// From when.
    pub from: f64,
    /// To when.
    pub to: f64,
    /// How strong the fill is, 0 to 1.
    pub strength: f64,
}

/// A moment at which something happened to a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dot {
    /// Which row, from 0.
    pub row: usize,
    /// When.
    pub at: f64,
    /// What, from 0: a place in [`Raster::kinds`].
    pub kind: usize,
}

/// Rows over time.
#[derive(Clone, Debug)]
pub struct Raster {
    /// Above it.
    pub title: String,
    /// What time is counted in.
    pub x_label: String,
    /// From 0 to here.
    pub x_max: f64,
    /// From top to bottom.
    pub rows: Vec<String>,
    /// What a fill means; for the legend.
    pub filled: String,
    /// What is filled.
    pub cells: Vec<Cell>,
    /// What a dot can mean; for the legend. Each has a colour of its own.
    pub kinds: Vec<String>,
    /// What happened.
    pub dots: Vec<Dot>,
}

impl Raster {
    /// Draws it.
    ///
    /// # Panics
    /// If a cell or a dot is in a row that is not there.
    pub fn svg(&self) -> String {
        let names: Vec<_> =
            std::iter::once(self.filled.as_str()).chain(self.kinds.iter().map(String::as_str)).collect();
        let above = legend::height(&names);
        let rows = i32::try_from(self.rows.len()).expect("a few rows");
        let height = above + u32::try_from(rows * ROW + BELOW).expect("a height");
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
            legend::draw(&area, &self.title, &names).expect("a string takes all");
            let (_, area) = area.split_vertically(above);
            let place = Place::of(self);
            self.draw_rows(&area, place).expect("a string takes all");
            self.draw_time(&area, place, rows * ROW).expect("a string takes all");
            area.present().expect("a string takes all");
        }
        ink::finish(&svg, &self.title)
    }

    fn draw_rows<B: DrawingBackend>(&self, area: &Area<B>, place: Place) -> Drawn<(), B> {
        for (row, name) in self.rows.iter().enumerate() {
            let (y, right) = (y(row), place.left + place.width);
            area.draw(&PathElement::new(vec![(place.left, y + ROW), (right, y + ROW)], GRID.line(1)))?;
            let style = TEXT.text(LABEL_SIZE).pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(name.clone(), (place.left - 8, y + ROW / 2), style))?;
        }
        for Cell { row, from, to, strength } in &self.cells {
            assert!(*row < self.rows.len(), "a cell is in one of the rows");
            let ink = ink::series(0).rgb().mix(PALEST + (1.0 - PALEST) * strength.clamp(0.0, 1.0)).filled();
            let (from, to) = (place.x(*from), place.x(*to));
            let corners = [(from, y(*row) + 2), (to.max(from + 1), y(*row) + ROW - 2)];
            area.draw(&Rectangle::new(corners, ink))?;
        }
        for Dot { row, at, kind } in &self.dots {
            assert!(*row < self.rows.len() && *kind < self.kinds.len(), "a dot is in one of the rows, and of a kind");
            area.draw(&Circle::new((place.x(*at), y(*row) + ROW / 2), DOT, ink::series(kind + 1).fill()))?;
        }
        Ok(())
    }

    fn draw_time<B: DrawingBackend>(&self, area: &Area<B>, place: Place, bottom: i32) -> Drawn<(), B> {
        let ticks = Pos::new(HPos::Center, VPos::Top);
        for tick in 0..=TICKS {
            let value = self.x_max * f64::from(tick) / f64::from(TICKS);
            let (x, digits) = (place.x(value), usize::from(self.x_max < f64::from(TICKS) * 2.0));
            area.draw(&PathElement::new(vec![(x, bottom), (x, bottom + 4)], AXIS.line(1)))?;
            let style = TEXT.text(LABEL_SIZE).pos(ticks);
            area.draw(&Text::new(format!("{value:.digits$}"), (x, bottom + 6), style))?;
        }
        let style = AXIS.text(LABEL_SIZE).pos(ticks);
        area.draw(&Text::new(self.x_label.clone(), (place.left + place.width / 2, bottom + 24), style))
    }
}

/// Where on the picture times are.
#[derive(Clone, Copy)]
struct Place {
    left: i32,
    width: i32,
    x_max: f64,
}

impl Place {
    fn of(raster: &Raster) -> Self {
        let widest = raster.rows.iter().map(|row| legend::text_width(row, LABEL_SIZE)).max();
        let left = 24 + widest.unwrap_or(0);
        Self { left, width: i32::try_from(WIDTH).expect("a width") - RIGHT - left, x_max: raster.x_max }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a place in the picture")]
    fn x(self, value: f64) -> i32 {
        self.left + (f64::from(self.width) * (value / self.x_max).clamp(0.0, 1.0)).round() as i32
    }
}

/// The top of a row.
fn y(row: usize) -> i32 {
    i32::try_from(row).expect("a few rows") * ROW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_a_rectangle_in_its_row_and_a_dot_a_circle() {
        let raster = Raster {
            title: "Cache".into(),
            x_label: "seconds".into(),
            x_max: 10.0,
            rows: vec!["Tux".into(), "Uno".into()],
            filled: "in the cache".into(),
            cells: vec![Cell { row: 1, from: 2.0, to: 5.0, strength: 1.0 }],
            kinds: vec!["bought".into()],
            dots: vec![Dot { row: 0, at: 5.0, kind: 0 }],
        };
        let svg = raster.svg();
        // Two of them in the legend.
        assert_eq!((svg.matches("<rect").count(), svg.matches("<circle").count()), (3, 1), "{svg}");
        assert!(svg.contains("Uno") && svg.contains("seconds"), "{svg}");
    }
}
