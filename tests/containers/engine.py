"""The Docker engine and what it must hold for the tests: nothing is pulled."""

import os
import re
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED_IMAGE = re.compile(r"^(?:FROM|    image:) (\S+:\S+)", re.MULTILINE)
NEVER_STARTED = "grafana/"  # no stand-in: Debian has no such package
# What this machine trusts beyond Debian's own list, a build on it has to trust, too.
LOCAL_AUTHORITIES = Path("/usr/local/share/ca-certificates")
TIMEOUT = 600.0


class ContainersNotTriedWarning(UserWarning):
    """What makes a skip stand in the summary of every run."""


def require_engine() -> None:
    if why := _what_is_missing():
        message = f"the containers were NOT TRIED: {why}"
        warnings.warn(ContainersNotTriedWarning(message), stacklevel=2)
        pytest.skip(message)


def run(*command: str, folder: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """To its end, with these variables and nothing that could change what compose starts."""
    return subprocess.run(
        command,
        cwd=folder,
        env=_own_environment() | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )


def docker(*arguments: str) -> str:
    """What it prints."""
    done = run("docker", *arguments)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout.strip()


def compose_command() -> list[str]:
    """Version 2, or else the older one."""
    if shutil.which("docker") and run("docker", "compose", "version").returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"]


def build_arguments() -> dict[str, str]:
    """As this machine needs them to reach a package index."""
    given = {
        name: os.environ[name] for name in ("PIP_INDEX_URL", "CA_BUNDLE") if name in os.environ
    }
    authorities = [file.read_text() for file in sorted(LOCAL_AUTHORITIES.glob("*.crt"))]
    return ({"CA_BUNDLE": "".join(authorities)} if authorities else {}) | given


def _what_is_missing() -> str | None:
    if shutil.which("docker") is None or run("docker", "info").returncode != 0:
        return "no Docker engine answers"
    if shutil.which(compose_command()[0]) is None:
        return "there is no docker compose"
    named = [ROOT / "Dockerfile", ROOT / "docker-compose.yml"]
    images = {image for file in named for image in NAMED_IMAGE.findall(file.read_text())}
    for image in sorted(images):
        if image.startswith(NEVER_STARTED):
            continue
        if run("docker", "image", "inspect", image).returncode != 0:
            return (
                f"no image {image}: pull it, or make a stand-in by tests/containers/make_images.sh"
            )
    return None


def _own_environment() -> dict[str, str]:
    foreign = ("ECONOMY_", "COMPOSE_", "POSTGRES_", "API_", "PIP_", "CA_BUNDLE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | build_arguments()
