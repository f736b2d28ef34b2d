"""Load over HTTP, by wrk: a closed loop, each connection has one request in flight."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.suite.requests import Request

SCRIPT = Path(__file__).parent / "load.lua"


@dataclass(frozen=True)
class Load:
    successes: int
    failures: int  # answers that are none
    errors: int  # of connections, timeouts
    seconds: float
    p50_ms: float
    p99_ms: float  # wrk counts what waits behind a slow answer, too
    sample: str  # the first failure


def require_wrk() -> None:
    if shutil.which("wrk") is None:
        raise SystemExit("make bench needs wrk: install it with `apt-get install wrk`.")


def write_tokens(tokens: Sequence[str], folder: Path) -> None:
    (folder / "tokens").write_text("\n".join(tokens))


def wrk(
    port: int,
    request: Request,
    *,
    connections: int,
    seconds: float,
    prefix: str,
    folder: Path,
    is_in_turn: bool = False,
) -> Load:
    """One thread: the client must leave the cores to the others. `prefix` of every key."""
    (folder / "head").write_bytes(request.head.encode())
    (folder / "body").write_bytes(request.body.encode())
    order = "in turn" if is_in_turn else "random"
    files = [folder / name for name in ("head", "body", "tokens")]
    limits = ["-t", "1", "-c", connections, "-d", f"{max(1, round(seconds))}s", "--timeout", "10s"]
    url = f"http://127.0.0.1:{port}/"
    command = ["wrk", *limits, "-s", SCRIPT, url, "--", *files, prefix, request.needle, order]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, encoding="utf-8", check=False
    )
    result = sample = ""
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            result = line.removeprefix("RESULT ")
        elif line.startswith("SAMPLE "):
            sample = line.removeprefix("SAMPLE ")
    if done.returncode != 0 or not result:
        raise SystemExit(f"wrk failed: {done.stdout}{done.stderr}")
    return Load(**json.loads(result), sample=sample)
