"""What must hold for the rendered objects together. Each rule yields the mistakes."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator

from api_server import Object
from render import REPOSITORY, Rendered, called
from schemas import schemas

COMPONENT = "app.kubernetes.io/component"
# Temporary pods: a rule may name them while none exist.
PASSING = {"scale-in", "test", "loadtest"}


def pods(rendered: Rendered) -> Iterator[tuple[Object, Object]]:
    """Each object with pods, and its pod template: a mapping with `metadata` and `spec`."""
    yield from ((thing, thing) for thing in rendered.of("Pod"))
    for thing in rendered.of("Deployment", "StatefulSet", "Job"):
        yield thing, thing["spec"]["template"]


def containers(template: Object) -> list[Object]:
    return template["spec"].get("initContainers", []) + template["spec"]["containers"]


def ports_of(template: Object) -> dict[str, int]:
    ports = [port for container in containers(template) for port in container.get("ports", [])]
    return {port["name"]: port["containerPort"] for port in ports}


def matched(rendered: Rendered, labels: Object) -> list[tuple[str, Object]]:
    """The pods with these labels, each with its component."""
    own = [(template["metadata"]["labels"], template) for _, template in pods(rendered)]
    return [(of[COMPONENT], template) for of, template in own if labels.items() <= of.items()]


def components(found: list[tuple[str, Object]]) -> list[str]:
    return sorted({component for component, _ in found})


def repeated(words: list[str]) -> set[str]:
    return {word for word in words if words.count(word) > 1}


def identities(rendered: Rendered) -> Iterator[str]:
    for twice in repeated([called(thing) for thing in rendered.objects]):
        yield f"{twice} exists twice"
    for thing in rendered.objects:
        if thing["metadata"]["namespace"] != rendered.namespace:
            yield f"{called(thing)} is not in the release's namespace"


def pod_parts(rendered: Rendered) -> Iterator[str]:
    for thing, template in pods(rendered):
        claims = [it["metadata"] for it in thing["spec"].get("volumeClaimTemplates", [])]
        volumes = [it["name"] for it in template["spec"].get("volumes", []) + claims]
        for container in containers(template):
            for parts in (container.get("env", []), container.get("ports", [])):
                for twice in repeated([part["name"] for part in parts]) | repeated(volumes):
                    yield f"{called(thing)}: {twice} is there twice"
            mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
            if mounts != set(volumes):
                yield f"{called(thing)} mounts {sorted(mounts)}, but its volumes are {volumes}"
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                port = container.get(probe, {}).get("httpGet", {}).get("port")
                if port and port not in ports_of(template):
                    yield f"{called(thing)}: its {probe} uses the port {port}, which it does not have"


@functools.cache
def known(command: str) -> set[str]:
    """The variables and flags of a subcommand: a test keeps docs/settings.md up to date."""
    page = (REPOSITORY / "docs/settings.md").read_text()
    section = page.partition(f"\n## `toystore {command}`\n")[2].partition("\n## ")[0]
    return set(re.findall(r"`([A-Z0-9_]+|--[a-z0-9-]+)` \|", section))


def settings(rendered: Rendered) -> Iterator[str]:
    for thing, template in pods(rendered):
        for container in containers(template):
            command, *words = container["args"]
            told = {word.partition("=")[0] for word in words if word.startswith("--")}
            told |= {variable["name"] for variable in container.get("env", [])}
            if not known(command):
                yield f"{called(thing)}: there is no `toystore {command}`"
            for word in sorted(told - known(command)):
                yield f"{called(thing)}: `toystore {command}` does not know {word}"


def services(rendered: Rendered) -> Iterator[str]:
    for service in rendered.of("Service"):
        name, spec = called(service), service["spec"]
        found = matched(rendered, spec["selector"])
        is_for_metrics = name.endswith("-metrics")
        if not found or (len(components(found)) > 1 and not is_for_metrics):
            yield f"{name} selects {components(found) or 'nothing'}"
        for port, (component, template) in itertools.product(spec["ports"], found):
            number = ports_of(template).get(port["targetPort"])
            if number is None:
                yield f"{name}: {component} has no port {port['targetPort']}"
            elif "clusterIP" in spec and not is_for_metrics and number != port["port"]:
                yield f"{name} is headless, and its port {port['port']} differs from the pod's {number}"


def selectors(rendered: Rendered) -> Iterator[str]:
    for thing in rendered.of("Deployment", "StatefulSet"):
        template = thing["spec"]["template"]
        found = matched(rendered, thing["spec"]["selector"]["matchLabels"])
        if [selected for _, selected in found] != [template]:
            yield f"{called(thing)} selects {components(found)}"
        for constraint in template["spec"].get("topologySpreadConstraints", []):
            spread = constraint["labelSelector"]["matchLabels"].items()
            if not spread <= template["metadata"]["labels"].items():
                yield f"{called(thing)} spreads pods other than its own"


def stateful_sets(rendered: Rendered) -> Iterator[str]:
    for thing in rendered.of("StatefulSet"):
        name, spec = called(thing), thing["spec"]
        labels = spec["selector"]["matchLabels"]
        service = rendered.find("Service", spec["serviceName"])
        if not service or service["spec"].get("clusterIP") != "None":
            yield f"{name}: {spec['serviceName']} is not a headless service"
        elif not service["spec"].get("publishNotReadyAddresses"):
            yield f"{called(service)} hides replicas that are not ready: a group without quorum could never elect again"
        elif service["spec"]["selector"] != labels:
            yield f"{called(service)} and {name} select other pods"
        if any(it["metadata"]["labels"] != labels for it in spec.get("volumeClaimTemplates", [])):
            yield f"{name}: labels of its volumes may change, which Kubernetes refuses"


def accounts(rendered: Rendered) -> Iterator[str]:
    for binding in rendered.of("RoleBinding"):
        if not rendered.find("Role", binding["roleRef"]["name"]):
            yield f"{called(binding)} binds a role that does not exist"
    bindings = rendered.of("RoleBinding")
    bound = {subject["name"] for binding in bindings for subject in binding["subjects"]}
    users: set[str] = set()
    for thing, template in pods(rendered):
        account = template["spec"]["serviceAccountName"]
        component = template["metadata"]["labels"][COMPONENT]
        is_own = account.endswith(f"-{component}") or thing["kind"] in {"Pod", "Job"}
        if not rendered.find("ServiceAccount", account) or not is_own:
            yield f"{called(thing)}: {account} does not exist, or is another component's account"
        if template["spec"]["automountServiceAccountToken"]:
            users.add(account)
    if users != bound:
        yield f"tokens are mounted by {sorted(users)}, and rights are given to {sorted(bound)}"


def budgets(rendered: Rendered) -> Iterator[str]:
    unbudgeted = {it["metadata"]["name"]: it for it in rendered.of("StatefulSet")}
    for budget in rendered.of("PodDisruptionBudget"):
        name, spec = budget["metadata"]["name"], budget["spec"]
        unbudgeted.pop(name, None)
        owner = rendered.find("StatefulSet", name) or rendered.find("Deployment", name)
        if not owner or spec["selector"] != owner["spec"]["selector"]:
            yield f"{called(budget)} selects no workload"
            continue
        replicas = owner["spec"].get("replicas", 2)
        spare = (replicas - 1) // 2 if owner["kind"] == "StatefulSet" else replicas - 1
        if not 1 <= spec["maxUnavailable"] <= spare:
            yield f"{called(budget)}: of {replicas}, {spec['maxUnavailable']} may not be evicted"
    for name, thing in unbudgeted.items():
        if thing["spec"]["replicas"] > 1:
            yield f"StatefulSet {name}: a drain may break its quorum"


def references(rendered: Rendered) -> Iterator[str]:
    own_secret = rendered.values["internalToken"]["existingSecret"]
    for thing, template in pods(rendered):
        wanted = [
            ("ConfigMap", volume["configMap"]["name"], None)
            for volume in template["spec"].get("volumes", [])
            if "configMap" in volume
        ]
        for variable in (it for c in containers(template) for it in c.get("env", [])):
            for field, reference in variable.get("valueFrom", {}).items():
                if kind := {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}.get(field):
                    wanted.append((kind, reference["name"], reference["key"]))
        for kind, name, key in wanted:
            found = rendered.find(kind, name)
            if (kind, name) != ("Secret", own_secret) and not (
                found and (not key or key in found["data"])
            ):
                yield f"{called(thing)} needs {key or 'a file'} of the {kind} {name}, which does not exist"


def policies(rendered: Rendered) -> Iterator[str]:
    """Every port of a rule exists at its target.

    Ingress and egress rules describe the same pairs.
    """
    calls: dict[str, set[tuple[str, str, int]]] = {"ingress": set(), "egress": set()}
    for policy in rendered.of("NetworkPolicy"):
        name, spec = called(policy), policy["spec"]
        component = policy["metadata"]["labels"][COMPONENT]
        found = matched(rendered, spec["podSelector"]["matchLabels"])
        if [selected for selected, _ in found] != [component]:
            yield f"{name} selects {components(found)}"
            continue
        for port in (port for rule in spec["ingress"] for port in rule["ports"]):
            if port["port"] not in ports_of(found[0][1]).values():
                yield f"{name} opens {port['port']}, on which no process listens"
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for rule in spec[direction]:
                for peer in own_pods(rule.get(side, [])):
                    pair = (peer, component) if direction == "ingress" else (component, peer)
                    calls[direction] |= {(*pair, port["port"]) for port in rule["ports"]}
    for caller, callee, port in sorted(calls["ingress"] ^ calls["egress"]):
        if caller not in PASSING:
            yield f"network policies: only one side allows {caller} to call {callee} on {port}"


def unreachable(rendered: Rendered) -> Iterator[str]:
    """Nothing leads to the console, and with network policies every server has one."""
    for service in rendered.of("Service"):
        if "console" in components(matched(rendered, service["spec"]["selector"])):
            yield f"{called(service)} leads to the console"
    policies_of = {it["metadata"]["labels"][COMPONENT]: it for it in rendered.of("NetworkPolicy")}
    if policies_of:
        for thing in rendered.of("Deployment", "StatefulSet"):
            if thing["metadata"]["labels"][COMPONENT] not in policies_of:
                yield f"{called(thing)} has no network policy"
    if "console" in policies_of and policies_of["console"]["spec"]["ingress"]:
        yield "network policies: a pod may call the console"


def own_pods(peers: list[Object]) -> Iterator[str]:
    for peer in peers:
        labels = peer.get("podSelector", {}).get("matchLabels", {})
        if "namespaceSelector" not in peer and COMPONENT in labels:
            yield labels[COMPONENT]


def monitors(rendered: Rendered) -> Iterator[str]:
    for monitor in rendered.of("PodMonitor"):
        found = matched(rendered, monitor["spec"]["selector"]["matchLabels"])
        if set(components(found)) - {"loadtest"} != {"catalog", "order", "frontend"}:
            yield f"{called(monitor)} selects {components(found)}"
        scraped = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
        for component, template in found:
            if missing := scraped - ports_of(template).keys():
                yield f"{called(monitor)}: {component} has no port {sorted(missing)}"
    for monitor in rendered.of("ServiceMonitor"):
        labels = monitor["spec"]["selector"]["matchLabels"].items()
        services = rendered.of("Service")
        targets = [it for it in services if labels <= it["metadata"]["labels"].items()]
        ports = {port["name"] for service in targets for port in service["spec"]["ports"]}
        scraped = {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]}
        if len(targets) != 1 or not scraped <= ports:
            yield f"{called(monitor)} selects {[called(service) for service in targets]}"
    for thing, template in pods(rendered):
        port = template["metadata"].get("annotations", {}).get("prometheus.io/port")
        if port and int(port) != ports_of(template)["internal"]:
            yield f"{called(thing)}: prometheus.io/port is {port}, which has no metrics"


def targets(rendered: Rendered) -> Iterator[str]:
    for ingress in rendered.of("Ingress"):
        for path in (path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]):
            backend = path["backend"]["service"]
            service = rendered.find("Service", backend["name"])
            ports = service["spec"]["ports"] if service else []
            if backend["port"]["name"] not in {port["name"] for port in ports}:
                yield f"{called(ingress)} leads to no service port"
    for scaler in rendered.of("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        owner = rendered.find(target["kind"], target["name"])
        if not owner or "replicas" in owner["spec"]:
            yield f"{called(scaler)}: its target is missing, or sets its own number of replicas"


def notes(rendered: Rendered) -> Iterator[str]:
    """The notes name existing objects, and are whole: Helm leaves out missing files."""
    kinds = {"statefulset": "StatefulSet", "deployment": "Deployment", "service": "Service"}
    for word in rendered.notes.replace("=", " ").split():
        kind, slash, name = word.partition("/")
        if slash and kind in kinds and not rendered.find(kinds[kind], name):
            yield f"there is no {word}"
    gap = re.compile(r"\S  +\S|\(\s|\s[),:;]")
    for line in rendered.notes.splitlines():
        if "<no value>" in line or ("  #" not in line and gap.search(line.strip())):
            yield f"something is missing in {line!r}"
    if len(rendered.notes) < 200:
        yield "they are not whole"


RULES = [
    schemas,
    identities,
    pod_parts,
    settings,
    services,
    selectors,
    stateful_sets,
    accounts,
    budgets,
    references,
    policies,
    unreachable,
    monitors,
    targets,
    notes,
]


def mistakes(rendered: Rendered) -> list[str]:
    return [mistake for rule in RULES for mistake in rule(rendered)]
