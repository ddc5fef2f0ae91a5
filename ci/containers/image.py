"""Properties of the image: its size, its files, its labels."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator

from engine import REPOSITORY, inspect, sure

# By cargo's profile. The program is nearly all of the image. A larger image needs a reason.
SIZE_MAX_MB = {"release": 36, "quick": 60}

USER = 65532

# All paths of the image, with owner and mode.
CONTENTS = {
    "LICENSE-APACHE": (0, 0o644),
    "LICENSE-MIT": (0, 0o644),
    "data": (USER, 0o755),
    "toystore": (0, 0o755),
}


def members(image: str) -> Iterator[tarfile.TarInfo]:
    """The files of all layers."""
    saved = subprocess.run(
        ["docker", "save", image], check=True, capture_output=True, timeout=60
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        index = archive.extractfile("manifest.json")
        assert index
        manifest = json.load(index)
        for layer in manifest[0]["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                yield from files


def contents(image: str) -> str:
    found = {file.name.strip("/"): (file.uid, file.mode & 0o7777) for file in members(image)}
    found.pop("", None)
    for path in sorted(found.keys() | CONTENTS.keys()):
        sure(
            found.get(path) == CONTENTS.get(path),
            f"/{path} is {found.get(path)}, and should be {CONTENTS.get(path)}",
        )
    return ", ".join(f"/{path}" for path in found)


def size(image: str) -> str:
    megabytes, bound = inspect(image)["Size"] / 1e6, SIZE_MAX_MB[os.environ["PROFILE"]]
    sure(megabytes <= bound, f"{megabytes:.1f} MB is more than {bound} MB")
    return f"{megabytes:.1f} MB"


def settings(image: str) -> str:
    config = inspect(image)["Config"]
    sure(
        config["User"] == f"{USER}:{USER}",
        f"the user is {config['User']!r}: Kubernetes wants a number to know that it is not root",
    )
    sure(config["Entrypoint"] == ["/toystore"], f"the entry point is {config['Entrypoint']}")
    sure(not config["Volumes"], "a volume is declared: every container would leave one behind")
    return f"user {config['User']}"


def labels(image: str) -> str:
    found = inspect(image)["Config"]["Labels"] or {}
    package = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["workspace"]["package"]
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True, cwd=REPOSITORY
    ).stdout.strip()
    for name, value in {
        "version": package["version"],
        "licenses": package["license"],
        "revision": revision,
    }.items():
        label = found.get(f"org.opencontainers.image.{name}")
        sure(label == value, f"its {name} is {label}, and should be {value}")
    return f"version {package['version']}, {package['license']}"


def toolchain() -> str:
    """The build image has the same toolchain as all other checks."""
    channel = tomllib.loads((REPOSITORY / "rust-toolchain.toml").read_text())["toolchain"][
        "channel"
    ]
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    sure(f"/rust:{channel}-" in dockerfile, f"the Dockerfile does not build with Rust {channel}")
    return channel
