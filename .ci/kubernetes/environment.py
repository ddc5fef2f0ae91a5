"""The variables that the chart sets, against those that the program knows."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

from pods import containers, pods
from render import REPOSITORY, Rendered


def known(command: str) -> set[str] | None:
    """The variables of a subcommand, `None` if there is none: from its `--help`, if `TOYSTORE` names the program, else from the README, which
    a test keeps equal to it."""
    if program := os.environ.get("TOYSTORE"):
        help_text = subprocess.run([program, command, "--help"], capture_output=True, text=True, check=False)
        return set(re.findall(r"\[env:\s+([A-Z0-9_]+)\]", help_text.stdout)) if help_text.returncode == 0 else None
    readme = (REPOSITORY / "README.md").read_text()
    section = re.search(rf"^#### `toystore {command}`$(.*?)(?=^####|^<!--|\Z)", readme, re.DOTALL | re.MULTILINE)
    return set(re.findall(r"^\| `([A-Z0-9_]+)`", section[1], re.MULTILINE)) if section else None


def check(rendered: Rendered) -> Iterator[str]:
    for name, thing, template in pods(rendered):
        for container in containers(template["spec"]):
            command = container["args"][0]
            variables = known(command)
            if variables is None:
                yield f"{name}: there is no `toystore {command}`"
                continue
            for variable in sorted(v["name"] for v in container.get("env", [])):
                if variable not in variables:
                    yield f"{name}: `toystore {command}` does not know {variable}"
