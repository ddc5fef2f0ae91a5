"""Docker and Compose, as far as the checks use them."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from json_handler import Object

REPOSITORY = Path(__file__).resolve().parents[2]

# The limit for orders to be acknowledged, and for containers to become healthy: the machine may be
# busy.
PATIENCE_S = 120


class Broken(Exception):
    """A promise was broken."""


def sure(holds: object, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)


def eventually(what: str, holds: Callable[[], object]) -> None:
    """Waits until `holds` returns true, ten times a second."""
    late_s = time.monotonic() + PATIENCE_S
    while not holds():
        sure(time.monotonic() < late_s, f"after {PATIENCE_S} s still not: {what}")
        time.sleep(0.1)


def run(*command: str, timeout_s: float = 120, environment: dict[str, str] | None = None) -> str:
    """Returns the standard output. A failure contains the standard error."""
    try:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as late:
        raise Broken(f"`{' '.join(command)}` takes more than {timeout_s} s") from late
    sure(
        done.returncode == 0,
        f"`{' '.join(command)}` ends with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}",
    )
    return done.stdout


def docker(*arguments: str, timeout_s: float = 120) -> str:
    return run("docker", *arguments, timeout_s=timeout_s)


def variables(of: dict[str, str]) -> list[str]:
    """The options that set these variables in a container."""
    return [f"--env={name}={value}" for name, value in of.items()]


def inspect(thing: str) -> Object:
    return json.loads(docker("inspect", thing))[0]


class Project:
    """The store of compose.yaml under a project name of its own, on free ports."""

    def __init__(self, name: str, image: str) -> None:
        self.name = name
        self.image = image
        self.token = secrets.token_hex()
        self.label = f"com.docker.compose.project={name}"

    def compose(self, *arguments: str, timeout_s: float = 120) -> str:
        files = ["--file", "compose.yaml", "--file", "ci/containers/plenty.yaml"]
        choices = {
            "TOYSTORE_IMAGE": self.image,
            "REST_API_PORT": "0",
            "FRONT_PORT": "0",
            "INTERNAL_TOKEN": self.token,
        }
        environment = {**os.environ, **choices}
        command = os.environ["COMPOSE"].split()
        return run(
            *command,
            *files,
            "--project-name",
            self.name,
            *arguments,
            timeout_s=timeout_s,
            environment=environment,
        )

    def container(self, service: str) -> str:
        """The id of a service's container, running or not."""
        labels = [
            self.label,
            f"com.docker.compose.service={service}",
            "com.docker.compose.oneoff=False",
        ]
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        found = docker("ps", "--all", "--quiet", "--no-trunc", *filters).split()
        sure(len(found) == 1, f"{service} has {len(found)} containers")
        return found[0]

    def network(self, name: str) -> str:
        return f"{self.name}_{name}"

    def address(self, container: str) -> str:
        """The address at which this machine reaches a container."""
        networks = inspect(container)["NetworkSettings"]["Networks"]
        return networks[self.network("inside")]["IPAddress"]

    def published(self, service: str, port: int) -> int:
        ports = inspect(self.container(service))["NetworkSettings"]["Ports"]
        return int(ports[f"{port}/tcp"][0]["HostPort"])

    def run(self, *arguments: str) -> str:
        """Starts a container beside those of compose.yaml; it is removed with them."""
        return docker("run", "--label", self.label, *arguments)

    def health(self, service: str) -> str:
        return inspect(self.container(service))["State"]["Health"]["Status"]
