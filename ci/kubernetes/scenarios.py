"""The values with which the chart is rendered and checked."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from json_handler import Object
from render import CHART, REPOSITORY, Rendered, merged, render

VALUES: Object = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
SMOKE_TEST = {"loadTest": {"scenario": (REPOSITORY / "loadtest" / "smoke.toml").read_text()}}
EVERYTHING = merged(VALUES["everything"], SMOKE_TEST)
REFUSED: list[tuple[Object, str]] = VALUES["refused"]
IMMUTABLE: list[tuple[Object, list[str]]] = VALUES["immutable"]

HOSTILE_NAMES: list[str] = VALUES["hostile_names"]
HOSTILE_LABELS: list[str] = HOSTILE_NAMES + VALUES["hostile_labels"]
HOSTILE: list[str] = HOSTILE_LABELS + VALUES["hostile"]


def numbered(words: list[str]) -> Object:
    return {f"example.com/a{number}": word for number, word in enumerate(words)} | {
        word: word for word in words if word in HOSTILE_NAMES
    }


def hostile_place(word: str) -> Object:
    return {
        "podLabels": numbered(HOSTILE_LABELS),
        "podAnnotations": numbered(HOSTILE),
        "nodeSelector": numbered(HOSTILE_LABELS),
        "tolerations": [
            {"key": name, "operator": "Equal", "value": name} for name in HOSTILE_NAMES
        ],
        "priorityClassName": word,
        "extraEnv": [
            {"name": "WORKER_THREADS", "value": "1e3"},
            {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "="},
        ],
    }


HOSTILE_VALUES: Object = {
    "image": {"registry": "123", "repository": "0x10", "tag": "1e3"},
    "imagePullSecrets": [{"name": name} for name in HOSTILE_NAMES],
    "log": {"level": "off"},
    "internalToken": {"existingSecret": "1e3", "key": "null"},
    "serviceAccounts": {"annotations": numbered(HOSTILE)},
    "frontend": {
        **hostile_place("true"),
        "service": {"annotations": numbered(HOSTILE)},
        "ingress": {
            "enabled": True,
            "className": "no",
            "annotations": numbered(HOSTILE),
            "hosts": HOSTILE_NAMES,
            "tls": [{"hosts": HOSTILE_NAMES, "secretName": "0x10"}],
        },
    },
    "catalog": {
        **hostile_place("null"),
        "products": " name,price,quantity\n\tTux,25.99,100\n",
        "persistence": {"storageClass": "1e3", "size": "1"},
    },
    "order": {**hostile_place("123"), "persistence": {"storageClass": "123", "size": "5"}},
    "metrics": {
        "podMonitor": {"enabled": True, "labels": numbered(HOSTILE_LABELS)},
        "prometheusRule": {"enabled": True, "labels": numbered(HOSTILE_LABELS)},
        "dashboards": {
            "enabled": True,
            "labels": numbered(HOSTILE_LABELS),
            "annotations": numbered(HOSTILE),
        },
    },
    "loadTest": {
        "enabled": True,
        "run": "1e3",
        "scenario": "\tname = '1e3' # <x> & y\n",
        "extraEnv": [{"name": "SEED", "value": "1e3"}],
    },
}


def running(component: str, replicas: int = 3, values: Object | None = None) -> Object:
    """A StatefulSet of an installed store, as the API server returns it."""
    thing = copy.deepcopy(
        installed(json.dumps(values or {})).find("StatefulSet", f"toystore-{component}")
    )
    assert thing
    thing["spec"]["replicas"] = replicas
    thing["metadata"]["annotations"] = {"meta.helm.sh/release-name": "toystore"}
    for claim in thing["spec"].get("volumeClaimTemplates", []):
        claim["spec"]["volumeMode"] = "Filesystem"
        claim["status"] = {"phase": "Pending"}
    return thing


@functools.cache
def installed(values: str) -> Rendered:
    return render(json.loads(values))


def claim(component: str, ordinal: int, phase: str) -> Object:
    metadata = {"name": f"data-toystore-{component}-{ordinal}", "namespace": "shop"}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "status": {"phase": phase},
    }


def scenarios() -> Iterator[tuple[str, Rendered]]:
    yield "default values", render({})
    yield "values-ha.yaml", render(yaml.safe_load((CHART / "values-ha.yaml").read_text()))
    yield "everything on", render(EVERYTHING, name="shop")
    yield "the least", render(VALUES["least"])
    # Helm allows at most 53 characters.
    yield "a long name", render({}, name="a" * 53, namespace="n" * 63)
    yield "unusual words", render(VALUES["unusual"], name="my.toystore")
    yield (
        "a Secret of one's own",
        render({"internalToken": {"existingSecret": "mine", "key": "secret"}}),
    )
    yield "scaling in from five", render({}, existing=[running("order", 5)])
    yield (
        "strings that look like something else",
        render(HOSTILE_VALUES, name="1e3", namespace="123"),
    )
    yield "a part of another chart", render({"enabled": True, "global": {"imageRegistry": "x"}})
