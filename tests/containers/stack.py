"""The stack of docker-compose.yml, started from a fresh copy as whoever tries it would."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests.containers.engine import ROOT, compose_command, docker, run

JWT_SECRET = "0123456789abcdef0123456789abcdef"
PASSWORD = "p@ss:w/rd?%41"  # of characters that mean something in an URL
PATIENCE = 120.0
BUYING = re.compile(r"^# +(docker compose exec .* seed .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Stack:
    folder: Path
    project: str

    def compose(self, *arguments: str) -> str:
        done = self.try_compose(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout.strip()

    def try_compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(*compose_command(), *arguments, folder=self.folder, **self._variables)

    def containers(self) -> dict[str, Any]:
        """Of each service, what the engine tells of its only container."""
        ours = f"label=com.docker.compose.project={self.project}"
        ids = docker("ps", "--all", "--quiet", "--filter", ours).split()
        if not ids:
            return {}
        inspected = json.loads(docker("inspect", *ids))
        found = {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in inspected}
        assert len(found) == len(inspected)
        return found

    def address(self) -> str:
        return self.compose("port", "api", "8000")

    def buy(self) -> dict[str, Any]:
        """By the one command that docker-compose.yml documents, at the port of this test."""
        [command] = BUYING.findall((self.folder / "docker-compose.yml").read_text())
        port = self.address().rpartition(":")[2]
        command = command.replace("docker compose", " ".join(compose_command()))
        command = command.replace(" api ", f" -e ECONOMY_PORT={port} api ")
        done = run("bash", "-o", "pipefail", "-c", command, folder=self.folder, **self._variables)
        assert done.returncode == 0, (done.stdout, done.stderr)
        bought: dict[str, Any] = json.loads(done.stdout)
        return bought

    def readiness(self) -> Any:
        """None while nobody answers."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://{self.address()}/health/ready", trust_env=False).json()
        return None

    def ask_inside(self, url: str) -> Any:
        """The JSON at an address that only the other containers see."""
        fetch = f"import urllib.request as r; print(r.urlopen('{url}', timeout=5).read().decode())"
        done = self.try_compose("exec", "-T", "api", "python", "-c", fetch)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def wait_until_sound(self) -> None:
        """The server is ready and healthy, and the worker has done its first jobs."""
        ready = {"status": "ok", "database": "ok", "cache": "ok", "ledger": "sound"}
        self.wait_until(lambda: self.readiness() == ready)
        self.wait_until(lambda: set(self.healths().values()) == {"healthy"})

    def healths(self) -> dict[str, str]:
        """Of whatever has a health check."""
        states = {name: one["State"] for name, one in self.containers().items()}
        return {
            name: state["Health"]["Status"] for name, state in states.items() if "Health" in state
        }

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            if time.monotonic() > deadline:
                raise AssertionError(self.compose("ps") + self.compose("logs", "--no-color"))
            time.sleep(0.2)

    @property
    def _variables(self) -> dict[str, str]:
        return {"COMPOSE_PROJECT_NAME": self.project, "API_ADDRESS": "127.0.0.1:0"}


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def copy_checkout(folder: Path) -> None:
    """What a clone would hold if all that is here were committed."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    assert listed.returncode == 0, listed.stderr
    for name in listed.stdout.rstrip("\0").split("\0"):
        if (ROOT / name).is_file():  # not: deleted, and not yet committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def fill_in_secrets(folder: Path) -> None:
    """As .env.example says."""
    text = (folder / ".env.example").read_text()
    for name, value in (("POSTGRES_PASSWORD", PASSWORD), ("ECONOMY_JWT_SECRET", JWT_SECRET)):
        assert text.count(f"\n{name}=\n") == 1
        text = text.replace(f"\n{name}=\n", f"\n{name}={value}\n")
    (folder / ".env").write_text(text)


@contextlib.contextmanager
def running_stack() -> Iterator[Stack]:
    """From nothing: no image of ours has to be there, no volume is."""
    with tempfile.TemporaryDirectory() as temporary:
        stack = Stack(Path(temporary), f"economy-test-{os.getpid()}")
        copy_checkout(stack.folder)
        fill_in_secrets(stack.folder)
        try:
            stack.compose("up", "--build", "--detach")
            # What buys is the next line of a user, who waits for nothing.
            assert stack.healths()["api"] == "healthy"
            stack.wait_until_sound()
            yield stack
        finally:
            everything = ["--profile", "observability", "down", "--volumes", "--remove-orphans"]
            stack.compose(*everything)
