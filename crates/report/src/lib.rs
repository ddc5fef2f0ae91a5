//! Reports: text, tables and plots, written as one self-contained HTML page or as Markdown with SVG files beside it.
//!
//! A [`Document`] is a list of [`Block`]s. A plot ([`Plot`], [`Raster`]) becomes SVG; its colours are the light ones, and a style sheet within
//! the SVG puts others in their place where dark mode is preferred, so that the same file is readable on either page, and as an image too.
//! Nothing is loaded from anywhere: a report can be mailed, or looked at years later.

mod axis;
mod document;
mod html;
mod ink;
mod legend;
mod markdown;
mod plot;
mod raster;

pub use axis::{Axis, Scale};
pub use document::{Block, Document};
pub use plot::{Look, Mark, Plot, Series, Spread};
pub use raster::{Cell, Dot, Raster};
