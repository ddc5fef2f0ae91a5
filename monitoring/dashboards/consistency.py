"""Which replica leads, which is behind, and what a failure costs."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from panels import (
    HALF,
    QUARTER,
    RARELY,
    STORE,
    THIRD,
    Queries,
    heat,
    mean,
    number,
    page,
    quantile,
    quantiles,
    series,
    timeline,
)

ROLES = {
    4: ("leader", "green"),
    3: ("candidate", "orange"),
    2: ("follower", "blue"),
    1: ("learner", "purple"),
    0: ("empty", "dark-gray"),
}
ORDINALS = {
    0: ("none", "red"),
    **{
        ordinal: (f"replica {ordinal}", f"super-light-{color}")
        for ordinal, color in enumerate(("green", "blue", "purple", "yellow", "orange"), start=1)
    },
}


def roles() -> Queries:
    """One number per replica: its role, by `ROLES`."""
    each = " or ".join(
        f'{value} * toystore_replication_role{{{STORE},role="{name}"}}'
        for value, (name, _) in ROLES.items()
        if value
    )
    return {"{{group}} {{pod}} {{instance}}": f"sum by (group, pod, instance) ({each})"}


def role_timeline() -> object:
    """The leader's timeline, which shows the effect of a kill."""
    return timeline(
        "Roles",
        "The role that each replica reports. A gap: it did not answer the scrape. Two leaders at one moment are replicas that were scraped at "
        "different moments, or one that is cut off and does not know it yet: it can commit nothing.",
        roles(),
        ROLES,
    )


def build() -> dashboard.Dashboard:
    what = "Leaders, elections and the replicated log. Safety does not depend on any of this; the latency of orders does."
    built = page("Consistency and replication", "consistency", what)
    for part in (_at_a_glance, _leaders, _elections, _log, _disks):
        built = part(built)
    return built


def _at_a_glance(built: dashboard.Dashboard) -> dashboard.Dashboard:
    outages = "toystore_election_outage_duration_seconds"
    standing = 'sum(toystore_replication_role{S,group="order",role=~"leader|follower"})'
    return (
        built.with_row(dashboard.Row("At a glance"))
        .with_panel(
            number(
                "Order leader",
                "Its ordinal, as the frontends see it.",
                'max(toystore_election_leader_ordinal{S,group="order"})',
                bad_below=1,
                names={0: "none"},
            )
        )
        .with_panel(
            number(
                "Catalog leader",
                "Its ordinal, as the frontends see it.",
                'max(toystore_election_leader_ordinal{S,group="catalog"})',
                bad_below=1,
                names={0: "none"},
            )
        )
        .with_panel(
            number(
                "Order term",
                "Grows with each election.",
                'max(toystore_replication_term{S,group="order"})',
            )
        )
        .with_panel(
            number(
                "Order replicas to spare",
                "How many more replicas may fail before orders wait.",
                f'{standing} - floor(max(toystore_replication_voters{{S,group="order"}}) / 2) - 1',
                bad_below=1,
            )
        )
        .with_panel(
            number(
                "Leaders missed",
                "In the time shown, by any frontend; without starts of processes.",
                f'sum(increase({outages}_count{{S,reason!="unknown"}}[$__range]))',
                decimals=0,
            )
        )
        .with_panel(
            number(
                "Longest gap, p99",
                "From when a frontend missed a leader until it had the next one, in the time shown.",
                f'histogram_quantile(0.99, sum by (le) (increase({outages}_bucket{{S,reason!="unknown"}}[$__range])))',
                unit="s",
                bad_from=1,
                empty="no gap",
            )
        )
    )


def _leaders(built: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        built.with_row(dashboard.Row("Leaders"))
        .with_panel(role_timeline())
        .with_panel(
            timeline(
                "The leader as the frontends see it",
                "The ordinal of the leader that a majority has confirmed. Frontends may disagree for a moment; orders never do.",
                {"{{group}}, {{pod}} {{instance}}": "toystore_election_leader_ordinal{S}"},
                ORDINALS,
                height=5,
            )
        )
    )


def _elections(built: dashboard.Dashboard) -> dashboard.Dashboard:
    outage = 'toystore_election_outage_duration_seconds{S,reason!="unknown"}'
    return (
        built.with_row(dashboard.Row("Elections"))
        .with_panel(
            series(
                "Elections",
                "In the last five minutes, by reason and outcome. `lost`: started again, often because another "
                "frontend conducted an election at the same time.",
                {
                    "{{group}}, {{reason}}, {{outcome}}": "sum by (group, reason, outcome) "
                    "(increase(toystore_election_attempts_total{S}[5m])) > 0"
                },
                span=QUARTER,
            )
        )
        .with_panel(
            quantiles(
                "Without a leader",
                "From when a leader was missed until the next one was confirmed, in the last five minutes.",
                outage,
                "group",
                over=RARELY,
                span=QUARTER,
            )
        )
        .with_panel(
            series(
                "Phases of an election, mean",
                "Polling all replicas; the others stand, to give up their promise; the candidate stands; a majority confirms it.",
                {
                    "{{group}} {{phase}}": mean(
                        "toystore_election_phase_duration_seconds{S}", "group, phase", RARELY
                    )
                },
                unit="s",
                span=QUARTER,
            )
        )
        .with_panel(
            series(
                "Takeover, mean",
                "From leadership until the new leader takes orders: its first entry, the fence at the catalog, the reservations that the last leader left open.",
                {"takeover": mean("toystore_order_takeover_duration_seconds{S}", "job", RARELY)},
                unit="s",
                span=QUARTER,
            )
        )
    )


def _log(built: dashboard.Dashboard) -> dashboard.Dashboard:
    each = "{{group}} {{pod}} {{instance}}"
    return (
        built.with_row(dashboard.Row("The log"))
        .with_panel(
            series(
                "Entries per second",
                "An entry of the order group is a whole batch.",
                {each: "rate(toystore_replication_committed_index{S}[$__rate_interval])"},
                unit="ops",
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Followers' lag",
                "Entries that a follower lacks, as the leader knows it. One or two under load are in flight. The lag of a replica that was away "
                "falls steeply.",
                {
                    "{{group}}, replica {{ordinal}}": "max by (group, ordinal) (toystore_replication_lag_entries{S})"
                },
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Not applied yet",
                "Committed entries that a replica has not yet applied to its state.",
                {
                    each: "toystore_replication_committed_index{S} - toystore_replication_applied_index{S}"
                },
                span=THIRD,
            )
        )
        .with_panel(
            quantiles(
                "Append round trip",
                "From the leader to a follower's disk and back. Every order waits for one of these.",
                "toystore_replication_append_seconds{S}",
                "group",
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Entries per append, mean",
                "More than one: a follower catches up.",
                {"{{group}}": mean("toystore_replication_append_entries{S}", "group")},
                span=THIRD,
            )
        )
        .with_panel(
            series(
                "Terms",
                "A step is an election. Replicas that stay behind are cut off.",
                {each: "toystore_replication_term{S}"},
                span=THIRD,
                low=None,
            )
        )
    )


def _disks(built: dashboard.Dashboard) -> dashboard.Dashboard:
    each = "{{group}} {{pod}} {{instance}}"
    sync = "toystore_replication_log_sync_seconds{S}"
    return (
        built.with_row(dashboard.Row("Disks"))
        .with_panel(
            heat(
                "Log syncs",
                "Time to make entries or a vote durable, on all replicas. Above 150 ms no leader can be elected.",
                "sum by (le) (rate(toystore_replication_log_sync_seconds_bucket{S}[$__rate_interval]))",
                span=HALF,
            )
        )
        .with_panel(
            series(
                "Log syncs, p99",
                "A replica far above the others has a slow disk; as a follower it slows no order.",
                {each: quantile(0.99, sync, "group, pod, instance")},
                unit="s",
                logarithmic=True,
            )
        )
        .with_panel(
            series(
                "Free space",
                "On the fullest of a replica's disks. Below the reserve the replica accepts no new work.",
                {each: "toystore_replication_disk_free_bytes{S}"},
                unit="bytes",
                span=HALF,
            )
        )
        .with_panel(
            series(
                "Checkpoints, mean",
                "Time to write the state to disk; meanwhile nothing is applied.",
                {
                    each: mean(
                        "toystore_replication_checkpoint_seconds{S}", "group, pod, instance", RARELY
                    )
                },
                unit="s",
                span=QUARTER,
            )
        )
        .with_panel(
            series(
                "States received",
                "Replicas that were too far behind for the log, or had an empty disk.",
                {each: "increase(toystore_replication_checkpoints_installed_total{S}[5m])"},
                span=QUARTER,
            )
        )
    )
