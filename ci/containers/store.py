"""The store of compose.yaml, from `up` to `down`, with faults of containers in between."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cluster import cluster
from engine import Broken, Project, docker, eventually, inspect, sure, variables
from image import USER
from json_handler import Object
from shop import Order, Shoppers, get, read

ORDERS = ["order-1", "order-2", "order-3"]
SERVICES = ["catalog", *ORDERS, "frontend"]
HOST = "127.0.0.1"

# Longest time without a leader, in ms. A failover takes about 20 ms on a quiet machine; this one is
# shared.
GAP_MAX_MS = 20_000
# The memory of a small frontend.
SMALL_MIB = 64
WORKERS = "toystore_runtime_workers_threads"


class Store:
    """The checks, in their order. Each returns what it saw, in a few words."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.shopping: Shoppers | None = None
        self.orders: list[Order] = []

    def up(self) -> str:
        begun_s = time.monotonic()
        self.project.compose("up", "--detach", "--no-build")
        self.healthy()
        return f"{len(SERVICES)} containers after {time.monotonic() - begun_s:.1f} s"

    def healthy(self) -> None:
        eventually(
            "all containers are healthy",
            lambda: all(self.project.health(service) == "healthy" for service in SERVICES),
        )

    def hardened(self) -> str:
        for service in SERVICES:
            container = inspect(self.project.container(service))
            host = container["HostConfig"]
            sure(host["ReadonlyRootfs"], f"{service} can write to its root")
            sure(host["CapDrop"] == ["ALL"] and not host["CapAdd"], f"{service} has capabilities")
            sure("no-new-privileges:true" in host["SecurityOpt"], f"{service} may gain privileges")
            mounts = [mount["Destination"] for mount in container["Mounts"]]
            sure(
                mounts == ([] if service == "frontend" else ["/data"]), f"{service} mounts {mounts}"
            )
            told = process_status(container)
            sure(told["Uid"].split() == [str(USER)] * 4, f"{service} runs as {told['Uid']}")
            sure(int(told["CapEff"], 16) == 0, f"{service} has capabilities: {told['CapEff']}")
        return f"user {USER}, no capabilities, read-only roots"

    def guarded(self) -> str:
        """Internal ports refuse requests without the token."""
        for service, port, path in (
            ("order-1", 1121, "/status"),
            ("catalog", 1130, "/status"),
            ("frontend", 1111, "/cache"),
        ):
            address = self.project.address(self.project.container(service))
            status, _ = get(address, port, path)
            sure(status == 401, f"{service} answers {path} with {status}")
        return "401 without it"

    def shoppers(self) -> str:
        summary = self.project.compose(
            "run", "--rm", "client", "--n-repeats", "40", "--n-threads", "5"
        )
        # The first line has the number of sessions; a failed session would have failed the command.
        return summary.strip().splitlines()[0]

    def names(self) -> str:
        """As in a cluster: a short name, search domains, ndots:5."""
        domain, url = "shop.svc.cluster.test", "http://{}:1130/readyz"
        inside = self.project.network("inside")
        on_network = [f"--network={inside}", "--read-only", "--cap-drop=ALL"]
        # A catalog of its own, which "stock" reaches only through a search domain.
        name = ["--network-alias", f"stock.{domain}", "--tmpfs", f"/data:uid={USER}"]
        # Without a token it would listen on loopback only.
        name += ["--env", f"INTERNAL_TOKEN={self.project.token}"]
        stock = self.project.run(
            "--detach", *on_network, *name, self.project.image, "catalog"
        ).strip()
        address = self.project.address(stock)
        eventually("the other catalog is ready", lambda: answers(address, 1130, "/readyz"))
        search = ["--dns-search", domain, "--dns-option", "ndots:5"]
        health = [self.project.image, "health", "--timeout-ms", "5000", "--url"]
        self.project.run("--rm", *on_network, *search, *health, url.format("stock"))
        by_hosts_file = f"--add-host=by-hosts-file:{address}"
        self.project.run("--rm", *on_network, by_hosts_file, *health, url.format("by-hosts-file"))
        docker("rm", "--force", stock)
        return "both"

    def open(self) -> str:
        port = self.project.published("frontend", 1110)
        # Until they are closed; then the orders are read here, and compared with the ledgers.
        options = ["--n-threads", "4", "--seconds", "3600", "--run-type", "session"]
        self.shopping = Shoppers(self.project, HOST, port, *options)
        begun_s = time.monotonic()
        self.shopping.acknowledge(300)
        return f"300 orders in {time.monotonic() - begun_s:.1f} s"

    def status(self, service: str) -> Object | None:
        """The status of a replica; nothing while it cannot be reached."""
        try:
            address = self.project.address(self.project.container(service))
            token = {"x-internal-token": self.project.token}
            return json.loads(get(address, 1121, "/status", timeout_s=2, headers=token)[1])["data"]
        except (OSError, KeyError, ValueError):
            return None

    def leader(self, among: list[str] = ORDERS) -> str:
        found: list[str] = []

        def elected() -> bool:
            found[:] = [
                service
                for service in among
                if (told := self.status(service)) and told["role"] == "leader" and told["leader"]
            ]
            return len(found) == 1

        eventually("there is one leader", elected)
        return found[0]

    def kill_leader(self) -> str:
        assert self.shopping
        leader = self.leader()
        container = self.project.container(leader)
        killed_s = time.monotonic()
        docker("kill", "--signal", "KILL", container)
        self.shopping.acknowledge(300)
        successor = self.leader([service for service in ORDERS if service != leader])
        gap_ms = self.shopping.gap_ms(killed_s)
        docker("start", container)
        self.healthy()
        sure(gap_ms <= GAP_MAX_MS, f"no order for {gap_ms:.0f} ms")
        return f"{leader}, then {successor}; {gap_ms:.0f} ms from the command to the next order, or between two"

    def cut_follower(self) -> str:
        leader = self.leader()
        follower = next(service for service in ORDERS if service != leader)
        gap_ms, missed = self.cut(follower)
        return f"{follower}; {gap_ms:.0f} ms at most between orders; {missed} entries behind when it came back"

    def cut_leader(self) -> str:
        leader = self.leader()
        gap_ms, missed = self.cut(leader)
        sure(gap_ms <= GAP_MAX_MS, f"no order for {gap_ms:.0f} ms")
        return f"{leader}; {gap_ms:.0f} ms at most between orders; {missed} entries behind when it came back"

    def cut(self, service: str) -> tuple[float, int]:
        """Disconnects a container from its network for a few hundred orders.

        Docker may give it another address when it is connected again.
        """
        assert self.shopping
        inside, container = self.project.network("inside"), self.project.container(service)
        others = [other for other in ORDERS if other != service]
        had = self.applied(service)
        begun_s = time.monotonic()
        docker("network", "disconnect", inside, container)
        self.shopping.acknowledge(400)
        missed = max(self.applied(other) for other in others) - had
        gap_ms = self.shopping.gap_ms(begun_s)
        docker("network", "connect", "--alias", service, inside, container)
        goal = max(self.applied(other) for other in others)
        eventually(f"{service} has what it missed", lambda: self.applied(service) >= goal)
        self.shopping.acknowledge(100)
        return gap_ms, missed

    def applied(self, service: str) -> int:
        told = self.status(service)
        return told["applied"]["index"] if told and told["applied"] else 0

    def audit(self) -> str:
        assert self.shopping
        self.orders += self.shopping.close()
        self.read_back()
        eventually(
            "all replicas have applied the same",
            lambda: len({self.applied(service) for service in ORDERS}) == 1,
        )
        first, *others = [self.ledger(service) for service in ORDERS]
        sure(all(ledger == first for ledger in others), "the ledgers differ")
        lines = [line.split(",") for line in first.decode().splitlines()[1:]]
        sure(
            [int(line[0]) for line in lines] == list(range(1, len(lines) + 1)),
            "the numbers have gaps",
        )
        by_key = {line[3]: (int(line[0]), line[1], int(line[2])) for line in lines}
        sure(len(by_key) == len(lines), "a key is in the ledger twice")
        for order in self.orders:
            sure(
                by_key.get(order.key) == (order.number, order.name, order.quantity),
                f"{order} is in the ledger as {by_key.get(order.key)}",
            )
        return f"{len(self.orders)} acknowledged over REST, {len(lines)} in the ledgers"

    def read_back(self) -> None:
        port = self.project.published("frontend", 1110)

        def check(order: Order) -> None:
            status, body = read(HOST, port, f"/orders/{order.number}")
            expected = {"number": order.number, "name": order.name, "quantity": order.quantity}
            sure(
                status == 200 and json.loads(body)["data"] == expected,
                f"{order}, read again: {status} {body!r}",
            )

        with ThreadPoolExecutor(8) as readers:
            list(readers.map(check, self.orders))

    def ledger(self, service: str) -> bytes:
        source = f"{self.project.container(service)}:/data/log.csv"
        copied = subprocess.run(
            ["docker", "cp", source, "-"], check=True, capture_output=True, timeout=60
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(copied)) as archive:
            file = archive.extractfile("log.csv")
            assert file
            return file.read()

    def small_frontend(self) -> str:
        bounds = ["--memory", f"{SMALL_MIB}m", "--memory-swap", f"{SMALL_MIB}m", "--cpus", "0.2"]
        container, address = self.another_frontend("small", *bounds)
        shopping = Shoppers(self.project, address, 1110, "--n-threads", "16", "--n-repeats", "40")
        orders = shopping.finish()
        sure(len(orders) >= 500, f"of 640 sessions, {len(orders)} placed an order")
        rate = len(orders) / (shopping.times_s[-1] - shopping.times_s[0])
        self.orders += orders
        state = inspect(container)["State"]
        sure(state["Running"] and not state["OOMKilled"], f"it has died: {state}")
        peak_mib = int(process_status(inspect(container))["VmHWM"].split()[0]) / 1024
        workers, usual = (
            metric(at, 1111, WORKERS)
            for at in (address, self.project.address(self.project.container("frontend")))
        )
        sure(
            workers == 1 and usual == len(os.sched_getaffinity(0)),
            f"{workers} worker threads with a quota, and {usual} without",
        )
        self.end(container)
        return f"{rate:.0f} orders/s by 16 shoppers, {peak_mib:.1f} MiB at most, {workers:.0f} worker thread ({usual:.0f} without a quota)"

    def pod(self) -> str:
        """A frontend in a pod knows only the names of the services, and asks the cluster's API."""
        gateway = json.loads(docker("network", "inspect", self.project.network("inside")))[0][
            "IPAM"
        ]["Config"][0]["Gateway"]
        services = {
            "order-peers": [
                (f"toystore-order-{number}", self.project.address(self.project.container(order)))
                for number, order in enumerate(ORDERS)
            ],
            "catalog-peers": [
                ("toystore-catalog-0", self.project.address(self.project.container("catalog")))
            ],
        }
        ports = {
            "order-peers": {"internal": 1121, "replication": 1124},
            "catalog-peers": {"internal": 1130, "replication": 1131},
        }
        with (
            tempfile.TemporaryDirectory() as directory,
            cluster(Path(directory), gateway, services, ports) as api,
        ):
            services_by_name = {"ORDER_SERVICE": "order-peers", "CATALOG_SERVICE": "catalog-peers"}
            hosts = ["CATALOG_HOST", *(f"ORDER_HOST_{number}" for number in (1, 2, 3))]
            after = services_by_name | {"BIND_HOST": "::"} | dict.fromkeys(hosts, "unknown.invalid")
            container, address = self.another_frontend("pod", *api.pod(), after=after)
            options = ["--n-threads", "1", "--n-repeats", "10"]
            orders = Shoppers(self.project, address, 1110, *options).finish()
            sure(orders, "nothing was ordered")
            self.orders += orders
            eventually("both services are watched", lambda: api.watches == set(services))
            sure(api.refused == 0, f"{api.refused} of its requests were refused")
            self.end(container)
        return f"over TLS, with a service account's token; {len(orders)} orders"

    def another_frontend(
        self, name: str, *options: str, after: dict[str, str] | None = None
    ) -> tuple[str, str]:
        """Starts a frontend beside that of compose.yaml.

        It has the same restrictions and settings, overridden by `after`. Returns its container and
        its address.
        """
        usual = inspect(self.project.container("frontend"))["Config"]["Env"]
        settings = dict(it.split("=", 1) for it in usual) | {"FRONT_HOST": name} | (after or {})
        hardening = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true"]
        network = [f"--network={self.project.network('inside')}", f"--network-alias={name}"]
        told = [*options, *hardening, f"--user={USER}", *network, *variables(settings)]
        container = self.project.run("--detach", *told, self.project.image, "frontend").strip()
        address = self.project.address(container)
        eventually(f"the frontend {name} is ready", lambda: answers(address, 1110, "/readyz"))
        return container, address

    def end(self, container: str) -> None:
        docker("stop", container)
        sure(inspect(container)["State"]["ExitCode"] == 0, "it does not stop when asked to")
        docker("rm", container)

    def stop(self) -> str:
        begun_s = time.monotonic()
        self.project.compose("stop")
        for service in SERVICES:
            state = inspect(self.project.container(service))["State"]
            sure(state["ExitCode"] == 0, f"{service} ends with {state['ExitCode']}")
        return f"exit code 0 everywhere, after {time.monotonic() - begun_s:.1f} s"

    def again(self) -> str:
        self.project.compose("up", "--detach", "--no-build")
        self.healthy()
        self.read_back()
        return f"{len(self.orders)} read again"

    def logs(self) -> str:
        try:
            return self.project.compose("logs", "--no-color", "--tail", "40")
        except Broken as broken:
            return str(broken)


def process_status(container: Object) -> dict[str, str]:
    """What the kernel tells about its process."""
    text = Path(f"/proc/{container['State']['Pid']}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def metric(address: str, port: int, name: str) -> float:
    """A metric without labels."""
    _, text = get(address, port, "/metrics")
    found = [line.split()[1] for line in text.decode().splitlines() if line.startswith(f"{name} ")]
    sure(len(found) == 1, f"{name} is exported {len(found)} times")
    return float(found[0])


def answers(address: str, port: int, path: str) -> bool:
    try:
        return get(address, port, path, timeout_s=2)[0] == 200
    except OSError:
        return False
