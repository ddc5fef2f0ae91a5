"""The chart, rendered by Helm's own engine.

The engine has no call that only renders. Installing into a minimal API server gives the manifest,
the hooks and the notes, and lets templates look objects up, as in a cluster.
"""

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

from api_server import Api, Object, serve

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "helm" / "toystore"

# The resources of the cluster. All are namespaced.
RESOURCES = {
    "v1": "ConfigMap PersistentVolumeClaim Pod Secret Service ServiceAccount",
    "apps/v1": "Deployment StatefulSet",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "batch/v1": "Job",
    "monitoring.coreos.com/v1": "PodMonitor PrometheusRule ServiceMonitor",
    "networking.k8s.io/v1": "Ingress NetworkPolicy",
    "policy/v1": "PodDisruptionBudget",
    "rbac.authorization.k8s.io/v1": "Role RoleBinding",
}
PLURALS = {"Ingress": "ingresses", "NetworkPolicy": "networkpolicies"}


def load(text: str) -> list[Object]:
    return [thing for thing in yaml.safe_load_all(text) if thing is not None]


def load_1_2(text: str) -> list[Object]:
    """The same for YAML 1.2, which recognizes other numbers, dates and booleans than 1.1."""
    parser = ruamel.yaml.YAML(typ="safe", pure=True)
    return [thing for thing in parser.load_all(text) if thing is not None]


@dataclass(frozen=True)
class Rendered:
    """The result of an install."""

    namespace: str
    values: Object
    # The objects, and the hooks.
    text: str
    hook_texts: list[str]
    notes: str
    objects: list[Object]

    def find(self, kind: str, name: str) -> Object | None:
        return next((it for it in self.of(kind) if it["metadata"]["name"] == name), None)

    def of(self, *kinds: str) -> list[Object]:
        return [thing for thing in self.objects if thing["kind"] in kinds]


def called(thing: Object) -> str:
    """What messages call it."""
    return f"{thing['kind']} {thing['metadata']['name']}"


class Refused(Exception):
    """Helm refused the values."""


def merged(base: Object, over: Object) -> Object:
    both = dict(base)
    for key, value in over.items():
        is_deep = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], value) if is_deep else value
    return both


def plural(kind: str) -> str:
    return PLURALS.get(kind, f"{kind.lower()}s")


def root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def documents(version: str, existing: list[Object]) -> dict[str, Object]:
    """The discovery documents of the API, the `existing` objects, and lists of them."""
    found: dict[str, Object] = {
        "/version": {"major": "1", "minor": version.split(".")[1], "gitVersion": f"v{version}.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
    }
    groups = []
    for api_version, kinds in RESOURCES.items():
        resources = [
            {"name": plural(kind), "kind": kind, "namespaced": True, "verbs": ["get", "create"]}
            for kind in kinds.split()
        ]
        listed = {"kind": "APIResourceList", "groupVersion": api_version, "resources": resources}
        found[root(api_version)] = listed
        if "/" in api_version:
            group, number = api_version.split("/")
            entry = {"groupVersion": api_version, "version": number}
            groups.append({"name": group, "versions": [entry], "preferredVersion": entry})
    found["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    for thing in existing:
        version, kind, metadata = thing["apiVersion"], thing["kind"], thing["metadata"]
        folder = f"{root(version)}/namespaces/{metadata['namespace']}/{plural(kind)}"
        found[f"{folder}/{metadata['name']}"] = thing
        everything = {"apiVersion": version, "kind": f"{kind}List", "metadata": {}, "items": []}
        found.setdefault(folder, everything)["items"].append(thing)
    return found


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
    with serve(Api(documents(kubernetes, existing or []))) as api:
        configuration = Configuration(namespace, kubeconfig(api.port))
        try:
            install = Install(configuration).run(
                # Existing objects belong to an earlier revision.
                name,
                str(chart),
                values=values,
                wait=False,
                take_ownership=bool(existing),
            )
            release = asyncio.run(install)
        except HelmError as error:
            raise Refused(str(error)) from error
    hooks = [hook["manifest"] for hook in release.get("hooks") or []]
    return Rendered(
        namespace=namespace,
        values=merged(yaml.safe_load((chart / "values.yaml").read_text()), values),
        text=release["manifest"],
        hook_texts=hooks,
        notes=release["info"]["notes"],
        objects=[thing for text in [release["manifest"], *hooks] for thing in load(text)],
    )


def refusal(values: Object, existing: list[Object] | None = None) -> str:
    """Why Helm refuses the values; empty if it takes them."""
    try:
        render(values, existing=existing)
    except Refused as why:
        return str(why)
    return ""


def lint() -> list[str]:
    """The findings of Helm's linter, without hints."""
    result = asyncio.run(Lint(Configuration("shop", kubeconfig(9))).run(str(CHART)))
    warning = 2
    said = [message for message in result["Messages"] if message["Severity"] >= warning]
    return [*map(json.dumps, said), *map(str, result["Errors"] or [])]


def kubeconfig(port: int) -> str:
    context = {"cluster": "it", "user": "it"}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "contexts": [{"name": "it", "context": context}],
            "users": [{"name": "it", "user": {}}],
            "current-context": "it",
        }
    )
