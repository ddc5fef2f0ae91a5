"""A minimal API server: enough for Helm to install a chart into it.

Helm's engine has no call that only renders. Installing into this server gives the manifest, the
hooks and the notes, and lets templates look objects up, as in a cluster.
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from json_handler import JsonHandler, Object

# The resources of the cluster: group and version, kind, plural.
RESOURCES = [
    ("v1", "ConfigMap", "configmaps"),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("v1", "Pod", "pods"),
    ("v1", "Secret", "secrets"),
    ("v1", "Service", "services"),
    ("v1", "ServiceAccount", "serviceaccounts"),
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    ("batch/v1", "Job", "jobs"),
    ("monitoring.coreos.com/v1", "PodMonitor", "podmonitors"),
    ("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules"),
    ("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors"),
    ("networking.k8s.io/v1", "Ingress", "ingresses"),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io/v1", "Role", "roles"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
]


def root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def discovery(version: str) -> dict[str, Object]:
    """The discovery documents of the API."""
    api_versions = sorted({api_version for api_version, _, _ in RESOURCES})
    groups = []
    documents: dict[str, Object] = {
        "/version": {"major": "1", "minor": version.split(".")[1], "gitVersion": f"v{version}.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
    }
    for api_version in api_versions:
        if "/" in api_version:
            entry = {"groupVersion": api_version, "version": api_version.split("/")[1]}
            groups.append(
                {"name": api_version.split("/")[0], "versions": [entry], "preferredVersion": entry}
            )
        documents[root(api_version)] = {
            "kind": "APIResourceList",
            "groupVersion": api_version,
            "resources": [
                {
                    "name": plural,
                    "singularName": kind.lower(),
                    "namespaced": True,
                    "kind": kind,
                    "verbs": ["get", "create"],
                }
                for of, kind, plural in RESOURCES
                if of == api_version
            ],
        }
    documents["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    return documents


def path_of(thing: Object) -> str:
    plural = next(p for v, k, p in RESOURCES if (v, k) == (thing["apiVersion"], thing["kind"]))
    metadata = thing["metadata"]
    return f"{root(thing['apiVersion'])}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"


@contextmanager
def api_server(version: str, existing: list[Object]) -> Iterator[str]:
    """Serves on a free port while the context is active; yields the address.

    Templates can look up the `existing` objects.
    """
    documents = discovery(version) | {path_of(thing): thing for thing in existing}
    for thing in existing:
        # Items of a list have neither of these fields, and clients accept both forms.
        everything = {
            "apiVersion": thing["apiVersion"],
            "kind": f"{thing['kind']}List",
            "metadata": {},
            "items": [],
        }
        documents.setdefault(path_of(thing).rpartition("/")[0], everything)["items"].append(thing)

    class Handler(JsonHandler):
        def do_GET(self) -> None:
            found = documents.get(self.path.partition("?")[0])
            missing = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "reason": "NotFound",
                "code": 404,
            }
            self.answer(200 if found else 404, found or missing)

        def do_POST(self) -> None:
            created = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(201, created)

        def do_PATCH(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
