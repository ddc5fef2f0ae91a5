//! A plot of lines and points over two axes.

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::{
    Cartesian2d, Circle, DrawingBackend, IntoLogRange, LineSeries, LogCoord, PathElement, Ranged, Text,
};

use crate::axis::{Axis, Scale};
use crate::document::Figure;
use crate::legend::{self, Area, Drawn};
use crate::theme::{self, AXIS, GRID, TEXT};

const HEIGHT: u32 = 330;
const LABEL_SIZE: u32 = 13;
/// The space for the labels on the left and below.
const Y_LABELS_WIDTH: u32 = 68;
const X_LABELS_HEIGHT: u32 = 42;
/// Half the width of the caps at the ends of an error bar.
const WHISKER: i32 = 4;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesStyle {
    /// A line from point to point.
    Line,
    /// A line with a dot at each point: for few points.
    LineWithPoints,
    /// Dots without a line.
    Points,
}

/// The range of a value that was measured several times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorBar {
    /// The position on the x axis.
    pub x: f64,
    /// The smallest measured value.
    pub low: f64,
    /// The largest measured value.
    pub high: f64,
}

/// A named sequence of points.
#[derive(Clone, Debug)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// The points, from left to right.
    pub points: Vec<(f64, f64)>,
    /// How the points are drawn.
    pub style: SeriesStyle,
    /// Error bars.
    pub error_bars: Vec<ErrorBar>,
}

impl Series {
    /// A series that is drawn as a line.
    pub fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, style: SeriesStyle::Line, error_bars: Vec::new() }
    }
}

/// A labeled vertical line, such as the moment of a fault.
#[derive(Clone, Debug)]
pub struct Annotation {
    /// The position on the x axis.
    pub x: f64,
    /// A short label.
    pub label: String,
}

/// A plot of series over two axes.
#[derive(Clone, Debug)]
pub struct Plot {
    /// The title, drawn above the plot.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The series. Each has the next color of the palette.
    pub series: Vec<Series>,
    /// Vertical lines with labels.
    pub annotations: Vec<Annotation>,
}

impl Figure for Plot {
    fn svg(&self) -> String {
        let names: Vec<_> = self.series.iter().map(|series| series.name.as_str()).collect();
        legend::frame(&self.title, &names, HEIGHT, |area| self.draw(area))
    }
}

impl Plot {
    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<(), B> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let error_bars = || self.series.iter().flat_map(|series| &series.error_bars);
        let x = self.x.range_over(points().map(|point| point.0).chain(self.annotations.iter().map(|it| it.x)));
        let y = self.y.range_over(points().map(|point| point.1).chain(error_bars().flat_map(|it| [it.low, it.high])));
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
        let (x_tick, y_tick) = (|value: &f64| (self.x.format_tick)(*value), |value: &f64| (self.y.format_tick)(*value));
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
        self.draw_annotations(&mut chart)?;
        for (n, series) in self.series.iter().enumerate() {
            self.draw_series(&mut chart, series, n)?;
        }
        Ok(())
    }

    fn draw_annotations<B, X, Y>(&self, chart: &mut ChartContext<'_, B, Cartesian2d<X, Y>>) -> Drawn<(), B>
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
        for annotation in &self.annotations {
            let x = chart.backend_coord(&(annotation.x, level)).0 - base.0;
            area.draw(&PathElement::new(vec![(x, 0), (x, bottom)], AXIS.line(1)))?;
            area.draw(&Text::new(annotation.label.clone(), (x + 4, 2), AXIS.text(LABEL_SIZE - 1)))?;
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
        let color = theme::series(n);
        let shown = |(x, y): &(f64, f64)| {
            let fits = |axis: &Axis, value: f64| value.is_finite() && (axis.scale == Scale::Linear || value > 0.0);
            fits(&self.x, *x) && fits(&self.y, *y)
        };
        let points: Vec<_> = series.points.iter().copied().filter(shown).collect();
        if series.style != SeriesStyle::Points {
            chart.draw_series(LineSeries::new(points.clone(), color.line(2)))?;
        }
        if series.style != SeriesStyle::Line {
            chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, color.fill())))?;
        }
        let area = chart.plotting_area().strip_coord_spec();
        let base = area.get_base_pixel();
        for ErrorBar { x, low, high } in &series.error_bars {
            let at = |y: f64| {
                let (x, y) = chart.backend_coord(&(*x, y));
                (x - base.0, y - base.1)
            };
            let ((x, low), (_, high)) = (at(*low), at(*high));
            area.draw(&PathElement::new(vec![(x, low), (x, high)], color.line(1)))?;
            for y in [low, high] {
                area.draw(&PathElement::new(vec![(x - WHISKER, y), (x + WHISKER, y)], color.line(1)))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(x: Scale, y: Scale) -> Plot {
        let error_bars = vec![ErrorBar { x: 2.0, low: 1.0, high: 30.0 }];
        let points = vec![(1.0, 1.0), (2.0, 10.0), (3.0, 0.0)];
        let series = |style| Series {
            name: format!("{style:?}"),
            points: points.clone(),
            style,
            error_bars: error_bars.clone(),
        };
        Plot {
            title: "Latency & <more>".into(),
            x: Axis::new("seconds", x),
            y: Axis::new("ms", y),
            series: [SeriesStyle::Line, SeriesStyle::LineWithPoints, SeriesStyle::Points].map(series).to_vec(),
            annotations: vec![Annotation { x: 2.5, label: "kill -9".into() }],
        }
    }

    #[test]
    fn every_scale_is_drawn_with_a_dark_theme() {
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
    fn a_plot_without_series_is_empty() {
        let svg = Plot { series: Vec::new(), annotations: Vec::new(), ..plot(Scale::Linear, Scale::Log) }.svg();
        assert!(svg.contains("seconds"), "{svg}");
    }
}
