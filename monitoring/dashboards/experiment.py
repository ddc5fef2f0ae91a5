"""For lessons and measurements: everything that a kill, a switch or a load changes, on one page."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from cache import hit_ratio, hit_ratio_panel
from consistency import role_timeline
from panels import (
    FULL,
    OURS,
    RARELY,
    THIRD,
    mean,
    number,
    page,
    quantile,
    quantiles,
    series,
    timeline,
)
from shoppers import COUNT, ERRORS, ORDER, READ, STATUS_COLORS

STARTED = f"changes(process_start_time_seconds{{S}}[$__rate_interval]) {OURS}"


def build() -> dashboard.Dashboard:
    what = "One page for experiments: load a store, kill the leader, switch the cache off, and watch. Zoom in: five minutes, every second."
    built = page("Experiment", "experiment", what, refresh="5s", since="now-5m")
    for part in (_figures, _effects, _load, _causes):
        built = part(built)
    return built


def _figures(built: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        built.with_row(dashboard.Row("Figures"))
        .with_panel(
            number(
                "Product reads",
                "Per second.",
                f'sum(rate({COUNT},route="/products/{{name}}"}}[$__rate_interval]))',
                unit="reqps",
            )
        )
        .with_panel(
            number(
                "Orders",
                "Acknowledged.",
                "sum(rate(toystore_order_placed_total{S}[$__rate_interval]))",
                unit="ops",
            )
        )
        .with_panel(
            number("Product read, p50", "Hits and misses together.", quantile(0.5, READ), unit="s")
        )
        .with_panel(
            number("Order, p50", "All answers, including refusals.", quantile(0.5, ORDER), unit="s")
        )
        .with_panel(hit_ratio_panel())
        .with_panel(
            number(
                "Errors",
                "Share of answers with 5xx.",
                ERRORS,
                unit="percentunit",
                bad_from=0.001,
                decimals=2,
            )
        )
    )


def _effects(built: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        built.with_row(dashboard.Row("What shoppers notice"))
        .with_panel(
            series(
                "Answers per second",
                "By status. A dip is a moment without answers.",
                {"{{status}}": f"sum by (status) (rate({COUNT}}}[$__rate_interval]))"},
                unit="reqps",
                span=THIRD,
                stacked=True,
                colors=STATUS_COLORS,
            )
        )
        .with_panel(
            quantiles(
                "Latency of product reads",
                "With the cache off every read goes to the catalog.",
                READ,
                span=THIRD,
            )
        )
        .with_panel(
            quantiles(
                "Latency of orders",
                "An order that is in flight when its leader dies waits for the next leader, and is placed once.",
                ORDER,
                span=THIRD,
            )
        )
    )


def _load(built: dashboard.Dashboard) -> dashboard.Dashboard:
    requests = "rate(toystore_load_requests_total{S}[$__rate_interval])"
    done = 'rate(toystore_load_requests_total{S,outcome=~"done|sold_out"}[$__rate_interval])'
    waited = "toystore_load_request_duration_seconds{S}"
    return (
        built.with_row(dashboard.Row("What the load test sees (toystore load --metrics-port 1119)"))
        .with_panel(
            series(
                "Requests by outcome",
                "As counted by the load test. Silent: no answer in time. Broken: the connection failed.",
                {"{{outcome}}": f"sum by (outcome) ({requests}) > 0"},
                unit="reqps",
                span=THIRD,
                stacked=True,
                colors={"done": "green", "sold_out": "yellow"},
            )
        )
        .with_panel(
            series(
                "Visits wanted",
                "The rate of the open loop, and the requests that were done. A lasting gap between the two means that the store cannot keep up. A visit "
                "is a product read and perhaps an order.",
                {
                    "visits wanted": "sum(toystore_load_wanted_visits_per_second{S})",
                    "done, {{request}}": f"sum by (request) ({done})",
                },
                unit="reqps",
                span=THIRD,
            )
        )
        .with_panel(
            quantiles(
                "Latency from when it was due",
                "Including the wait for a free connection, as people would have experienced it. The frontend's own figures above do not include it.",
                waited,
                "request",
                span=THIRD,
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
                "Up: answered the scrape. A process that was killed and restarted within a scrape interval shows in the next panel only.",
                {
                    "{{pod}} {{instance}}": "up{S} and on (namespace, job, instance) last_over_time(toystore_build_info[$__range])"
                },
                {1: ("up", "green"), 0: ("down", "red")},
                span=FULL,
                height=6,
            )
        )
        .with_panel(
            series(
                "Restarts", "Restarted processes.", {"{{pod}} {{instance}}": STARTED}, span=THIRD
            )
        )
        .with_panel(
            series(
                "Without a leader, mean",
                "From when a leader was missed until the next one was confirmed, in the last five minutes.",
                {"{{group}}": mean(outage, "group", RARELY)},
                unit="s",
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Cache",
                "Capacity (0: switched off), number of products, and the share of hits in percent.",
                {
                    "capacity": "max(toystore_cache_capacity_products{S})",
                    "products": "max(toystore_cache_products{S})",
                    "hits, %": f"100 * {hit_ratio()}",
                },
                span=THIRD,
            )
        )
    )
