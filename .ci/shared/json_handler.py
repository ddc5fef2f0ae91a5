"""What the small servers of the checks have in common."""

from __future__ import annotations

import http.server
import json


class JsonHandler(http.server.BaseHTTPRequestHandler):
    """Answers in JSON, on connections that stay, and says nothing."""

    protocol_version = "HTTP/1.1"
    # An answer goes out in one piece: in two, the second would wait for the first one's acknowledgement.
    wbufsize = -1

    def answer(self, status: int, body: dict) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass
