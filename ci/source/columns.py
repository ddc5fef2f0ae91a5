"""Comments and Markdown over 100 columns, as a ratchet.

    python3 ci/source/columns.py                     fails if a file has more than is listed
    python3 ci/source/columns.py --update            lowers the counts in the list
    python3 ci/source/columns.py --update --accept   writes all counts, also the higher ones
    python3 ci/source/columns.py --show              prints each line that is too long

The list is columns.txt.

It checks Markdown and the comments of all languages in this repository: also those after code,
those of templates, and the docstrings of Python. It does not check code, whose width is set by the
formatter, and messages, which are code.

Only text that cannot be wrapped is exempt: rows of tables, code blocks, a single word (a link, a
path), the target of a link reference, and directives to a linter, which must stay beside the code.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterator

import rust
from ratchet import compare
from tree import ROOT, files, read

WIDTH = 100
LIST = "ci/source/columns.txt"

FENCE = re.compile(r"^\W*(```|~~~)")
REFERENCE = re.compile(r"^\s*\[[^\]]+\]:\s")
# Not words of a sentence: delimiters of comments and templates, and list markers.
MARK = re.compile(r"//[/!]?|/?\*+/?|#+|[-*+]|\{\{-?|-?\}\}|\"\"\"|<!--|-->")
LINTER = re.compile(r"#\s*(noqa|type:|shellcheck |hadolint |yamllint |pragma)")
# A string, or a comment: `#` at the beginning of a word.
HASH = re.compile(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|(?<!\S)(?P<comment>#.*)")
TEMPLATE = re.compile(r"\{\{-?\s*/\*.*?\*/\s*-?\}\}", re.DOTALL)
BLOCK = re.compile(r"/\*.*?\*/|<!--.*?-->", re.DOTALL)

# Line numbers, each with the part of the line that is in a comment or paragraph.
Prose = Iterator[tuple[int, str]]


def lines_of(text: str, begin: int, end: int) -> Prose:
    """The part of each line between two positions."""
    first = text.count("\n", 0, begin) + 1
    yield from enumerate(text[begin:end].split("\n"), first)


def in_markdown(text: str) -> Prose:
    yield from enumerate(text.split("\n"), 1)


def in_rust(text: str) -> Prose:
    for token in rust.NOISE.finditer(text):
        if token[0].startswith(("//", "/*")):
            yield from lines_of(text, *token.span())


def in_python(text: str) -> Prose:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    lines = text.split("\n")
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            string = node.body[0]
            for number in range(string.lineno, (string.end_lineno or string.lineno) + 1):
                yield number, lines[number - 1]


def in_hashes(text: str) -> Prose:
    """Comments from `#` to the end of the line, and those of Go templates."""
    for number, line in enumerate(text.split("\n"), 1):
        for token in HASH.finditer(line):
            if token["comment"]:
                yield number, token["comment"]
    for comment in TEMPLATE.finditer(text):
        yield from lines_of(text, *comment.span())


def in_blocks(text: str) -> Prose:
    for comment in BLOCK.finditer(text):
        yield from lines_of(text, *comment.span())


LANGUAGES: list[tuple[re.Pattern[str], Callable[[str], Prose]]] = [
    (re.compile(r"\.md$"), in_markdown),
    (re.compile(r"\.rs$"), in_rust),
    (re.compile(r"\.py$"), in_python),
    (
        re.compile(
            r"\.(sh|ya?ml|toml|tpl)$|requirements\.txt$|(^|/)(\.\w+ignore|Dockerfile|justfile)$"
        ),
        in_hashes,
    ),
    (re.compile(r"\.(css|js|mjs|html)$"), in_blocks),
]


def language(path: str) -> Callable[[str], Prose] | None:
    """The function that finds the comments of a file; `None` if it has none."""
    for pattern, find in LANGUAGES:
        if pattern.search(path):
            return find
    if "." in path.rsplit("/", 1)[-1]:
        return None
    with (ROOT / path).open("rb") as file:
        program = re.match(rb"#!.*\b(python3|bash|sh)$", file.readline().rstrip())
    if not program:
        return None
    return in_python if program[1] == b"python3" else in_hashes


def too_long(text: str, find: Callable[[str], Prose]) -> list[int]:
    """The numbers of the lines that are too long and could be wrapped."""
    lines = text.split("\n")
    is_code = False
    found = []
    for number, prose in find(text):
        if FENCE.match(prose):
            is_code = not is_code
        words = [word for word in prose.split() if not MARK.fullmatch(word)]
        if len(lines[number - 1]) <= WIDTH or is_code or not words:
            continue
        is_table = words[0].startswith("|")
        is_trailing = find is not in_markdown and not lines[number - 1].lstrip().startswith(
            prose.strip()
        )
        wraps = len(words) > 1 or is_trailing
        if wraps and not is_table and not REFERENCE.match(prose) and not LINTER.search(prose):
            found.append(number)
    return sorted(found)


def main() -> int:
    found = {path: too_long(read(path), find) for path in files() if (find := language(path))}
    if "--show" in sys.argv:
        for path, numbers in found.items():
            lines = read(path).split("\n") if numbers else []
            for number in numbers:
                print(f"{path}:{number}: {lines[number - 1].strip()}")
        return 0
    head = "How many lines of a file are over 100 columns: written by columns.py, may only shrink."
    return compare("columns", LIST, head, {path: len(numbers) for path, numbers in found.items()})


if __name__ == "__main__":
    sys.exit(main())
