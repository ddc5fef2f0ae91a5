"""Checks that the program knows all variables and flags that the chart sets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pods import containers, pods
from render import REPOSITORY, Rendered


def known(command: str) -> set[str] | None:
    """The variables and flags of a subcommand, or `None` if there is no such subcommand.

    A test keeps docs/settings.md equal to what the program knows.
    """
    page = (REPOSITORY / "docs/settings.md").read_text()
    section = re.search(
        rf"^## `toystore {command}`$(.*?)(?=^## |^<!--|\Z)", page, re.DOTALL | re.MULTILINE
    )
    return set(re.findall(r"`([A-Z0-9_]+|--[a-z0-9-]+)` \|", section[1])) if section else None


def check(rendered: Rendered) -> Iterator[str]:
    for name, _, template in pods(rendered):
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
