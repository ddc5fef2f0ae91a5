"""Uses the Python client of openapi-generator, which raises errors that contain the answer."""

from collections.abc import Callable
from typing import Any

from openapi_client import ApiClient, ApiException, Configuration, NewOrder, OrdersApi, ProductsApi

from answers import Call, Object, main


def client(url: str) -> Call:
    it = ApiClient(Configuration(host=url))
    products, orders = ProductsApi(it), OrdersApi(it)
    calls: dict[str, Callable[..., Any]] = {
        "readProducts": products.read_products_with_http_info,
        "readProduct": lambda name: products.read_product_with_http_info(name, session_id="s-1"),
        "placeOrder": lambda name, quantity, key: orders.place_order_with_http_info(
            NewOrder(name=name, quantity=quantity), idempotency_key=key
        ),
        "readOrder": orders.read_order_with_http_info,
        "readOrderByPost": orders.read_order_by_post_with_http_info,
    }

    def call(operation: str, *arguments: object) -> tuple[int, Object]:
        try:
            answer = calls[operation](*arguments)
        except ApiException as error:
            return error.status, error.data.to_dict()
        return answer.status_code, answer.data.to_dict()

    return call


if __name__ == "__main__":
    main("openapi-generator", client, is_careless=False)
