"""Checks that the program knows all variables and flags that the chart sets."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

from pods import containers, pods
from render import REPOSITORY, Rendered


def known(command: str) -> set[str] | None:
    """The variables and flags of a subcommand, or `None` if there is no such subcommand.

    They are read from `--help` if `TOYSTORE` names the program, else from docs/settings.md, which a
    test keeps equal to it."""
    if program := os.environ.get("TOYSTORE"):
        said = subprocess.run(
            [program, command, "--help"], capture_output=True, text=True, check=False
        )
        # The help is wrapped at the terminal's width.
        words = re.findall(
            r"(?<=\[env: )[A-Z0-9_]+|(?<=\s)--[a-z0-9-]+", re.sub(r"\s+", " ", said.stdout)
        )
        return set(words) if said.returncode == 0 else None
    page = (REPOSITORY / "docs/settings.md").read_text()
    section = re.search(
        rf"^## `toystore {command}`$(.*?)(?=^## |^<!--|\Z)", page, re.DOTALL | re.MULTILINE
    )
    return set(re.findall(r"`([A-Z0-9_]+|--[a-z0-9-]+)` \|", section[1])) if section else None


def check(rendered: Rendered) -> Iterator[str]:
    for name, thing, template in pods(rendered):
        for container in containers(template["spec"]):
            command = container["args"][0]
            words = known(command)
            if words is None:
                yield f"{name}: there is no `toystore {command}`"
                continue
            flags = [word.partition("=")[0] for word in container["args"] if word.startswith("--")]
            for word in sorted(v["name"] for v in container.get("env", [])) + flags:
                if word not in words:
                    yield f"{name}: `toystore {command}` does not know {word}"
