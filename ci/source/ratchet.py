"""A list of known flaws that may only become shorter.

A check counts flaws per key (a file, an import). Listed flaws pass, so that a rule can be
introduced before all files follow it; new flaws fail.
"""

from __future__ import annotations

import sys

from tree import ROOT, read


def compare(what: str, path: str, head: str, counts: dict[str, int]) -> int:
    """Compares the counts with the list in the file `path`; returns the exit code.

    `--update` writes the counts that are lower than the listed ones; `--update --accept` writes all
    of them (after a rename, for example).
    """
    arguments = sys.argv[1:]
    if unknown := set(arguments) - {"--update", "--accept"}:
        sys.exit(f"{what}: unknown: {' '.join(unknown)}; usage: [--update [--accept]]")
    counts = {key: count for key, count in counts.items() if count}
    known = {}
    if (ROOT / path).exists():
        rows = [line for line in read(path).splitlines() if line and not line.startswith("#")]
        known = {key: int(count) for count, key in (row.split(maxsplit=1) for row in rows)}
    worse = {key: count for key, count in counts.items() if count > known.get(key, 0)}
    better = sum(known.values()) - sum(
        min(counts.get(key, 0), count) for key, count in known.items()
    )
    if "--update" in arguments:
        accepted = counts
        if "--accept" not in arguments:
            accepted = {key: min(count, known.get(key, 0)) for key, count in counts.items()}
        rows = [f"{count:4} {key}" for key, count in sorted(accepted.items()) if count]
        (ROOT / path).write_text(
            "\n".join([f"# {line}".rstrip() for line in head.splitlines()] + rows) + "\n"
        )
        if "--accept" in arguments:
            worse = {}
    for key, count in sorted(worse.items()):
        print(f"{what}: {key}: {count}, and {path} allows {known.get(key, 0)}")
    verdict = f"{len(worse)} worse than {path} allows" if worse else "none new"
    print(f"{what}: {sum(counts.values())} in all, {verdict}")
    if better and "--update" not in arguments:
        print(
            f"{what}: {better} fewer than listed; shorten the list: python3 {sys.argv[0]} --update"
        )
    return bool(worse)
