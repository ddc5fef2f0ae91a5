"""The same as toystore_client_check, with the Python client of openapi-generator.

That client raises errors that contain the answer.
"""

import sys
import uuid
from collections.abc import Callable
from typing import TypeVar

from openapi_client import (
    ApiClient,
    ApiException,
    Configuration,
    ErrorCode,
    NewOrder,
    OrdersApi,
    ProductsApi,
)

from answers import Answer, Store, described, repeated

T = TypeVar("T")


def answered(call: Callable[[], T]) -> T:
    """The answer to a call, which is repeated while the store is unavailable."""

    def attempt() -> T | ApiException:
        try:
            return call()
        except ApiException as error:
            return error

    answer = repeated(
        attempt, lambda answer: isinstance(answer, ApiException) and answer.status == 503
    )
    if isinstance(answer, ApiException):
        raise answer
    return answer


def refusal(call: Callable[[], object]) -> ErrorCode:
    try:
        seen = answered(call)
    except ApiException as error:
        return error.data.error.code
    raise AssertionError(f"it was not refused: {seen}")


def shop(client: ApiClient) -> None:
    products, orders = ProductsApi(client), OrdersApi(client)
    toys = answered(products.read_products).data
    tux = answered(lambda: products.read_product("Tux", session_id="s-1")).data
    assert tux in toys, tux
    key = str(uuid.uuid4())
    order = NewOrder(name="Tux", quantity=3)
    placed = [
        answered(lambda: orders.place_order(order, idempotency_key=key)).data.order_number
        for _ in range(2)
    ]
    assert placed[0] == placed[1], f"the same key has two numbers: {placed}"
    found = answered(lambda: orders.read_order(placed[0])).data
    assert found == answered(lambda: orders.read_order_by_post(placed[0])).data
    assert (found.number, found.name, found.quantity) == (placed[0], "Tux", 3), found
    assert refusal(lambda: products.read_product("Unicorn")) == ErrorCode.NO_SUCH_PRODUCT
    assert refusal(lambda: orders.read_order(999_999)) == ErrorCode.NO_SUCH_ORDER
    too_many, other_key = NewOrder(name="Tux", quantity=1_000), str(uuid.uuid4())
    assert (
        refusal(lambda: orders.place_order(too_many, idempotency_key=other_key))
        == ErrorCode.OUT_OF_STOCK
    )
    reused = NewOrder(name="Fox", quantity=1)
    assert (
        refusal(lambda: orders.place_order(reused, idempotency_key=key))
        == ErrorCode.IDEMPOTENCY_KEY_REUSED
    )


def decode(document: str) -> int:
    store = Store()
    client = ApiClient(Configuration(host=store.url))
    products, orders = ProductsApi(client), OrdersApi(client)
    calls = {
        "readProducts": products.read_products,
        "readProduct": lambda: products.read_product("Tux"),
        "placeOrder": lambda: orders.place_order(NewOrder(name="Tux", quantity=1)),
        "readOrder": lambda: orders.read_order(1),
        "readOrderByPost": lambda: orders.read_order_by_post(1),
    }

    def check(answer: Answer) -> None:
        try:
            seen = calls[answer.operation]()
        except ApiException as error:
            assert error.status == answer.status, (answer, error)
            seen = error.data
        assert seen.to_dict() == answer.body, (answer, seen)

    answers = described(document)
    for answer in answers:
        store.next = answer
        check(answer)
    return len(answers)


if __name__ == "__main__":
    shop(ApiClient(Configuration(host=sys.argv[1])))
    print(
        f"openapi-generator: its Python client shopped, and decoded {decode(sys.argv[2])} answers"
    )
