"""The values with which the chart is rendered and checked."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator

import yaml

from json_handler import Object
from render import CHART, REPOSITORY, Rendered, render

PLACE: Object = {
    "podLabels": {"team": "toys"},
    "podAnnotations": {"example.com/note": "yes"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "toys", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {
                        "matchExpressions": [
                            {
                                "key": "kubernetes.io/arch",
                                "operator": "In",
                                "values": ["amd64", "arm64"],
                            }
                        ]
                    }
                ]
            }
        }
    },
    "priorityClassName": "toys",
    "topologySpread": {"hostname": "DoNotSchedule", "zone": "DoNotSchedule"},
    "extraEnv": [{"name": "WORKER_THREADS", "value": "2"}],
}
DISK: Object = {
    "persistence": {
        "storageClass": "fast",
        "accessMode": "ReadWriteOncePod",
        "retentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"},
    }
}
OUTSIDE: list[Object] = [{"ipBlock": {"cidr": "203.0.113.0/24"}}]

EVERYTHING: Object = {
    "nameOverride": "toys",
    "image": {
        "registry": "registry.example",
        "repository": "team/toystore",
        "digest": "sha256:" + "0" * 64,
        "pullPolicy": "Always",
    },
    "imagePullSecrets": [{"name": "registry"}],
    "log": {"format": "text", "level": "order=debug,info"},
    "internalToken": {"value": "a-token-of-ones-own"},
    "serviceAccounts": {"annotations": {"example.com/role": "toys"}},
    "frontend": {
        **PLACE,
        "cacheSize": 1000000,
        "service": {
            "type": "NodePort",
            "port": 80,
            "nodePort": 30110,
            "annotations": {"example.com/lb": "internal"},
        },
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"example.com/limit": "100"},
            "hosts": ["toys.example", "shop.example"],
            "tls": [{"hosts": ["toys.example"], "secretName": "toys-tls"}],
        },
        "autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 9},
    },
    "catalog": {
        **PLACE,
        **DISK,
        "replicas": 3,
        "products": "name,price,quantity\nTux,25.99,100\n",
        "restock": {"intervalMs": 3600000, "level": 10000000},
    },
    "order": {**PLACE, **DISK, "replicas": 5},
    "networkPolicy": {
        "enabled": True,
        "publicFrom": OUTSIDE,
        "apiServer": {"to": OUTSIDE},
        "extraEgress": [{"ports": [{"port": 4317}], "to": OUTSIDE}],
    },
    "metrics": {
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Toys"}},
    },
    "loadTest": {
        "enabled": True,
        "scenario": (REPOSITORY / "loadtest" / "smoke.toml").read_text(),
        "nodeSelector": {"role": "load"},
    },
}

# The smallest store: without volumes, budgets and monitoring.
LEAST: Object = {
    "frontend": {"replicas": 1, "topologySpread": {"hostname": "Ignore", "zone": "Ignore"}},
    "catalog": {
        "replicas": 1,
        "persistence": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
    },
    "order": {"replicas": 1, "persistence": {"enabled": False}},
    "metrics": {"scrapeAnnotations": False, "serviceMonitor": {"enabled": True}},
    "loadTest": {
        "enabled": True,
        "shoppers": 16,
        "metricsPort": 0,
        "extraEnv": [{"name": "SEED", "value": "7"}],
    },
}

# Unusual values: a tag that is a number, and volumes created by hand.
UNUSUAL: Object = {"image": {"tag": 20260101}, "order": {"persistence": {"storageClass": "-"}}}

# Strings that some YAML parser, 1.1 or 1.2, reads as something else unless they are quoted. Those
# that are valid labels and names come first.
HOSTILE_NAMES = [
    "123",
    "1e3",
    "0x10",
    "0o17",
    "true",
    "null",
    "no",
    "y",
    "off",
    "2026-01-01",
    "08",
    "1.5",
    "1.e3",
]
HOSTILE_LABELS = [*HOSTILE_NAMES, "1_000", "1__0", "0b1_0", "NULL", "Off", "1E5", "0X1f", ""]
HOSTILE = [
    *HOSTILE_LABELS,
    "=",
    "<<",
    "~",
    "-",
    ".5",
    "+1",
    ".inf",
    ".NaN",
    "12:30:45",
    "- a",
    "a: b",
    "a #b",
    "&a",
    "*a",
    "!a",
    "%a",
    "@a",
    "`a",
    "? a",
    "|",
    ">",
    "[",
    "{",
    "'",
    '"',
    "\\",
    " a ",
    "a\nb",
    "\ta",
    "2001-12-14t21:59:43.10-05:00",
    "\u0085\u2028\ufeff",
]


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

# Values that must be refused, and a word of the error message.
REFUSED: list[tuple[Object, str]] = [
    ({"order": {"replicas": 2}}, "replicas"),
    ({"catalog": {"replicas": 0}}, "replicas"),
    ({"order": {"replica": 3}}, "replica"),
    ({"frontend": {"ingres": {}}}, "ingres"),
    ({"image": {"digest": "sha256:12"}}, "digest"),
    ({"internalToken": {"value": "short"}}, "value"),
    ({"internalToken": {"enabled": False}}, "enabled"),
    ({"catalog": {"leaseMs": 5000}}, "leaseMs"),
    ({"order": {"topologySpread": {"hostname": "Never"}}}, "hostname"),
    ({"loadTest": {"purchaseProbability": 1.5}}, "purchaseProbability"),
    (
        {"metrics": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}},
        "scraped twice",
    ),
    ({"order": {"podLabels": {"app.kubernetes.io/name": "mine"}}}, "order.podLabels"),
    (
        {
            "metrics": {
                "podMonitor": {"enabled": True, "labels": {"app.kubernetes.io/instance": "mine"}}
            }
        },
        "metrics.podMonitor.labels",
    ),
    (
        {"frontend": {"autoscaling": {"enabled": True, "minReplicas": 4, "maxReplicas": 3}}},
        "maxReplicas",
    ),
]


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


# Changes that no upgrade of the default store can make, and parts of the error message: the value,
# and what to do.
IMMUTABLE: list[tuple[Object, list[str]]] = [
    (
        {"order": {"persistence": {"size": "10Gi"}}},
        [
            "order.persistence.size=1Gi",
            "patch pvc data-toystore-order-$n",
            '"storage":"10Gi"',
            "delete statefulset toystore-order --cascade=orphan",
        ],
    ),
    (
        {"catalog": {"persistence": {"size": "500Mi"}}},
        ["catalog.persistence.size=1Gi", "cannot be made smaller"],
    ),
    (
        {"order": {"persistence": {"storageClass": "fast"}}},
        ["order.persistence.storageClass", "--cascade=orphan"],
    ),
    (
        {"order": {"persistence": {"accessMode": "ReadWriteOncePod"}}},
        ["order.persistence.accessMode", "--cascade=orphan"],
    ),
    (
        {"catalog": {"persistence": {"enabled": False}}},
        ["catalog.persistence.enabled", "--cascade=orphan"],
    ),
    ({"nameOverride": "shop", "fullnameOverride": "toystore"}, ["nameOverride"]),
    ({"fullnameOverride": "another"}, ["fullnameOverride"]),
]


def scenarios() -> Iterator[tuple[str, Rendered]]:
    yield "default values", render({})
    yield "values-ha.yaml", render(yaml.safe_load((CHART / "values-ha.yaml").read_text()))
    yield "everything on", render(EVERYTHING, name="shop")
    yield "the least", render(LEAST)
    # Helm allows at most 53 characters.
    yield "a long name", render({}, name="a" * 53, namespace="n" * 63)
    yield "unusual words", render(UNUSUAL, name="my.toystore")
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
