"""Fails if files of a crate, or crates, import each other in a cycle.

    python3 ci/source/cycles.py

A file that names an item of another file depends on it. A module that only re-exports items of its
children does not depend on them: a file that names an item through such a module depends on the
file that defines the item. Tests are ignored. `rust.py` says how much of Rust is understood.
"""

from __future__ import annotations

import graphlib
import sys
import tomllib

import rust
from tree import files, read


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """The members of a cycle, or nothing. The first and the last one are the same."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [str(member) for member in error.args[1]]
    return []


def crates() -> dict[str, set[str]]:
    """Which crates of the workspace each crate depends on, without those of tests."""
    manifests = {
        path.split("/")[1]: tomllib.loads(read(path)) for path in files("crates/*/Cargo.toml")
    }
    return {
        name: set(manifest.get("dependencies", {})) & set(manifests)
        for name, manifest in manifests.items()
    }


if __name__ == "__main__":
    sources = {path: read(path) for path in files("*.rs")}
    roots = files("crates/*/src/lib.rs", "crates/*/src/main.rs", "bench/src/main.rs")
    graphs = [rust.uses(rust.load(root, sources)) for root in roots] + [crates()]
    found = [" is used by ".join(members) for graph in graphs if (members := cycle(graph))]
    print(*found, f"cycles: {len(graphs)} crates, {len(found)} with a cycle", sep="\n")
    sys.exit(bool(found))
