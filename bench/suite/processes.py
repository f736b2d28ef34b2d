"""Processes that the bench starts: they die with it, and what they use is read from /proc."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

Process = subprocess.Popen[bytes]

TIMEOUT = 60.0
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PR_SET_PDEATHSIG = 1
LIBRARY_C = ctypes.CDLL(None)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def running(
    command: Sequence[object], *, environment: Mapping[str, str], log: Path, cwd: Path | None = None
) -> Iterator[Process]:
    """Call it in the main thread: the process dies with the thread that started it."""
    parent = os.getpid()

    def die_with_parent() -> None:
        LIBRARY_C.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what is left of its children, too
        process.wait()


def wait_until(is_ready: Callable[[], bool], process: Process, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if is_ready():
                return
        time.sleep(0.005)
    raise SystemExit(f"{process.args!r} did not start:\n{log.read_text(errors='replace')}")


def tree(root: int) -> list[int]:
    """The process and all that it has started, directly or not."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        if fields := _fields(int(folder.name)):
            children[int(fields[1])].append(int(folder.name))
    found = [root]
    for pid in found:
        found.extend(children[pid])
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of the tree, with that of its processes that have ended."""
    ticks = 0
    for pid in tree(root):
        if fields := _fields(pid):
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS


def resident_megabytes(root: int) -> list[float]:
    """Of each process of the tree, the largest first."""
    sizes = [int(fields[21]) * PAGE_BYTES / 1e6 for pid in tree(root) if (fields := _fields(pid))]
    return sorted(sizes, reverse=True)


def _fields(pid: int) -> list[str]:
    """Of /proc/PID/stat, from the state on; none if the process has ended."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return content.rpartition(")")[2].split()
