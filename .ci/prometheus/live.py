"""A real store, a real Prometheus: every metric that anybody names is there, and every query of the dashboards gets data.

    python live.py TOYSTORE      (TOYSTORE: the binary)

The store is used and its leader killed once, so that what is told of elections is told, too.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import sources
from store import Prometheus, Store, get, load_test, prometheus, store, until

# Exported by others than a store on one machine: by frontends and replicas in Kubernetes.
ELSEWHERE = "toystore_discovery_"
# What Prometheus itself adds.
ITS_OWN = {"up"}
# Fires at once, after some elections; on a busy machine there are more than that of the one leader that is killed.
HASTY = {"ToystoreLeaderUnsteady"}
# Seconds of shopping before the leader is killed, and after. `rate` wants some scrapes on either side.
BEFORE_S, AFTER_S = 8, 12


def main(binary: str) -> int:
    with (
        tempfile.TemporaryDirectory() as directory,
        store(str(Path(binary).resolve()), Path(directory)) as shop,
        load_test(shop),
    ):
        found = [*well_formed(shop), *all_there(shop)]
        with prometheus(shop, Path(directory)) as watch:
            since = time.time()
            used(shop, watch)
            found += [*all_scraped(watch, shop), *rules_work(watch), *dashboards_show(watch, since)]
            found += [*all_there(shop)]
    found = list(dict.fromkeys(found))
    print(*found, sep="\n")
    print(f"live: {len(found)} mistakes")
    return bool(found)


def well_formed(shop: Store) -> Iterator[str]:
    """What promtool says of each `/metrics`."""
    for name, at in shop.metrics.items():
        text = get(f"http://{at}/metrics")
        judged = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        if judged.returncode or judged.stderr or judged.stdout:
            yield f"{name}: promtool check metrics: {judged.stdout}{judged.stderr}"


def all_there(shop: Store) -> Iterator[str]:
    """Whatever dashboards, rules and documents name is exported from the start, by some process."""
    exported = set()
    for at in shop.metrics.values():
        exported |= set(re.findall(r"^(\w+)(?:\{| )", get(f"http://{at}/metrics"), re.M))
    families = exported | {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported}
    known = exported | sources.recorded() | ITS_OWN
    for query in [*sources.dashboard_queries(), *sources.rule_queries(), *sources.variable_names()]:
        for name in sorted(query.names() - known):
            yield f"{query.where}: nobody exports {name}"
    for name in sorted(sources.documented_metrics() - families):
        # A document may name all metrics of a kind: `toystore_load_*`.
        is_kind = name.endswith("_") and any(family.startswith(name) for family in families)
        if not is_kind and not name.startswith(ELSEWHERE):
            yield f"docs: nobody exports {name}"


def used(shop: Store, watch: Prometheus) -> None:
    """Shoppers, and a leader that dies among them."""
    shoppers = shop.shoppers(1_000_000)
    try:
        until("every process was scraped", lambda: scraped(watch) == len(shop.metrics))
        time.sleep(BEFORE_S)
        shop.kill(shop.leader())
        time.sleep(AFTER_S)
    finally:
        shoppers.kill()
        shoppers.wait()


def scraped(watch: Prometheus) -> int:
    return sum(target["health"] == "up" for target in watch.get("targets", state="active")["activeTargets"])


def all_scraped(watch: Prometheus, shop: Store) -> Iterator[str]:
    """The one that was killed is there again."""
    try:
        until("every process is scraped", lambda: scraped(watch) == len(shop.metrics))
    except TimeoutError:
        for target in watch.get("targets", state="active")["activeTargets"]:
            yield f"{target['labels']['pod']}: {target['health']}: {target['lastError']}"


def rules_work(watch: Prometheus) -> Iterator[str]:
    """None fails to be evaluated, what is recorded is there, and one dead leader wakes nobody."""
    for group in watch.get("rules")["groups"]:
        for rule in group["rules"]:
            if rule["health"] != "ok":
                yield f"rule {rule['name']}: {rule['health']}: {rule.get('lastError')}"
            if rule.get("state") == "firing" and rule["name"] not in HASTY:
                yield f"rule {rule['name']} fires: {rule['alerts']}"
    for name in sorted(sources.recorded()):
        if not watch.get("query", query=f'last_over_time({{__name__="{name}"}}[1m])')["result"]:
            yield f"rule {name}: records nothing"


def dashboards_show(watch: Prometheus, since: float) -> Iterator[str]:
    """Each query gives a number, at some moment."""
    for query in sources.dashboard_queries():
        if not watch.has_data(query.text, since):
            yield f"{query.where}: no data: {query.text}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
