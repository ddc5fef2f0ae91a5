//! The title and the legend, drawn above a plot so that they cover no data.

use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::{DrawingArea, DrawingBackend, IntoDrawingArea, Rectangle, SVGBackend, Text};

use crate::theme::{self, TEXT};

/// A part of an image, with its own pixel coordinates.
pub(crate) type Area<B> = DrawingArea<B, Shift>;

/// The result of drawing.
pub(crate) type Drawn<T, B> = Result<T, DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

const TITLE_SIZE: u32 = 17;
const ENTRY_SIZE: u32 = 14;
const LEFT: i32 = 12;
/// The average width of a letter of a common sans-serif font, as a fraction of the font size.
const LETTER_WIDTH: f64 = 0.56;
const SWATCH: i32 = 12;
const ROW: i32 = 22;
const FIRST_ROW: i32 = 34;

/// Draws an SVG document: the title and the legend, and below them, in an area of that height, what
/// `draw` draws.
pub(crate) fn frame(
    title: &str,
    names: &[&str],
    height: u32,
    draw: impl for<'a> FnOnce(&Area<SVGBackend<'a>>) -> Drawn<(), SVGBackend<'a>>,
) -> String {
    let rows = positions(names).last().map_or(0, |(_, y)| (y - FIRST_ROW) / ROW + 1);
    let above = u32::try_from(FIRST_ROW + ROW * rows).expect("a few rows");
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (theme::WIDTH, above + height)).into_drawing_area();
        let drawn = legend(&area, title, names).and_then(|()| draw(&area.split_vertically(above).1));
        drawn.and_then(|()| area.present()).expect("writing to a string cannot fail");
    }
    theme::apply(&svg, title)
}

fn legend<B: DrawingBackend>(area: &Area<B>, title: &str, names: &[&str]) -> Drawn<(), B> {
    area.draw(&Text::new(title.to_owned(), (LEFT, 10), TEXT.text(TITLE_SIZE)))?;
    for (n, (name, (x, y))) in names.iter().zip(positions(names)).enumerate() {
        area.draw(&Rectangle::new([(x, y + 3), (x + SWATCH, y + 3 + SWATCH)], theme::series(n).fill()))?;
        area.draw(&Text::new((*name).to_owned(), (x + SWATCH + 6, y + 1), TEXT.text(ENTRY_SIZE)))?;
    }
    Ok(())
}

/// The position of each entry's swatch: in rows, from left to right.
fn positions(names: &[&str]) -> Vec<(i32, i32)> {
    let right = i32::try_from(theme::WIDTH).expect("a width") - LEFT;
    let mut at = (LEFT, FIRST_ROW);
    let position = |name: &&str| {
        let width = SWATCH + 6 + text_width(name, ENTRY_SIZE) + 18;
        if at.0 > LEFT && at.0 + width > right {
            at = (LEFT, at.1 + ROW);
        }
        let position = at;
        at.0 += width;
        position
    };
    // A single series needs no legend.
    if names.len() < 2 { Vec::new() } else { names.iter().map(position).collect() }
}

/// The estimated width of a text in pixels.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "an estimate of a few hundred pixels")]
pub(crate) fn text_width(text: &str, size: u32) -> i32 {
    (text.chars().count() as f64 * f64::from(size) * LETTER_WIDTH).ceil() as i32
}
