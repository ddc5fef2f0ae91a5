"""The values with which the chart is rendered and checked."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path

import yaml

from api_server import Object
from render import CHART, REPOSITORY, Rendered, merged, render

VALUES: Object = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
SMOKE_TEST = {"loadTest": {"scenario": (REPOSITORY / "loadtest" / "smoke.toml").read_text()}}
HIGH_AVAILABILITY: Object = yaml.safe_load((CHART / "values-ha.yaml").read_text())

HOSTILE_NAMES: list[str] = VALUES["hostile_names"]
HOSTILE_LABELS: list[str] = HOSTILE_NAMES + VALUES["hostile_labels"]


def numbered(words: list[str]) -> Object:
    keys = {word: word for word in words if word in HOSTILE_NAMES}
    return {f"example.com/a{number}": word for number, word in enumerate(words)} | keys


LABELS, ANNOTATIONS = numbered(HOSTILE_LABELS), numbered(HOSTILE_LABELS + VALUES["hostile"])
MARKS = {"labels": LABELS, "annotations": ANNOTATIONS}
PLACE = {
    "podLabels": LABELS,
    "podAnnotations": ANNOTATIONS,
    "nodeSelector": LABELS,
    "tolerations": [{"key": name, "operator": "Equal", "value": name} for name in HOSTILE_NAMES],
}
INGRESS = {
    "annotations": ANNOTATIONS,
    "hosts": HOSTILE_NAMES,
    "tls": [{"hosts": HOSTILE_NAMES, "secretName": "0x10"}],
}
HOSTILE: Object = merged(
    {
        "imagePullSecrets": [{"name": name} for name in HOSTILE_NAMES],
        "serviceAccounts": {"annotations": ANNOTATIONS},
        "frontend": {**PLACE, "service": {"annotations": ANNOTATIONS}, "ingress": INGRESS},
        "catalog": PLACE,
        "order": PLACE,
        "console": PLACE,
        "metrics": {
            "podMonitor": {"labels": LABELS},
            "prometheusRule": {"labels": LABELS},
            "dashboards": MARKS,
        },
    },
    VALUES["hostile_words"],
)


@functools.cache
def installed() -> Rendered:
    return render({})


def running(component: str, replicas: int = 3) -> Object:
    """A StatefulSet of an installed store, as the API server returns it."""
    thing = copy.deepcopy(installed().find("StatefulSet", f"toystore-{component}"))
    assert thing
    thing["spec"]["replicas"] = replicas
    thing["metadata"]["annotations"] = {"meta.helm.sh/release-name": "toystore"}
    for claim in thing["spec"].get("volumeClaimTemplates", []):
        claim["spec"]["volumeMode"] = "Filesystem"
        claim["status"] = {"phase": "Pending"}
    return thing


def existing(kind: str, name: str, status: Object) -> Object:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "status": status}


SCENARIOS: dict[str, Callable[[], Rendered]] = {
    "default values": installed,
    "values-ha.yaml": lambda: render(HIGH_AVAILABILITY),
    "everything on": lambda: render(merged(VALUES["everything"], SMOKE_TEST), name="shop"),
    "the least": lambda: render(VALUES["least"]),
    # Helm allows at most 53 characters.
    "a long name": lambda: render({}, name="a" * 53, namespace="n" * 63),
    "the console": lambda: render(VALUES["console"]),
    "unusual words": lambda: render(VALUES["unusual"], name="my.toystore"),
    "a Secret of one's own": lambda: render(
        {"internalToken": {"existingSecret": "mine", "key": "secret"}}
    ),
    "scaling in from five": lambda: render({}, existing=[running("order", 5)]),
    "hostile strings": lambda: render(HOSTILE, name="1e3", namespace="123"),
    "a part of another chart": lambda: render({"enabled": True, "global": {"imageRegistry": "x"}}),
}
