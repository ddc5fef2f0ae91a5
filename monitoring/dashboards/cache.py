"""Does the cache help, and what does it cost never to be stale?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, stat

from panels import HALF, QUARTER, THIRD, number, page, quantile, quantiles, series, timeline

HITS = "sum(rate(toystore_cache_hits_total{S}[$__rate_interval]))"
MISSES = "sum(rate(toystore_cache_misses_total{S}[$__rate_interval]))"
CHANGE = "toystore_catalog_change_duration_seconds{S}"
READ = (
    'toystore_http_request_duration_seconds{S,port="public",method="GET",route="/products/{name}"}'
)
# A single read, or a batch of concurrent reads.
FETCH = 'toystore_http_client_request_duration_seconds{S,target="catalog",route=~"/products/.name.|/products/batch"}'
TELL = 'toystore_http_client_request_duration_seconds{S,target="frontend",route="/cache"}'


def build() -> dashboard.Dashboard:
    what = (
        "Hits and misses, the leases that let caches serve, and what a change of stock waits for."
    )
    built = page("Cache", "cache", what)
    for part in (_at_a_glance, _contents, _lease, _changes):
        built = part(built)
    return built


def hit_ratio() -> str:
    """Of the product reads."""
    return f"{HITS} / ({HITS} + {MISSES})"


def hit_ratio_panel() -> stat.Panel:
    what = "Product reads that the cache answered."
    return number("Hit ratio", what, hit_ratio(), unit="percentunit")


def _at_a_glance(built: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        built.with_row(dashboard.Row("At a glance"))
        .with_panel(hit_ratio_panel())
        .with_panel(
            number(
                "Capacity",
                "Products that fit into the cache of one frontend; 0: switched off.",
                "max(toystore_cache_capacity_products{S})",
            )
        )
        .with_panel(
            number(
                "Caches without a lease",
                "Frontends that may not use their cache at the moment. They are slower, but correct.",
                "sum((toystore_cache_lease_valid{S} == bool 0) * (toystore_cache_capacity_products{S} > bool 0))",
                bad_from=1,
            )
        )
        .with_panel(
            number(
                "Product read, p50",
                "Half of the product reads are answered within this time; these are hits, if hits are more than half.",
                quantile(0.5, READ),
                unit="s",
            )
        )
        .with_panel(
            number(
                "Fetch, p50",
                "Time of a product read that goes to the catalog.",
                quantile(0.5, FETCH),
                unit="s",
            )
        )
        .with_panel(
            number(
                "Change, p99",
                "Time until a change of stock is durable and every cache has dropped the old value. Orders wait for it.",
                quantile(0.99, CHANGE),
                unit="s",
                bad_from=0.5,
            )
        )
    )


def _contents(built: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        built.with_row(dashboard.Row("Contents"))
        .with_panel(
            series(
                "Product reads",
                "Answered from the cache, or fetched from the catalog.",
                {"hits": HITS, "misses": MISSES},
                unit="reqps",
                span=THIRD,
                stacked=True,
                colors={"hits": "green", "misses": "orange"},
            )
        )
        .with_panel(
            series(
                "Why products leave the cache",
                "Evicted: least recently used. Invalidated: about to change. Refused: not stored, because the product changed during the fetch.",
                {
                    "evicted": "sum(rate(toystore_cache_evictions_total{S}[$__rate_interval]))",
                    "invalidated": "sum(rate(toystore_cache_invalidations_total{S}[$__rate_interval]))",
                    "refused": "sum(rate(toystore_cache_refused_fills_total{S}[$__rate_interval]))",
                },
                unit="ops",
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Products in the cache",
                "And how many fit. Orders remove products, product reads add them.",
                {
                    "{{pod}} {{instance}}": "toystore_cache_products{S}",
                    "capacity": "max(toystore_cache_capacity_products{S})",
                },
                span=THIRD,
            )
        )
    )


def _lease(built: dashboard.Dashboard) -> dashboard.Dashboard:
    states = {1: ("serves", "green"), 0: ("no lease", "red")}
    return (
        built.with_row(dashboard.Row("Leases"))
        .with_panel(
            timeline(
                "Leases",
                "Without a lease a frontend forwards every product read to the catalog.",
                {"{{pod}} {{instance}}": "toystore_cache_lease_valid{S}"},
                states,
                span=HALF,
                height=8,
            )
        )
        .with_panel(
            series(
                "Renewals",
                "Each frontend renews its lease every third of its duration. Failures: the catalog has no leader, or withholds the lease "
                "until this frontend has confirmed an invalidation.",
                {
                    "{{outcome}}": "sum by (outcome) (rate(toystore_cache_lease_renewals_total{S}[$__rate_interval]))"
                },
                unit="ops",
                span=QUARTER,
                colors={"granted": "green", "failed": "red"},
            )
        )
        .with_panel(
            series(
                "Leases held",
                "Frontends that the catalog's leader has to notify before stock changes.",
                {"held": "sum(toystore_catalog_leases_held_frontends{S})"},
                span=QUARTER,
            )
        )
    )


def _changes(built: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        built.with_row(dashboard.Row("What a change waits for"))
        .with_panel(
            quantiles(
                "A change of stock",
                "Time until it is durable and every cache has dropped the product, or lost its lease.",
                CHANGE,
                span=THIRD,
            )
        )
        .with_panel(
            quantiles(
                "Invalidation request",
                "One request per frontend, with all products of a batch that it has fetched.",
                TELL,
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Invalidations",
                "`expired`: the frontend did not confirm, and the change waited for the end of its lease.",
                {
                    "{{outcome}}": "sum by (outcome) (rate(toystore_catalog_invalidations_total{S}[$__rate_interval]))"
                },
                unit="ops",
                span=THIRD,
                colors={"confirmed": "green", "expired": "red"},
            )
        )
    )
