//! Colours and letters of plots, in light and in dark.

use std::fmt::Write;

use plotters::style::{Color, IntoFont};
use plotters::style::{RGBColor, ShapeStyle, TextStyle};

use crate::html::escape;

/// In SVG's own units; a page scales a plot to its width.
pub(crate) const WIDTH: u32 = 720;

pub(crate) const TEXT: Ink = Ink { light: (0x1b, 0x1f, 0x24), dark: "#e6edf3" };
pub(crate) const AXIS: Ink = Ink { light: (0x59, 0x63, 0x6e), dark: "#9198a1" };
pub(crate) const GRID: Ink = Ink { light: (0xe4, 0xe9, 0xee), dark: "#262c34" };

/// Okabe and Ito's colours, which most colour-blind people can tell apart, in an order in which neighbours differ in lightness too.
pub(crate) const SERIES: [Ink; 6] = [
    Ink { light: (0x00, 0x72, 0xb2), dark: "#58a6ff" },
    Ink { light: (0xd5, 0x5e, 0x00), dark: "#ff9b54" },
    Ink { light: (0x00, 0x9e, 0x73), dark: "#3fd0a4" },
    Ink { light: (0xcc, 0x79, 0xa7), dark: "#e6a1c8" },
    Ink { light: (0xb0, 0x7d, 0x00), dark: "#f0c850" },
    Ink { light: (0x2b, 0xa6, 0xdd), dark: "#8fd8ff" },
];

/// A colour, and what it is in the dark.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ink {
    light: (u8, u8, u8),
    dark: &'static str,
}

impl Ink {
    pub(crate) fn rgb(self) -> RGBColor {
        let (red, green, blue) = self.light;
        RGBColor(red, green, blue)
    }

    pub(crate) fn line(self, width: u32) -> ShapeStyle {
        self.rgb().stroke_width(width)
    }

    pub(crate) fn fill(self) -> ShapeStyle {
        self.rgb().filled()
    }

    /// Letters of that size.
    pub(crate) fn text<'a>(self, size: u32) -> TextStyle<'a> {
        ("system-ui, sans-serif", size).into_font().color(&self.rgb())
    }
}

/// The colour of series `n`; they repeat.
pub(crate) fn series(n: usize) -> Ink {
    SERIES[n % SERIES.len()]
}

/// Puts title and style sheet into a finished SVG. A rule for an attribute's value wins over the attribute itself, so that what was
/// drawn need not be touched.
pub(crate) fn finish(svg: &str, title: &str) -> String {
    let mut rules = String::new();
    for Ink { light: (red, green, blue), dark } in [TEXT, AXIS, GRID].iter().chain(&SERIES) {
        let light = format!("#{red:02X}{green:02X}{blue:02X}");
        write!(rules, ".plot [fill=\"{light}\"]{{fill:{dark}}}.plot [stroke=\"{light}\"]{{stroke:{dark}}}")
            .expect("a string takes all");
    }
    let (head, rest) = svg.split_once('>').expect("an SVG begins with its element");
    // The size comes from the page; an image without one has the view box's.
    format!(
        "{head} class=\"plot\" role=\"img\"><title>{}</title><style>@media (prefers-color-scheme: dark){{{rules}}}</style>{}",
        escape(title),
        rest.trim_start()
    )
}
