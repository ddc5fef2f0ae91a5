"""What a pod sees of its cluster: a service account, and EndpointSlices."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

from api_server import Object
from engine import TOKEN

NAMESPACE = "shop"
# Where a pod finds the token of its service account, and its namespace.
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# The request for the EndpointSlices of a service.
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices?labelSelector=kubernetes.io/service-name"


def service_account(directory: Path, api_server: str) -> ssl.SSLContext:
    """Writes the files of the account. Returns the TLS of the API server at that address."""
    # RSA and for an IP address, as kubeadm makes them.
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(api_server, key_type=trustme.KeyType.RSA).configure_cert(tls)
    authority.cert_pem.write_to_path(directory / "ca.crt")
    (directory / "token").write_text(TOKEN)
    (directory / "namespace").write_text(NAMESPACE)
    # The container's user reads them.
    for it in (directory, *directory.parents[:2]):
        it.chmod(0o755)
    return tls


def endpoint_slice(service: str, ports: dict[str, int], pods: dict[str, str]) -> Object:
    """The answer to the list of a service's EndpointSlices."""
    endpoints = [
        {
            "addresses": [at],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "hostname": pod,
            "targetRef": {"kind": "Pod", "name": pod, "namespace": NAMESPACE, "uid": f"uid-{pod}"},
        }
        for pod, at in pods.items()
    ]
    labels = {"kubernetes.io/service-name": service}
    metadata = {"name": f"{service}-x", "namespace": NAMESPACE, "resourceVersion": "1"}
    it = {
        "metadata": metadata | {"labels": labels},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": name, "port": port, "protocol": "TCP"} for name, port in ports.items()],
    }
    group = {"apiVersion": "discovery.k8s.io/v1"}
    listed = {"kind": "EndpointSliceList", "metadata": {"resourceVersion": "1"}}
    return group | listed | {"items": [group | {"kind": "EndpointSlice"} | it]}
