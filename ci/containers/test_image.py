"""Properties of the image: its size, its files, its labels."""

from __future__ import annotations

import contextlib
import os
import re
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from engine import IMAGE, REPOSITORY, USER, docker, inspect, run

# By cargo's profile. The program is nearly all of the image. A larger image needs a reason.
SIZE_MAX_MB = {"dist": 36, "release": 45}
# All paths of the image, with owner and mode.
CONTENTS = {
    "LICENSE-APACHE": (0, 0o644),
    "LICENSE-MIT": (0, 0o644),
    "data": (USER, 0o755),
    "toystore": (0, 0o755),
}
# What the engine adds to the file system of every container.
OF_THE_ENGINE = re.compile(
    r"\.dockerenv|(dev|proc|sys)(/.*)?|etc|etc/(hosts|hostname|resolv\.conf|mtab)|run|run/\.containerenv"
)


@contextlib.contextmanager
def exported() -> Iterator[tarfile.TarFile]:
    """The file system of a container that was never started."""
    of = docker("create", IMAGE).strip()
    try:
        with tempfile.TemporaryDirectory() as directory:
            files = Path(directory) / "files.tar"
            docker("export", f"--output={files}", of)
            with tarfile.open(files) as archive:
                yield archive
    finally:
        docker("rm", of)


def test_it_is_small() -> None:
    megabytes = inspect(IMAGE)["Size"] / 1e6
    print(f"{megabytes:.1f} MB", end=" ")
    assert megabytes <= SIZE_MAX_MB[os.environ["PROFILE"]]


def test_it_contains_the_program_and_the_expected_files_and_nothing_else() -> None:
    with exported() as files:
        paths = {file.name.strip("/"): (file.uid, file.mode & 0o7777) for file in files}
    found = {path: of for path, of in paths.items() if path and not OF_THE_ENGINE.fullmatch(path)}
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
