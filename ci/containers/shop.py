"""Shoppers: threads that place orders over REST, one after the other, and record the answers."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from dataclasses import dataclass, field

from engine import Broken, sure

TOYS = ["Tux", "Fox", "Whale", "Elephant", "Python"]

# The limit for one order with all its retries, and for containers to become healthy: the machine
# may be busy.
PATIENCE_S = 120


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
    at_s: float = field(compare=False)


class Shopper:
    """Places orders over one kept-alive connection.

    An order that gets no answer, or is refused with 503 or 507, is sent again with the same key.
    """

    def __init__(self, host: str, port: int) -> None:
        self.connection = http.client.HTTPConnection(host, port, timeout=15)

    def order(self, name: str, quantity: int) -> Order:
        key, body = str(uuid.uuid4()), json.dumps({"name": name, "quantity": quantity})
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        late_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < late_s:
            try:
                self.connection.request("POST", "/orders", body, headers)
                answer = self.connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                self.connection.close()
                time.sleep(0.02)
                continue
            if answer.status == 200:
                return Order(
                    json.loads(text)["data"]["order_number"], name, quantity, key, time.monotonic()
                )
            sure(
                answer.status in (503, 507), f"an order is answered with {answer.status}: {text!r}"
            )
            time.sleep(0.02)
        raise Broken(f"no answer to an order within {PATIENCE_S} s")


class Shoppers:
    """Several concurrent shoppers, until they are closed."""

    def __init__(self, host: str, port: int, count: int) -> None:
        self.orders: list[Order] = []
        self.failure: Exception | None = None
        self.closed = threading.Event()
        self.changed = threading.Condition()
        self.threads = [
            threading.Thread(target=self.shop, args=(host, port), daemon=True) for _ in range(count)
        ]
        for thread in self.threads:
            thread.start()

    def shop(self, host: str, port: int) -> None:
        shopper = Shopper(host, port)
        try:
            while not self.closed.is_set():
                order = shopper.order(random.choice(TOYS), random.randint(1, 3))
                with self.changed:
                    self.orders.append(order)
                    self.changed.notify_all()
                # The machine is shared, and a few hundred orders per second are enough.
                time.sleep(0.01)
        except Exception as failure:  # noqa: BLE001 (raised again in the main thread)
            with self.changed:
                self.failure = failure
                self.changed.notify_all()

    def acknowledge(self, more: int) -> None:
        """Waits until that many more orders are acknowledged."""
        with self.changed:
            goal = len(self.orders) + more
            self.changed.wait_for(
                lambda: self.failure or len(self.orders) >= goal, timeout=PATIENCE_S
            )
            if self.failure:
                raise self.failure
            sure(
                len(self.orders) >= goal,
                f"{len(self.orders)} orders were acknowledged, {goal} were expected",
            )

    def gap_ms(self, since_s: float) -> float:
        """The longest time without an acknowledgement since `since_s`."""
        times = sorted(order.at_s for order in self.orders if order.at_s >= since_s)
        return 1000 * max(after - before for before, after in zip([since_s, *times], times))

    def close(self) -> list[Order]:
        self.closed.set()
        for thread in self.threads:
            thread.join(PATIENCE_S)
        if self.failure:
            raise self.failure
        return self.orders
