"""A store and a Prometheus for a check, on free ports, with temporary files."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sources import ROOT

# A busy machine needs time.
PATIENCE_S = 60.0
POLL_S = 0.1


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def until(what: str, true: Callable[[], bool]) -> None:
    """Waits until it is true; a refused connection counts as not yet."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, urllib.error.URLError):
            if true():
                return
        time.sleep(POLL_S)
    raise TimeoutError(f"{what}: not within {PATIENCE_S:.0f} s")


@dataclass
class Store:
    """A running store: `metrics` has the host and port of each process by name, `pids` its id."""

    binary: str
    api: str
    metrics: dict[str, str]
    pids: dict[str, int]
    # The file of the shoppers' orders.
    directory: Path

    def leader(self) -> str:
        """The leader of the latest term, or `None` during an election.

        A deposed leader of an earlier term may still believe that it leads.
        """
        led: dict[int, str] = {}

        def elected() -> bool:
            for name, at in self.metrics.items():
                text = get(f"http://{at}/metrics") if name.startswith("order") else ""
                if 'role{group="order",role="leader"} 1' in text:
                    term = re.search(
                        r'^toystore_replication_term\{group="order"\} (\d+)', text, re.MULTILINE
                    )
                    assert term, f"{name} does not tell its term"
                    led[int(term[1])] = name
            return bool(led)

        until("there is a leader", elected)
        return led[max(led)]

    def kill(self, name: str) -> None:
        os.kill(self.pids[name], signal.SIGKILL)

    def shoppers(self, sessions: int) -> subprocess.Popen[bytes]:
        host, port = self.api.split(":")
        front = [f"--front-host={host}", f"--front-port={port}"]
        habits = ["--run-type=session", "--n-threads=8", "--p=0.4", f"--n-repeats={sessions}"]
        command = [self.binary, "client", *front, *habits]
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.directory
        )


@contextlib.contextmanager
def store(binary: str, directory: Path) -> Iterator[Store]:
    """Runs a store with frequent checkpoints, so that the metrics show some."""
    said = directory / "up.txt"
    environment = os.environ | {"CHECKPOINT_EVERY": "64", "RESTOCK_INTERVAL_MS": "1000"}
    command = [binary, "up", "--ephemeral", "--data-dir", str(directory / "data")]
    with said.open("w") as out, (directory / "up.log").open("w") as log:
        process = subprocess.Popen(command, stdout=out, stderr=log, env=environment)
    try:
        until(
            "the store is open",
            lambda: "Ctrl-C stops" in said.read_text() or process.poll() is not None,
        )
        if process.poll() is not None:
            raise RuntimeError((directory / "up.log").read_text())
        yield described(binary, directory)
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def load_test(of: Store) -> Iterator[None]:
    """A load test that runs during the check: one more process with metrics."""
    host, port = of.api.split(":")
    held, metrics = free_port()
    front = [f"--front-host={host}", f"--front-port={port}", f"--metrics-port={metrics}"]
    load = ["--rate=50", "--seconds=3600", "--warm-up-seconds=0", "--no-check"]
    command = [of.binary, "load", *front, *load]
    with (of.directory / "load.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    of.metrics["load"] = f"127.0.0.1:{metrics}"
    try:
        until(
            "the load test tells its metrics",
            lambda: "toystore_load" in get(f"http://{of.metrics['load']}/metrics"),
        )
        yield
    finally:
        process.kill()
        process.wait()
        held.close()


def described(binary: str, directory: Path) -> Store:
    """Reads the file in which `toystore up` lists its processes."""
    processes = json.loads((directory / "data" / "up.json").read_text())["processes"]
    metrics = {it["name"]: it["internal"] for it in processes}
    api = next(it["address"] for it in processes if it["kind"] == "frontend")
    return Store(binary, api, metrics, {it["name"]: it["pid"] for it in processes}, directory)


@dataclass
class Prometheus:
    """A running Prometheus; `get` queries its API."""

    at: str

    def get(self, path: str, **parameters: str) -> Any:
        answer = json.loads(
            get(f"http://{self.at}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        )
        assert answer["status"] == "success", answer
        return answer["data"]

    def has_data(self, query: str, since: float) -> bool:
        """Whether the query returns a number at any second since then."""
        window = {"start": str(since), "end": str(time.time()), "step": "1"}
        series = self.get("query_range", query=query, **window)["result"]
        return any(
            value not in {"NaN", "+Inf", "-Inf"} for one in series for _, value in one["values"]
        )


@contextlib.contextmanager
def prometheus(of: Store, directory: Path) -> Iterator[Prometheus]:
    """Runs it with the repository's configuration; only the addresses are the store's."""
    source = ROOT / "monitoring/prometheus.yml"
    config = yaml.safe_load(source.read_text())
    config["rule_files"] = [
        str((source.parent / pattern).resolve()) for pattern in config["rule_files"]
    ]
    for target in config["scrape_configs"][0]["static_configs"]:
        target["targets"] = [of.metrics[target["labels"]["pod"]]]
    written = directory / "prometheus.yml"
    written.write_text(yaml.safe_dump(config))
    held, port = free_port()
    at = f"127.0.0.1:{port}"
    command = [
        "prometheus",
        f"--config.file={written}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address={at}",
    ]
    with (directory / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(
            "Prometheus is ready",
            lambda: "Ready" in get(f"http://{at}/-/ready") or process.poll() is not None,
        )
        yield Prometheus(at)
    finally:
        process.terminate()
        process.wait()
        held.close()


def free_port() -> tuple[socket.socket, int]:
    """A free port, kept by an open socket.

    While the socket is open, the system does not hand out the port to a process that asks for any
    port. A server that asks for exactly this one gets it.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held, held.getsockname()[1]
