//! Lines and points over two axes.

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::{
    Cartesian2d, Circle, DrawingBackend, IntoDrawingArea, IntoLogRange, LineSeries, LogCoord, PathElement, Ranged,
    SVGBackend, Text,
};

use crate::axis::{Axis, Scale};
use crate::ink::{self, AXIS, GRID, TEXT, WIDTH};
use crate::legend::{self, Area, Drawn};

const HEIGHT: u32 = 330;
const LABEL_SIZE: u32 = 13;
/// Room for the numbers on the left, and for names below.
const Y_LABELS_WIDTH: u32 = 68;
const X_LABELS_HEIGHT: u32 = 42;
/// Half the width of the bars at the ends of a spread.
const WHISKER: i32 = 4;

/// How a series looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// From point to point.
    Line,
    /// The same, with a mark on each point: where there are few.
    Dotted,
    /// Marks alone.
    Dots,
}

/// From where to where what was measured several times lay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Where on the x axis.
    pub x: f64,
    /// The least.
    pub low: f64,
    /// The most.
    pub high: f64,
}

/// Points that belong together.
#[derive(Clone, Debug)]
pub struct Series {
    /// For the legend.
    pub name: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
    /// How it looks.
    pub look: Look,
    /// Bars through points.
    pub spreads: Vec<Spread>,
}

impl Series {
    /// A line.
    pub fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, look: Look::Line, spreads: Vec::new() }
    }
}

/// Something that happened at a place on the x axis.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Where.
    pub x: f64,
    /// What; short.
    pub label: String,
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
    /// What is drawn; each has the next colour.
    pub series: Vec<Series>,
    /// Upright lines.
    pub marks: Vec<Mark>,
}

impl Plot {
    /// Draws it.
    ///
    /// # Panics
    /// Never: a string takes all.
    pub fn svg(&self) -> String {
        let names: Vec<_> = self.series.iter().map(|series| series.name.as_str()).collect();
        let above = legend::height(&names);
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (WIDTH, above + HEIGHT)).into_drawing_area();
            legend::draw(&area, &self.title, &names).expect("a string takes all");
            let (_, area) = area.split_vertically(above);
            self.draw(&area).expect("a string takes all");
            area.present().expect("a string takes all");
        }
        ink::finish(&svg, &self.title)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<(), B> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let spreads = || self.series.iter().flat_map(|series| &series.spreads);
        let x = self.x.over(points().map(|point| point.0).chain(self.marks.iter().map(|mark| mark.x)));
        let y =
            self.y.over(points().map(|point| point.1).chain(spreads().flat_map(|spread| [spread.low, spread.high])));
        let mut chart = ChartBuilder::on(area);
        chart.margin(10).margin_right(24).x_label_area_size(X_LABELS_HEIGHT).y_label_area_size(Y_LABELS_WIDTH);
        match (self.x.scale, self.y.scale) {
            (Scale::Linear, Scale::Linear) => self.fill::<_, RangedCoordf64, RangedCoordf64, _, _>(&mut chart, x, y),
            (Scale::Linear, Scale::Log) => {
                self.fill::<_, RangedCoordf64, LogCoord<f64>, _, _>(&mut chart, x, y.log_scale())
            }
            (Scale::Log, Scale::Linear) => {
                self.fill::<_, LogCoord<f64>, RangedCoordf64, _, _>(&mut chart, x.log_scale(), y)
            }
            (Scale::Log, Scale::Log) => {
                self.fill::<_, LogCoord<f64>, LogCoord<f64>, _, _>(&mut chart, x.log_scale(), y.log_scale())
            }
        }
    }

    fn fill<B, X, Y, XSpec, YSpec>(&self, chart: &mut ChartBuilder<'_, '_, B>, x: XSpec, y: YSpec) -> Drawn<(), B>
    where
        B: DrawingBackend,
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
        XSpec: AsRangedCoord<CoordDescType = X, Value = f64>,
        YSpec: AsRangedCoord<CoordDescType = Y, Value = f64>,
    {
        let mut chart = chart.build_cartesian_2d(x, y)?;
        let (x_tick, y_tick) = (|value: &f64| (self.x.tick)(*value), |value: &f64| (self.y.tick)(*value));
        chart
            .configure_mesh()
            .light_line_style(plotters::style::TRANSPARENT)
            .bold_line_style(GRID.line(1))
            .axis_style(AXIS.line(1))
            .label_style(TEXT.text(LABEL_SIZE))
            .axis_desc_style(AXIS.text(LABEL_SIZE))
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .x_label_formatter(&x_tick)
            .y_label_formatter(&y_tick)
            .y_labels(7)
            .draw()?;
        self.draw_marks(&mut chart)?;
        for (n, series) in self.series.iter().enumerate() {
            self.draw_series(&mut chart, series, n)?;
        }
        Ok(())
    }

    fn draw_marks<B, X, Y>(&self, chart: &mut ChartContext<'_, B, Cartesian2d<X, Y>>) -> Drawn<(), B>
    where
        B: DrawingBackend,
        X: Ranged<ValueType = f64>,
        Y: Ranged<ValueType = f64>,
    {
        let area = chart.plotting_area().strip_coord_spec();
        let (_, height) = area.dim_in_pixel();
        let bottom = i32::try_from(height).expect("a height");
        let base = area.get_base_pixel();
        let level = chart.plotting_area().get_y_range().start;
        for mark in &self.marks {
            let x = chart.backend_coord(&(mark.x, level)).0 - base.0;
            area.draw(&PathElement::new(vec![(x, 0), (x, bottom)], AXIS.line(1)))?;
            area.draw(&Text::new(mark.label.clone(), (x + 4, 2), AXIS.text(LABEL_SIZE - 1)))?;
        }
        Ok(())
    }

    fn draw_series<B, X, Y>(
        &self,
        chart: &mut ChartContext<'_, B, Cartesian2d<X, Y>>,
        series: &Series,
        n: usize,
    ) -> Drawn<(), B>
    where
        B: DrawingBackend,
        X: Ranged<ValueType = f64>,
        Y: Ranged<ValueType = f64>,
    {
        let ink = ink::series(n);
        let shown = |(x, y): &(f64, f64)| {
            let fits = |axis: &Axis, value: f64| value.is_finite() && (axis.scale == Scale::Linear || value > 0.0);
            fits(&self.x, *x) && fits(&self.y, *y)
        };
        let points: Vec<_> = series.points.iter().copied().filter(shown).collect();
        if series.look != Look::Dots {
            chart.draw_series(LineSeries::new(points.clone(), ink.line(2)))?;
        }
        if series.look != Look::Line {
            chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, ink.fill())))?;
        }
        let area = chart.plotting_area().strip_coord_spec();
        let base = area.get_base_pixel();
        for Spread { x, low, high } in &series.spreads {
            let at = |y: f64| {
                let (x, y) = chart.backend_coord(&(*x, y));
                (x - base.0, y - base.1)
            };
            let ((x, low), (_, high)) = (at(*low), at(*high));
            area.draw(&PathElement::new(vec![(x, low), (x, high)], ink.line(1)))?;
            for y in [low, high] {
                area.draw(&PathElement::new(vec![(x - WHISKER, y), (x + WHISKER, y)], ink.line(1)))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(x: Scale, y: Scale) -> Plot {
        let spreads = vec![Spread { x: 2.0, low: 1.0, high: 30.0 }];
        let points = vec![(1.0, 1.0), (2.0, 10.0), (3.0, 0.0)];
        let series =
            |look| Series { name: format!("{look:?}"), points: points.clone(), look, spreads: spreads.clone() };
        Plot {
            title: "Latency & <more>".into(),
            x: Axis::new("seconds", x),
            y: Axis::new("ms", y),
            series: [Look::Line, Look::Dotted, Look::Dots].map(series).to_vec(),
            marks: vec![Mark { x: 2.5, label: "kill -9".into() }],
        }
    }

    #[test]
    fn each_scale_is_drawn_and_can_go_dark() {
        for (x, y) in [
            (Scale::Linear, Scale::Linear),
            (Scale::Linear, Scale::Log),
            (Scale::Log, Scale::Linear),
            (Scale::Log, Scale::Log),
        ] {
            let svg = plot(x, y).svg();
            assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
            assert!(svg.contains("<title>Latency &amp; &lt;more&gt;</title>") && svg.contains("kill -9"), "{svg}");
            assert!(svg.contains("stroke=\"#0072B2\"") && svg.contains("[stroke=\"#0072B2\"]{stroke:"), "{svg}");
        }
    }

    #[test]
    fn a_plot_of_nothing_is_an_empty_one() {
        let svg = Plot { series: Vec::new(), marks: Vec::new(), ..plot(Scale::Linear, Scale::Log) }.svg();
        assert!(svg.contains("seconds"), "{svg}");
    }
}
