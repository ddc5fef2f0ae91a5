"""What the checks' small servers have in common."""

from __future__ import annotations

import http.server
import json
from typing import Any

# An object in JSON or YAML.
Object = dict[str, Any]


class JsonHandler(http.server.BaseHTTPRequestHandler):
    """Answers in JSON on kept-alive connections, without logging."""

    protocol_version = "HTTP/1.1"
    # An answer is sent in one piece; the second of two would wait for the acknowledgement of the
    # first.
    wbufsize = -1

    def answer(self, status: int, body: Object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass
