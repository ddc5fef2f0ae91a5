//! Reports: text, tables and plots, written as one self-contained HTML page or as Markdown with SVG
//! files beside it.
//!
//! A [`Document`] is a list of [`Block`]s. [`Plot`] and [`Timeline`] render SVG. An SVG is drawn in
//! the colors of the light theme and carries a style sheet that replaces them where the reader
//! prefers dark mode, so the same file is readable on a light page, on a dark page and as an image.
//! A report loads nothing from the network: it can be mailed, and it can be opened years later.
//!
//! What a program has checked is a [`Checks`]: its text, its HTML, its JSON, its verdict and its
//! exit code cannot disagree, and a check that could not be made never looks like one that passed.
//!
//! # Reading order
//! `check_result` and `checks`, `document` (what a report consists of), `html` and `markdown` (how
//! it is rendered), `plot` and `timeline` on top of `axis`, `legend` and `theme`, `save` (how
//! files are written), and `progress` (what is shown until there is a report).

mod axis;
mod check_result;
mod checks;
mod document;
mod html;
mod legend;
mod markdown;
mod plot;
mod progress;
mod save;
mod theme;
mod timeline;

pub use axis::{Axis, Scale};
pub use check_result::CheckResult;
pub use checks::{Checks, json};
pub use document::{Block, Document};
pub use plot::{Annotation, ErrorBar, Plot, Series, SeriesStyle};
pub use progress::{Progress, millis};
pub use save::{create_temp, persist, save};
pub use timeline::{Timeline, TimelineEvent, TimelineInterval};
