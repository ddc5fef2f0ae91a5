"""Checks of dashboards and rules that need no store.

Queries are PromQL, panels are described and do not overlap, and alerts have a test and a runbook.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import yaml

import sources
from sources import ROOT

# The entries after the alerts are for processes that refuse to continue.
ENTRIES = (ROOT / "docs/runbooks.md").read_text().split("\n# Refusals\n")[0]
FIRES = {
    case["alertname"]
    for test in yaml.safe_load((ROOT / "monitoring/rules-test.yaml").read_text())["tests"]
    for case in test["alert_rule_test"]
    if case.get("exp_alerts")
}


@pytest.mark.parametrize("query", sources.QUERIES, ids=str)
def test_queries_are_promql(query: sources.Query) -> None:
    assert "$" not in query.text, "an unknown variable"
    assert query.names()


@pytest.mark.parametrize(("file", "panel"), list(sources.panels()))
def test_panels(file: str, panel: dict[str, Any]) -> None:
    assert panel.get("description")
    assert panel["datasource"]["uid"] == "$datasource"
    if panel["type"] == "heatmap":
        assert panel["options"]["yAxis"]["unit"]
    elif panel["type"] != "state-timeline":
        assert panel["fieldConfig"]["defaults"].get("unit")


@pytest.mark.parametrize("file", sources.DASHBOARDS)
def test_no_place_of_the_grid_is_used_twice(file: str) -> None:
    places = [panel["gridPos"] for of, panel in sources.panels() if of == file]
    assert all(at["x"] + at["w"] <= 24 for at in places)
    for one, other in itertools.combinations(places, 2):
        beside = (one["x"] >= other["x"] + other["w"]) or (other["x"] >= one["x"] + one["w"])
        assert beside or one["y"] >= other["y"] + other["h"] or other["y"] >= one["y"] + one["h"]


@pytest.mark.parametrize("rule", sources.ALERTS, ids=lambda rule: rule["alert"])
def test_alerts(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    assert name in FIRES, "no test in which it fires"
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
    assert rule["labels"]["severity"] in {"critical", "warning"}


def test_every_alert_has_an_entry_in_the_runbooks_and_no_entry_is_stale() -> None:
    headings = {heading.lower() for heading in re.findall(r"^## (\w+)", ENTRIES, re.MULTILINE)}
    assert headings == {rule["alert"].lower() for rule in sources.ALERTS}
