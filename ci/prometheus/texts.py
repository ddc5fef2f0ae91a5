"""Checks of dashboards and rules that need no store.

Queries are PromQL, panels are described, and alerts have a test and a runbook.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import sources


def mistakes() -> Iterator[str]:
    for query in [*sources.dashboard_queries(), *sources.rule_queries(), *sources.variable_names()]:
        if "$" in query.text:
            yield f"{query.where}: an unknown variable: {query.text}"
        try:
            query.names()
        except ValueError as error:
            yield f"{query.where}: {error}: {query.text}"
    yield from panels()
    yield from alerts()


def panels() -> Iterator[str]:
    taken: dict[str, list[tuple[int, int, int, int]]] = {}
    for file, panel in sources.panels():
        where = f"{file}: {panel['title']}"
        if not panel.get("description"):
            yield f"{where}: no description"
        if panel["datasource"]["uid"] != "$datasource":
            yield f"{where}: a data source of its own"
        defaults = (
            panel["fieldConfig"]["defaults"]
            if panel["type"] != "heatmap"
            else {"unit": panel["options"]["yAxis"]["unit"]}
        )
        if panel["type"] != "state-timeline" and not defaults.get("unit"):
            yield f"{where}: no unit"
        at = panel["gridPos"]
        place = (at["x"], at["y"], at["x"] + at["w"], at["y"] + at["h"])
        if place[2] > 24 or any(overlap(place, other) for other in taken.get(file, [])):
            yield f"{where}: overlaps another panel, or does not fit: {at}"
        taken.setdefault(file, []).append(place)


def overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def alerts() -> Iterator[str]:
    # The entries after the alerts are for processes that refuse to continue.
    entries = sources.RUNBOOKS.read_text().split("\n# Refusals\n")[0]
    headings = {heading.lower() for heading in re.findall(r"^## (\w+)", entries, re.MULTILINE)}
    names = [rule["alert"] for rule in sources.rules() if "alert" in rule]
    for rule in sources.rules():
        if (name := rule.get("alert")) is None:
            continue
        if name not in sources.tested_alerts():
            yield f"{name}: no test in which it fires"
        if name.lower() not in headings:
            yield f"{name}: no entry in {sources.RUNBOOKS.name}"
        if rule["annotations"]["runbook_url"] != f"docs/runbooks.md#{name.lower()}":
            yield f"{name}: its runbook_url does not lead to its entry"
        if rule["labels"]["severity"] not in {"critical", "warning"}:
            yield f"{name}: unknown severity"
    for stale in headings - {name.lower() for name in names}:
        yield f"{sources.RUNBOOKS.name}: {stale} is not an alert"


if __name__ == "__main__":
    found = list(mistakes())
    print(*found, sep="\n")
    queries = len(sources.dashboard_queries()) + len(sources.rule_queries())
    print(
        f"{queries} queries in {len(sources.DASHBOARDS)} dashboards and the rules: {len(found)} mistakes"
    )
    sys.exit(bool(found))
