"""Shoppers: the store's own client, in a container."""

from __future__ import annotations

import csv
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from engine import IMAGE, LABEL, PATIENCE_S


class Order(NamedTuple):
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

    def __init__(self, front: str, *options: str) -> None:
        self.directory = tempfile.TemporaryDirectory()
        # The client's user writes the file of the orders.
        os.chmod(self.directory.name, 0o777)  # noqa: PTH101
        host, port = front.split(":")
        store = [f"--front-host={host}", f"--front-port={port}", "--orders-file=/data/orders"]
        # The machine is shared, and a few hundred orders per second are enough.
        habits = ["--p=1", "--quantity-max=3", "--think-ms=10", "--tries=100"]
        outside = [f"--label={LABEL}", "--network=host", f"--volume={self.directory.name}:/data"]
        self.process = subprocess.Popen(
            ["docker", "run", "--rm", *outside, IMAGE, "client", *store, *habits, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def orders(self) -> list[Order]:
        """Those acknowledged so far; the last line may still be being written."""
        file = Path(self.directory.name) / "orders"
        whole = file.read_text().rpartition("\n")[0] if file.exists() else ""
        return [
            Order(int(row["number"]), row["name"], int(row["quantity"]), row["order_id"])
            for row in csv.DictReader(whole.splitlines())
        ]

    def acknowledge(self, more: int) -> float:
        """Waits until that many more orders are acknowledged.

        Returns the longest time without one, in milliseconds.
        """
        count = len(self.orders())
        begun_s = latest_s = time.monotonic()
        goal, gap_s = count + more, 0.0
        while count < goal:
            assert self.process.poll() is None, f"the client has ended after {count} orders"
            assert time.monotonic() < begun_s + PATIENCE_S, f"{goal - count} orders are missing"
            time.sleep(0.02)
            before, count = count, len(self.orders())
            gap_s = max(gap_s, time.monotonic() - latest_s)
            latest_s = time.monotonic() if count > before else latest_s
        return 1000 * gap_s

    def close(self) -> list[Order]:
        """Ends the client before its time."""
        self.process.terminate()
        return self.finish()

    def finish(self) -> list[Order]:
        """Waits until the client ends. Unless it is a mere `session`, it has read every order."""
        said, _ = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, said[-2000:]
        orders = self.orders()
        self.directory.cleanup()
        return orders
