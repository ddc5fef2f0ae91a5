"""Mistakes made on purpose, each in a copy of the chart: a check that lets one pass is no check."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from render import CHART, Rendered, render

# File, what is there, what is put there instead, and a word of the complaint.
MUTATIONS = [
    ("_helpers.tpl", "port: internal", "port: admin", "asks the port admin"),
    ("_helpers.tpl", "path: /readyz", "path: /healthz", "readinessProbe asks /healthz"),
    ("_helpers.tpl", "enableServiceLinks: false", "enableServiceLinks: true", "service links"),
    ("_helpers.tpl", "automountServiceAccountToken: {{ .token | default false }}", "automountServiceAccountToken: true", "tokens are mounted by"),
    ("_helpers.tpl", "- name: POD_NAMESPACE", "- name: POD_NAMESPCE", "does not know POD_NAMESPCE"),
    ("_helpers.tpl", "      name: {{ include \"toystore.tokenSecret\" .root }}", "      name: another", "there is none"),
    (
        "_helpers.tpl",
        "        {{- include \"toystore.selectorLabels\" . | nindent 8 }}\n    spec:",
        "        {{- include \"toystore.labels\" . | nindent 8 }}\n    spec:",
        "labels of its volumes",
    ),
    ("order/statefulset.yaml", "order-peers", "order", "no headless service"),
    ("order/statefulset.yaml", "podManagementPolicy: Parallel", "podManagementPolicy: Paralell", "no known word"),
    ("order/statefulset.yaml", "minReadySeconds: 5", "minReadySecond: 5", "minReadySecond"),
    ("order/statefulset.yaml", "key: order-replicas", "key: replicas", "there is none"),
    ("order/services.yaml", "publishNotReadyAddresses: true", "publishNotReadyAddresses: false", "hides who is not ready"),
    ("order/services.yaml", "targetPort: replication", "targetPort: raft", "has no port raft"),
    ("catalog/statefulset.yaml", "containerPort: 1131", "containerPort: 1132", "is not the pod's"),
    ("poddisruptionbudgets.yaml", "maxUnavailable: 1", "maxUnavailable: 2", "may not go"),
    ("discovery-rbac.yaml", "[get, list, watch]", "[get, list, watch, delete]", "more or less"),
    ("networkpolicies.yaml", "\"port\" 1124", "\"port\" 1125", "nobody listens"),
    ("frontend/service.yaml", "$of | nindent 4", "(set (deepCopy $of) \"component\" \"front\") | nindent 4", "selects nothing"),
]

Check = Callable[[Rendered], Iterable[str]]


def check(checks: list[Check]) -> Iterator[str]:
    """The mutations that no check complains of."""
    with tempfile.TemporaryDirectory() as directory:
        for number, (file, old, new, complaint) in enumerate(MUTATIONS):
            chart = Path(directory) / str(number) / "toystore"
            shutil.copytree(CHART, chart)
            path = chart / "templates" / file
            text = path.read_text()
            if old not in text:
                yield f"{file}: there is no {old!r}"
                continue
            path.write_text(text.replace(old, new))
            rendered = render({"networkPolicy": {"enabled": True}}, chart=chart)
            if not any(complaint in mistake for check in checks for mistake in check(rendered)):
                yield f"{file}: {new!r} instead of {old!r} is let through"
