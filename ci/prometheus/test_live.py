"""Checks the metrics of a real store with a real Prometheus. `ci/monitoring` starts the store.

Every metric that is named anywhere must be exported, and every query of the dashboards must get
data. The leader is killed once, so that the metrics of elections have values, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

import sources

DATA = Path(os.environ["DATA"])
PROMETHEUS = os.environ["PROMETHEUS"]
RUNNING: list[dict[str, Any]] = json.loads((DATA / "up.json").read_text())["processes"]
# The host and port of each process' metrics, by its name.
METRICS = {it["name"]: it["internal"] for it in RUNNING} | {"load": os.environ["LOAD"]}

# Not exported by a store on one machine, but by frontends and replicas in Kubernetes.
ELSEWHERE = "toystore_discovery_"
# Added by Prometheus itself.
ITS_OWN = {"up"}
# Fires after several elections, and a busy machine has more than the one of the killed leader.
HASTY = {"ToystoreLeaderUnsteady"}
# Scrapes of each process before the leader is killed: `rate` needs several.
SCRAPES_MIN = 3
# A busy machine needs time: to start, and then until all queries have data.
PATIENCE_S = 60.0
LEADERS = 'toystore_replication_role{group="order",role="leader"} == 1'
LEADER = f'topk(1, toystore_replication_term{{group="order"}} and on (pod) {LEADERS})'


def get(url: str) -> str:
    with urllib.request.urlopen(f"http://{url}", timeout=10) as answer:
        return answer.read().decode()


@dataclass
class Watch:
    """A running Prometheus. What is awaited must come within a minute of its start."""

    late_s: float = field(default_factory=lambda: time.monotonic() + PATIENCE_S)

    def until(self, true: Callable[[], object]) -> bool:
        """Waits until it is true; a refused connection counts as not yet."""
        while True:
            with contextlib.suppress(OSError):
                if true():
                    return True
            if time.monotonic() > self.late_s:
                return False
            time.sleep(0.1)

    def ask(self, path: str, **parameters: object) -> Any:
        answer = get(f"{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        return json.loads(answer)["data"]

    def query(self, query: str) -> Any:
        return self.ask("query", query=query)["result"]

    def are_all_up(self) -> bool:
        return len(self.query("up == 1")) == len(METRICS)

    def was_scraped(self) -> bool:
        fewest = self.query("min(count_over_time(up[1m]))")
        return self.are_all_up() and int(fewest[0]["value"][1]) >= SCRAPES_MIN

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]


def configuration() -> Path:
    """The repository's configuration; only the addresses are the store's."""
    source = sources.ROOT / "monitoring/prometheus.yml"
    config = yaml.safe_load(source.read_text())
    config["rule_files"] = [str((source.parent / path).resolve()) for path in config["rule_files"]]
    for target in config["scrape_configs"][0]["static_configs"]:
        target["targets"] = [METRICS[target["labels"]["pod"]]]
    written = DATA / "prometheus.yml"
    written.write_text(yaml.safe_dump(config))
    return written


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    """Prometheus watches while shoppers shop, and while the leader is killed."""
    storage = [f"--storage.tsdb.path={DATA / 'tsdb'}", f"--web.listen-address={PROMETHEUS}"]
    prometheus = ["prometheus", f"--config.file={configuration()}", *storage]
    front = next(it["address"] for it in RUNNING if it["kind"] == "frontend").rpartition(":")[2]
    habits = ["--run-type=session", "--n-threads=8", "--p=0.4", "--seconds=3600"]
    shoppers = [os.environ["TOYSTORE"], "client", f"--front-port={front}", *habits]
    with (DATA / "watch.log").open("w") as log:
        running = [
            subprocess.Popen(command, stdout=log, stderr=log, cwd=DATA)
            for command in (prometheus, shoppers)
        ]
    try:
        it = Watch()
        assert it.until(it.was_scraped) and it.until(lambda: it.query(LEADER))
        leader = it.query(LEADER)[0]["metric"]["pod"]
        os.kill(next(it["pid"] for it in RUNNING if it["name"] == leader), signal.SIGKILL)
        yield Watch()
    finally:
        for process in running:
            process.kill()
            process.wait()


@pytest.mark.parametrize("at", METRICS.values(), ids=METRICS)
def test_metrics_are_well_formed(at: str) -> None:
    command = ["promtool", "check", "metrics"]
    linted = subprocess.run(command, input=get(f"{at}/metrics").encode(), capture_output=True)
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, b"", b"")


def test_named_metrics_are_exported_from_the_start() -> None:
    """It is enough that one process exports it."""
    text = "\n".join(get(f"{at}/metrics") for at in METRICS.values())
    exported = set(re.findall(r"^(\w+)[{ ]", text, re.MULTILINE))
    known = exported | sources.RECORDED | ITS_OWN
    assert {
        query.where: query.names() - known for query in sources.QUERIES if query.names() - known
    } == {}
    # A document may name all metrics of a kind: `toystore_load_*`.
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported} | exported
    kinds = {name for name in sources.documented_metrics() if name.endswith("_")}
    kinds = {kind for kind in kinds if any(family.startswith(kind) for family in families)}
    unknown = sources.documented_metrics() - families - kinds
    assert {name for name in unknown if not name.startswith(ELSEWHERE)} == set()


@pytest.mark.parametrize("query", sources.PANEL_QUERIES, ids=str)
def test_panels_show_a_number_at_some_moment(watch: Watch, query: sources.Query) -> None:
    def has_data() -> bool:
        window = {"start": time.time() - 2 * PATIENCE_S, "end": time.time(), "step": 1}
        series = watch.ask("query_range", query=query.text, **window)["result"]
        values = {value for one in series for _, value in one["values"]}
        return bool(values - {"NaN", "+Inf", "-Inf"})

    assert watch.until(has_data), query.text


@pytest.mark.parametrize("name", sorted(sources.RECORDED))
def test_rules_record(watch: Watch, name: str) -> None:
    latest = f'last_over_time({{__name__="{name}"}}[1m])'
    assert watch.until(lambda: watch.query(latest))


def test_rules_are_evaluated_and_one_dead_leader_fires_no_alert(watch: Watch) -> None:
    watch.until(lambda: all(rule["health"] != "unknown" for rule in watch.rules()))
    assert [rule for rule in watch.rules() if rule["health"] != "ok"] == []
    firing = {rule["name"] for rule in watch.rules() if rule.get("state") == "firing"}
    assert firing <= HASTY


def test_every_process_is_scraped_also_the_restarted_one(watch: Watch) -> None:
    assert watch.until(watch.are_all_up), watch.query("up")
