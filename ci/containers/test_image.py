"""Properties of the image: its size, its files, its labels."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator

from engine import IMAGE, REPOSITORY, USER, inspect, run

# By cargo's profile. The program is nearly all of the image. A larger image needs a reason.
SIZE_MAX_MB = {"release": 36, "quick": 60}
# All paths of the image, with owner and mode.
CONTENTS = {
    "LICENSE-APACHE": (0, 0o644),
    "LICENSE-MIT": (0, 0o644),
    "data": (USER, 0o755),
    "toystore": (0, 0o755),
}


def members() -> Iterator[tarfile.TarInfo]:
    """The files of all layers."""
    saved = subprocess.run(["docker", "save", IMAGE], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        index = archive.extractfile("manifest.json")
        assert index
        for layer in json.load(index)[0]["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                yield from files


def test_it_is_small() -> None:
    megabytes = inspect(IMAGE)["Size"] / 1e6
    print(f"{megabytes:.1f} MB", end=" ")
    assert megabytes <= SIZE_MAX_MB[os.environ["PROFILE"]]


def test_it_contains_the_program_and_the_expected_files_and_nothing_else() -> None:
    found = {file.name.strip("/"): (file.uid, file.mode & 0o7777) for file in members()}
    found.pop("", None)
    assert found == CONTENTS


def test_it_runs_as_a_numbered_user() -> None:
    """Kubernetes wants a number to know that it is not root."""
    config = inspect(IMAGE)["Config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == ["/toystore"]
    assert not config["Volumes"], "every container would leave a volume behind"


def test_its_labels() -> None:
    package = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["workspace"]["package"]
    labels = inspect(IMAGE)["Config"]["Labels"]
    for name, value in {
        "version": package["version"],
        "licenses": package["license"],
        "revision": run("git", "rev-parse", "HEAD").strip(),
    }.items():
        assert labels[f"org.opencontainers.image.{name}"] == value


def test_it_is_built_with_the_toolchain_of_all_other_checks() -> None:
    toolchain = tomllib.loads((REPOSITORY / "rust-toolchain.toml").read_text())["toolchain"]
    assert f"/rust:{toolchain['channel']}-" in (REPOSITORY / "Dockerfile").read_text()
