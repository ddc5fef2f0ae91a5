"""Fails if a comment or a paragraph of Markdown is wider than 100 columns.

    python3 ci/source/columns.py

It checks the comments of all languages in this repository, also those after code and those of
templates. Those of Python and its docstrings are checked by ruff (W505, `ci/python`), and the width
of code by the formatters. Messages are code.

Only text that cannot be wrapped is exempt: rows of tables, code blocks, a single word (a link, a
path), the target of a link reference, and directives to a linter, which must stay beside the code.
"""

from __future__ import annotations

import re
import sys

import rust
from tree import ROOT, files, read

WIDTH = 100

FENCE = re.compile(r"^\W*(```|~~~)")
REFERENCE = re.compile(r"^\s*\[[^\]]+\]:\s")
# Not words of a sentence: delimiters of comments and templates, and list markers.
MARK = re.compile(r"//[/!]?|/?\*+/?|#+|[-*+]|\{\{-?|-?\}\}|<!--|-->")
LINTER = re.compile(r"#\s*(shellcheck |hadolint |yamllint )")

# What is prose: the group `prose`. Other matches are strings.
MARKDOWN = re.compile(r"(?P<prose>.+)", re.DOTALL)
# `#` at the beginning of a word, to the end of the line; and the comments of Go templates.
HASHES = re.compile(
    r"""(?P<prose>(?<!\S)\#[^\n]*|\{\{-?\s*/\*.*?\*/\s*-?\}\})|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""",
    re.DOTALL,
)
BLOCKS = re.compile(r"(?P<prose>/\*.*?\*/|<!--.*?-->)", re.DOTALL)
LANGUAGES = {
    r"\.md$": MARKDOWN,
    r"\.rs$": rust.NOISE,
    r"\.(sh|ya?ml|toml|tpl)$|requirements\.txt$|(^|/)(\.\w+ignore|Dockerfile|justfile)$": HASHES,
    r"\.(css|js|mjs|html)$": BLOCKS,
}


def language(path: str) -> re.Pattern[str] | None:
    for pattern, tokens in LANGUAGES.items():
        if re.search(pattern, path):
            return tokens
    is_shell = "." not in path.rsplit("/", 1)[-1] and re.match(
        rb"#!.*\b(bash|sh)\n", (ROOT / path).read_bytes()
    )
    return HASHES if is_shell else None


def too_long(text: str, tokens: re.Pattern[str]) -> list[int]:
    """The numbers of the lines that are too long and could be wrapped."""
    lines, found = text.split("\n"), []
    is_code = False
    for token in tokens.finditer(text):
        first = text.count("\n", 0, token.start()) + 1
        for number, prose in enumerate((token["prose"] or "").split("\n"), first):
            is_code ^= bool(FENCE.match(prose))
            words = [word for word in prose.split() if not MARK.fullmatch(word)]
            line = lines[number - 1]
            if len(line) <= WIDTH or is_code or not words or words[0].startswith("|"):
                continue
            is_trailing = not line.lstrip().startswith(prose.strip())
            wraps = len(words) > 1 or is_trailing
            if wraps and not REFERENCE.match(prose) and not LINTER.search(prose):
                found.append(number)
    return found


if __name__ == "__main__":
    checked = {path: tokens for path in files() if (tokens := language(path))}
    found = [
        f"{path}:{n}" for path, tokens in checked.items() for n in too_long(read(path), tokens)
    ]
    print(*found, f"columns: {len(checked)} files, {len(found)} lines too long", sep="\n")
    sys.exit(bool(found))
