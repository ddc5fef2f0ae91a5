"""For users: is the store open, is it fast, and where does the time go?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from panels import OURS, QUARTER, THIRD, heat, mean, number, page, quantile, quantiles, series

PUBLIC = 'toystore_http_request_duration_seconds{S,port="public"}'
READ = 'toystore_http_request_duration_seconds{S,port="public",method="GET",route="/products/{name}"}'
ORDER = 'toystore_http_request_duration_seconds{S,port="public",method="POST",route="/orders"}'
COUNT = 'toystore_http_request_duration_seconds_count{S,port="public"'

STATUS_COLORS = {"^2": "green", "^4": "yellow", "^5": "red"}
ERRORS = (
    f'(sum(rate({COUNT},status=~"5.."}}[$__rate_interval])) or vector(0))'
    f" / sum(rate({COUNT}}}[$__rate_interval]))"
)


def build() -> dashboard.Dashboard:
    built = page("Shoppers", "shoppers", "What shoppers feel: traffic, errors, latency; and what lies behind it.")
    for part in (_at_a_glance, _traffic, _latency, _inside, _shelves, _processes):
        built = part(built)
    return built


def _at_a_glance(built: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        built.with_row(dashboard.Row("At a glance"))
        .with_panel(
            number("Requests", "Requests of shoppers that were answered.", f"sum(rate({COUNT}}}[$__rate_interval]))", unit="reqps")
        )
        .with_panel(
            number(
                "Orders placed",
                "Orders that were acknowledged: each is on a majority of disks.",
                'sum(rate(toystore_frontend_orders_total{S,outcome="placed"}[$__rate_interval]))',
                unit="ops",
            )
        )
        .with_panel(
            number(
                "Errors",
                "Share of answers with 5xx: no leader, overload, full disks. Sold out is no error.",
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
                "Look, p99",
                "99 of 100 looks at a product are answered within this time, cached or not.",
                quantile(0.99, READ),
                unit="s",
                bad_from=0.1,
            )
        )
        .with_panel(
            number(
                "Order leader",
                "Seat of the replica that numbers the orders, as the frontends see it. None: orders wait.",
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
                "Requests by what is asked",
                "Requests of shoppers by route. `none` is a path that does not exist.",
                {"{{method}} {{route}}": f"sum by (method, route) (rate({COUNT}}}[$__rate_interval]))"},
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
                "What shoppers were told about their orders. Those that are refused by their head alone, with all places taken, are under "
                "Admission.",
                {"{{outcome}}": "sum by (outcome) (rate(toystore_frontend_orders_total{S}[$__rate_interval])) > 0"},
                unit="ops",
                span=THIRD,
                stacked=True,
                colors={"placed": "green"},
            )
        )
    )


def _latency(built: dashboard.Dashboard) -> dashboard.Dashboard:
    shares = "Time to answer, as the frontend measures it: without the network to the shopper. Quantiles are exact to their bucket."
    return (
        built.with_row(dashboard.Row("Latency"))
        .with_panel(quantiles("Look at a product", shares, READ, shares=(0.5, 0.95, 0.99), span=THIRD))
        .with_panel(quantiles("Order", shares, ORDER, shares=(0.5, 0.95, 0.99), span=THIRD))
        .with_panel(
            heat(
                "Orders by latency",
                "Each column is a moment, each row a bucket. A second band above the first is a group of orders that waited for "
                "something: an election, a lease that ran out, a slow disk.",
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
                "Waiting for a batch, taking the stock, being replicated. The next batch is reserved while one is placed, so that their "
                "sum is more than what an order takes under load.",
                {"{{phase}}": mean("toystore_order_phase_duration_seconds{S}", "phase")},
                unit="s",
                span=THIRD,
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Calls between services, p99",
                "As the caller sees them. What is long here and short at the other side was spent in between.",
                {"{{target}} {{route}}": quantile(0.99, calls + "{S}", "target, route")},
                unit="s",
                span=THIRD,
                logarithmic=True,
            )
        )
        .with_panel(
            series(
                "Calls that failed",
                "`abandoned`: the caller turned to a new leader, or its time was up. `5xx` and `4xx`: refusals, such as `I do not lead`.",
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
                "Requests on their way to the services behind, and how many may be at once: a limit that follows what they take.",
                {
                    "{{kind}} under way": "sum by (kind) (toystore_frontend_in_flight_requests{S})",
                    "{{kind}} places": "sum by (kind) (toystore_frontend_places_requests{S})",
                },
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Turned away",
                "Refused at once, with nothing begun: all places were taken, or the order queue was full.",
                {
                    "frontend, {{kind}}": "sum by (kind) (rate(toystore_frontend_turned_away_total{S}[$__rate_interval]))",
                    "order leader": 'sum(rate(toystore_order_refused_total{S,reason="overloaded"}[$__rate_interval]))',
                },
                unit="reqps",
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Batches",
                "Orders per batch grow with the load: that is how throughput grows while the disk stays as it is.",
                {
                    "orders per batch": mean("toystore_order_batch_size_orders{S}", "job"),
                    "orders that wait": "sum(toystore_order_queue_length_orders{S})",
                },
                span=THIRD,
            )
        )
    )


def _shelves(built: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        built.with_row(dashboard.Row("Stock"))
        .with_panel(
            series(
                "Pieces in stock",
                "The twenty products of which there is least, told by the catalog's leader. What is sold out is restocked.",
                {"{{product}}": "bottomk(20, max by (product) (toystore_catalog_stock_pieces{S}))"},
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Reservations",
                "Orders that asked for stock, and those whose stock is neither sold nor given back just now.",
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
                "Sold-out products that were filled up again.",
                {"restocked": "sum(increase(toystore_catalog_restocks_total{S}[$__rate_interval]))"},
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
                "Share of the time in which the async runtime's threads had something to do. Near 100 %: more frontends, or another "
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
                "Cores in use, with the threads that wait for disks.",
                {each: f"rate(process_cpu_seconds_total{{S}}[$__rate_interval]) {OURS}"},
                span=QUARTER,
            )
        )
        .with_panel(
            series("Memory", "Resident memory.", {each: f"process_resident_memory_bytes{{S}} {OURS}"}, unit="bytes", span=QUARTER)
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


