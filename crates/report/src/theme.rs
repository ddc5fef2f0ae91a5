//! The colors and fonts of plots, in light and dark mode.

use std::fmt::Write;

use plotters::style::{Color, IntoFont};
use plotters::style::{RGBColor, ShapeStyle, TextStyle};

use crate::html::escape;

/// The width of an image in SVG user units; a page scales it to its own width.
pub(crate) const WIDTH: u32 = 720;

pub(crate) const TEXT: ThemeColor = ThemeColor { light: (0x1b, 0x1f, 0x24), dark: "#e6edf3" };
pub(crate) const AXIS: ThemeColor = ThemeColor { light: (0x59, 0x63, 0x6e), dark: "#9198a1" };
pub(crate) const GRID: ThemeColor = ThemeColor { light: (0xe4, 0xe9, 0xee), dark: "#262c34" };

/// The palette of Okabe and Ito, which most color-blind people can tell apart. It is ordered so
/// that neighbors also differ in lightness.
pub(crate) const SERIES: [ThemeColor; 6] = [
    ThemeColor { light: (0x00, 0x72, 0xb2), dark: "#58a6ff" },
    ThemeColor { light: (0xd5, 0x5e, 0x00), dark: "#ff9b54" },
    ThemeColor { light: (0x00, 0x9e, 0x73), dark: "#3fd0a4" },
    ThemeColor { light: (0xcc, 0x79, 0xa7), dark: "#e6a1c8" },
    ThemeColor { light: (0xb0, 0x7d, 0x00), dark: "#f0c850" },
    ThemeColor { light: (0x2b, 0xa6, 0xdd), dark: "#8fd8ff" },
];

/// A color in light mode, and the color that replaces it in dark mode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThemeColor {
    light: (u8, u8, u8),
    dark: &'static str,
}

impl ThemeColor {
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

    /// The style of text with this font size.
    pub(crate) fn text<'a>(self, size: u32) -> TextStyle<'a> {
        ("system-ui, sans-serif", size).into_font().color(&self.rgb())
    }
}

/// The color of series `n`. Colors repeat after the end of the palette.
pub(crate) fn series(n: usize) -> ThemeColor {
    SERIES[n % SERIES.len()]
}

/// Adds the title and the style sheet to a drawn SVG document. A CSS rule that selects an
/// attribute's value overrides the attribute itself, so the drawn elements stay as they are.
pub(crate) fn apply(svg: &str, title: &str) -> String {
    let mut rules = String::new();
    for ThemeColor { light: (red, green, blue), dark } in [TEXT, AXIS, GRID].iter().chain(&SERIES) {
        let light = format!("#{red:02X}{green:02X}{blue:02X}");
        write!(rules, ".plot [fill=\"{light}\"]{{fill:{dark}}}.plot [stroke=\"{light}\"]{{stroke:{dark}}}")
            .expect("writing to a string cannot fail");
    }
    let (head, rest) = svg.split_once('>').expect("an SVG document begins with its root element");
    // The page determines the size. An image outside of a page has the size of its view box.
    format!(
        "{head} class=\"plot\" role=\"img\"><title>{}</title><style>@media (prefers-color-scheme: dark){{{rules}}}</style>{}",
        escape(title),
        rest.trim_start()
    )
}
