"""References between objects: names, selectors, ports, accounts, quorums.

Each check yields the mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from json_handler import Object
from pods import containers, pods, template_of
from render import Rendered, called

COMPONENT = "app.kubernetes.io/component"
COMMON_LABELS = {
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    COMPONENT,
    "app.kubernetes.io/version",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
}
# A DNS label, and the longest value of a label.
NAME_LENGTH_MAX = 63
# What a StatefulSet appends to its name in the label `controller-revision-hash`.
REVISION_LENGTH = 11
# Temporary pods: a rule may name them while none exist.
PASSING = {"scale-in", "test", "loadtest"}


def check(rendered: Rendered) -> Iterator[str]:
    for rule in (
        identities,
        services,
        selectors,
        stateful_sets,
        accounts,
        budgets,
        references,
        policies,
        monitors,
        others,
    ):
        yield from rule(rendered)


def identities(rendered: Rendered) -> Iterator[str]:
    seen: set[str] = set()
    for thing in rendered.all:
        metadata, it = thing["metadata"], called(thing)
        if it in seen:
            yield f"{it} exists twice"
        seen.add(it)
        if metadata.get("namespace") != rendered.namespace:
            yield f"{it} is not in the release's namespace"
        if missing := COMMON_LABELS - metadata["labels"].keys():
            yield f"{it} has no {sorted(missing)}"
        longest = NAME_LENGTH_MAX - (REVISION_LENGTH if thing["kind"] == "StatefulSet" else 0)
        name = metadata["name"]
        if len(name) > longest or not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
            yield f"{it}: the name is too long, or not a DNS label"
        for key, value in metadata["labels"].items():
            if not isinstance(value, str) or not re.fullmatch(
                r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", value
            ):
                yield f"{it}: the label {key} cannot be {value!r}"


def matched(rendered: Rendered, labels: Object) -> list[tuple[str, Object]]:
    """The pods with these labels, each with its component."""
    found = []
    for _, _, template in pods(rendered):
        own = template["metadata"]["labels"]
        if labels.items() <= own.items():
            found.append((own[COMPONENT], template))
    return found


def ports_of(template: Object) -> dict[str, int]:
    return {
        port["name"]: port["containerPort"]
        for c in containers(template["spec"])
        for port in c.get("ports", [])
    }


def services(rendered: Rendered) -> Iterator[str]:
    for service in rendered.of("Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        found = matched(rendered, spec["selector"])
        if not found:
            yield f"Service {name} selects nothing"
        if len({component for component, _ in found}) != 1 and not name.endswith("-metrics"):
            yield f"Service {name} selects {[component for component, _ in found]}"
        for port in spec["ports"]:
            for component, template in found:
                number = ports_of(template).get(port["targetPort"])
                if number is None:
                    yield f"Service {name}: {component} has no port {port['targetPort']}"
                elif (
                    spec.get("clusterIP") == "None"
                    and not name.endswith("-metrics")
                    and number != port["port"]
                ):
                    yield f"Service {name} is headless, and its port {port['port']} differs from the pod's {number}"


def selectors(rendered: Rendered) -> Iterator[str]:
    for thing in rendered.of("Deployment") + rendered.of("StatefulSet"):
        found = matched(rendered, thing["spec"]["selector"]["matchLabels"])
        if [template for _, template in found] != [thing["spec"]["template"]]:
            yield f"{called(thing)} selects {[component for component, _ in found]}"
        labels = thing["spec"]["template"]["metadata"]["labels"]
        for constraint in thing["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            if not constraint["labelSelector"]["matchLabels"].items() <= labels.items():
                yield f"{called(thing)} spreads pods other than its own"


def stateful_sets(rendered: Rendered) -> Iterator[str]:
    for thing in rendered.of("StatefulSet"):
        name, spec = thing["metadata"]["name"], thing["spec"]
        service = rendered.find("Service", spec["serviceName"])
        if not service or service["spec"].get("clusterIP") != "None":
            yield f"StatefulSet {name}: {spec['serviceName']} is not a headless service"
        elif not service["spec"].get("publishNotReadyAddresses"):
            yield f"Service {spec['serviceName']} hides replicas that are not ready: a group without quorum could never elect again"
        elif service["spec"]["selector"] != spec["selector"]["matchLabels"]:
            yield f"Service {spec['serviceName']} and StatefulSet {name} select other pods"
        if spec["podManagementPolicy"] != "Parallel":
            yield f"StatefulSet {name}: replicas that are started one by one cannot bootstrap a group"
        if spec["replicas"] % 2 == 0:
            yield f"StatefulSet {name} has an even number of replicas"
        for claim in spec.get("volumeClaimTemplates", []):
            if claim["metadata"]["labels"] != spec["selector"]["matchLabels"]:
                yield f"StatefulSet {name}: labels of its volumes may change, which Kubernetes refuses"
            if "persistentVolumeClaimRetentionPolicy" not in spec:
                yield f"StatefulSet {name} has no retention policy for its volumes"


def accounts(rendered: Rendered) -> Iterator[str]:
    bound: set[str] = set()
    if cluster_wide := rendered.of("ClusterRole") + rendered.of("ClusterRoleBinding"):
        yield f"there are {len(cluster_wide)} cluster-wide rights"
    slices = {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": ["get", "list", "watch"],
    }
    for role in rendered.of("Role"):
        if role["rules"] != [slices]:
            yield f"{called(role)} allows more or less than watching EndpointSlices"
    for binding in rendered.of("RoleBinding"):
        if not rendered.find("Role", binding["roleRef"]["name"]):
            yield f"{called(binding)} binds a role that does not exist"
        bound |= {subject["name"] for subject in binding["subjects"]}
    for account in rendered.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{called(account)} mounts its token in all pods"
    users: set[str] = set()
    for name, _, template in pods(rendered):
        account = template["spec"]["serviceAccountName"]
        if not rendered.find("ServiceAccount", account):
            yield f"{name}: the ServiceAccount {account} does not exist"
        if template["spec"]["automountServiceAccountToken"]:
            users.add(account)
    if users != bound:
        yield f"tokens are mounted by {sorted(users)}, and rights are given to {sorted(bound)}"


def budgets(rendered: Rendered) -> Iterator[str]:
    budgeted = set()
    for budget in rendered.of("PodDisruptionBudget"):
        name, spec = budget["metadata"]["name"], budget["spec"]
        owner = rendered.find("StatefulSet", name) or rendered.find("Deployment", name)
        if not owner or spec["selector"]["matchLabels"] != owner["spec"]["selector"]["matchLabels"]:
            yield f"PodDisruptionBudget {name} selects no workload"
            continue
        budgeted.add(name)
        replicas = owner["spec"].get("replicas", 2)
        spare = (replicas - 1) // 2 if owner["kind"] == "StatefulSet" else replicas - 1
        if not 1 <= spec["maxUnavailable"] <= spare:
            yield f"PodDisruptionBudget {name}: of {replicas}, {spec['maxUnavailable']} may not be evicted"
    for thing in rendered.of("StatefulSet"):
        name = thing["metadata"]["name"]
        if thing["spec"]["replicas"] > 1 and name not in budgeted:
            yield f"StatefulSet {name}: a drain may break its quorum"


def references(rendered: Rendered) -> Iterator[str]:
    own_secret = rendered.values["internalToken"]["existingSecret"]
    for name, _, template in pods(rendered):
        wanted: list[tuple[str, str, str | None]] = []
        for container in containers(template["spec"]):
            for variable in container.get("env", []):
                for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                    if reference := variable.get("valueFrom", {}).get(field):
                        wanted.append((kind, reference["name"], reference["key"]))
        wanted += [
            ("ConfigMap", v["configMap"]["name"], None)
            for v in template["spec"].get("volumes", [])
            if "configMap" in v
        ]
        for kind, other, key in wanted:
            if kind == "Secret" and other == own_secret:
                continue
            found = rendered.find(kind, other)
            if not found or (key and key not in found["data"]):
                yield f"{name} needs {key or 'a file'} of the {kind} {other}, which does not exist"


def policies(rendered: Rendered) -> Iterator[str]:
    """Every port of a rule exists at its target.

    Ingress and egress rules describe the same pairs.
    """
    calls: dict[str, set[tuple[str, str, int]]] = {"ingress": set(), "egress": set()}
    for policy in rendered.of("NetworkPolicy"):
        name, spec = policy["metadata"]["name"], policy["spec"]
        found = matched(rendered, spec["podSelector"]["matchLabels"])
        if [component for component, _ in found] != [policy["metadata"]["labels"][COMPONENT]]:
            yield f"NetworkPolicy {name} selects {[component for component, _ in found]}"
            continue
        component, template = found[0]
        for rule in spec["ingress"]:
            for port in rule["ports"]:
                if port["port"] not in ports_of(template).values():
                    yield f"NetworkPolicy {name} opens {port['port']}, on which no process listens"
                for peer in own_pods(rule.get("from", [])):
                    calls["ingress"].add((peer, component, port["port"]))
        for rule in spec["egress"]:
            for peer in own_pods(rule.get("to", [])):
                calls["egress"] |= {(component, peer, port["port"]) for port in rule["ports"]}
    one_sided = {call for call in calls["ingress"] ^ calls["egress"] if call[0] not in PASSING}
    for caller, callee, port in sorted(one_sided):
        yield f"network policies: only one side allows {caller} to call {callee} on {port}"


def own_pods(peers: list[Object]) -> Iterator[str]:
    for peer in peers:
        labels = peer.get("podSelector", {}).get("matchLabels", {})
        if "namespaceSelector" not in peer and COMPONENT in labels:
            yield labels[COMPONENT]


def monitors(rendered: Rendered) -> Iterator[str]:
    for monitor in rendered.of("PodMonitor"):
        found = matched(rendered, monitor["spec"]["selector"]["matchLabels"])
        if {component for component, _ in found} - {"loadtest"} != {"catalog", "order", "frontend"}:
            yield f"{called(monitor)} selects {[component for component, _ in found]}"
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            for component, template in found:
                if endpoint["port"] not in ports_of(template):
                    yield f"{called(monitor)}: {component} has no port {endpoint['port']}"
    for monitor in rendered.of("ServiceMonitor"):
        labels = monitor["spec"]["selector"]["matchLabels"]
        targets = [
            service
            for service in rendered.of("Service")
            if labels.items() <= service["metadata"]["labels"].items()
        ]
        ports = {port["name"] for service in targets for port in service["spec"]["ports"]}
        scraped = {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]}
        if len(targets) != 1 or not scraped <= ports:
            yield f"{called(monitor)} selects {[called(service) for service in targets]}"
    for _, _, template in pods(rendered):
        port = template["metadata"].get("annotations", {}).get("prometheus.io/port")
        if port and int(port) != ports_of(template)["internal"]:
            yield f"prometheus.io/port is {port}, which has no metrics"


def others(rendered: Rendered) -> Iterator[str]:
    for ingress in rendered.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
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
    for thing in rendered.all:
        if thing["kind"] not in {"Pod", "Job"} and (template := template_of(thing)):
            component = template["metadata"]["labels"][COMPONENT]
            if template["spec"]["serviceAccountName"].rpartition("-")[2] != component:
                yield f"{called(thing)} uses another component's account"
