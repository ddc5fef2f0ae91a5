"""`k8s/`: the chart, rendered for use without Helm.

HELM_DRIVER=memory python plain.py      writes it
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from json_handler import Object
from render import CHART, REPOSITORY, load, render

DIRECTORY = REPOSITORY / "k8s"
NAMESPACE = "toystore"
# The Secret is not in the repository: users create it (k8s/README.md), and pods wait for it.
VALUES: Object = {
    "internalToken": {"existingSecret": "toystore-internal"},
    "networkPolicy": {"enabled": True},
}
HEAD = "# Rendered from helm/toystore by `just chart-write`. Change it there.\n"
# Labels and annotations about Helm, which would be wrong here.
OF_HELM = re.compile(r"^\s*(helm\.sh/chart: .*|app\.kubernetes\.io/managed-by: .*)\n", re.MULTILINE)


def documents(text: str) -> Iterator[tuple[Object, str]]:
    """Each object with its text, including comments."""
    for part in re.split(r"^---$", text, flags=re.MULTILINE):
        part = re.sub(r"^# Source: .*\n", "", part.strip() + "\n", flags=re.MULTILINE)
        for thing in load(part):
            yield thing, OF_HELM.sub("", part)


def files() -> dict[str, str]:
    """The files that the directory should contain, by path."""
    rendered = render(VALUES, namespace=NAMESPACE)
    by_component: dict[str, list[str]] = {}
    for thing, text in documents(rendered.text):
        component = thing["metadata"]["labels"]["app.kubernetes.io/component"]
        file = component if component in {"catalog", "order", "frontend"} else "shared"
        by_component.setdefault(f"{file}.yaml", []).append(text)
    load_test = render({**VALUES, "loadTest": {"enabled": True}}, namespace=NAMESPACE)
    job = next(text for thing, text in documents(load_test.text) if thing["kind"] == "Job")
    rendered_files = {
        name: HEAD + "---\n" + "---\n".join(texts) for name, texts in by_component.items()
    }
    # Without a release no names keep the runs apart, so each `kubectl create` generates one.
    job = re.sub(
        r'^  name: "toystore-loadtest-\w+"$',
        '  generateName: "toystore-loadtest-"',
        job,
        flags=re.MULTILINE,
    )
    job = re.sub(r"^  annotations:\n(    toystore/loadtest-.*\n)+", "", job, flags=re.MULTILINE)
    return rendered_files | {"loadtest/job.yaml": HEAD + job}


def check() -> Iterator[str]:
    for name, text in files().items():
        path = DIRECTORY / name
        if not path.exists() or path.read_text() != text:
            yield f"k8s/{name} is out of date: `just chart-write` writes it"
    kustomization = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text())
    listed = set(kustomization["resources"])
    there = {path.name for path in DIRECTORY.glob("*.yaml")} - {"kustomization.yaml", "kind.yaml"}
    image = kustomization["images"][0]
    if image["newTag"] != yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]:
        yield f"kustomization.yaml takes the image {image['newTag']}, and the chart another one"
    if listed != there:
        yield f"kustomization.yaml lists {sorted(listed)}, and there are {sorted(there)}"


def write(directory: Path = DIRECTORY) -> None:
    for name, text in files().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    write()
    sys.exit(0)
