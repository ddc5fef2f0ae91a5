"""The parts of the dashboards: panels with the same appearance, and queries for the chosen stores.

The description of each panel says what it shows, and what it means.
"""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

# The labels that select stores, in a query.
STORE = 'namespace=~"$namespace",job=~"$job"'
# Restricts a metric that every program exports to the store's processes.
OURS = "and on (namespace, job, instance) toystore_build_info"
PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid="$datasource")

# Grafana's width is 24 columns.
FULL, HALF, THIRD, QUARTER, SIXTH = 24, 12, 8, 6, 4

# Windows of rates: as short as the scrapes allow; and long enough to show rare events.
SOON = "$__rate_interval"
RARELY = "5m"

# Queries by the legends of their series.
Queries = dict[str, str]


def fill(query: str) -> str:
    """`{…}` of a query, with the chosen stores in it: `metric{S}` or `metric{S,port="public"}`."""
    return query.replace("{S", "{" + STORE)


def _target(legend: str, query: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(fill(query)).legend_format(legend).range()


def _with(panel: Any, title: str, what: str, queries: Queries, span: int, height: int) -> Any:
    panel = panel.title(title).description(what).datasource(PROMETHEUS).span(span).height(height)
    for number, (legend, query) in enumerate(queries.items()):
        panel = panel.with_target(_target(legend, query).ref_id(chr(ord("A") + number)))
    return panel


def series(
    title: str,
    what: str,
    queries: Queries,
    *,
    unit: str = "short",
    span: int = HALF,
    stacked: bool = False,
    low: float | None = 0,
    high: float | None = None,
    colors: dict[str, str] | None = None,
    logarithmic: bool = False,
) -> timeseries.Panel:
    """Lines over time."""
    panel = _with(timeseries.Panel(), title, what, queries, span, 8).unit(unit)
    panel = (
        panel.line_width(1).fill_opacity(40 if stacked else 8).show_points(look.VisibilityMode.AUTO)
    )
    panel = panel.tooltip(
        common.VizTooltipOptions()
        .mode(look.TooltipDisplayMode.MULTI)
        .sort(look.SortOrder.DESCENDING)
    )
    legend = common.VizLegendOptions().display_mode(look.LegendDisplayMode.LIST)
    panel = panel.legend(legend.placement(look.LegendPlacement.BOTTOM).show_legend(True))
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(look.StackingMode.NORMAL))
    if logarithmic:
        scale = common.ScaleDistributionConfig().type(look.ScaleDistribution.LOG).log(10)
        panel = panel.scale_distribution(scale)
    elif low is not None:
        panel = panel.min(low)
    if high is not None:
        panel = panel.max(high)
    for pattern, color in (colors or {}).items():
        fixed = model.DynamicConfigValue(
            id_val="color", value={"mode": "fixed", "fixedColor": color}
        )
        panel = panel.override_by_regexp(pattern, [fixed])
    return panel


def number(
    title: str,
    what: str,
    query: str,
    *,
    unit: str = "short",
    bad_from: float | None = None,
    bad_below: float | None = None,
    decimals: int | None = None,
    span: int = SIXTH,
    empty: str = "–",
    names: dict[int, str] | None = None,
) -> stat.Panel:
    """One number, green or red."""
    panel = _with(stat.Panel(), title, what, {"": query}, span, 4).unit(unit).no_value(empty)
    steps = [model.Threshold(value=None, color="green")]
    if bad_from is not None:
        steps.append(model.Threshold(value=bad_from, color="red"))
    if bad_below is not None:
        steps = [
            model.Threshold(value=None, color="red"),
            model.Threshold(value=bad_below, color="green"),
        ]
    panel = panel.thresholds(
        dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)
    )
    panel = panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel = panel.graph_mode(
        look.BigValueGraphMode.AREA if names is None else look.BigValueGraphMode.NONE
    )
    panel = panel.color_mode(look.BigValueColorMode.VALUE)
    if decimals is not None:
        panel = panel.decimals(decimals)
    if names is not None:
        panel = panel.mappings([_names(names, {})])
    return panel


def timeline(
    title: str,
    what: str,
    queries: Queries,
    states: dict[int, tuple[str, str]],
    *,
    span: int = FULL,
    height: int = 7,
) -> statetimeline.Panel:
    """One bar per series, in the color of its state. `states`: a value's name and color."""
    panel = _with(statetimeline.Panel(), title, what, queries, span, height)
    names = {value: name for value, (name, _) in states.items()}
    colors = {value: color for value, (_, color) in states.items()}
    panel = (
        panel.mappings([_names(names, colors)])
        .merge_values(True)
        .row_height(0.8)
        .line_width(0)
        .fill_opacity(75)
    )
    panel = panel.show_value(look.VisibilityMode.AUTO)
    panel = panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    legend = common.VizLegendOptions().display_mode(look.LegendDisplayMode.LIST)
    return panel.legend(legend.placement(look.LegendPlacement.BOTTOM).show_legend(True))


def heat(title: str, what: str, query: str, *, unit: str = "s", span: int = HALF) -> heatmap.Panel:
    """A histogram over time: time to the right, buckets upwards. `query` gives rates by `le`."""
    target = _target("{{le}}", query).format(PromQueryFormat.HEATMAP)
    panel = (
        heatmap.Panel().title(title).description(what).datasource(PROMETHEUS).span(span).height(8)
    )
    color = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    panel = panel.with_target(target.ref_id("A")).calculate(False).color(color)
    panel = panel.y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(look.AxisPlacement.LEFT))
    return panel.cell_gap(1)


def _names(names: dict[int, str], colors: dict[int, str]) -> model.ValueMap:
    results = {
        str(value): model.ValueMappingResult(text=name, color=colors.get(value), index=place)
        for place, (value, name) in enumerate(names.items())
    }
    return model.ValueMap(options=results)


def page(
    title: str, uid: str, what: str, *, refresh: str = "10s", since: str = "now-30m"
) -> dashboard.Dashboard:
    """An empty dashboard with the common variables."""
    built = dashboard.Dashboard(f"Toy store / {title}").uid(f"toystore-{uid}").description(what)
    built = (
        built.tags(["toystore"]).refresh(refresh).time(since, "now").timezone("browser").readonly()
    )
    built = built.tooltip(model.DashboardCursorSync.CROSSHAIR)
    links = (
        dashboard.DashboardLink("Toy store")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags(["toystore"])
    )
    built = built.link(links.include_vars(True).keep_time(True).as_dropdown(True))
    built = built.with_variable(
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    )
    built = built.with_variable(
        _labels("namespace", "Namespace", "label_values(toystore_build_info, namespace)")
    )
    jobs = 'label_values(toystore_build_info{namespace=~"$namespace"}, job)'
    return built.with_variable(_labels("job", "Job", jobs))


def _labels(name: str, label: str, query: str) -> dashboard.QueryVariable:
    variable = (
        dashboard.QueryVariable(name).label(label).datasource(PROMETHEUS).query(query).multi(True)
    )
    # Not the list of all values: if Prometheus sets no such label, the list is empty.
    variable = variable.include_all(True).all_value(".*").sort(model.VariableSort.ALPHABETICAL_ASC)
    everything = model.VariableOption(selected=True, text="All", value="$__all")
    return variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).current(everything)


def quantile(share: float, selector: str, by: str = "", over: str = SOON) -> str:
    """A quantile of a histogram over a recent window. `selector`: `name{S,…}` without `_bucket`."""
    name, _, labels = selector.partition("{")
    labels_by = f"le, {by}" if by else "le"
    return (
        f"histogram_quantile({share}, sum by ({labels_by}) (rate({name}_bucket{{{labels}[{over}])))"
    )


def quantiles(
    title: str,
    what: str,
    selector: str,
    by: str = "",
    *,
    shares: tuple[float, ...] = (0.5, 0.99),
    over: str = SOON,
    span: int = HALF,
) -> timeseries.Panel:
    """Durations: some quantiles of a histogram in seconds, one line per value of the label `by`."""
    name = "{{" + by + "}} " if by else ""
    queries = {f"{name}p{share * 100:g}": quantile(share, selector, by, over) for share in shares}
    return series(title, what, queries, unit="s", span=span, logarithmic=True)


def mean(selector: str, by: str, over: str = SOON) -> str:
    """The mean of a histogram over a recent window."""
    name, _, labels = selector.partition("{")
    part = f"sum by ({by}) (rate({name}_%s{{{labels}[{over}]))"
    return f"{part % 'sum'} / {part % 'count'}"
