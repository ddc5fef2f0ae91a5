"""Judges the image, and the store that compose.yaml makes of it. Prints a line per check; exits with 1 if one failed.

    PROJECT=name IMAGE=toystore COMPOSE="docker compose" python3 check.py      (.ci/image calls it, and cleans up)
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
    """Counts and prints."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def check(self, what: str, judge: Callable[[], str]) -> bool:
        """Whether `judge` found nothing wrong. What it says is printed either way."""
        try:
            found = judge()
        except Exception as wrong:  # noqa: BLE001 (whatever it is, what was checked does not hold)
            self.failed += 1
            told = wrong if isinstance(wrong, Broken) else traceback.format_exc()
            print(f"FAILED  {what}\n{textwrap.indent(str(told), ' ' * 8)}", flush=True)
            return False
        self.passed += 1
        print(f"ok  {what}: {found}", flush=True)
        return True


def judge_image(report: Report, name: str) -> None:
    report.check("the image is small", lambda: image.size(name))
    report.check("it holds the program, and what is meant to be there", lambda: image.contents(name))
    report.check("it runs as a numbered user", lambda: image.settings(name))
    report.check("its labels", lambda: image.labels(name))
    report.check("it is built with the toolchain of everything else", image.toolchain)


def judge_store(report: Report, store: Store) -> None:
    """One after the other: what comes later needs what came before."""
    steps = [
        ("compose up: everyone is healthy", store.up),
        ("no process has a right or a place to write too many", store.hardened),
        ("internal ports want the token", store.guarded),
        ("shoppers in a container", store.shoppers),
        ("names are found through search domains, and in /etc/hosts", store.names),
        ("orders over REST", store.open),
        ("the leader is killed", store.kill_leader),
        ("a follower is cut off, and comes back", store.cut_follower),
        ("the leader is cut off, and comes back", store.cut_leader),
        ("every acknowledged order can be read, and is in all ledgers, which are the same", store.audit),
        ("a frontend with 64 MiB and a fifth of a processor", store.small_frontend),
        ("a frontend as a pod finds the others through the Kubernetes API", store.pod),
        ("everyone stops as asked", store.stop),
        ("started again, the store has every order", store.again),
    ]
    for what, step in steps:
        if not report.check(what, step):
            print(store.logs())
            return


def main() -> int:
    report, name = Report(), os.environ["IMAGE"]
    judge_image(report, name)
    judge_store(report, Store(Project(os.environ["PROJECT"], name)))
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
