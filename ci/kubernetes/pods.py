"""Rules for pods: the store's own, and what checkov misses of restricted Pod Security.

Each check yields the mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from json_handler import Object
from render import Rendered, called

# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
FLOAT = re.compile(r"\d(\.\d+)?e\+\d+")
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")

# Enumerations, which the published schemas lack: the allowed values of fields with these names.
SPELLINGS = {
    "clusterIP": {"None"},
    "fsGroupChangePolicy": {"OnRootMismatch", "Always"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "nodeTaintsPolicy": {"Honor", "Ignore"},
    "pathType": {"Exact", "Prefix", "ImplementationSpecific"},
    "podManagementPolicy": {"OrderedReady", "Parallel"},
    "protocol": {"TCP", "UDP", "SCTP"},
    "restartPolicy": {"Always", "OnFailure", "Never"},
    "unhealthyPodEvictionPolicy": {"AlwaysAllow", "IfHealthyBudget"},
    "whenDeleted": {"Retain", "Delete"},
    "whenScaled": {"Retain", "Delete"},
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
}
LIST_SPELLINGS = {
    "accessModes": {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"},
    "policyTypes": {"Ingress", "Egress"},
    "verbs": {"get", "list", "watch"},
}


def template_of(thing: Object) -> Object | None:
    """The pod (template) of an object that has one: a mapping with `metadata` and `spec`."""
    if thing["kind"] == "Pod":
        return thing
    if thing["kind"] in {"Deployment", "StatefulSet", "Job"}:
        return thing["spec"]["template"]
    return None


def pods(rendered: Rendered) -> Iterator[tuple[str, Object, Object]]:
    """Each object with pods: its name in messages, itself, and its pod template."""
    for thing in rendered.all:
        if template := template_of(thing):
            yield called(thing), thing, template


def containers(spec: Object) -> list[Object]:
    return spec.get("initContainers", []) + spec["containers"]


def check(rendered: Rendered) -> Iterator[str]:
    for name, thing, template in pods(rendered):
        spec = template["spec"]
        for what in [*restricted(spec), *store_rules(thing, spec)]:
            yield f"{name}: {what}"
    for thing in rendered.all:
        for what in spelling(thing):
            yield f"{called(thing)}: {what}"


def restricted(spec: Object) -> Iterator[str]:
    for volume in spec.get("volumes", []):
        if not RESTRICTED_VOLUMES & volume.keys():
            yield f"the volume {volume['name']} is of a kind that is not allowed"
    pod = spec.get("securityContext", {})
    if pod.keys() & {"sysctls", "windowsOptions", "seLinuxOptions"}:
        yield "sysctls, Windows and SELinux options are not used"
    for container in containers(spec):
        own = container.get("securityContext", {})
        if {**pod, **own}.get("runAsNonRoot") is not True:
            yield "it may run as root"
        if "procMount" in own:
            yield "it sets procMount"


def store_rules(thing: Object, spec: Object) -> Iterator[str]:
    if spec.get("enableServiceLinks") is not False:
        yield "service links would set variables such as ORDER_PORT"
    if "automountServiceAccountToken" not in spec or "serviceAccountName" not in spec:
        yield "it does not name its account, or whether it mounts the token"
    for container in containers(spec):
        if "command" in container or "lifecycle" in container:
            yield "it sets a command, but the image has only its entry point"
        names = [variable["name"] for variable in container.get("env", [])]
        for name in {name for name in names if names.count(name) > 1}:
            yield f"the variable {name} is set twice"
        for variable in container.get("env", []):
            if FLOAT.fullmatch(str(variable.get("value"))):
                yield f"the variable {variable['name']} is {variable['value']}, a number in Helm's notation for large numbers"
        if thing["kind"] in {"Deployment", "StatefulSet"}:
            yield from probes(container)
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        claims = [
            claim["metadata"]["name"] for claim in thing["spec"].get("volumeClaimTemplates", [])
        ]
        volumes = [volume["name"] for volume in spec.get("volumes", [])] + claims
        if mounts != set(volumes) or len(volumes) != len(set(volumes)):
            yield f"it mounts {sorted(mounts)}, but its volumes are {sorted(volumes)}"


def probes(container: Object) -> Iterator[str]:
    ports = [port["name"] for port in container["ports"]]
    if len(set(ports)) != len(ports):
        yield "two ports have the same name"
    for kind in PROBES:
        request = container.get(kind, {}).get("httpGet")
        if not request:
            yield f"it has no {kind}"
        elif request["port"] not in ports:
            yield f"its {kind} uses the port {request['port']}, which it does not have"
        elif request["path"] != ("/readyz" if kind == "readinessProbe" else "/healthz"):
            yield f"its {kind} requests {request['path']}"


def spelling(value: object, field: str = "") -> Iterator[str]:
    """Unknown values of enumerations, and nulls, which a template may produce by mistake."""
    if value is None:
        yield f"{field} is null"
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from spelling(below, key)
    elif isinstance(value, list):
        for below in value:
            yield from spelling(below, field)
            if field in LIST_SPELLINGS and below not in LIST_SPELLINGS[field]:
                yield f"{field}: {below!r} is not a known value"
    elif field in SPELLINGS and value not in SPELLINGS[field]:
        yield f"{field}: {value!r} is not a known value"
