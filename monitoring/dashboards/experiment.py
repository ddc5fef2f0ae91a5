"""For lessons and measurements: everything that changes when somebody kills, switches or loads something, on one page."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from cache import hit_ratio
from consistency import role_timeline
from panels import FULL, OURS, RARELY, THIRD, mean, number, page, quantile, series, timeline
from shoppers import COUNT, ERRORS, ORDER, READ, STATUS_COLORS

STARTED = f"changes(process_start_time_seconds{{S}}[$__rate_interval]) {OURS}"


def build() -> dashboard.Dashboard:
    what = "One page for experiments: load a store, kill the leader, switch the cache off, and watch. Zoom in: five minutes, every second."
    built = page("Experiment", "experiment", what, refresh="5s", since="now-5m")
    return _causes(_effects(_figures(built)))


def _figures(built: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        built.with_row(dashboard.Row("Figures"))
        .with_panel(number("Looks", "At products.", f'sum(rate({COUNT},route="/products/{{name}}"}}[$__rate_interval]))', unit="reqps"))
        .with_panel(number("Orders", "Acknowledged.", "sum(rate(toystore_order_placed_total{S}[$__rate_interval]))", unit="ops"))
        .with_panel(number("Look, p50", "With the share of hits as it is.", quantile(0.5, READ), unit="s"))
        .with_panel(number("Order, p50", "All answers, refusals too.", quantile(0.5, ORDER), unit="s"))
        .with_panel(number("Hit ratio", "Looks that needed no catalog.", hit_ratio(), unit="percentunit"))
        .with_panel(number("Errors", "Share of answers with 5xx.", ERRORS, unit="percentunit", bad_from=0.001, decimals=2))
    )


def _effects(built: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        built.with_row(dashboard.Row("What shoppers notice"))
        .with_panel(
            series(
                "Answers per second",
                "By status. A dip is a moment in which nobody was answered.",
                {"{{status}}": f"sum by (status) (rate({COUNT}}}[$__rate_interval]))"},
                unit="reqps",
                span=THIRD,
                stacked=True,
                colors=STATUS_COLORS,
            )
        )
        .with_panel(
            series(
                "Latency of looks",
                "With the cache off every look goes to the catalog.",
                {"p50": quantile(0.5, READ), "p99": quantile(0.99, READ)},
                unit="s",
                span=THIRD,
                logarithmic=True,
            )
        )
        .with_panel(
            series(
                "Latency of orders",
                "An order that was under way when its leader died waits for the next one, and is placed once.",
                {"p50": quantile(0.5, ORDER), "p99": quantile(0.99, ORDER)},
                unit="s",
                span=THIRD,
                logarithmic=True,
            )
        )
    )


def _causes(built: dashboard.Dashboard) -> dashboard.Dashboard:
    outage = 'toystore_election_outage_duration_seconds{S,reason!="unknown"}'
    return (
        built.with_row(dashboard.Row("What was done"))
        .with_panel(role_timeline())
        .with_panel(
            timeline(
                "Processes",
                "Up: answered the scrape. Killed and started again within a scrape interval, a process shows in the next panel only.",
                {"{{pod}} {{instance}}": f"up{{S}} and on (namespace, job, instance) last_over_time(toystore_build_info[$__range])"},
                {1: ("up", "green"), 0: ("down", "red")},
                span=FULL,
                height=6,
            )
        )
        .with_panel(series("Restarts", "Processes that were started again.", {"{{pod}} {{instance}}": STARTED}, span=THIRD))
        .with_panel(
            series(
                "Without a leader, mean",
                "From when one was missed to when one was confirmed, in the last five minutes.",
                {"{{group}}": mean(outage, "group", RARELY)},
                unit="s",
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Cache",
                "Capacity (0: switched off), what is in it, and the share of hits in percent.",
                {
                    "capacity": "max(toystore_cache_capacity_products{S})",
                    "products": "max(toystore_cache_products{S})",
                    "hits, %": f"100 * {hit_ratio()}",
                },
                span=THIRD,
            )
        )
    )
