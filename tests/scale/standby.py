"""A streaming standby of a PostgreSQL of the tests, and which statements either has run."""

import asyncio
import contextlib
import itertools
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tests import servers
from tests.conftest import migrate_url
from tests.due_jobs import until
from tests.servers import (
    PostgresCluster,
    PostgresServer,
    create_database,
    drop_database,
    own_postgres_server,
)

NUMBERS = itertools.count(1)
MIGRATED = "migrated"  # a database to copy
FAILS = "the replica is left alone for a while: "
PREFIX = "economy|LOG:  "  # of each statement of a service, with the setting below
LOGGING = (
    "ALTER SYSTEM SET log_statement = 'all'",
    "ALTER SYSTEM SET log_line_prefix = '%a|'",
)


@dataclass
class StatementLog:
    """PostgreSQL writes a statement down before it runs it: what is answered stands there."""

    cluster: PostgresCluster
    _read: int = 0

    def news(self) -> list[str]:
        """What services have run since the last time."""
        told = self.cluster.log.read_text(encoding="utf-8", errors="replace")
        if len(told) < self._read:  # another process
            self._read = 0
        news, self._read = told[self._read :], len(told)
        lines = news.replace("\n\t", " ").splitlines()
        return [line.removeprefix(PREFIX) for line in lines if line.startswith(PREFIX)]


@dataclass
class Pair:
    primary: PostgresServer
    standby: PostgresServer
    on_primary: StatementLog = field(init=False)
    on_standby: StatementLog = field(init=False)

    def __post_init__(self) -> None:
        self.on_primary = StatementLog(_cluster(self.primary))
        self.on_standby = StatementLog(_cluster(self.standby))

    async def until_caught_up(self) -> None:
        """Until all that has been committed is seen on the standby; then both logs are at rest."""
        [position] = await ask(self.primary, "SELECT pg_current_wal_lsn()::text")

        async def is_there() -> bool:
            query = f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn"
            with contextlib.suppress(OSError, asyncpg.CannotConnectNowError):
                return bool(await ask(self.standby, query) == [True])
            return False

        await until(is_there)
        self.forget()

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Within, the standby receives what is new and shows nothing of it."""
        await self.until_caught_up()
        await ask(self.standby, "SELECT pg_wal_replay_pause()")

        async def is_paused() -> bool:
            return await ask(self.standby, "SELECT pg_get_wal_replay_pause_state()") == ["paused"]

        await until(is_paused)
        try:
            yield
        finally:
            await ask(self.standby, "SELECT pg_wal_replay_resume()")

    def forget(self) -> None:
        self.on_primary.news()
        self.on_standby.news()

    def reads_of(self, table: str) -> tuple[int, int]:
        """How many statements have read it since the last time: on the primary, on the standby."""
        read = re.compile(rf'FROM "?{table}\b')
        on_primary, on_standby = (
            sum(read.search(statement) is not None for statement in log.news())
            for log in (self.on_primary, self.on_standby)
        )
        return on_primary, on_standby

    def kill_standby(self) -> None:
        servers._stop(_cluster(self.standby).process, signal.SIGQUIT)

    def start_standby(self) -> None:
        _start(_cluster(self.standby))

    @contextlib.contextmanager
    def frozen_standby(self) -> Iterator[None]:
        """It takes connections and statements, and is silent."""
        pid = _cluster(self.standby).process.pid
        _send(signal.SIGSTOP, [pid])
        pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        _send(signal.SIGSTOP, pids)
        try:
            yield
        finally:
            _send(signal.SIGCONT, pids)


@contextlib.asynccontextmanager
async def database_of(pair: Pair, template: str | None = None) -> AsyncIterator[str]:
    """The name of a fresh one, on both servers."""
    name = f"replica_{next(NUMBERS)}"
    await create_database(pair.primary, name, template)
    await pair.until_caught_up()
    yield name
    await drop_database(pair.primary, name)


async def ask(server: PostgresServer, query: str) -> list[Any]:
    """The first column."""
    connection = await asyncpg.connect(server.url.replace("+asyncpg", "", 1))
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


@contextlib.contextmanager
def running_pair() -> Iterator[Pair]:
    """Both log their statements. To be called in the main thread, as the servers are."""
    with own_postgres_server() as primary:
        for statement in LOGGING:
            asyncio.run(ask(primary, statement))
        primary.restart(signal.SIGINT)
        asyncio.run(create_database(primary, MIGRATED))
        asyncio.run(migrate_url(primary.database_url(MIGRATED)))
        with _standby_of(primary) as standby:
            yield Pair(primary, standby)


@contextlib.contextmanager
def _standby_of(primary: PostgresServer) -> Iterator[PostgresServer]:
    of_primary = _cluster(primary)
    folder = of_primary.data.parent / "standby"
    folder.mkdir()
    if servers.ACCOUNT is not None:
        os.chown(folder, servers.ACCOUNT.pw_uid, servers.ACCOUNT.pw_gid)
    cluster = PostgresCluster(of_primary.binaries, folder / "data")
    source = ["-h", of_primary.data.parent, "-p", "5432", "-U", "postgres"]
    options = ["-D", cluster.data, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
    copy = [of_primary.binaries / "pg_basebackup", *source, *options]
    if servers._spawn(copy, folder, servers.ACCOUNT).wait(servers.TIMEOUT) != 0:
        raise RuntimeError(f"pg_basebackup failed: {cluster.log.read_text()}")
    _start(cluster)
    try:
        url = f"postgresql+asyncpg://postgres@/postgres?host={folder}&port=5432"
        yield PostgresServer(url, cluster)
    finally:
        servers._stop(cluster.process, signal.SIGQUIT)


def _start(standby: PostgresCluster) -> None:
    standby.launch()
    deadline = time.monotonic() + servers.TIMEOUT
    while standby.process.poll() is None and time.monotonic() < deadline:
        if "ready to accept read-only connections" in standby.log.read_text(errors="replace"):
            return
        time.sleep(0.01)
    servers._stop(standby.process, signal.SIGKILL)
    raise RuntimeError(f"the standby did not start: {standby.log.read_text()}")


def _cluster(server: PostgresServer) -> PostgresCluster:
    assert server.cluster is not None, "only a server started by the tests can have a standby"
    return server.cluster


def _send(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
