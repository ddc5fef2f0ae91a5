"""The variables that the chart sets, against those that the program knows."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

from pods import containers, pods
from render import REPOSITORY, Rendered

# Variables that the chart sets and the program does not know yet. To be empty: a name that the program has learnt is a mistake here.
AWAITED: dict[str, set[str]] = {
    "catalog": {"CATALOG_SERVICE", "DISCOVERY", "POD_NAME", "POD_NAMESPACE"},
    "order": {"CATALOG_SERVICE", "DISCOVERY", "ORDER2_PORT", "ORDER_PORT", "ORDER_SERVICE", "POD_NAME", "POD_NAMESPACE"},
    "frontend": {"CATALOG_SERVICE", "DISCOVERY", "ORDER_SERVICE", "POD_NAMESPACE", "SHUTDOWN_DELAY_MS"},
}
# Subcommands that may not be there yet.
AWAITED_COMMANDS = {"scale"}


def known(command: str) -> set[str] | None:
    """The variables of a subcommand, `None` if there is none: from its `--help`, if `TOYSTORE` names the program, else from the README, which
    a test keeps equal to it."""
    if program := os.environ.get("TOYSTORE"):
        help_text = subprocess.run([program, command, "--help"], capture_output=True, text=True, check=False)
        return set(re.findall(r"\[env: ([A-Z0-9_]+)\]", help_text.stdout)) if help_text.returncode == 0 else None
    readme = (REPOSITORY / "README.md").read_text()
    section = re.search(rf"^#### `toystore {command}`$(.*?)(?=^####|^<!--|\Z)", readme, re.DOTALL | re.MULTILINE)
    return set(re.findall(r"^\| `([A-Z0-9_]+)`", section[1], re.MULTILINE)) if section else None


def check(rendered: Rendered) -> Iterator[str]:
    for name, thing, template in pods(rendered):
        for container in containers(template["spec"]):
            command = container["args"][0]
            variables = known(command)
            if variables is None:
                if command not in AWAITED_COMMANDS:
                    yield f"{name}: there is no `toystore {command}`"
                continue
            awaited = AWAITED.get(command, set())
            for variable in sorted(v["name"] for v in container.get("env", [])):
                if variable not in variables | awaited:
                    yield f"{name}: `toystore {command}` does not know {variable}"
            for variable in sorted(awaited & variables):
                yield f"{name}: `toystore {command}` knows {variable}: it need not be awaited"
