"""A real pgbouncer in transaction mode, in front of a PostgreSQL of the tests."""

import contextlib
import itertools
import os
import shutil
import signal
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import URL, make_url

from economy.errors import EconomyError
from economy.services.operations import Booking
from tests import servers
from tests.due_jobs import until
from tests.world import World

DEBIAN = "/usr/sbin"
SERVER_CONNECTIONS = 2
# Everybody is let in as the user that `[databases]` names. No other mode of pgbouncer keeps less
# between two transactions but that of single statements, which is not enough for units of work.
CONFIGURATION = """
[databases]
* = {server}
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
"""

TIMEOUTS = ["lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"]
# not `jit`: the driver, too, turns it off, while it asks the server about a type
OURS = [*TIMEOUTS, "plan_cache_mode"]


class PgbouncerNotTriedWarning(UserWarning):
    """What makes a skip stand in the summary of every run."""


def require_pgbouncer() -> Path:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), DEBIAN])
    if found := shutil.which("pgbouncer", path=path):
        return Path(found)
    message = "pgbouncer was NOT TRIED: there is none on PATH or in /usr/sbin (Debian: pgbouncer)"
    warnings.warn(PgbouncerNotTriedWarning(message), stacklevel=2)
    pytest.skip(message)


@dataclass
class Pgbouncer:
    program: Path
    folder: Path
    process: servers.Process = field(init=False)

    def url(self, database_url: str) -> str:
        """That database, through it."""
        url = make_url(database_url)
        through = URL.create(
            url.drivername,
            username=url.username or "postgres",
            database=url.database,
            query={"host": str(self.folder), "port": "6432"},
        )
        return through.render_as_string(hide_password=False)

    def start(self) -> None:
        command = [self.program, self.folder / "pgbouncer.ini"]
        self.process = servers._spawn(command, self.folder, servers.ACCOUNT)
        deadline = time.monotonic() + servers.TIMEOUT
        while self.process.poll() is None and time.monotonic() < deadline:
            if "process up" in self.log:
                return
            time.sleep(0.01)
        raise RuntimeError(f"pgbouncer did not start: {self.log}")

    @property
    def log(self) -> str:
        """Of the process that runs now."""
        return (self.folder / "log").read_text(encoding="utf-8")

    def kill(self) -> None:
        servers._stop(self.process, signal.SIGKILL)
        (self.folder / ".s.PGSQL.6432").unlink()


@contextlib.contextmanager
def running_pgbouncer(postgres_url: str) -> Iterator[Pgbouncer]:
    """To be called in the main thread, as the servers are."""
    program, url = require_pgbouncer(), make_url(postgres_url)
    with servers._private_folder() as folder:
        server = {
            "host": url.query.get("host") or url.host,
            "port": url.query.get("port") or url.port or 5432,
            "user": url.username,
            "password": url.password,
        }
        configuration = CONFIGURATION.format(
            server=" ".join(f"{name}={value}" for name, value in server.items() if value),
            folder=folder,
            size=SERVER_CONNECTIONS,
        )
        (folder / "pgbouncer.ini").write_text(configuration, encoding="utf-8")
        if servers.ACCOUNT is not None:
            for path in (folder, folder / "pgbouncer.ini"):
                os.chown(path, servers.ACCOUNT.pw_uid, servers.ACCOUNT.pw_gid)
        pgbouncer = Pgbouncer(program, folder)
        pgbouncer.start()
        try:
            yield pgbouncer
        finally:
            servers._stop(pgbouncer.process)


async def on_each_connection(database_url: str, query: str) -> list[list[tuple[Any, ...]]]:
    """What a stranger reads through pgbouncer, on each of its connections to the server."""
    plain = database_url.replace("+asyncpg", "", 1)
    async with contextlib.AsyncExitStack() as stack:
        strangers = []
        for _ in range(SERVER_CONNECTIONS):
            stranger = await asyncpg.connect(plain, statement_cache_size=0)
            stack.push_async_callback(stranger.close)
            await stack.enter_async_context(stranger.transaction())
            strangers.append(stranger)
        processes = {await stranger.fetchval("SELECT pg_backend_pid()") for stranger in strangers}
        assert len(processes) == SERVER_CONNECTIONS
        return [[tuple(row) for row in await one.fetch(query)] for one in strangers]


async def assert_nothing_is_left(database_url: str) -> None:
    """No statement is prepared on the server, nor does a setting of ours hold for anybody else."""
    prepared = await on_each_connection(database_url, "SELECT name FROM pg_prepared_statements")
    assert prepared == [[], []]
    for name in OURS:
        query = f"SELECT name, source FROM pg_settings WHERE name = '{name}'"
        assert await on_each_connection(database_url, query) == [[(name, "default")]] * 2


@dataclass
class Buyers:
    """Each buys one boost after the other, and asks for each until it is answered."""

    world: World
    booked: dict[str, Booking] = field(default_factory=dict)
    refused: list[EconomyError] = field(default_factory=list)

    async def buy_until(self, count: int, name: int) -> None:
        for number in itertools.count():
            key = f"{name}-{number}"
            if len(self.booked) >= count:
                return
            while key not in self.booked:
                with self._noting_refusals():
                    self.booked[key] = await self.world.buy(
                        self.world.anna, self.world.boost, idempotency_key=key
                    )

    @contextlib.contextmanager
    def _noting_refusals(self) -> Iterator[None]:
        try:
            yield
        except EconomyError as error:
            self.refused.append(error)

    async def until_booked(self, count: int) -> None:
        async def is_booked() -> bool:
            return len(self.booked) >= count

        await until(is_booked)

    async def until_refused(self) -> None:
        before = len(self.refused)

        async def is_refused() -> bool:
            return len(self.refused) > before

        await until(is_refused)
