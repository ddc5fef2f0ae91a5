//! The one report writer: a report is data, and is rendered as text, Markdown, HTML and JSON.
//!
//! A [`Document`] is a title, a conclusion, and blocks: headings, paragraphs, verdicts, plots,
//! preformatted text, [`Table`]s that are described column by column, and details, which are folded
//! up. A program describes its results as a document; alignment, units, escapes and the digits of
//! numbers are decided here.
//!
//! * `Display` is text for a terminal.
//! * [`Document::html`] is one page that loads nothing from the network: it can be mailed, and it
//!   can be opened years later. What is wider than the page scrolls in a frame of its own.
//! * [`Document::markdown`] has its plots in SVG files beside it. [`replace_section`] updates a
//!   part of a page that people wrote.
//! * [`json`] and [`Table::csv`] are for programs: exact values under stable names, without layout.
//!
//! [`Plot`] and [`Timeline`] are drawn as SVG in the colors of the light theme, with a style sheet
//! that replaces them where the reader prefers dark mode, so the same file is readable on a light
//! page, on a dark page and as an image.
//!
//! What a program has checked is a [`Checks`]: its text, its HTML, its JSON, its verdict and its
//! exit code cannot disagree, and a check that could not be made never looks like one that passed.
//!
//! # Reading order
//! `check_result` and `checks`, `number` and `statistics`, `table` and `document` (what a report
//! consists of), `text`, `markdown` and `html` (how it is rendered), `plot` and `timeline` on top
//! of `axis`, `legend` and `theme`, `save` and `pages` (how files are written), and `progress`
//! (what is shown until there is a report).

mod axis;
mod check_result;
mod checks;
mod document;
mod html;
mod legend;
mod markdown;
mod number;
mod pages;
mod plot;
mod progress;
mod save;
mod statistics;
mod table;
#[cfg(test)]
mod testing;
mod text;
mod theme;
mod timeline;

pub use axis::{Axis, Scale};
pub use check_result::CheckResult;
pub use checks::{Checks, json};
pub use document::{Document, Figure};
pub use markdown::{replace_section, section};
pub use number::{count, number};
pub use plot::{Annotation, ErrorBar, Plot, Series, SeriesStyle};
pub use progress::{Progress, millis};
pub use save::{create_temp, persist, save};
pub use statistics::{Spread, nearest_rank};
pub use table::{Cell, Table};
pub use timeline::{Timeline, TimelineEvent, TimelineInterval, TimelineShade};
