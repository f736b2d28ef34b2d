"""Starts real processes of `economy` and stops them again, as whoever runs them would."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

ECONOMY = Path(sys.executable).parent / "economy"
TIMEOUT = 60.0
# what `economy verify` says on the error output: all that there is of the bar without a terminal
PROGRESS = "rows examined\n"
ADDRESS = re.compile(r"Uvicorn running on (http://\S+)")
# A process of its own sets what makes it die with its parent, and then becomes the command.
LAUNCHER = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass
class LiveProcess:
    process: subprocess.Popen[bytes]
    log: Path
    is_told_to_end: bool = False

    def terminate(self) -> None:
        self.is_told_to_end = True
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """The process and its children, which have no time for anything."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait(self) -> None:
        """An orderly end is exit code 0; any other is a failure."""
        assert self.process.wait(TIMEOUT) == 0, self.log.read_text()


@dataclass
class LiveServer(LiveProcess):
    url: str = ""

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := ADDRESS.search(self.log.read_text()):
                self.url = found[1]
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"{self.url}/health/ready", trust_env=False).status_code == 200:
                        return
            time.sleep(0.02)
        raise RuntimeError(f"the server did not start: {self.log.read_text()}")


def children(process: int) -> list[int]:
    """Of a process that runs, the processes that it has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(stat.parent.name))
    return found


def environment(**settings: str) -> dict[str, str]:
    """The variables of a process with these settings (`database_url`, ...) and no others."""
    others = {key: value for key, value in os.environ.items() if not key.startswith("ECONOMY_")}
    return others | {f"ECONOMY_{name.upper()}": value for name, value in settings.items()}


def program(release: str) -> list[str]:
    """The command `economy`: ours, or that of another release, run in the folder where it lies."""
    return [sys.executable, "-m", "economy"] if release else [str(ECONOMY)]


def run_economy(
    *arguments: str, release: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*program(release), *arguments],
        cwd=release or None,
        env=environment(**settings),
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )


@contextlib.contextmanager
def launched(*arguments: str, release: str = "", **settings: str) -> Iterator[LiveProcess]:
    """A command that runs until it is told to end; whatever is left of it is killed."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, str(os.getpid()), *program(release), *arguments],
                cwd=release or None,
                env=environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield LiveProcess(process, log)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # worker processes, too
            process.wait()


@contextlib.contextmanager
def live_process(*arguments: str, **settings: str) -> Iterator[LiveProcess]:
    """At the end it must stop in order, unless a test has killed it."""
    with launched(*arguments, **settings) as live:
        yield live
        if live.process.returncode != -signal.SIGKILL:
            if not live.is_told_to_end:
                live.terminate()
            live.wait()


@contextlib.contextmanager
def launched_server(*arguments: str, release: str = "", **settings: str) -> Iterator[LiveServer]:
    """A server on a free port of 127.0.0.1, not yet ready; it may end in any way."""
    address = ("--host", "127.0.0.1", "--port", "0")
    with launched("serve", *address, *arguments, release=release, **settings) as live:
        yield LiveServer(live.process, live.log)


@contextlib.contextmanager
def live_server(*arguments: str, release: str = "", **settings: str) -> Iterator[LiveServer]:
    """A server on a free port of 127.0.0.1; at the end it must stop in order."""
    with launched_server(*arguments, release=release, **settings) as server:
        server.wait_until_ready()
        yield server
        server.terminate()
        server.wait()
