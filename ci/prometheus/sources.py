"""The sources: dashboards, rules, their tests, and the documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from promql_parser import (
    BinaryExpr,
    Call,
    MatrixSelector,
    NumberLiteral,
    StringLiteral,
    VectorSelector,
    parse,
)

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = {
    path.name: json.loads(path.read_text())
    for path in sorted((ROOT / "helm/toystore/files/dashboards").glob("*.json"))
}
RULES: list[dict[str, Any]] = [
    rule
    for path in sorted((ROOT / "helm/toystore/files/rules").glob("*.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}

# Grafana's variables, for a scrape interval of one second.
FILLED_IN = {
    "$namespace": ".*",
    "$job": ".*",
    "$__rate_interval": "10s",
    "$__interval": "1s",
    "$__range": "2m",
}


def metric_names(part: Any) -> set[str]:
    """The metrics of a parsed expression and all of its parts."""
    match part:
        case VectorSelector():
            return {part.name or ""}
        case NumberLiteral() | StringLiteral():
            return set()
        case MatrixSelector():
            inner = [part.vector_selector]
        case BinaryExpr():
            inner = [part.lhs, part.rhs]
        case Call():
            inner = part.args
        case _:
            inner = [part.expr]
    return set().union(*map(metric_names, inner))


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and where it is."""

    where: str
    text: str

    def __str__(self) -> str:
        return self.where

    def names(self) -> set[str]:
        """The metrics in it. Raises ValueError if it is not PromQL."""
        return metric_names(parse(self.text))


def filled_in(text: str) -> str:
    for variable, value in FILLED_IN.items():
        text = text.replace(variable, value)
    return text


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every panel except rows, with the file name of its dashboard."""
    for file, dashboard in DASHBOARDS.items():
        for panel in dashboard["panels"]:
            for inner in [panel, *(panel.get("panels") or [])]:
                if inner["type"] != "row":
                    yield file, inner


PANEL_QUERIES = [
    Query(f"{file}: {panel['title']} ({target['refId']})", filled_in(target["expr"]))
    for file, panel in panels()
    for target in panel["targets"]
]
VARIABLE_QUERIES = [
    Query(
        f"{file}: variable {variable['name']}",
        filled_in(re.sub(r"^label_values\((.*), \w+\)$", r"\1", variable["query"])),
    )
    for file, dashboard in DASHBOARDS.items()
    for variable in dashboard["templating"]["list"]
    if variable["type"] == "query"
]
RULE_QUERIES = [
    Query(f"rule {rule.get('alert') or rule['record']}", rule["expr"]) for rule in RULES
]
QUERIES = PANEL_QUERIES + VARIABLE_QUERIES + RULE_QUERIES


def documented_metrics() -> set[str]:
    text = "".join(path.read_text() for path in [*ROOT.glob("docs/*.md"), ROOT / "README.md"])
    return set(re.findall(r"`(toystore_\w+)", text))
