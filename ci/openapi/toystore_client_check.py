"""Uses the client that openapi-python-client generated.

It shops in the store whose URL is the first argument, and decodes all answers that the document at
the second argument describes.
"""

import sys
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from toystore_client import Client
from toystore_client.api.orders import place_order, read_order, read_order_by_post
from toystore_client.api.products import read_product, read_products
from toystore_client.models import ErrorAnswer, ErrorCode, NewOrder

from answers import Store, described, repeated

T = TypeVar("T")


def answered(call: Callable[[], T]) -> T:
    """The answer to a call, which is repeated while the store is unavailable."""
    temporary = {ErrorCode.UNAVAILABLE, ErrorCode.OVERLOADED}
    return repeated(
        call, lambda answer: isinstance(answer, ErrorAnswer) and answer.error.code in temporary
    )


def shop(client: Client) -> None:
    toys = answered(lambda: read_products.sync(client=client)).data
    tux = answered(lambda: read_product.sync("Tux", client=client, session_id="s-1")).data
    assert tux in toys and tux.price == 25.99, tux
    key = str(uuid.uuid4())
    order = NewOrder(name="Tux", quantity=3)

    def place(order: NewOrder, key: str) -> Any:
        return answered(lambda: place_order.sync(client=client, body=order, idempotency_key=key))

    placed = [place(order, key).data.order_number for _ in range(2)]
    assert placed[0] == placed[1], f"the same key has two numbers: {placed}"
    for read in (read_order, read_order_by_post):
        found = answered(partial(read.sync, placed[0], client=client)).data
        assert (found.number, found.name, found.quantity) == (placed[0], "Tux", 3), found
    refused = [
        (answered(lambda: read_product.sync("Unicorn", client=client)), ErrorCode.NO_SUCH_PRODUCT),
        (answered(lambda: read_order.sync(999_999, client=client)), ErrorCode.NO_SUCH_ORDER),
        (place(NewOrder("Tux", 1_000), str(uuid.uuid4())), ErrorCode.OUT_OF_STOCK),
        (place(NewOrder("Tux", 0), str(uuid.uuid4())), ErrorCode.BAD_QUANTITY),
        (place(NewOrder("Fox", 1), key), ErrorCode.IDEMPOTENCY_KEY_REUSED),
        (place(order, "x"), ErrorCode.BAD_REQUEST),
    ]
    for answer, code in refused:
        assert (
            isinstance(answer, ErrorAnswer) and answer.error.code == code and answer.error.message
        ), (answer, code)


def decode(document: str) -> int:
    store = Store()
    client = Client(base_url=store.url, raise_on_unexpected_status=True)
    calls = {
        "readProducts": lambda: read_products.sync_detailed(client=client),
        "readProduct": lambda: read_product.sync_detailed("Tux", client=client),
        "placeOrder": lambda: place_order.sync_detailed(client=client, body=NewOrder("Tux", 1)),
        "readOrder": lambda: read_order.sync_detailed(1, client=client),
        "readOrderByPost": lambda: read_order_by_post.sync_detailed(1, client=client),
    }
    answers = described(document)
    for answer in answers:
        store.next = answer
        seen = calls[answer.operation]()
        assert seen.status_code == answer.status, (answer, seen)
        assert seen.parsed.to_dict() == answer.body, (answer, seen)
    return len(answers)


if __name__ == "__main__":
    shop(Client(base_url=sys.argv[1], raise_on_unexpected_status=True))
    print(f"openapi-python-client: shopped, and decoded {decode(sys.argv[2])} answers")
