"""What the machine did beside the work that was measured, and what it and the interpreter are."""

import os
import platform
import shlex
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from bench.suite.processes import TICKS, cpu_seconds

STEAL = 7  # its place in the first line of /proc/stat, which begins with user, nice, system, idle
IDLE = (3, 4)


@dataclass(frozen=True)
class Moment:
    """Seconds since the machine started."""

    total: float
    steal: float
    busy: float
    known: float  # of the bench and all that it has started

    @classmethod
    def now(cls) -> "Moment":
        first = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        seconds = [int(number) / TICKS for number in first]
        idle = sum(seconds[place] for place in IDLE)
        busy = sum(seconds) - idle - seconds[STEAL]
        return cls(sum(seconds), seconds[STEAL], busy, cpu_seconds(os.getpid()))


@dataclass(frozen=True)
class Noise:
    """Shares of the time of all cores."""

    steal: float  # the host gave it to other machines
    foreign: float  # used by what the bench has not started, the kernel's own threads included

    @classmethod
    def between(cls, start: Moment, end: Moment) -> "Noise":
        total = max(end.total - start.total, 1 / TICKS)
        foreign = (end.busy - start.busy) - (end.known - start.known)
        return cls((end.steal - start.steal) / total, max(foreign, 0.0) / total)


def python_build() -> str:
    """
    >>> python_build()
    'Python 3.11.2 PGO LTO'
    """
    options = _options()
    pgo = "PGO" if "--enable-optimizations" in options else "no PGO"
    lto = "LTO" if "--with-lto" in options else "no LTO"
    return f"Python {platform.python_version()} {pgo} {lto}"


def _options() -> list[str]:
    """What the interpreter was configured with; paths say nothing."""
    options = shlex.split(sysconfig.get_config_var("CONFIG_ARGS") or "")
    return [option for option in options if "/" not in option]


def machine(data: Path) -> dict[str, str | int]:
    """`data`: where the database lies."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    filesystem = subprocess.run(
        ["stat", "-f", "-c", "%T", data], capture_output=True, encoding="utf-8", check=False
    ).stdout.strip()
    return {
        "cores": os.cpu_count() or 0,
        "processor": models[0] if models else platform.machine(),
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": python_build(),
        "python_configured_with": " ".join(_options()),
        "filesystem": filesystem,
    }
