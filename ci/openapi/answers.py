"""The answers that an OpenAPI document describes, and a server that returns any of them."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

# For one call with all its repetitions.
PATIENCE_S = 60

OPERATIONS = ["readProducts", "readProduct", "placeOrder", "readOrder", "readOrderByPost"]


@dataclass(frozen=True)
class Answer:
    """One answer of an operation: a success, or an error with its code."""

    operation: str
    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str | None:
        return self.body.get("error", {}).get("code")


def described(path: str) -> list[Answer]:
    """All answers with a body that the document at `path` describes for OPERATIONS."""
    document = json.loads(Path(path).read_text())
    answers = []
    for operation in (it for methods in document["paths"].values() for it in methods.values()):
        if operation["operationId"] not in OPERATIONS:
            continue
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/json", {})
            bodies = [it["value"] for it in content.get("examples", {}).values()]
            bodies += [content["example"]] if "example" in content else []
            answers += [Answer(operation["operationId"], int(status), body) for body in bodies]
    codes = {answer.code for answer in answers}
    assert {answer.operation for answer in answers} == set(OPERATIONS), (
        "an operation is not described"
    )
    assert len(answers) > 30 and len(codes) > 10, f"only {len(answers)} answers: {codes}"
    return answers


def repeated(call: Callable[[], T], is_temporary: Callable[[T], bool]) -> T:
    """The answer to a call, which is repeated while the answer is temporary.

    On a slow machine an election may take longer than the store's deadline.
    """
    late_s = time.monotonic() + PATIENCE_S
    while is_temporary(answer := call()) and time.monotonic() <= late_s:
        time.sleep(0.1)
    return answer


class Store:
    """Answers every request with `next`."""

    def __init__(self) -> None:
        self.next: Answer | None = None
        store = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                assert store.next
                body = json.dumps(store.next.body).encode()
                self.send_response(store.next.status)
                headers = {
                    "Content-Type": "application/json",
                    "Content-Length": len(body),
                    "Retry-After": 1,
                }
                for name, value in headers.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"
