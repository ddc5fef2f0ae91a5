//! What is where over time: a row per thing, filled while it is there.

use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::{DrawingArea, DrawingBackend, IntoDrawingArea, PathElement, Rectangle, SVGBackend, Text};
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::ink::{self, AXIS, GRID, TEXT, WIDTH};
use crate::legend;

const ROW: i32 = 17;
const LABEL_SIZE: u32 = 13;
const RIGHT: i32 = 24;
const BELOW: i32 = 46;
const TICKS: i32 = 8;
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
    /// What is filled.
    pub cells: Vec<Cell>,
}

impl Raster {
    /// Draws it.
    ///
    /// # Panics
    /// If a cell is in a row that is not there.
    pub fn svg(&self) -> String {
        let above = legend::height(&[]);
        let rows = i32::try_from(self.rows.len()).expect("a few rows");
        let height = above + u32::try_from(rows * ROW + BELOW).expect("a height");
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
            legend::draw(&area, &self.title, &[]).expect("a string takes all");
            let (_, area) = area.split_vertically(above);
            self.draw(&area, rows * ROW).expect("a string takes all");
            area.present().expect("a string takes all");
        }
        ink::finish(&svg, &self.title)
    }

    fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        bottom: i32,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let left = 24 + self.rows.iter().map(|row| legend::text_width(row, LABEL_SIZE)).max().unwrap_or(0);
        let width = i32::try_from(WIDTH).expect("a width") - RIGHT - left;
        #[expect(clippy::cast_possible_truncation, reason = "a place in the picture")]
        let x = |value: f64| left + (f64::from(width) * (value / self.x_max).clamp(0.0, 1.0)).round() as i32;
        let y = |row: usize| i32::try_from(row).expect("a few rows") * ROW;
        for (row, name) in self.rows.iter().enumerate() {
            area.draw(&PathElement::new(vec![(left, y(row) + ROW), (left + width, y(row) + ROW)], GRID.line(1)))?;
            let style = TEXT.text(LABEL_SIZE).pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(name.clone(), (left - 8, y(row) + ROW / 2), style))?;
        }
        for Cell { row, from, to, strength } in &self.cells {
            assert!(*row < self.rows.len(), "a cell is in one of the rows");
            let ink = ink::series(0).rgb().mix(PALEST + (1.0 - PALEST) * strength.clamp(0.0, 1.0)).filled();
            let corners = [(x(*from), y(*row) + 2), (x(*to).max(x(*from) + 1), y(*row) + ROW - 2)];
            area.draw(&Rectangle::new(corners, ink))?;
        }
        let ticks = Pos::new(HPos::Center, VPos::Top);
        for tick in 0..=TICKS {
            let value = self.x_max * f64::from(tick) / f64::from(TICKS);
            let digits = usize::from(self.x_max < f64::from(TICKS) * 2.0);
            area.draw(&PathElement::new(vec![(x(value), bottom), (x(value), bottom + 4)], AXIS.line(1)))?;
            let style = TEXT.text(LABEL_SIZE).pos(ticks);
            area.draw(&Text::new(format!("{value:.digits$}"), (x(value), bottom + 6), style))?;
        }
        let style = AXIS.text(LABEL_SIZE).pos(ticks);
        area.draw(&Text::new(self.x_label.clone(), (left + width / 2, bottom + 24), style))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_a_rectangle_in_its_row() {
        let raster = Raster {
            title: "Cache".into(),
            x_label: "seconds".into(),
            x_max: 10.0,
            rows: vec!["Tux".into(), "Uno".into()],
            cells: vec![Cell { row: 1, from: 2.0, to: 5.0, strength: 1.0 }],
        };
        let svg = raster.svg();
        assert_eq!(svg.matches("<rect").count(), 1, "{svg}");
        assert!(svg.contains("Uno") && svg.contains("seconds"), "{svg}");
    }
}
