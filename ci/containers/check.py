"""Checks the image and the store of compose.yaml.

    PROJECT=name IMAGE=toystore COMPOSE="docker compose" python3 check.py

It prints a line per check and exits with 1 if one failed. `ci/image` runs it and cleans up.
"""

from __future__ import annotations

import os
import sys
import textwrap
import traceback
from collections.abc import Callable

import image
from engine import Broken, Project
from store import Store


class Report:
    """Counts and prints results."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def check(self, what: str, run: Callable[[], str]) -> bool:
        """Runs a check and prints its result. Returns whether it passed."""
        try:
            found = run()
        except Exception as wrong:
            self.failed += 1
            reason = wrong if isinstance(wrong, Broken) else traceback.format_exc()
            print(f"FAILED  {what}\n{textwrap.indent(str(reason), ' ' * 8)}", flush=True)
            return False
        self.passed += 1
        print(f"ok  {what}: {found}", flush=True)
        return True


def check_image(report: Report, name: str) -> None:
    report.check("the image is small", lambda: image.size(name))
    report.check(
        "it contains the program and the expected files, and nothing else",
        lambda: image.contents(name),
    )
    report.check("it runs as a numbered user", lambda: image.settings(name))
    report.check("its labels", lambda: image.labels(name))
    report.check("it is built with the toolchain of rust-toolchain.toml", image.toolchain)


def check_store(report: Report, store: Store) -> None:
    """Runs the checks in this order: later ones depend on earlier ones."""
    steps = [
        ("compose up: all containers are healthy", store.up),
        (
            "no process has a privilege or a writable directory that it does not need",
            store.hardened,
        ),
        ("internal ports require the token", store.guarded),
        ("shoppers in a container", store.shoppers),
        ("names are found through search domains, and in /etc/hosts", store.names),
        ("orders over REST", store.open),
        ("the leader is killed", store.kill_leader),
        ("a follower is cut off, and comes back", store.cut_follower),
        ("the leader is cut off, and comes back", store.cut_leader),
        (
            "every acknowledged order can be read, and is in all ledgers, which are the same",
            store.audit,
        ),
        ("a frontend with 64 MiB and a fifth of a CPU", store.small_frontend),
        ("a frontend in a pod finds the other processes through the Kubernetes API", store.pod),
        ("all containers stop when asked to", store.stop),
        ("after a restart the store has every order", store.again),
    ]
    for what, step in steps:
        if not report.check(what, step):
            print(store.logs())
            return


def main() -> int:
    report, name = Report(), os.environ["IMAGE"]
    check_image(report, name)
    check_store(report, Store(Project(os.environ["PROJECT"], name)))
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
