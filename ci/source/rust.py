"""Parses just enough Rust to tell which files of a crate use which.

Comments and strings are removed; then modules, imports (`use`) and paths are read from the rest.
No macros are expanded and no types are inferred: a file uses another one if it names an item of it
through `crate::`, `super::`, `self::`, a child module, or an import.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

# Comments (the group `prose`) and strings.
NOISE = re.compile(
    r"(?P<prose>//[^\n]*|/\*.*?\*/)"
    r'|\bb?r(?P<raw>#*)".*?"(?P=raw)'
    r'|b?"(?:\\.|[^"\\])*"'
    r"|b?'(?:\\(?:x..|u\{[^}]*\}|.)|[^'\\\n])'",
    re.DOTALL,
)
MODULE = re.compile(r"((?:#\[[^\]]*\]\s*)*)(?:pub(?:\([^)]*\))?\s+)?\bmod\s+(\w+)\s*([;{])")
USE = re.compile(r"((?:#\[[^\]]*\]\s*)*)(pub(?:\([^)]*\))?\s+)?\buse\s+([^;]+);")
PATH = re.compile(r"(?<![\w:])((?:crate|self|super)(?:::\s*\w+)+)")
ITEM = (
    r"\b(?:struct|enum|union|trait|type|fn|const|static|mod|macro_rules!|macro)\s+(?:mut\s+)?{}\b"
)
TEST = re.compile(r"cfg\(test\)")


@dataclass(eq=False)
class Module:
    """A file of a crate. Modules within a file count as that file."""

    file: str
    parent: Module | None = None
    children: dict[str, Module] = field(default_factory=dict)
    # The names that imports give to items, and their paths.
    names: dict[str, list[str]] = field(default_factory=dict)
    globs: list[list[str]] = field(default_factory=list)
    # The paths that the file uses, except those that it only re-exports.
    uses: set[tuple[str, ...]] = field(default_factory=set)
    text: str = ""

    def defines(self, name: str) -> bool:
        return re.search(ITEM.format(re.escape(name)), self.text) is not None

    def walk(self) -> Iterator[Module]:
        yield self
        for child in self.children.values():
            yield from child.walk()


def stripped(text: str) -> str:
    """Without comments, strings and inline test modules."""
    text = NOISE.sub(lambda noise: '""' if '"' in noise[0] else " ", text)
    while test := re.search(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*mod\s+\w+\s*\{", text):
        text = text[: test.start()] + text[end_of_block(text, test.end()) :]
    return text


def end_of_block(text: str, begin: int) -> int:
    """The end of the block whose `{` is just before `begin`."""
    depth = 1
    for brace in re.finditer(r"[{}]", text[begin:]):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return begin + brace.end()
    return len(text)


def leaves(tree: str) -> Iterator[tuple[list[str], str]]:
    """Each path of a `use`, with the name that it gets in this file."""
    # `a::{b, c::{d}}` becomes `a::b,a::c::d`, from the inside.
    while group := re.search(r"([^{},]*)\{([^{}]*)\}", tree):
        parts = [group[1] + part.strip() for part in group[2].split(",") if part.strip()]
        tree = tree[: group.start()] + ",".join(parts) + tree[group.end() :]
    for part in tree.split(","):
        path, _, alias = part.partition(" as ")
        steps = [step.strip() for step in path.split("::") if step.strip()]
        if len(steps) > 1 and steps[-1] == "self":
            steps.pop()
        if steps:
            yield steps, alias.strip() or steps[-1]


def load(root: str, read: dict[str, str]) -> Module:
    """The modules of the crate whose root is the file `root`; `read` has the text of each file."""
    module = Module(root)
    fill(module, PurePosixPath(root).parent, read)
    return module


def fill(module: Module, directory: PurePosixPath, read: dict[str, str]) -> None:
    text = module.text = stripped(read[module.file])
    for attributes, name, end in MODULE.findall(text):
        if end == "{" or TEST.search(attributes):
            continue
        named = re.search(r"path\s*=", attributes)
        for file, below in (
            (directory / f"{name}.rs", directory / name),
            (directory / name / "mod.rs", directory / name),
        ):
            if str(file) in read and not named:
                child = module.children[name] = Module(str(file), module)
                fill(child, below, read)
    for attributes, visible, tree in USE.findall(text):
        if TEST.search(attributes):
            continue
        for steps, name in leaves(re.sub(r"\s+", " ", tree)):
            if name == "*":
                module.globs.append(steps[:-1])
            else:
                module.names[name] = steps
            if not visible:
                module.uses.add(tuple(steps))
    rest = USE.sub("", text)
    module.uses |= {
        tuple(re.split(r"::\s*", path))
        for path in PATH.findall(re.sub(r"pub\((?:in )?[\w:]+\)", "", rest))
    }
    for inner in module.children:
        module.uses |= {(inner, item) for item in re.findall(rf"(?<![\w:]){inner}::(\w+)", rest)}


def resolve(module: Module, path: list[str], crate: Module, tries: int = 12) -> Module | None:
    """The module that defines the item at `path`, which is relative to `module`.

    `None` if the item is outside of the crate.
    """
    if tries == 0:
        return None
    steps = list(path)
    at: Module | None = module
    first = steps[0]
    if first == "crate":
        at, steps = crate, steps[1:]
    elif first in ("self", "super"):
        while steps and steps[0] in ("self", "super"):
            at = at.parent if steps[0] == "super" and at else at
            steps = steps[1:]
        if at is None:
            return None
    elif first not in module.children:
        known = module.names.get(first)
        if known and known != path and known[0] != first:
            return resolve(module, known + steps[1:], crate, tries - 1)
        return None
    while at and steps:
        name = steps[0]
        if name in at.children:
            at, steps = at.children[name], steps[1:]
            continue
        if name == "*" or at.defines(name):
            return at
        if known := at.names.get(name):
            return resolve(at, known + steps[1:], crate, tries - 1) if known != [name] else None
        for glob in at.globs:
            source = resolve(at, glob, crate, tries - 1)
            if source and source is not at and source.defines(name):
                return source
        return at
    return at


def uses(crate: Module) -> dict[str, set[str]]:
    """The files that each file of the crate uses."""
    found: dict[str, set[str]] = {}
    for module in crate.walk():
        targets = {resolve(module, list(path), crate) for path in module.uses}
        found[module.file] = {target.file for target in targets if target and target is not module}
    return found
