"""A minimal API server of Kubernetes: it answers with given documents."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

# An object in JSON or YAML.
Object = dict[str, Any]


@dataclass
class Api:
    """What is served: documents by path, or by path and `?labelSelector=…`.

    What is created is answered with itself. A watch has no events until it times out.
    """

    documents: dict[str, Object]
    token: str | None = None
    port: int = 0
    refused: list[str] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)


@contextmanager
def serve(api: Api, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Api]:
    """Serves on a free port of that address while the context is active."""
    server = http.server.ThreadingHTTPServer((address, 0), handler(api))
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    api.port = server.server_port
    # By default `shutdown` waits for half a second.
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


def handler(api: Api) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer is sent in one piece; the second of two would wait for the acknowledgement of
        # the first.
        wbufsize = -1

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            asked = parse_qs(url.query)
            selector = asked.get("labelSelector")
            name = f"{url.path}?labelSelector={selector[0]}" if selector else url.path
            if api.token and self.headers["Authorization"] != f"Bearer {api.token}":
                self.refuse(401)
            elif name not in api.documents:
                self.refuse(404)
            elif "watch" in asked:
                self.watch(name, float(asked["timeoutSeconds"][0]))
            else:
                self.answer(200, api.documents[name])

        def do_POST(self) -> None:
            self.answer(201, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def do_PATCH(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def watch(self, name: str, timeout_s: float) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            # Tells the client that the watch has begun.
            self.wfile.flush()
            api.watched.append(name)
            time.sleep(timeout_s)
            self.wfile.write(b"0\r\n\r\n")

        def refuse(self, code: int) -> None:
            api.refused.append(f"{code} {self.path}")
            reason = "NotFound" if code == 404 else "Unauthorized"
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
            self.answer(code, status | {"reason": reason, "code": code})

        def answer(self, status: int, body: Object) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
