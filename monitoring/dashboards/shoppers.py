"""For users: is the store open, is it fast, and where does the time go?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from panels import OURS, QUARTER, THIRD, heat, mean, number, page, quantile, quantiles, series

PUBLIC = 'toystore_http_request_duration_seconds{S,port="public"}'
READ = (
    'toystore_http_request_duration_seconds{S,port="public",method="GET",route="/products/{name}"}'
)
ORDER = 'toystore_http_request_duration_seconds{S,port="public",method="POST",route="/orders"}'
COUNT = 'toystore_http_request_duration_seconds_count{S,port="public"'

STATUS_COLORS = {"^2": "green", "^4": "yellow", "^5": "red"}
ERRORS = (
    f'(sum(rate({COUNT},status=~"5.."}}[$__rate_interval])) or vector(0))'
    f" / sum(rate({COUNT}}}[$__rate_interval]))"
)


def build() -> dashboard.Dashboard:
    built = page(
        "Shoppers",
        "shoppers",
        "What shoppers notice (traffic, errors, latency), and what causes it.",
    )
    for part in (_at_a_glance, _traffic, _latency, _inside, _stock, _processes):
        built = part(built)
    return built


def _at_a_glance(built: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        built.with_row(dashboard.Row("At a glance"))
        .with_panel(
            number(
                "Requests",
                "Answered requests of shoppers.",
                f"sum(rate({COUNT}}}[$__rate_interval]))",
                unit="reqps",
            )
        )
        .with_panel(
            number(
                "Orders placed",
                "Acknowledged orders: each is on the disks of a majority.",
                'sum(rate(toystore_frontend_orders_total{S,outcome="placed"}[$__rate_interval]))',
                unit="ops",
            )
        )
        .with_panel(
            number(
                "Errors",
                "Share of answers with 5xx: no leader, overload, full disks. Sold out is not an error.",
                ERRORS,
                unit="percentunit",
                bad_from=0.01,
                decimals=2,
            )
        )
        .with_panel(
            number(
                "Order, p99",
                "99 of 100 orders are answered within this time.",
                quantile(0.99, ORDER),
                unit="s",
                bad_from=0.5,
            )
        )
        .with_panel(
            number(
                "Product read, p99",
                "99 of 100 product reads are answered within this time, cached or not.",
                quantile(0.99, READ),
                unit="s",
                bad_from=0.1,
            )
        )
        .with_panel(
            number(
                "Order leader",
                "Ordinal of the replica that numbers the orders, as the frontends see it. None: orders wait.",
                'max(toystore_election_leader_ordinal{S,group="order"})',
                bad_below=1,
                names={0: "none"},
            )
        )
    )


def _traffic(built: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        built.with_row(dashboard.Row("Traffic"))
        .with_panel(
            series(
                "Requests by route",
                "Requests of shoppers by route. `none` is a path that does not exist.",
                {
                    "{{method}} {{route}}": f"sum by (method, route) (rate({COUNT}}}[$__rate_interval]))"
                },
                unit="reqps",
                span=THIRD,
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Answers by status",
                "409 is a product that is sold out; 503 is overload or a missing leader, with `Retry-After`.",
                {"{{status}}": f"sum by (status) (rate({COUNT}}}[$__rate_interval]))"},
                unit="reqps",
                span=THIRD,
                stacked=True,
                colors=STATUS_COLORS,
            )
        )
        .with_panel(
            series(
                "Orders by outcome",
                "What shoppers were told about their orders. Orders that were refused before their body was read, because the limit was reached, are under "
                "Admission.",
                {
                    "{{outcome}}": "sum by (outcome) (rate(toystore_frontend_orders_total{S}[$__rate_interval])) > 0"
                },
                unit="ops",
                span=THIRD,
                stacked=True,
                colors={"placed": "green"},
            )
        )
    )


def _latency(built: dashboard.Dashboard) -> dashboard.Dashboard:
    shares = "Time to answer, as measured by the frontend, without the network to the shopper. Quantiles are exact to their bucket."
    return (
        built.with_row(dashboard.Row("Latency"))
        .with_panel(quantiles("Product read", shares, READ, shares=(0.5, 0.95, 0.99), span=THIRD))
        .with_panel(quantiles("Order", shares, ORDER, shares=(0.5, 0.95, 0.99), span=THIRD))
        .with_panel(
            heat(
                "Orders by latency",
                "Each column is a moment, each row a bucket. A second band above the first is a group of orders that waited for "
                "an election, the end of a lease, or a slow disk.",
                f"sum by (le) (rate({ORDER.replace('seconds{', 'seconds_bucket{')}[$__rate_interval]))",
                span=THIRD,
            )
        )
    )


def _inside(built: dashboard.Dashboard) -> dashboard.Dashboard:
    calls = "toystore_http_client_request_duration_seconds"
    return (
        built.with_row(dashboard.Row("Where the time goes"))
        .with_panel(
            series(
                "An order's phases, mean",
                "Waiting for a batch, reserving stock, replication. The next batch is reserved while one is placed, so under load the "
                "sum is more than an order takes.",
                {"{{phase}}": mean("toystore_order_phase_duration_seconds{S}", "phase")},
                unit="s",
                span=THIRD,
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Calls between services, p99",
                "As the caller sees them. If a call is long here and short on the other side, the time was spent in between.",
                {"{{target}} {{route}}": quantile(0.99, calls + "{S}", "target, route")},
                unit="s",
                span=THIRD,
                logarithmic=True,
            )
        )
        .with_panel(
            series(
                "Calls that failed",
                "`abandoned`: the caller turned to a new leader, or reached its deadline. `5xx` and `4xx`: refusals, such as `not_leader`.",
                {
                    "{{target}} {{route}} {{outcome}}": "sum by (target, route, outcome) "
                    f'(rate({calls}_count{{S,outcome!="2xx"}}[$__rate_interval])) > 0'
                },
                unit="reqps",
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Admission",
                "Requests in flight to the services behind the frontend, and their limit, which follows what those services can take.",
                {
                    "{{kind}} in flight": "sum by (kind) (toystore_frontend_in_flight_requests{S})",
                    "{{kind}} limit": "sum by (kind) (toystore_frontend_concurrency_limit_requests{S})",
                },
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Refused for overload",
                "Refused before any work was done: the limit was reached, or the order queue was full.",
                {
                    "frontend, {{kind}}": "sum by (kind) (rate(toystore_frontend_refused_total{S}[$__rate_interval]))",
                    "order leader": 'sum(rate(toystore_order_refused_total{S,reason="overloaded"}[$__rate_interval]))',
                },
                unit="reqps",
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Batches",
                "Orders per batch grow with the load. That is how throughput grows although the disk does not get faster.",
                {
                    "orders per batch": mean("toystore_order_batch_size_orders{S}", "job"),
                    "waiting orders": "sum(toystore_order_queue_length_orders{S})",
                },
                span=THIRD,
            )
        )
    )


def _stock(built: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        built.with_row(dashboard.Row("Stock"))
        .with_panel(
            series(
                "Pieces in stock",
                "The twenty products with the least stock, as reported by the catalog's leader. Sold-out products are restocked.",
                {"{{product}}": "bottomk(20, max by (product) (toystore_catalog_stock_pieces{S}))"},
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Reservations",
                "Orders that asked for stock, and open reservations: neither sold nor released yet.",
                {
                    "{{outcome}}/s": "sum by (outcome) (rate(toystore_catalog_reservations_total{S}[$__rate_interval]))",
                    "open": "sum(toystore_catalog_reservations_open_orders{S})",
                },
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Restocked products",
                "Sold-out products that were restocked.",
                {
                    "restocked": "sum(increase(toystore_catalog_restocks_total{S}[$__rate_interval]))"
                },
                span=THIRD,
            )
        )
    )


def _processes(built: dashboard.Dashboard) -> dashboard.Dashboard:
    each = "{{pod}} {{instance}}"
    busy = "sum by (pod, instance) (rate(toystore_runtime_busy_seconds_total{S}[$__rate_interval]))"
    workers = "sum by (pod, instance) (toystore_runtime_workers_threads{S})"
    return (
        built.with_row(dashboard.Row("Processes"))
        .with_panel(
            series(
                "Worker threads busy",
                "Share of the time in which the async runtime's threads were busy. Near 100 %: add frontends, or another "
                "core.",
                {each: f"{busy} / {workers}"},
                unit="percentunit",
                span=QUARTER,
                high=1,
            )
        )
        .with_panel(
            series(
                "CPU",
                "Cores in use, including the threads that wait for disks.",
                {each: f"rate(process_cpu_seconds_total{{S}}[$__rate_interval]) {OURS}"},
                span=QUARTER,
            )
        )
        .with_panel(
            series(
                "Memory",
                "Resident memory.",
                {each: f"process_resident_memory_bytes{{S}} {OURS}"},
                unit="bytes",
                span=QUARTER,
            )
        )
        .with_panel(
            series(
                "Tasks and files",
                "Tasks grow with the connections. Files near their limit: connections are closed to make room.",
                {
                    "tasks " + each: "toystore_runtime_alive_tasks{S}",
                    "files " + each: f"process_open_fds{{S}} {OURS}",
                },
                span=QUARTER,
            )
        )
    )
