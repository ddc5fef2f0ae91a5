"""Fails if a document names a file or a heading that does not exist.

    python3 ci/source/links.py

It checks the relative links of all Markdown files, with their anchors, and the paths of this
repository in Markdown, Rust comments and other texts. It does not follow links to other hosts.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tree import ROOT, files, read

FENCE = re.compile(r"^ {0,3}(```|~~~)")
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s>]+)>?(?:\s+\"[^\"]*\")?\)")
CODE = re.compile(r"(`+)(?:.+?)\1")
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
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


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The numbered lines of a Markdown file outside of fenced code."""
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        if mark := FENCE.match(line):
            fence = None if fence == mark[1] else fence or mark[1]
        elif not fence:
            yield number, line


def anchors(text: str) -> set[str]:
    """The anchors that the forge gives to the headings."""
    found: dict[str, int] = {}
    result = set()
    for _, line in prose(text):
        if heading := HEADING.match(line):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).replace("`", "")
            slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            again = found.get(slug, 0)
            found[slug] = again + 1
            result.add(f"{slug}-{again}" if again else slug)
    return result


def is_there(path: str) -> bool:
    return (ROOT / path).exists()


def dead_links(path: str) -> Iterator[str]:
    text = read(path)
    # Joined, because a link's text may be wrapped.
    lines = list(prose(text))
    joined = "\n".join(CODE.sub(lambda code: "`" * len(code[0]), line) for _, line in lines)
    for link in LINK.finditer(joined):
        target = link[1]
        number = lines[joined.count("\n", 0, link.start(1))][0]
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        where = os.path.normpath(Path(path).parent / file) if file else path
        if not is_there(where):
            yield f"{path}:{number}: {target}: there is no {where}"
        elif anchor and where.endswith(".md") and anchor not in anchors(read(where)):
            yield f"{path}:{number}: {target}: {where} has no heading #{anchor}"


def stale_mentions(path: str) -> Iterator[str]:
    for number, line in enumerate(read(path).splitlines(), 1):
        if path.endswith(".rs") and not line.lstrip().startswith("//"):
            continue
        for mention in MENTION.finditer(line):
            named = mention[1]
            # The text may be about one directory, such as k8s/.
            known = is_there(named) or any(
                is_there(f"{top}/{named}") for top in ("k8s", Path(path).parent)
            )
            if not known and not MADE.match(named):
                yield f"{path}:{number}: there is no {named}"


def main() -> int:
    markdown = files("*.md")
    mistakes = [mistake for path in markdown for mistake in dead_links(path)]
    # The ratchets' lists may be older than a rename.
    texts = [
        path
        for path in files(*TEXTS)
        if not (path.startswith("ci/source/") and path.endswith(".txt"))
    ]
    mistakes += dict.fromkeys(mistake for path in texts for mistake in stale_mentions(path))
    print(*mistakes, sep="\n", end="\n" if mistakes else "")
    print(f"links: {len(markdown)} Markdown files, {len(mistakes)} dead")
    return bool(mistakes)


if __name__ == "__main__":
    sys.exit(main())
