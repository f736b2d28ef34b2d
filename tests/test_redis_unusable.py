"""What answers where Redis should be, and is of no use: it is cut off, until it is of use."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from tests.redis_client import (
    ANSWERS,
    FAILS,
    connected,
    generations,
    is_refused,
    is_refused_at_once,
    redis_up,
    run_id,
    until,
)
from tests.servers import RedisServer

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def hang_up_when_asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


async def be_a_web_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def never_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The beginning of an answer, and again and again a little more of it."""
    with contextlib.suppress(ConnectionError), contextlib.closing(writer):
        while True:
            writer.write(b"+" + 100 * b"x")
            await writer.drain()
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(serve: Serve, socket: Path) -> AsyncIterator[str]:
    """The URL of a server that treats every connection like that."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await serve(reader, writer)

    async with await asyncio.start_unix_server(accept, socket):
        yield f"unix://{socket}"
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("serve", [hang_up, hang_up_when_asked, be_a_web_server, never_end])
async def test_not_a_redis(serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        serving(serve, tmp_path / "odd.sock") as url,
        connected(url, timeout_seconds=0.25) as (client, metrics),
    ):
        refused = await asyncio.gather(*(is_refused(client.execute("PING")) for _ in range(100)))
        assert refused == [True] * 100
        assert is_refused_at_once(client)
        assert (client.is_trusted, redis_up(metrics)) == (False, 0)
    [line] = caplog.messages
    assert line.startswith(FAILS)


@pytest.mark.parametrize(
    ("credentials", "why"),
    [("", "HELLO must be called with the client already authenticated"), (":wrong@", "invalid")],
)
async def test_a_wrong_password(
    breakable_redis: RedisServer,
    admin: redis.Redis,
    caplog: pytest.LogCaptureFixture,
    credentials: str,
    why: str,
) -> None:
    url = breakable_redis.url.replace("unix://", f"unix://{credentials}")
    admin.config_set("requirepass", "secret")
    try:
        async with connected(url) as (client, _):
            assert not await client.ping()
            assert is_refused_at_once(client)
            [line] = caplog.messages
            assert line.startswith(FAILS + why)
            assert "wrong" not in line
        async with connected(breakable_redis.url.replace("unix://", "unix://:secret@")) as (
            client,
            _,
        ):
            assert await client.ping()
    finally:
        admin.config_set("requirepass", "")
    assert len(caplog.messages) == 1


async def test_a_replica_is_not_written_to(
    breakable_redis: RedisServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """The server that was the primary, after a failover."""
    async with connected(breakable_redis.url) as (client, _):
        assert await client.ping()
        before = generations(admin)
        admin.replicaof("127.0.0.1", "1")
        assert await client.execute("GET", "k") is None
        assert await is_refused(client.execute("SET", "k", "v"))
        assert is_refused_at_once(client)
        assert generations(admin) == before
        admin.replicaof("NO", "ONE")
        await until(lambda: client.is_trusted)
        assert set(before).isdisjoint(generations(admin))
    assert caplog.messages == [
        FAILS + "You can't write against a read only replica.",
        ANSWERS,
    ]


async def test_a_server_that_still_loads_its_snapshot(
    breakable_redis: RedisServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """It listens, and refuses every command."""
    async with connected(breakable_redis.url) as (client, _):
        assert await client.ping()
        before = generations(admin)
        admin.mset({f"key {number}": "x" * 2_000 for number in range(1_000)})
        admin.save()
        breakable_redis.kill()
        assert await is_refused(client.execute("PING"))
        slowly = ["--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024"]
        breakable_redis.start(*slowly, is_awaited=False)
        await until(lambda: is_loading(admin))
        assert is_refused_at_once(client)
        assert is_loading(admin)
        breakable_redis.restart()
        await until(lambda: client.is_trusted)
        assert set(before).isdisjoint(generations(admin))
        assert [one[:40] for one in generations(admin)] == [run_id(admin)] * 2
    [fails, answers] = caplog.messages
    assert fails.startswith(FAILS)
    assert answers == ANSWERS


def is_loading(admin: redis.Redis) -> bool:
    try:
        admin.get("k")
    except redis.BusyLoadingError:
        return True
    except redis.ConnectionError:
        pass
    return False
