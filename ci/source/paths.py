"""Fails if a text names a path of this repository that does not exist.

    python3 ci/source/paths.py

It reads Markdown, the comments of Rust, and all lines of scripts and configuration files. lychee
checks the links (ci/sources).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tree import ROOT, files, read

# A path from the root of the repository.
MENTION = re.compile(
    r"(?<![\w./-])((?:crates|docs|helm|k8s|monitoring|ci|\.ci|\.github|loadtest|bench|fuzz)/[\w./-]*[\w/])(?![\w*{<…$])"
)
# Files that programs write while they run.
MADE = re.compile(r"^(fuzz/(corpus|artifacts|target)\b|bench/target\b)")
TEXTS = [
    "*.md",
    "*.rs",
    "*.py",
    "*.toml",
    "*.yaml",
    "*.yml",
    "*.sh",
    ".ci/*",
    "ci/*",
    "justfile",
    "Dockerfile",
]


def stale(path: str) -> Iterator[str]:
    # The text may be about one directory, such as k8s/.
    places = [ROOT, ROOT / "k8s", ROOT / Path(path).parent]
    for number, line in enumerate(read(path).splitlines(), 1):
        if path.endswith(".rs") and not line.lstrip().startswith("//"):
            continue
        for named in MENTION.findall(line):
            if not any((place / named).exists() for place in places) and not MADE.match(named):
                yield f"{path}:{number}: there is no {named}"


if __name__ == "__main__":
    texts = files(*TEXTS)
    mistakes = [mistake for path in texts for mistake in stale(path)]
    print(*mistakes, f"paths: {len(texts)} files, {len(mistakes)} mistakes", sep="\n")
    sys.exit(bool(mistakes))
