"""The faults. Each one strikes once, sees that it has, and is over when it returns."""

import asyncio
import contextlib
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx

from tests.live import LiveServer
from tests.proxy import Break
from tests.torture.client import TryAgain
from tests.torture.load import Load
from tests.torture.system import System, crash_postgres, exit_code, until

OURS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'economy'"
FULL_DISK = """
CREATE SEQUENCE torture_full_disk;
CREATE FUNCTION torture_full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM nextval('torture_full_disk');  -- which no rollback takes back
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER torture_full_disk BEFORE INSERT ON "transaction"
    FOR EACH STATEMENT EXECUTE FUNCTION torture_full_disk();
"""
ROOM_AGAIN = "DROP FUNCTION torture_full_disk CASCADE; DROP SEQUENCE torture_full_disk;"


@dataclass(frozen=True)
class Injected:
    times: int
    over_at: float  # by time.monotonic(): from then on it can recover


@dataclass(frozen=True)
class Scene:
    system: System
    load: Load
    dice: random.Random


Strike = Callable[[Scene], Awaitable[Injected]]


class DrainFailed(AssertionError):
    """A server that was told to end has not ended in order."""


async def kill_server(scene: Scene) -> Injected:
    """kill -9. The others go on without it."""
    system = scene.system
    number = scene.dice.randrange(len(system.servers))
    server = system.servers[number]
    await asyncio.to_thread(server.kill)
    assert server.process.returncode == -signal.SIGKILL
    killed_at = time.monotonic()
    await scene.load.until_asked(scene.dice.randint(0, 60))
    await system.replace_server(number)
    return Injected(1, killed_at)


async def kill_backend(scene: Scene) -> Injected:
    """kill -9 of one that works for a server, best of all just now: PostgreSQL ends all others."""
    assert scene.system.postgres is not None
    cluster = scene.system.postgres.cluster
    assert cluster is not None
    async with scene.system.database() as database:
        pid = (await _backends(database))[0]
        os.kill(pid, signal.SIGKILL)
    struck_at = time.monotonic()
    death = f"(PID {pid}) was terminated by signal 9"
    await until(lambda: death in cluster.log.read_text(errors="replace"))
    return Injected(1, struck_at)


async def restart_postgres(scene: Scene) -> Injected:
    """In immediate mode: it recovers from its log."""
    struck_at = time.monotonic()
    await crash_postgres(scene.system)
    assert scene.system.postgres is not None
    cluster = scene.system.postgres.cluster
    assert cluster is not None
    assert "was not properly shut down" in cluster.log.read_text(errors="replace")
    return Injected(1, struck_at)


async def terminate_backends(scene: Scene) -> Injected:
    """One, some or all of them."""
    async with scene.system.database() as database:
        pids = await _backends(database)
        count = scene.dice.choice([1, (len(pids) + 1) // 2, len(pids)])
        ended = await database.fetchval(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM unnest($1::int[]) pid",
            pids[:count],
        )
    assert ended > 0
    return Injected(ended, time.monotonic())


async def _backends(database: Any) -> list[int]:
    """The processes that work for servers, in no order but that the busy ones come first."""
    while True:
        found = await database.fetch(f"SELECT pid {OURS} ORDER BY state = 'idle', random()")
        if found:
            return [row["pid"] for row in found]


def break_commits(*ways: Break) -> Strike:
    """The next COMMITs on the far network, one for each way; now and then one is a job's."""

    async def strike(scene: Scene) -> Injected:
        proxy = scene.system.proxy
        assert proxy is not None
        before = len(proxy.broken)
        proxy.commits_behind = list(ways[1:])
        proxy.next_commit = ways[0]
        async with asyncio.timeout(60):
            while len(proxy.broken) < before + len(ways) and not scene.load.wrong:
                # held back for long, PostgreSQL would end its transaction
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await scene.load.until_asked(scene.dice.randint(1, 30))
                proxy.let_commit_through.set()
                proxy.let_commit_through.clear()  # the next one waits in its turn
        assert sorted(way.name for way in proxy.broken[before:]) == sorted(way.name for way in ways)
        return Injected(len(ways), time.monotonic())

    return strike


async def fill_disk(scene: Scene) -> Injected:
    """PostgreSQL's error for it, at every statement that adds to the journal."""
    async with scene.system.database() as database:
        await database.execute(FULL_DISK)
        times = 0
        while times < 10 and not scene.load.wrong:
            await asyncio.sleep(0.01)
            times = await database.fetchval("SELECT last_value FROM torture_full_disk")
        await database.execute(ROOM_AGAIN)
    return Injected(times, time.monotonic())


async def fill_disk_of_process(scene: Scene) -> Injected:
    """No file of the server process may grow: its database, nor its log."""
    if sys.platform != "linux":
        raise RuntimeError("only Linux can limit another process")
    pid = scene.system.servers[0].process.pid
    usual = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    refused = scene.load.client.retries["503"]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, usual[1]))
    try:
        await scene.load.until(lambda: scene.load.client.retries["503"] >= refused + 20)
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, usual)
    return Injected(scene.load.client.retries["503"] - refused, time.monotonic())


async def kill_valkey(scene: Scene) -> Injected:
    redis = scene.system.redis
    assert redis is not None
    redis.kill()
    assert redis.process.returncode == -signal.SIGKILL
    await _until_redis_is(scene, "0.0")
    await scene.load.until_answered(30)
    redis.start()
    return Injected(1, time.monotonic())


async def stop_valkey(scene: Scene) -> Injected:
    """It accepts whatever it is sent, and says nothing."""
    redis = scene.system.redis
    assert redis is not None
    redis.stop_answering()
    try:
        await _until_redis_is(scene, "0.0")
        await scene.load.until_answered(30)
    finally:
        redis.answer_again()
    return Injected(1, time.monotonic())


async def _until_redis_is(scene: Scene, up: str) -> None:
    """As every server sees it."""
    async with asyncio.timeout(60):
        for server in scene.system.servers:
            while True:
                answer = await scene.load.client.get(f"{server.url}/metrics")
                if answer is not None and f"economy_redis_up {up}" in answer.text:
                    break
                await asyncio.sleep(0.02)


async def drain(scene: Scene) -> Injected:
    """SIGTERM. What a server has accepted it answers, and accepts nothing more."""
    system = scene.system
    number = scene.dice.randrange(len(system.servers))
    server = system.servers[number]
    if system.postgres is None:
        server.terminate()
        await _until_refused(server.url)
    else:
        await _drain_a_held_request(scene, server)
    code = await exit_code(server)
    if code != 0:
        raise DrainFailed(f"exit code {code}: {server.log.read_text()[-3000:]}")
    ended_at = time.monotonic()
    await system.replace_server(number)
    return Injected(1, ended_at)


async def _drain_a_held_request(scene: Scene, server: LiveServer) -> None:
    """One is under way for certain: somebody holds the row that it needs."""
    load, [user_id] = scene.load, await scene.system.new_users(1)
    operation = load.credit_for_another(user_id)
    async with scene.system.database() as database, database.transaction():
        await database.execute('SELECT 1 FROM "user" WHERE id = $1 FOR UPDATE', user_id)
        asking = asyncio.create_task(load.client.ask_once(operation, server.url))
        own = await database.fetchval("SELECT pg_backend_pid()")
        waiting = f"SELECT count(*) {OURS} AND {own} = ANY(pg_blocking_pids(pid))"
        while not await database.fetchval(waiting) and not asking.done():
            await database.execute("SELECT pg_stat_clear_snapshot()")
        server.terminate()
        await _until_refused(server.url)
    answer = await asking
    if isinstance(answer, TryAgain) and answer.why != "503":
        raise DrainFailed(f"what was accepted got no answer: {answer}")
    if isinstance(answer, TryAgain):
        answer = await load.client.ask(operation)
        assert not answer.replayed
    load.acknowledge(operation, answer)


async def _until_refused(url: str) -> None:
    """No new connection is accepted."""
    address = httpx.URL(url)
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection(address.host, address.port)
            except ConnectionRefusedError:
                return
            writer.transport.abort()
            await asyncio.sleep(0.01)


class Fault(StrEnum):
    KILL_SERVER = "kill -9 of a server"
    KILL_BACKEND = "kill -9 of a backend"
    RESTART_POSTGRES = "immediate restart of PostgreSQL"
    TERMINATE_BACKENDS = "pg_terminate_backend"
    BEFORE_COMMIT = "connection lost before COMMIT"
    AFTER_COMMIT = "connection lost after COMMIT"
    LATE_COMMIT = "COMMIT arrives late"
    SILENCE = "silence after COMMIT"
    MANY_COMMITS = "several COMMITs at once"
    FULL_DISK = "disk full"
    KILL_VALKEY = "Valkey killed"
    STOP_VALKEY = "Valkey stopped"
    DRAIN = "SIGTERM of a server"


ON_POSTGRES: dict[Fault, Strike] = {
    Fault.KILL_SERVER: kill_server,
    Fault.KILL_BACKEND: kill_backend,
    Fault.RESTART_POSTGRES: restart_postgres,
    Fault.TERMINATE_BACKENDS: terminate_backends,
    Fault.BEFORE_COMMIT: break_commits(*3 * [Break.BEFORE_COMMIT]),
    Fault.AFTER_COMMIT: break_commits(*3 * [Break.AFTER_COMMIT]),
    Fault.LATE_COMMIT: break_commits(*3 * [Break.LATE_COMMIT]),
    Fault.SILENCE: break_commits(*2 * [Break.SILENCE]),
    Fault.MANY_COMMITS: break_commits(
        Break.AFTER_COMMIT, Break.LATE_COMMIT, Break.BEFORE_COMMIT, Break.AFTER_COMMIT
    ),
    Fault.FULL_DISK: fill_disk,
    Fault.KILL_VALKEY: kill_valkey,
    Fault.STOP_VALKEY: stop_valkey,
    Fault.DRAIN: drain,
}
ON_SQLITE: dict[Fault, Strike] = {
    Fault.KILL_SERVER: kill_server,
    Fault.FULL_DISK: fill_disk_of_process,
    Fault.DRAIN: drain,
}
