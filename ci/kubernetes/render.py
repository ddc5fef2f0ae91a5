"""The chart, rendered by Helm's own engine."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path

import ruamel.yaml
import yaml
from helm_sdkpy import Configuration, Install, Lint
from helm_sdkpy.exceptions import HelmError

from api_server import api_server
from json_handler import Object

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "helm" / "toystore"


def load(text: str) -> list[Object]:
    return [thing for thing in yaml.safe_load_all(text) if thing is not None]


def load_1_2(text: str) -> list[Object]:
    """The same for YAML 1.2, which recognizes other numbers, dates and booleans than 1.1."""
    parser = ruamel.yaml.YAML(typ="safe", pure=True)
    return [thing for thing in parser.load_all(text) if thing is not None]


@dataclass(frozen=True)
class Rendered:
    """The result of an install."""

    name: str
    namespace: str
    values: Object
    # The objects, and the hooks.
    text: str
    hook_texts: list[str]
    objects: list[Object]
    hooks: list[Object]
    notes: str

    @property
    def all(self) -> list[Object]:
        return self.objects + self.hooks

    def find(self, kind: str, name: str) -> Object | None:
        return next(
            (o for o in self.all if (o["kind"], o["metadata"]["name"]) == (kind, name)), None
        )

    def of(self, kind: str) -> list[Object]:
        return [thing for thing in self.all if thing["kind"] == kind]


class Refused(Exception):
    """Helm refused the values."""


def called(thing: Object) -> str:
    """What messages call it."""
    return f"{thing['kind']} {thing['metadata']['name']}"


def merged(base: Object, over: Object) -> Object:
    both = dict(base)
    for key, value in over.items():
        both[key] = (
            merged(both[key], value)
            if isinstance(value, dict) and isinstance(both.get(key), dict)
            else value
        )
    return both


def render(
    values: Object,
    *,
    name: str = "toystore",
    namespace: str = "shop",
    existing: list[Object] | None = None,
    kubernetes: str = "1.36",
    chart: Path = CHART,
) -> Rendered:
    """Renders the chart as if it were installed into a cluster with the `existing` objects."""
    # Helm reads this variable when its library is loaded, so it must be set before Python starts.
    assert os.environ.get("HELM_DRIVER") == "memory", "run with HELM_DRIVER=memory"
    with api_server(kubernetes, existing or []) as address:
        configuration = Configuration(namespace=namespace, kubeconfig=_kubeconfig(address))
        try:
            install = Install(configuration).run(
                # Existing objects belong to an earlier revision.
                name,
                str(chart),
                values=values,
                wait=False,
                timeout=300,
                take_ownership=bool(existing),
            )
            release = asyncio.run(install)
        except HelmError as error:
            raise Refused(str(error)) from error
    hooks = release.get("hooks") or []
    return Rendered(
        name=name,
        namespace=namespace,
        values=merged(yaml.safe_load((chart / "values.yaml").read_text()), values),
        text=release["manifest"],
        hook_texts=[hook["manifest"] for hook in hooks],
        objects=load(release["manifest"]),
        hooks=[thing for hook in hooks for thing in load(hook["manifest"])],
        notes=release["info"]["notes"],
    )


def refusal(values: Object, existing: list[Object] | None = None) -> str:
    """Why Helm refuses the values; empty if it takes them."""
    try:
        render(values, existing=existing)
    except Refused as why:
        return str(why)
    return ""


def lint(chart: Path = CHART) -> list[str]:
    """The findings of Helm's linter, without hints."""
    configuration = Configuration(namespace="shop", kubeconfig=_kubeconfig("http://127.0.0.1:9"))
    result = asyncio.run(Lint(configuration).run(str(chart)))
    warning = 2
    said = [message for message in result["Messages"] if message["Severity"] >= warning]
    return [json.dumps(message) for message in said] + [
        str(error) for error in result["Errors"] or []
    ]


def _kubeconfig(address: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": {"server": address}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "users": [{"name": "it", "user": {}}],
            "current-context": "it",
        }
    )
