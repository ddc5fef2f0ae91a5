"""Checks the metrics with a real store and a real Prometheus.

    python live.py TOYSTORE      (TOYSTORE: the binary)

Every metric that is named anywhere must be exported, and every query of the dashboards must get
data. The leader is killed once, so that the metrics of elections have values, too.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import sources
from store import Prometheus, Store, get, load_test, prometheus, store, until

T = TypeVar("T")

# Not exported by a store on one machine, but by frontends and replicas in Kubernetes.
ELSEWHERE = "toystore_discovery_"
# Added by Prometheus itself.
ITS_OWN = {"up"}
# Fires after several elections, and a busy machine has more than the one of the killed leader.
HASTY = {"ToystoreLeaderUnsteady"}
# Scrapes of each process before the leader is killed: `rate` needs several.
SCRAPES_MIN = 3


def main(binary: str) -> int:
    with (
        tempfile.TemporaryDirectory() as directory,
        store(str(Path(binary).resolve()), Path(directory)) as shop,
        load_test(shop),
    ):
        found = [*well_formed(shop), *all_there(shop)]
        with prometheus(shop, Path(directory)) as watch, shoppers(shop):
            since = time.time()
            until("every process was scraped", lambda: scraped(watch) == len(shop.metrics))
            until(
                "every process was scraped several times",
                lambda: fewest_scrapes(watch) >= SCRAPES_MIN,
            )
            shop.kill(shop.leader())
            found += [*all_scraped(watch, shop), *dashboards_show(watch, since), *rules_work(watch)]
            found += [*all_there(shop)]
    found = list(dict.fromkeys(found))
    print(*found, sep="\n")
    print(f"live: {len(found)} mistakes")
    return bool(found)


def well_formed(shop: Store) -> Iterator[str]:
    """What promtool reports about each `/metrics`."""
    for name, at in shop.metrics.items():
        text = get(f"http://{at}/metrics")
        linted = subprocess.run(
            ["promtool", "check", "metrics"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if linted.returncode or linted.stderr or linted.stdout:
            yield f"{name}: promtool check metrics: {linted.stdout}{linted.stderr}"


def all_there(shop: Store) -> Iterator[str]:
    """Every metric in dashboards, rules and documents is exported from the start.

    It is enough that one process exports it.
    """
    exported = set()
    for at in shop.metrics.values():
        exported |= set(re.findall(r"^(\w+)(?:\{| )", get(f"http://{at}/metrics"), re.MULTILINE))
    families = exported | {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported}
    known = exported | sources.recorded() | ITS_OWN
    for query in [*sources.dashboard_queries(), *sources.rule_queries(), *sources.variable_names()]:
        for name in sorted(query.names() - known):
            yield f"{query.where}: no process exports {name}"
    for name in sorted(sources.documented_metrics() - families):
        # A document may name all metrics of a kind: `toystore_load_*`.
        is_kind = name.endswith("_") and any(family.startswith(name) for family in families)
        if not is_kind and not name.startswith(ELSEWHERE):
            yield f"docs: no process exports {name}"


@contextlib.contextmanager
def shoppers(shop: Store) -> Iterator[None]:
    """Shoppers who shop meanwhile."""
    process = shop.shoppers(1_000_000)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def scraped(watch: Prometheus) -> int:
    return sum(
        target["health"] == "up" for target in watch.get("targets", state="active")["activeTargets"]
    )


def fewest_scrapes(watch: Prometheus) -> int:
    counted = watch.get("query", query="min(count_over_time(up[1m]))")["result"]
    return int(counted[0]["value"][1]) if counted else 0


def all_scraped(watch: Prometheus, shop: Store) -> Iterator[str]:
    """The killed process has been restarted."""
    try:
        until("every process is scraped", lambda: scraped(watch) == len(shop.metrics))
    except TimeoutError:
        for target in watch.get("targets", state="active")["activeTargets"]:
            yield f"{target['labels']['pod']}: {target['health']}: {target['lastError']}"


def rules_work(watch: Prometheus) -> Iterator[str]:
    """All rules are evaluated, recorded series exist, and one dead leader fires no alert."""

    def rules() -> list[dict[str, Any]]:
        return [rule for group in watch.get("rules")["groups"] for rule in group["rules"]]

    # A rule that is reported as unknown below was not evaluated in time.
    with contextlib.suppress(TimeoutError):
        until(
            "every rule was evaluated", lambda: all(rule["health"] != "unknown" for rule in rules())
        )
    for rule in rules():
        if rule["health"] != "ok":
            yield f"rule {rule['name']}: {rule['health']}: {rule.get('lastError')}"
        if rule.get("state") == "firing" and rule["name"] not in HASTY:
            yield f"rule {rule['name']} fires: {rule['alerts']}"

    def is_recorded(name: str) -> bool:
        return bool(
            watch.get("query", query=f'last_over_time({{__name__="{name}"}}[1m])')["result"]
        )

    for name in still_missing(sorted(sources.recorded()), is_recorded):
        yield f"rule {name}: records nothing"


def dashboards_show(watch: Prometheus, since: float) -> Iterator[str]:
    """Each query returns a number at some moment."""
    for query in still_missing(
        sources.dashboard_queries(), lambda query: watch.has_data(query.text, since)
    ):
        yield f"{query.where}: no data: {query.text}"


def still_missing(them: Iterable[T], is_there: Callable[[T], bool]) -> list[T]:
    """Waits until all are there. Returns those that are not in time."""
    missing = list(them)

    def all_are_there() -> bool:
        missing[:] = [it for it in missing if not is_there(it)]
        return not missing

    with contextlib.suppress(TimeoutError):
        until("all are there", all_are_there)
    return missing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
