"""Dependency cycles between the files of a crate, and between crates, as a ratchet.

    python3 ci/source/cycles.py                     fails if there is a cycle that is not listed
    python3 ci/source/cycles.py --update            removes imports that are no longer in a cycle
    python3 ci/source/cycles.py --update --accept   lists all cycles, also new ones (after a rename)
    python3 ci/source/cycles.py --show              prints each cycle with its imports

The list is cycles.txt. A file that names an item of another file depends on it. A module that only
re-exports items of its children does not depend on them: a file that names an item through such a
module depends on the file that defines the item. Tests are ignored. `rust.py` says how much of Rust
is understood.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator

import rust
from ratchet import compare
from tree import files, read

LIST = "ci/source/cycles.txt"


def cycles(graph: dict[str, set[str]]) -> Iterator[set[str]]:
    """The strongly connected components with more than one member (Tarjan, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    for start in sorted(graph):
        if start in index:
            continue
        work = [(start, iter(sorted(graph[start])))]
        index[start] = low[start] = len(index)
        stack.append(start)
        while work:
            node, rest = work[-1]
            for target in rest:
                if target not in graph:
                    continue
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    work.append((target, iter(sorted(graph[target]))))
                    break
                if target in stack:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    members = set(stack[stack.index(node) :])
                    del stack[stack.index(node) :]
                    if len(members) > 1:
                        yield members


def roots() -> list[str]:
    """The root files of all crates: libraries and programs."""
    return files("crates/*/src/lib.rs", "crates/*/src/main.rs", "bench/src/main.rs")


def crates() -> dict[str, set[str]]:
    """Which crates of the workspace each crate depends on, without those of tests."""
    manifests = {
        path.split("/")[1]: tomllib.loads(read(path)) for path in files("crates/*/Cargo.toml")
    }
    return {
        name: set(manifest.get("dependencies", {})) & set(manifests)
        for name, manifest in manifests.items()
    }


def main() -> int:
    sources = {path: read(path) for path in files("*.rs")}
    graphs = [rust.uses(rust.load(root, sources)) for root in dict.fromkeys(roots())] + [crates()]
    show = "--show" in sys.argv
    counts: dict[str, int] = {}
    for graph in graphs:
        for members in cycles(graph):
            if show:
                print(f"\n{len(members)} files in a cycle:")
            for file in sorted(members):
                for target in sorted(graph[file] & members):
                    counts[f"{file} -> {target}"] = 1
                    if show:
                        print(f"    {file} -> {target}")
    if show:
        return 0
    head = "Imports that are part of a cycle between files: written by cycles.py, may only shrink."
    return compare("cycles", LIST, head, counts)


if __name__ == "__main__":
    sys.exit(main())
