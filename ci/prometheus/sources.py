"""The sources: dashboards, rules, their tests, and the documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "helm/toystore/files/dashboards").glob("*.json"))
RULES = sorted((ROOT / "helm/toystore/files/rules").glob("*.yaml"))
RULES_TEST = ROOT / "monitoring/rules-test.yaml"
RUNBOOKS = ROOT / "docs/runbooks.md"

# Grafana's variables, for a scrape interval of one second.
FILLED_IN = {
    "$namespace": ".*",
    "$job": ".*",
    "$__rate_interval": "10s",
    "$__interval": "1s",
    "$__range": "2m",
}


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and where it is."""

    where: str
    text: str

    def names(self) -> set[str]:
        """The metrics in it. Raises ValueError if it is not PromQL."""
        return set(metric_names(promql_parser.parse(self.text)))


def metric_names(expression: object) -> Iterator[str]:
    """The metrics of a parsed expression and all of its parts."""
    match expression:
        case promql_parser.VectorSelector():
            yield expression.name or ""
        case promql_parser.MatrixSelector():
            yield from metric_names(expression.vector_selector)
        case promql_parser.BinaryExpr():
            yield from metric_names(expression.lhs)
            yield from metric_names(expression.rhs)
        case promql_parser.Call():
            for argument in expression.args:
                yield from metric_names(argument)
        case (
            promql_parser.AggregateExpr()
            | promql_parser.UnaryExpr()
            | promql_parser.ParenExpr()
            | promql_parser.SubqueryExpr()
        ):
            yield from metric_names(expression.expr)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            pass
        case _:
            raise ValueError(f"unknown part of an expression: {expression!r}")


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every panel except rows, with the file name of its dashboard."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for inner in [panel, *(panel.get("panels") or [])]:
                if inner["type"] != "row":
                    yield path.name, inner


def dashboard_queries() -> list[Query]:
    return [
        Query(f"{file}: {panel['title']} ({target['refId']})", filled_in(target["expr"]))
        for file, panel in panels()
        for target in panel["targets"]
    ]


def variable_names() -> Iterator[Query]:
    """The metrics in the dashboards' variables."""
    for path in DASHBOARDS:
        for variable in json.loads(path.read_text())["templating"]["list"]:
            if variable["type"] == "query":
                of = re.fullmatch(r"label_values\((\w+(?:\{.*\})?), \w+\)", variable["query"])
                yield Query(
                    f"{path.name}: variable {variable['name']}", filled_in(of[1] if of else "?")
                )


def filled_in(text: str) -> str:
    for variable, value in FILLED_IN.items():
        text = text.replace(variable, value)
    return text


def rules() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def rule_queries() -> list[Query]:
    return [Query(f"rule {rule.get('alert') or rule['record']}", rule["expr"]) for rule in rules()]


def recorded() -> set[str]:
    """The series that the rules record."""
    return {rule["record"] for rule in rules() if "record" in rule}


def tested_alerts() -> set[str]:
    """The alerts with a test in which they fire."""
    tests = yaml.safe_load(RULES_TEST.read_text())["tests"]
    return {
        case["alertname"]
        for test in tests
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }


def documented_metrics() -> set[str]:
    text = "".join(path.read_text() for path in [*ROOT.glob("docs/*.md"), ROOT / "README.md"])
    return set(re.findall(r"`(toystore_\w+)", text))
