"""A Kubernetes API as a pod sees it.

It has TLS with the cluster's own authority, a token, and EndpointSlices to list and watch. The API
server in crates/discovery/tests injects every kind of fault. This one covers only what depends on
the image itself, which has no CA certificates and an almost empty `/etc`.
"""

from __future__ import annotations

import http.server
import secrets
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from engine import variables
from json_handler import JsonHandler, Object

NAMESPACE = "shop"
# Where a pod finds the token of its service account.
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass
class Cluster:
    """The endpoints of services, each as (pod, address), and the requests that were received."""

    address: str
    port: int
    account: Path
    services: dict[str, list[tuple[str, str]]]
    ports: dict[str, dict[str, int]]
    refused: int = 0
    watches: set[str] = field(default_factory=set)

    def slice(self, service: str) -> Object:
        endpoints = [
            {
                "addresses": [address],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "hostname": pod,
                "targetRef": {
                    "kind": "Pod",
                    "name": pod,
                    "namespace": NAMESPACE,
                    "uid": f"uid-of-{pod}",
                },
            }
            for pod, address in self.services[service]
        ]
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{service}-x2x1z",
                "namespace": NAMESPACE,
                "resourceVersion": "1",
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [
                {"name": name, "port": port, "protocol": "TCP"}
                for name, port in self.ports[service].items()
            ],
        }

    def pod(self) -> list[str]:
        """What a container needs to act as a pod of this cluster."""
        told = {
            "DISCOVERY": "kubernetes",
            "POD_NAMESPACE": NAMESPACE,
            "KUBERNETES_SERVICE_HOST": self.address,
            "KUBERNETES_SERVICE_PORT": str(self.port),
        }
        return [f"--volume={self.account}:{ACCOUNT}:ro", *variables(told)]


def certificates(directory: Path, address: str) -> tuple[Path, Path, Path]:
    """Creates the cluster's authority, and the API server's key and certificate.

    They are RSA and for an IP address, as kubeadm makes them.
    """

    def openssl(arguments: str) -> None:
        command = ["openssl", *arguments.split()]
        subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=60)

    new_key = "-newkey rsa:2048 -nodes -keyout"
    openssl(f"req -x509 {new_key} ca.key -out ca.crt -days 2 -subj /CN=kubernetes")
    openssl(f"req {new_key} server.key -out server.csr -subj /CN=kube-apiserver")
    directory.joinpath("server.ext").write_text(
        f"subjectAltName=DNS:kubernetes.default.svc,IP:{address}\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature,keyEncipherment\n"
    )
    signed = "-CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext"
    openssl(f"x509 -req -in server.csr {signed} -out server.crt")
    return directory / "ca.crt", directory / "server.key", directory / "server.crt"


@contextmanager
def cluster(
    directory: Path,
    address: str,
    services: dict[str, list[tuple[str, str]]],
    ports: dict[str, dict[str, int]],
) -> Iterator[Cluster]:
    """Serves on a free port at that address of this machine while the context is active."""
    authority, key, certificate = certificates(directory, address)
    token = secrets.token_hex()
    account = directory / "account"
    account.mkdir()
    files = {"ca.crt": authority.read_text(), "token": token, "namespace": NAMESPACE}
    for name, text in files.items():
        account.joinpath(name).write_text(text)
    account.chmod(0o755)
    directory.chmod(0o755)
    it = Cluster(address, 0, account, services, ports)
    server = http.server.ThreadingHTTPServer((address, 0), handler(it, token))
    server.daemon_threads = True
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    it.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield it
    finally:
        server.shutdown()
        server.server_close()


def handler(it: Cluster, token: str) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(JsonHandler):
        def do_GET(self) -> None:
            path, asked = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            label, _, service = asked.get("labelSelector", [""])[0].partition("=")
            wanted = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
            if self.headers["Authorization"] != f"Bearer {token}":
                it.refused += 1
                self.answer(
                    401,
                    {
                        "kind": "Status",
                        "apiVersion": "v1",
                        "status": "Failure",
                        "code": 401,
                        "message": "Unauthorized",
                    },
                )
            elif (path, label) != (
                wanted,
                "kubernetes.io/service-name",
            ) or service not in it.services:
                it.refused += 1
                self.answer(
                    403,
                    {
                        "kind": "Status",
                        "apiVersion": "v1",
                        "status": "Failure",
                        "code": 403,
                        "message": f"forbidden: {self.path}",
                    },
                )
            elif "watch" in asked:
                self.watch(service, float(asked["timeoutSeconds"][0]))
            else:
                kind = {"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1"}
                self.answer(
                    200,
                    {**kind, "metadata": {"resourceVersion": "1"}, "items": [it.slice(service)]},
                )

        def watch(self, service: str, timeout_s: float) -> None:
            """Sends nothing until the watch times out."""
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            # Tells the client that the watch has begun.
            self.wfile.flush()
            it.watches.add(service)
            time.sleep(timeout_s)
            self.wfile.write(b"0\r\n\r\n")

    return Handler
