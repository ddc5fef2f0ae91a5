"""Uses the client that openapi-python-client generated."""

from collections.abc import Callable
from typing import Any

from toystore_client import Client
from toystore_client.api.orders import place_order, read_order, read_order_by_post
from toystore_client.api.products import read_product, read_products
from toystore_client.models import NewOrder

from answers import Call, Object, main


def client(url: str) -> Call:
    it = Client(base_url=url, raise_on_unexpected_status=True)
    calls: dict[str, Callable[..., Any]] = {
        "readProducts": lambda: read_products.sync_detailed(client=it),
        "readProduct": lambda name: read_product.sync_detailed(name, client=it, session_id="s-1"),
        "placeOrder": lambda name, quantity, key: place_order.sync_detailed(
            client=it, body=NewOrder(name, quantity), idempotency_key=key
        ),
        "readOrder": lambda number: read_order.sync_detailed(number, client=it),
        "readOrderByPost": lambda number: read_order_by_post.sync_detailed(number, client=it),
    }

    def call(operation: str, *arguments: object) -> tuple[int, Object]:
        answer = calls[operation](*arguments)
        return int(answer.status_code), answer.parsed.to_dict()

    return call


if __name__ == "__main__":
    main("openapi-python-client", client, is_careless=True)
