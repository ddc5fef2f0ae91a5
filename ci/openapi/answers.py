"""What a generated client must be able to do: shop in a store, and decode every answer.

A client is a function from an operation and its arguments to the status and the decoded body.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# An object in JSON; and what a client answers to an operation.
Object = dict[str, Any]
Call = Callable[..., tuple[int, Object]]

# For one call with all its repetitions. On a slow machine an election may take longer than the
# store's deadline.
PATIENCE_S = 60

# The operations, each with arguments.
EXAMPLES: dict[str, tuple[object, ...]] = {
    "readProducts": (),
    "readProduct": ("Tux",),
    "placeOrder": ("Tux", 1, "a-key-of-ones-own"),
    "readOrder": (1,),
    "readOrderByPost": (1,),
}


def shop(client: Call, is_careless: bool) -> None:
    """A careless client also sends what the document forbids."""

    def call(operation: str, *arguments: object) -> Any:
        """The data of the answer, or the code of a refusal."""
        late_s = time.monotonic() + PATIENCE_S
        while (answer := client(operation, *arguments))[0] == 503 and time.monotonic() < late_s:
            time.sleep(0.1)
        error = answer[1].get("error")
        assert error is None or error["message"], answer
        return error["code"] if error else answer[1]["data"]

    tux, key = call("readProduct", "Tux"), str(uuid.uuid4())
    assert tux in call("readProducts") and tux["price"] == 25.99, tux
    placed = [call("placeOrder", "Tux", 3, key)["order_number"] for _ in range(2)]
    assert placed[0] == placed[1], f"the same key has two numbers: {placed}"
    for operation in ("readOrder", "readOrderByPost"):
        found = call(operation, placed[0])
        assert (found["number"], found["name"], found["quantity"]) == (placed[0], "Tux", 3), found
    refusals = {
        "no_such_product": call("readProduct", "Unicorn"),
        "no_such_order": call("readOrder", 999_999),
        "out_of_stock": call("placeOrder", "Tux", 1_000, str(uuid.uuid4())),
        "idempotency_key_reused": call("placeOrder", "Fox", 1, key),
    }
    if is_careless:
        refusals["bad_quantity"] = call("placeOrder", "Tux", 0, str(uuid.uuid4()))
        refusals["bad_request"] = call("placeOrder", "Tux", 1, "two words")
    assert all(expected == code for expected, code in refusals.items()), refusals


def described(document: Object) -> Iterator[tuple[str, int, Object]]:
    """All answers with a body that a document describes: operation, status, body."""
    for operation in (it for methods in document["paths"].values() for it in methods.values()):
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/json", {})
            bodies = [it["value"] for it in content.get("examples", {}).values()]
            for body in bodies + ([content["example"]] if "example" in content else []):
                if operation["operationId"] in EXAMPLES:
                    yield operation["operationId"], int(status), body


def decode(client: Callable[[str], Call], document: Object) -> int:
    """Compares what the client makes of each answer with what was sent. Returns how many."""
    status, body = 0, dict[str, Any]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    call = client(f"http://127.0.0.1:{server.server_port}")
    answers = list(described(document))
    for operation, status, body in answers:
        seen = call(operation, *EXAMPLES[operation])
        assert seen == (status, body), (operation, status, body, seen)
    codes = {body["error"]["code"] for _, _, body in answers if "error" in body}
    assert {operation for operation, _, _ in answers} == EXAMPLES.keys()
    assert len(answers) > 30 and len(codes) > 10, f"only {len(answers)} answers: {codes}"
    return len(answers)


def main(name: str, client: Callable[[str], Call], *, is_careless: bool) -> None:
    """Arguments: the URL of a store, and its OpenAPI document."""
    url, path = sys.argv[1:]
    shop(client(url), is_careless)
    count = decode(client, json.loads(Path(path).read_text()))
    print(f"{name}: its Python client shopped, and decoded {count} answers")
