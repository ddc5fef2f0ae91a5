"""Deliberate mistakes, each in a copy of the chart. The checks must find all of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from render import CHART, Rendered, render

# Objects that must exist for the mistakes to show.
VALUES = {"networkPolicy": {"enabled": True}, "catalog": {"restock": {"level": 10_000_000}}}

CHECKOV = Path(__file__).with_name("checkov.yaml")

Check = Callable[[Rendered], Iterable[str]]


@dataclass(frozen=True)
class Mutation:
    """Replaces `old` by `new` in the template `file`.

    `complaint` is a part of the message that a check must give, or the id of a policy of checkov.
    """

    file: str
    old: str
    new: str
    complaint: str


def mutations() -> list[Mutation]:
    by_file = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    return [
        Mutation(file, one["old"], one["new"], one["complaint"])
        for file, those in by_file.items()
        for one in those
    ]


def check(checks: list[Check]) -> Iterator[str]:
    """The mutations that neither a check nor checkov finds."""
    with tempfile.TemporaryDirectory() as directory:
        manifests = Path(directory) / "manifests"
        manifests.mkdir()
        left: dict[str, Mutation] = {}
        for number, mutation in enumerate(mutations()):
            chart = Path(directory) / str(number) / "toystore"
            shutil.copytree(CHART, chart)
            path = chart / "templates" / mutation.file
            text = path.read_text()
            if mutation.old not in text:
                yield f"{mutation.file}: the template does not contain {mutation.old!r}"
                continue
            path.write_text(text.replace(mutation.old, mutation.new))
            rendered = render(VALUES, chart=chart)
            if not any(mutation.complaint in it for check in checks for it in check(rendered)):
                left[f"/{number}.yaml"] = mutation
                manifests.joinpath(f"{number}.yaml").write_text(rendered.text)
        found = policies(manifests)
        for file, mutation in left.items():
            if (file, mutation.complaint) not in found:
                yield f"{mutation.file}: {mutation.new!r} instead of {mutation.old!r} is not found by any check"


def policies(manifests: Path) -> set[tuple[str, str]]:
    """What checkov finds: the files, each with the id of a policy."""
    checkov = str(Path(sys.executable).with_name("checkov"))
    command = [checkov, f"--config-file={CHECKOV}", f"--directory={manifests}", "--output=json"]
    said = subprocess.run(command, capture_output=True, check=False)
    failed = json.loads(said.stdout)["results"]["failed_checks"]
    return {(one["file_path"], one["check_id"]) for one in failed}
