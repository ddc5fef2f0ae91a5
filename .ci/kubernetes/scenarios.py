"""The values with which the chart is rendered and judged."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from render import CHART, REPOSITORY, Object, Rendered, render

PLACE: Object = {
    "podLabels": {"team": "toys"},
    "podAnnotations": {"example.com/note": "yes"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "toys", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]}]},
    ]}}},
    "priorityClassName": "toys",
    "topologySpread": {"hostname": "DoNotSchedule", "zone": "DoNotSchedule"},
    "extraEnv": [{"name": "WORKER_THREADS", "value": "2"}],
}
DISK: Object = {"persistence": {"storageClass": "fast", "accessMode": "ReadWriteOncePod", "retentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"}}}
OUTSIDE: Object = [{"ipBlock": {"cidr": "203.0.113.0/24"}}]

EVERYTHING: Object = {
    "nameOverride": "toys",
    "image": {"registry": "registry.example", "repository": "team/toystore", "digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "log": {"format": "text", "level": "order=debug,info"},
    "internalToken": {"value": "a-token-of-ones-own"},
    "serviceAccounts": {"annotations": {"example.com/role": "toys"}},
    "frontend": {
        **PLACE,
        "cacheSize": 1000000,
        "service": {"type": "NodePort", "port": 80, "nodePort": 30110, "annotations": {"example.com/lb": "internal"}},
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"example.com/limit": "100"},
            "hosts": ["toys.example", "shop.example"],
            "tls": [{"hosts": ["toys.example"], "secretName": "toys-tls"}],
        },
        "autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 9},
    },
    "catalog": {**PLACE, **DISK, "replicas": 3, "products": "name,price,quantity\nTux,25.99,100\n", "restock": {"intervalMs": 3600000, "level": 10000000}},
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
    "loadTest": {"enabled": True, "scenario": (REPOSITORY / "loadtest" / "smoke.toml").read_text(), "nodeSelector": {"role": "load"}},
}

# The smallest store: nothing is kept, nothing is guarded, nothing is watched.
LEAST: Object = {
    "internalToken": {"enabled": False},
    "frontend": {"replicas": 1, "topologySpread": {"hostname": "Ignore", "zone": "Ignore"}},
    "catalog": {"persistence": {"enabled": False}, "podDisruptionBudget": {"enabled": False}},
    "order": {"replicas": 1, "persistence": {"enabled": False}},
    "metrics": {"scrapeAnnotations": False, "serviceMonitor": {"enabled": True}},
    "loadTest": {"enabled": True, "shoppers": 16, "metricsPort": 0, "extraEnv": [{"name": "SEED", "value": "7"}]},
}

# What is no usual word: a tag that is a number, and volumes that somebody made by hand.
UNUSUAL: Object = {"image": {"tag": 20260101}, "order": {"persistence": {"storageClass": "-"}}}

# Values that must be refused, and a word that the refusal has in it.
REFUSED: list[tuple[Object, str]] = [
    ({"order": {"replicas": 2}}, "replicas"),
    ({"catalog": {"replicas": 0}}, "replicas"),
    ({"order": {"replica": 3}}, "replica"),
    ({"frontend": {"ingres": {}}}, "ingres"),
    ({"image": {"digest": "sha256:12"}}, "digest"),
    ({"internalToken": {"value": "short"}}, "value"),
    ({"catalog": {"leaseMs": 5000}}, "leaseMs"),
    ({"order": {"topologySpread": {"hostname": "Never"}}}, "hostname"),
    ({"loadTest": {"purchaseProbability": 1.5}}, "purchaseProbability"),
    ({"metrics": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}}, "scraped twice"),
    ({"frontend": {"autoscaling": {"enabled": True, "minReplicas": 4, "maxReplicas": 3}}}, "maxReplicas"),
]


def running_replicas(component: str, replicas: int) -> Object:
    """A StatefulSet of a store that was installed before."""
    metadata = {"name": f"toystore-{component}", "namespace": "shop"}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": {"replicas": replicas}}


def scenarios() -> Iterator[tuple[str, Rendered]]:
    yield "default values", render({})
    yield "values-ha.yaml", render(yaml.safe_load((CHART / "values-ha.yaml").read_text()))
    yield "everything on", render(EVERYTHING, name="shop")
    yield "the least", render(LEAST)
    # 53 characters are the most that Helm allows.
    yield "a long name", render({}, name="a" * 53, namespace="n" * 63)
    yield "unusual words", render(UNUSUAL, name="my.toystore")
    yield "a Secret of one's own", render({"internalToken": {"existingSecret": "mine", "key": "secret"}})
    yield "scaling in from five", render({}, existing=[running_replicas("order", 5)])
