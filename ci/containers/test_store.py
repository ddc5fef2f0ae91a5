"""The store of compose.yaml, from `up` to a restart, with faults of containers in between.

Each check depends on the ones before it.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api_server import Api, serve
from cluster import ACCOUNT, NAMESPACE, SLICES, endpoint_slice, service_account
from engine import (
    IMAGE,
    INSIDE,
    LABEL,
    PATIENCE_S,
    TOKEN,
    USER,
    address,
    compose,
    container,
    docker,
    eventually,
    get,
    inspect,
    metric,
    process_status,
    status,
    variables,
)
from shop import Order, Shoppers

REPLICAS = ["order-1", "order-2", "order-3"]
STATELESS = ["frontend", "console"]
SERVICES = ["catalog", *REPLICAS, *STATELESS]

# Longest time without a leader, in ms. A failover takes about 20 ms on a quiet machine; this one is
# shared.
GAP_MAX_MS = 20_000
# The memory of a small frontend.
SMALL_MIB = 64
WORKERS = "toystore_runtime_workers_threads"

# All acknowledged orders.
ORDERS: list[Order] = []


def published(service: str, port: int) -> str:
    """The address on this machine of a container's port."""
    (it,) = inspect(container(service))["NetworkSettings"]["Ports"][f"{port}/tcp"]
    assert it["HostIp"] == "127.0.0.1"
    return f"127.0.0.1:{it['HostPort']}"


def front() -> str:
    return published("frontend", 1110)


@pytest.fixture(scope="module")
def shoppers() -> Iterator[Shoppers]:
    """They shop until a check closes them."""
    options = ["--n-threads=4", "--seconds=3600", "--run-type=session"]
    it = Shoppers(front(), *options)
    yield it
    it.process.kill()


def up() -> None:
    compose("up", "--detach", "--no-build")
    await_health()


def await_health() -> None:
    def health(service: str) -> str:
        return inspect(container(service))["State"]["Health"]["Status"]

    eventually("healthy", lambda: all(health(service) == "healthy" for service in SERVICES))


def leader(among: list[str] = REPLICAS) -> str:
    found: list[str] = []

    def is_elected() -> bool:
        said = {service: status(service) for service in among}
        found[:] = [
            service
            for service, it in said.items()
            if it and it["role"] == "leader" and it["leader"]
        ]
        return len(found) == 1

    eventually("there is one leader", is_elected)
    return found[0]


def applied(service: str) -> int:
    return (status(service).get("applied") or {"index": 0})["index"]


def test_all_containers_become_healthy() -> None:
    up()


@pytest.mark.parametrize("service", SERVICES)
def test_no_process_has_a_privilege_or_a_writable_directory_that_it_does_not_need(
    service: str,
) -> None:
    it = inspect(container(service))
    assert it["HostConfig"]["ReadonlyRootfs"]
    assert it["HostConfig"]["CapDrop"] == ["ALL"] and not it["HostConfig"]["CapAdd"]
    assert "no-new-privileges:true" in it["HostConfig"]["SecurityOpt"]
    mounts = [mount["Destination"] for mount in it["Mounts"]]
    assert mounts == ([] if service in STATELESS else ["/data"])
    told = process_status(container(service))
    assert told["Uid"].split() == [str(USER)] * 4
    assert int(told["CapEff"], 16) == 0


@pytest.mark.parametrize(
    ("service", "path"),
    [("order-1", "1121/status"), ("catalog", "1130/status"), ("frontend", "1111/cache")],
)
def test_internal_ports_require_the_token(service: str, path: str) -> None:
    assert get(f"{address(container(service))}:{path}")[0] == 401


def test_the_console_shows_all_processes_to_this_machine_only_and_changes_nothing() -> None:
    at = published("console", 1100)
    assert get(f"localhost:{at.rpartition(':')[2]}/")[0] == 200
    about = json.loads(get(f"{at}/api/about")[1])
    assert about["controls"] is False
    shown = {("frontend", 1), ("catalog", 1), ("order", 1), ("order", 2), ("order", 3)}
    eventually("it shows all processes", lambda: running(at) == shown)
    # A name that leads here, as after DNS rebinding; and a page that tries to kill a leader.
    assert get(f"{at}/api/history", headers={"host": "evil.example"})[0] == 421
    kill = b'{"action":"kill","process":"order-1"}'
    sent = {"x-toystore-console": "1", "content-type": "application/json"}
    assert get(f"{at}/api/control", headers=sent, body=kill)[0] == 404
    # No other container is in the network that publishes it.
    networks = inspect(container("console"))["NetworkSettings"]["Networks"]
    (watch,) = networks.keys() - {INSIDE}
    assert len(json.loads(docker("network", "inspect", watch))[0]["Containers"]) == 1


def running(console: str) -> set[tuple[str, int]]:
    """The processes that the console shows as running: their services and ordinals."""
    frames = json.loads(get(f"{console}/api/history")[1])["frames"]
    newest = {it["name"]: it for frame in frames for it in frame.get("processes") or []}
    return {(it["service"], it["ordinal"]) for it in newest.values() if it["state"] == "up"}


def test_shoppers_in_a_container() -> None:
    # A failed session fails the command.
    said = compose("run", "--rm", "client", "--n-repeats", "40", "--n-threads", "5")
    print(said.strip().splitlines()[0], end=" ")


def test_names_are_found_through_search_domains_and_in_etc_hosts() -> None:
    """As in a cluster: a short name, search domains, ndots:5."""
    run = ["run", f"--label={LABEL}", f"--network={INSIDE}", "--read-only", "--cap-drop=ALL"]
    # A catalog of its own, which "stock" reaches only through a search domain.
    name = ["--network-alias=stock.shop.svc.cluster.test", f"--tmpfs=/data:uid={USER}"]
    # Without a token it would listen on loopback only.
    token = variables({"INTERNAL_TOKEN": TOKEN})
    stock = docker(*run, "--detach", *name, *token, IMAGE, "catalog").strip()
    at = address(stock)
    eventually("the other catalog is ready", lambda: get(f"{at}:1130/readyz")[0] == 200)
    search = ["--dns-search=shop.svc.cluster.test", "--dns-option=ndots:5"]
    for found_by, host in (
        (search, "stock"),
        ([f"--add-host=by-hosts-file:{at}"], "by-hosts-file"),
    ):
        health = ["health", "--timeout-ms=5000", f"--url=http://{host}:1130/readyz"]
        docker(*run, "--rm", *found_by, IMAGE, *health)
    docker("rm", "--force", stock)


def test_the_leader_is_killed(shoppers: Shoppers) -> None:
    shoppers.acknowledge(300)
    killed = leader()
    docker("kill", "--signal=KILL", container(killed))
    gap_ms = shoppers.acknowledge(300)
    successor = leader([replica for replica in REPLICAS if replica != killed])
    docker("start", container(killed))
    await_health()
    print(f"{killed}, then {successor}; {gap_ms:.0f} ms", end=" ")
    assert gap_ms <= GAP_MAX_MS


@pytest.mark.parametrize("role", ["follower", "leader"])
def test_a_replica_is_cut_off_for_some_hundred_orders_and_comes_back(
    shoppers: Shoppers, role: str
) -> None:
    """Docker may give it another address when it is connected again."""
    leading = leader()
    replica = next(it for it in REPLICAS if (it == leading) == (role == "leader"))
    others = [other for other in REPLICAS if other != replica]
    docker("network", "disconnect", INSIDE, container(replica))
    gap_ms = shoppers.acknowledge(400)
    docker("network", "connect", f"--alias={replica}", INSIDE, container(replica))
    goal = max(applied(other) for other in others)
    eventually(f"{replica} has what it missed", lambda: applied(replica) >= goal)
    shoppers.acknowledge(100)
    print(f"{replica}; {gap_ms:.0f} ms at most between orders", end=" ")
    assert gap_ms <= GAP_MAX_MS


def read_back() -> None:
    """Reads every acknowledged order. On a slow machine a request may come before a leader."""
    at, late_s = front(), time.monotonic() + PATIENCE_S
    for order in ORDERS:
        while (answer := get(f"{at}/orders/{order.number}"))[0] in {0, 503}:
            assert time.monotonic() < late_s, answer
            time.sleep(0.02)
        assert answer[0] == 200, (order, answer)
        data = json.loads(answer[1])["data"]
        assert (data["number"], data["name"], data["quantity"]) == order[:3]


def ledger(service: str) -> str:
    copy = ["docker", "cp", f"{container(service)}:/data/log.csv", "-"]
    copied = subprocess.run(copy, check=True, capture_output=True, timeout=60).stdout
    with tarfile.open(fileobj=io.BytesIO(copied)) as archive:
        file = archive.extractfile("log.csv")
        assert file
        return file.read().decode()


def test_every_acknowledged_order_can_be_read_and_is_in_all_ledgers_which_are_the_same(
    shoppers: Shoppers,
) -> None:
    ORDERS.extend(shoppers.close())
    read_back()
    eventually("all have applied the same", lambda: len({applied(it) for it in REPLICAS}) == 1)
    first, *others = [ledger(replica) for replica in REPLICAS]
    assert others == [first, first]
    lines = [line.split(",") for line in first.splitlines()[1:]]
    placed = [
        Order(int(number), name, int(quantity), key) for number, name, quantity, key, *_ in lines
    ]
    assert [order.number for order in placed] == list(range(1, len(placed) + 1))
    assert len({order.key for order in placed}) == len(placed)
    assert set(ORDERS) <= set(placed)
    print(f"{len(ORDERS)} acknowledged, {len(placed)} in the ledgers", end=" ")


def another_frontend(name: str, *options: str, **settings: str) -> tuple[str, str]:
    """Starts a frontend beside that of compose.yaml. Returns its container and its address.

    It has the same restrictions and settings, overridden by `settings`.
    """
    usual = inspect(container("frontend"))["Config"]["Env"]
    told = dict(it.split("=", 1) for it in usual) | {"FRONT_HOST": name} | settings
    hardening = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true"]
    network = [f"--label={LABEL}", f"--network={INSIDE}", f"--network-alias={name}"]
    run = ["run", "--detach", *options, *hardening, *network, f"--user={USER}", *variables(told)]
    it = docker(*run, IMAGE, "frontend").strip()
    at = address(it)
    eventually(f"the frontend {name} is ready", lambda: get(f"{at}:1110/readyz")[0] == 200)
    return it, at


def stop(it: str) -> None:
    docker("stop", it)
    assert inspect(it)["State"]["ExitCode"] == 0
    docker("rm", it)


def test_a_frontend_with_64_mib_and_a_fifth_of_a_cpu() -> None:
    bounds = [f"--memory={SMALL_MIB}m", f"--memory-swap={SMALL_MIB}m", "--cpus=0.2"]
    it, at = another_frontend("small", *bounds)
    orders = Shoppers(f"{at}:1110", "--n-threads=16", "--n-repeats=40").finish()
    assert len(orders) >= 500, f"of 640 sessions, {len(orders)} placed an order"
    ORDERS.extend(orders)
    state = inspect(it)["State"]
    assert state["Running"] and not state["OOMKilled"]
    print(f"{int(process_status(it)['VmHWM'].split()[0]) / 1024:.1f} MiB at most", end=" ")
    usual = address(container("frontend"))
    assert metric(f"{at}:1111", WORKERS) == 1
    assert metric(f"{usual}:1111", WORKERS) == len(os.sched_getaffinity(0))
    stop(it)


def test_a_frontend_in_a_pod_finds_the_other_processes_through_the_kubernetes_api(
    tmp_path: Path,
) -> None:
    """It knows only the names of the services.

    The API has TLS with an authority of its own, and a token. crates/discovery/tests injects every
    kind of fault. This covers what depends on the image, which has no CA certificates and an almost
    empty `/etc`.
    """
    gateway = json.loads(docker("network", "inspect", INSIDE))[0]["IPAM"]["Config"][0]["Gateway"]
    tls = service_account(tmp_path, gateway)
    orders = {f"toystore-order-{n}": address(container(it)) for n, it in enumerate(REPLICAS)}
    stock = {"toystore-catalog-0": address(container("catalog"))}
    slices = [
        ("order-peers", {"internal": 1121, "replication": 1124}, orders),
        ("catalog-peers", {"internal": 1130, "replication": 1131}, stock),
    ]
    served = {f"{SLICES}={of[0]}": endpoint_slice(*of) for of in slices}
    with serve(Api(served, token=TOKEN), gateway, tls) as api:
        it, at = another_frontend(
            "pod",
            f"--volume={tmp_path}:{ACCOUNT}:ro",
            DISCOVERY="kubernetes",
            POD_NAMESPACE=NAMESPACE,
            KUBERNETES_SERVICE_HOST=gateway,
            KUBERNETES_SERVICE_PORT=str(api.port),
            ORDER_SERVICE="order-peers",
            CATALOG_SERVICE="catalog-peers",
            BIND_HOST="::",
            **dict.fromkeys(
                ["CATALOG_HOST", *(f"ORDER_HOST_{n}" for n in (1, 2, 3))], "unknown.invalid"
            ),
        )
        placed = Shoppers(f"{at}:1110", "--n-threads=1", "--n-repeats=10").finish()
        assert placed
        ORDERS.extend(placed)
        eventually("both services are watched", lambda: set(api.watched) == served.keys())
        assert api.refused == []
        stop(it)


def test_all_containers_stop_when_asked_to() -> None:
    compose("stop")
    codes = {service: inspect(container(service))["State"]["ExitCode"] for service in SERVICES}
    assert codes == dict.fromkeys(SERVICES, 0)


def test_after_a_restart_the_store_has_every_order() -> None:
    up()
    read_back()
    print(f"{len(ORDERS)} read again", end=" ")
