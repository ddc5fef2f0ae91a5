"""What is generated from the chart: its README's table of values, and `k8s/`, for use without Helm.

HELM_DRIVER=memory python generated.py      writes it
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from api_server import Object
from render import CHART, REPOSITORY, load, render

README = CHART / "README.md"
BEGIN = "<!-- values: written by ci/kubernetes/generated.py -->"
END = "<!-- end of values -->"
# The indentation and the text of a `# --` comment, with its further lines, and the key below it.
COMMENT = re.compile(r"^( *)# -- (.*(?:\n *# (?!-- ).*)*)\n *(\w+):|^( *)(\w+):", re.MULTILINE)

NAMESPACE = "toystore"
# The Secret is not in the repository: users create it (k8s/README.md), and pods wait for it.
VALUES: Object = {
    "internalToken": {"existingSecret": "toystore-internal"},
    "networkPolicy": {"enabled": True},
}
HEAD = "# Rendered from helm/toystore by `just chart-write`. Change it there.\n"
# Labels and annotations about Helm, which would be wrong here.
OF_HELM = re.compile(r"^\s*(helm\.sh/chart: .*|app\.kubernetes\.io/managed-by: .*)\n", re.MULTILINE)
# Without a release no names keep the runs apart, so each `kubectl create` generates one.
RUN_NAME = re.compile(r'^  name: "toystore-loadtest-\w+"$', re.MULTILINE)
RUN_VALUES = re.compile(r"^  annotations:\n(    toystore/loadtest-.*\n)+", re.MULTILINE)


def meanings(text: str) -> dict[str, str]:
    """The comments of values.yaml, by the values' names."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for match in COMMENT.finditer(text):
        indent, meaning, key = match[1] or match[4] or "", match[2], match[3] or match[5]
        path = [step for step in path if step[0] < len(indent)] + [(len(indent), key)]
        if meaning:
            found[".".join(step for _, step in path)] = re.sub(r"\n *# ", " ", meaning)
    return found


def rows(values: Object, meaning: dict[str, str], parent: str = "") -> Iterator[str]:
    """A row for each value: a mapping with a comment is one value."""
    for key, value in values.items():
        name = parent + key
        if name not in meaning and isinstance(value, dict) and value:
            yield from rows(value, meaning, f"{name}.")
            continue
        assert name in meaning, f"values.yaml: {name} has no `# --` comment"
        default = json.dumps(value, ensure_ascii=False).replace("|", "\\|")
        yield f"| `{name}` | `{default}` | {meaning[name]} |"


def readme() -> str:
    text = (CHART / "values.yaml").read_text()
    before, _, rest = README.read_text().partition(BEGIN)
    head = [BEGIN, "", "| value | default | meaning |", "|---|---|---|"]
    table = [*head, *rows(yaml.safe_load(text), meanings(text)), "", END]
    return before + "\n".join(table) + rest.partition(END)[2]


def documents(values: Object) -> Iterator[tuple[Any, str]]:
    """Each object with its text, including comments."""
    for part in re.split(r"^---$", render(values, namespace=NAMESPACE).text, flags=re.MULTILINE):
        text = re.sub(r"^# Source: .*\n", "", part.strip() + "\n", flags=re.MULTILINE)
        for thing in load(text):
            yield thing, OF_HELM.sub("", text)


def files() -> dict[Path, str]:
    """What the files should contain."""
    parts: dict[str, list[str]] = {}
    for thing, text in documents(VALUES):
        component = thing["metadata"]["labels"]["app.kubernetes.io/component"]
        file = component if component in {"catalog", "order", "frontend"} else "shared"
        parts.setdefault(f"{file}.yaml", []).append(f"---\n{text}")
    load_test = documents({**VALUES, "loadTest": {"enabled": True}})
    job = next(text for thing, text in load_test if thing["kind"] == "Job")
    job = RUN_VALUES.sub("", RUN_NAME.sub('  generateName: "toystore-loadtest-"', job))
    parts["loadtest/job.yaml"] = [job]
    manifests = {REPOSITORY / "k8s" / name: HEAD + "".join(texts) for name, texts in parts.items()}
    return {README: readme(), **manifests}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
