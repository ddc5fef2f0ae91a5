"""The store as its users see it: orders over REST, from threads that never stop asking, and what they were told."""

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

# For one order with all its repetitions, and for containers to become healthy on a machine that has much else to do.
PATIENCE_S = 120


def get(host: str, port: int, path: str, timeout_s: float = 10, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@dataclass(frozen=True)
class Order:
    """One that was acknowledged."""

    number: int
    name: str
    quantity: int
    key: str
    at_s: float = field(compare=False)


class Buyer:
    """Orders over one connection that is kept alive. Whatever has no answer, or a 503, is asked again with the same key."""

    def __init__(self, host: str, port: int) -> None:
        self.connection = http.client.HTTPConnection(host, port, timeout=15)

    def buy(self, name: str, quantity: int) -> Order:
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
                return Order(json.loads(text)["data"]["order_number"], name, quantity, key, time.monotonic())
            sure(answer.status in (503, 507), f"an order is answered with {answer.status}: {text!r}")
            time.sleep(0.02)
        raise Broken(f"no answer to an order within {PATIENCE_S} s")


class Crowd:
    """Several buyers at the same time, until they are told to stop."""

    def __init__(self, host: str, port: int, buyers: int) -> None:
        self.orders: list[Order] = []
        self.failure: Exception | None = None
        self.closed = threading.Event()
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=self.shop, args=(host, port), daemon=True) for _ in range(buyers)]
        for thread in self.threads:
            thread.start()

    def shop(self, host: str, port: int) -> None:
        buyer = Buyer(host, port)
        try:
            while not self.closed.is_set():
                order = buyer.buy(random.choice(TOYS), random.randint(1, 3))
                with self.changed:
                    self.orders.append(order)
                    self.changed.notify_all()
                # The machine is shared: a few hundred orders a second are enough to see what is to be seen.
                time.sleep(0.01)
        except Exception as failure:  # noqa: BLE001 (told to the main thread)
            with self.changed:
                self.failure = failure
                self.changed.notify_all()

    def acknowledge(self, more: int) -> None:
        """Returns when so many more orders were acknowledged."""
        with self.changed:
            goal = len(self.orders) + more
            self.changed.wait_for(lambda: self.failure or len(self.orders) >= goal, timeout=PATIENCE_S)
            if self.failure:
                raise self.failure
            sure(len(self.orders) >= goal, f"{len(self.orders)} orders were acknowledged, {goal} were waited for")

    def gap_ms(self, since_s: float) -> float:
        """The longest time without an acknowledgement from then on."""
        times = sorted(order.at_s for order in self.orders if order.at_s >= since_s)
        return 1000 * max(after - before for before, after in zip([since_s, *times], times))

    def close(self) -> list[Order]:
        self.closed.set()
        for thread in self.threads:
            thread.join(PATIENCE_S)
        if self.failure:
            raise self.failure
        return self.orders
