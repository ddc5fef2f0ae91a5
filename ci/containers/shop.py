"""Shoppers: the store's own client in a container; and single requests over REST."""

from __future__ import annotations

import csv
import http.client
import itertools
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from engine import PATIENCE_S, Project, eventually, sure


def get(
    host: str, port: int, path: str, timeout_s: float = 10, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def read(host: str, port: int, path: str) -> tuple[int, bytes]:
    """`get`, repeated while there is no answer or a 503.

    On a slow machine an election may take longer than the store's deadline.
    """
    late_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            status, body = get(host, port, path)
            if status != 503 or time.monotonic() > late_s:
                return status, body
        except (OSError, http.client.HTTPException):
            if time.monotonic() > late_s:
                raise
        time.sleep(0.02)


@dataclass(frozen=True)
class Order:
    """An acknowledged order."""

    number: int
    name: str
    quantity: int
    key: str


class Shoppers:
    """`toystore client`: each session is an order for 1 to 3 pieces, over a kept-alive connection.

    An order that gets no answer, or is refused for now, is sent again with the same key. An order
    that is refused for good makes the client fail at its end.
    """

    def __init__(self, project: Project, host: str, port: int, *options: str) -> None:
        self.directory = tempfile.TemporaryDirectory()
        # A pipe instead of a file shows when an order is acknowledged. The client's user writes it.
        orders_file = Path(self.directory.name) / "orders"
        os.mkfifo(orders_file)
        orders_file.chmod(0o666)
        orders_file.parent.chmod(0o755)
        container = [
            f"--label={project.label}",
            "--network=host",
            f"--volume={orders_file.parent}:/data",
        ]
        store = [f"--front-host={host}", f"--front-port={port}", "--orders-file=/data/orders"]
        # The machine is shared, and a few hundred orders per second are enough.
        habits = ["--p=1", "--quantity-max=3", "--think-ms=10", "--tries=100"]
        client = [project.image, "client", *store, *habits, *options]
        self.process = subprocess.Popen(
            ["docker", "run", "--rm", *container, *client],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.orders: list[Order] = []
        self.times_s: list[float] = []
        self.reader = threading.Thread(target=self.record, args=(orders_file,), daemon=True)
        self.reader.start()

    def record(self, orders_file: Path) -> None:
        with orders_file.open(newline="", encoding="utf-8") as rows:
            for row in csv.DictReader(rows):
                self.times_s.append(time.monotonic())
                self.orders.append(
                    Order(int(row["number"]), row["name"], int(row["quantity"]), row["order_id"])
                )

    def acknowledge(self, more: int) -> None:
        """Waits until that many more orders are acknowledged."""
        goal = len(self.orders) + more
        eventually(
            f"{more} more orders are acknowledged",
            lambda: len(self.orders) >= goal or self.process.poll() is not None,
        )
        if len(self.orders) < goal:
            self.finish()
            sure(len(self.orders) >= goal, f"the client ends after {len(self.orders)} orders")

    def gap_ms(self, since_s: float) -> float:
        """The longest time without an acknowledgement since `since_s`."""
        times = [since_s, *(time_s for time_s in self.times_s if time_s >= since_s)]
        return 1000 * max(after - before for before, after in itertools.pairwise(times))

    def close(self) -> list[Order]:
        """Ends the client before its time."""
        self.process.terminate()
        return self.finish()

    def finish(self) -> list[Order]:
        """Waits until the client ends. Unless it is a mere `session`, it has read every order."""
        said, _ = self.process.communicate(timeout=PATIENCE_S)
        sure(
            self.process.returncode == 0,
            f"the client ends with {self.process.returncode}: {said[-2000:]}",
        )
        self.reader.join()
        self.directory.cleanup()
        return self.orders
