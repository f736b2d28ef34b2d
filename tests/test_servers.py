"""Tests that the servers of a test session start, answer, recover and die with their owner."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis
from sqlalchemy.engine import make_url

from tests import servers
from tests.servers import PostgresServer, create_database, drop_database

OWNER = """
import time
from tests.servers import own_redis_server, postgres_server, redis_server

with postgres_server() as server, redis_server() as url, own_redis_server() as silent:
    silent.stop_answering()
    sockets = [one.removeprefix("unix://").split("?")[0] for one in (url, silent.url)]
    print(server.cluster.data.parent, *sockets, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with servers.postgres_server() as server:
        yield server


async def fetch(server: PostgresServer, database: str, *statements: str) -> object:
    """Run the statements in one connection and return the value of the last one."""
    url = server.database_url(database).replace("+asyncpg", "")
    connection = await asyncpg.connect(url)
    try:
        return [await connection.fetchval(statement) for statement in statements][-1]
    finally:
        await connection.close()


def test_postgres_is_real_and_recent(postgres: PostgresServer) -> None:
    maintenance = make_url(postgres.url).database or "postgres"
    version = asyncio.run(fetch(postgres, maintenance, "SELECT version()"))
    number = asyncio.run(fetch(postgres, maintenance, "SHOW server_version_num"))
    assert str(version).startswith("PostgreSQL ")
    assert int(str(number)) >= 150_000


def test_database_is_created_from_a_template_and_dropped(postgres: PostgresServer) -> None:
    template, copy = f"template_{os.getpid()}", f"copy_{os.getpid()}"

    async def scenario() -> None:
        await create_database(postgres, template)
        await fetch(postgres, template, "CREATE TABLE t AS SELECT 7 AS n")
        await create_database(postgres, copy, template)
        assert await fetch(postgres, copy, "SELECT n FROM t") == 7
        connection = await asyncpg.connect(postgres.database_url(copy).replace("+asyncpg", ""))
        await drop_database(postgres, copy)  # A connection that was left open is no obstacle.
        connection.terminate()
        await drop_database(postgres, template)
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await fetch(postgres, copy, "SELECT 1")

    asyncio.run(scenario())


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT])
def test_commits_survive_a_restart(number: signal.Signals) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TEST_DATABASE_URL", raising=False)
        with servers.postgres_server() as server:
            asyncio.run(fetch(server, "postgres", "CREATE TABLE t AS SELECT 7 AS n"))
            server.restart(number)
            assert asyncio.run(fetch(server, "postgres", "SELECT n FROM t")) == 7


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_given_database_url_starts_nothing(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", f"{scheme}://me:s%40crét@db:5433/main")
    with servers.postgres_server() as server:
        assert server.cluster is None
        url = make_url(server.database_url("other"))
    assert (url.drivername, url.database) == ("postgresql+asyncpg", "other")
    assert (url.username, url.password, url.host, url.port) == ("me", "s@crét", "db", 5433)


def test_given_redis_url_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_REDIS_URL", "redis://cache:6379/3")
    with servers.redis_server() as url:
        assert url == "redis://cache:6379/3"


def test_valkey_stores_a_value() -> None:
    with servers.redis_server() as url, redis.Redis.from_url(url) as client:
        key = f"test_servers:{os.getpid()}"
        client.set(key, "coin", ex=60)
        assert client.get(key) == b"coin"


def test_own_redis_is_killed_and_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the same socket, with what it had saved and nothing else."""
    monkeypatch.setenv("TEST_REDIS_URL", "redis://cache:6379/3")
    with servers.own_redis_server() as server, redis.Redis.from_url(server.url) as client:
        client.set("saved", "coin")
        server.restart()
        assert client.dbsize() == 0
        client.set("saved", "coin")
        client.save()
        client.set("lost", "coin")
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert client.keys() == [b"saved"]
    assert not answers(server.folder / "valkey.sock")


def test_own_redis_falls_silent_and_answers_again() -> None:
    with (
        servers.own_redis_server() as server,
        redis.Redis.from_url(server.url, socket_timeout=0.05, retry=None) as hasty,
        redis.Redis.from_url(server.url) as patient,
    ):
        server.stop_answering()
        assert answers(server.folder / "valkey.sock")
        with pytest.raises(redis.TimeoutError):
            hasty.ping()
        server.answer_again()
        assert patient.ping() is True
        server.stop_answering()  # as a test may leave it


def test_missing_server_is_an_error_not_a_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("TEST_REDIS_URL", raising=False)
    with pytest.raises(RuntimeError, match="TEST_REDIS_URL"), servers.redis_server():
        pass


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def start_owner() -> tuple[subprocess.Popen[str], Path, Path, Path]:
    """Start a process that owns three servers, one silent; return it and their sockets."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TEST_")
    }
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=Path(__file__).parents[1],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    with owner.stdout:
        folder, valkey, silent = owner.stdout.readline().split()
    return owner, Path(folder) / ".s.PGSQL.5432", Path(valkey), Path(silent)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_servers_die_with_a_killed_owner_and_their_folders_are_swept() -> None:
    owner, *sockets = start_owner()
    try:
        assert all(answers(path) for path in sockets)
    finally:
        owner.kill()
        owner.wait()
    deadline = time.monotonic() + 20
    while any(answers(path) for path in sockets):
        assert time.monotonic() < deadline, "a server has outlived its owner"
        time.sleep(0.02)
    with servers._private_folder() as folder:
        assert folder.is_dir()
        assert not any(path.parent.exists() for path in sockets)
