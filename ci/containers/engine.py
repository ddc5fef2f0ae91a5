"""Docker and Compose, as far as the checks use them. `ci/image` sets the variables."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from api_server import Object

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGE, PROJECT, TOKEN = (os.environ[name] for name in ("IMAGE", "PROJECT", "INTERNAL_TOKEN"))
LABEL = f"com.docker.compose.project={PROJECT}"
INSIDE = f"{PROJECT}_inside"
# The image's user.
USER = 65532

# The limit for orders to be acknowledged, and for containers to become healthy: the machine may be
# busy.
PATIENCE_S = 120


def eventually(what: str, holds: Callable[[], object]) -> None:
    """Waits until `holds` returns true, ten times a second."""
    late_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < late_s, f"after {PATIENCE_S} s still not: {what}"
        time.sleep(0.1)


def run(*command: str) -> str:
    """Returns the standard output."""
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def docker(*arguments: str) -> str:
    return run("docker", *arguments)


def compose(*arguments: str) -> str:
    return run(*os.environ["COMPOSE"].split(), *arguments)


def inspect(thing: str) -> Object:
    return json.loads(docker("inspect", thing))[0]


def container(service: str) -> str:
    """The id of a service's container, running or not."""
    labels = [LABEL, f"com.docker.compose.service={service}", "com.docker.compose.oneoff=False"]
    filters = [f"--filter=label={label}" for label in labels]
    (found,) = docker("ps", "--all", "--quiet", "--no-trunc", *filters).split()
    return found


def address(of: str) -> str:
    """The address at which this machine reaches a container."""
    return inspect(of)["NetworkSettings"]["Networks"][INSIDE]["IPAddress"]


def variables(of: dict[str, str]) -> list[str]:
    """The options that set these variables in a container."""
    return [f"--env={name}={value}" for name, value in of.items()]


def process_status(of: str) -> dict[str, str]:
    """What the kernel tells about a container's process."""
    text = Path(f"/proc/{inspect(of)['State']['Pid']}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def get(
    url: str, token: str = "", headers: dict[str, str] | None = None, body: bytes | None = None
) -> tuple[int, str]:
    """Status and body of an answer; no status while there is none. With a body it is a POST."""
    sent = {"x-internal-token": token} | (headers or {})
    request = urllib.request.Request(f"http://{url}", data=body, headers=sent)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def metric(at: str, name: str) -> float:
    """A metric without labels."""
    lines = get(f"{at}/metrics")[1].splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith(f"{name} "))
    return float(found)


def status(service: str) -> Object:
    """The status of an order replica; empty while it cannot be reached."""
    with contextlib.suppress(KeyError, ValueError):
        _, body = get(f"{address(container(service))}:1121/status", TOKEN)
        return json.loads(body)["data"]
    return {}
