"""The table of values in the chart's README, made from values.yaml.

python readme.py      writes it
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator

import yaml

from render import CHART

BEGIN = "<!-- values: written by ci/kubernetes/readme.py -->"
END = "<!-- end of values -->"
COMMENT = re.compile(r"^\s*# -- (.*)$")
MORE = re.compile(r"^\s*# (?!-- )(.*)$")
KEY = re.compile(r"^(\s*)([A-Za-z]+):(.*)$")


def rows() -> Iterator[tuple[str, str, str]]:
    """Key, default and meaning of each value.

    A single value without a comment is an error; a mapping with a comment is one row."""
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    path: list[tuple[int, str]] = []
    whole: str | None = None
    meaning: str | None = None
    for line in text.splitlines():
        if comment := COMMENT.match(line):
            meaning = comment[1]
            continue
        if meaning and (comment := MORE.match(line)):
            meaning += " " + comment[1]
            continue
        key = KEY.match(line)
        if not key:
            continue
        depth = len(key[1])
        path = [step for step in path if step[0] < depth] + [(depth, key[2])]
        name = ".".join(step for _, step in path)
        if whole and name.startswith(whole + "."):
            continue
        value = values
        for _, step in path:
            value = value[step]
        is_group = isinstance(value, dict) and value and meaning is None
        if is_group:
            continue
        if meaning is None:
            raise SystemExit(f"values.yaml: {name} has no `# --` comment")
        if isinstance(value, (dict, list)) and value:
            whole = name
        default = "`" + json.dumps(value, ensure_ascii=False).replace("|", "\\|") + "`"
        yield f"`{name}`", default, meaning or ""
        meaning = None


def table() -> str:
    lines = ["| value | default | meaning |", "|---|---|---|"]
    lines += [f"| {key} | {default} | {meaning} |" for key, default, meaning in rows()]
    return "\n".join([BEGIN, "", *lines, "", END])


def renewed() -> str:
    old = (CHART / "README.md").read_text()
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, "the README has no marked lines for the table"
    return before + table() + after


def check() -> Iterator[str]:
    if (CHART / "README.md").read_text() != renewed():
        yield "it is out of date: `just chart-write` writes it"


if __name__ == "__main__":
    (CHART / "README.md").write_text(renewed())
    sys.exit(0)
