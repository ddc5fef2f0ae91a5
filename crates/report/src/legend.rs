//! Title and legend above a plot, where they cover no data.

use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::{DrawingArea, DrawingBackend, Rectangle, Text};

use crate::ink::{self, TEXT};

/// A part of a picture, in its own pixels.
pub(crate) type Area<B> = DrawingArea<B, Shift>;

/// What drawing gives.
pub(crate) type Drawn<T, B> = Result<T, DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

const TITLE_SIZE: u32 = 17;
const ENTRY_SIZE: u32 = 14;
const LEFT: i32 = 12;
/// Letters of a usual sans-serif face are about so wide, in parts of their size.
const LETTER_WIDTH: f64 = 0.56;
const SWATCH: i32 = 12;
const ROW: i32 = 22;
const FIRST_ROW: i32 = 34;

/// How high title and legend are.
pub(crate) fn height(names: &[&str]) -> u32 {
    let rows = places(names).last().map_or(0, |(_, y)| (y - FIRST_ROW) / ROW + 1);
    u32::try_from(FIRST_ROW + ROW * rows).expect("a few rows")
}

/// Draws them at the top of `area`.
pub(crate) fn draw<B: DrawingBackend>(area: &Area<B>, title: &str, names: &[&str]) -> Drawn<(), B> {
    area.draw(&Text::new(title.to_owned(), (LEFT, 10), TEXT.text(TITLE_SIZE)))?;
    for (n, (name, (x, y))) in names.iter().zip(places(names)).enumerate() {
        area.draw(&Rectangle::new([(x, y + 3), (x + SWATCH, y + 3 + SWATCH)], ink::series(n).fill()))?;
        area.draw(&Text::new((*name).to_owned(), (x + SWATCH + 6, y + 1), TEXT.text(ENTRY_SIZE)))?;
    }
    Ok(())
}

/// Where each entry's swatch is: in rows, from left to right.
fn places(names: &[&str]) -> Vec<(i32, i32)> {
    let right = i32::try_from(ink::WIDTH).expect("a width") - LEFT;
    let mut at = (LEFT, FIRST_ROW);
    let place = |name: &&str| {
        let width = SWATCH + 6 + text_width(name, ENTRY_SIZE) + 18;
        if at.0 > LEFT && at.0 + width > right {
            at = (LEFT, at.1 + ROW);
        }
        let place = at;
        at.0 += width;
        place
    };
    // One thing needs no legend.
    if names.len() < 2 { Vec::new() } else { names.iter().map(place).collect() }
}

/// About how wide a text is.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a guess at a few hundred pixels")]
pub(crate) fn text_width(text: &str, size: u32) -> i32 {
    (text.chars().count() as f64 * f64::from(size) * LETTER_WIDTH).ceil() as i32
}
