"""The breaker before Redis: the first failure cuts it off, a comeback voids what is cached."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from economy.redis_client import ROUND_TRIPS, RedisClient
from tests.redis_client import (
    ANSWERS,
    FAILS,
    calls,
    connected,
    generations,
    is_refused,
    is_refused_at_once,
    redis_up,
    run_id,
    until,
)
from tests.servers import RedisServer

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


async def cut_off(client: RedisClient, admin: redis.Redis) -> None:
    """By an error as an answer: the server itself is well."""
    admin.set("text", "x")
    assert await is_refused(client.execute("LPUSH", "text", "y"))


async def test_an_error_as_an_answer_cuts_off(
    breakable_redis: RedisServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(breakable_redis.url) as (client, metrics):
        assert await client.ping()
        assert (client.is_trusted, redis_up(metrics)) == (True, 1)
        admin.set("text", "x")
        refused, answered = await asyncio.gather(
            is_refused(client.execute_all([("GET", "text"), ("LPUSH", "text", "y")])),
            client.execute("GET", "text"),  # shares its round trip
        )
        assert (refused, answered) == (True, b"x")
        assert (client.is_trusted, redis_up(metrics)) == (False, 0)
        assert is_refused_at_once(client)
        assert not await client.ping()
        assert caplog.messages == [FAILS + WRONG_TYPE]
        await until(lambda: client.is_trusted)
        assert redis_up(metrics) == 1
        assert await client.ping()
        assert await client.execute("GET", "text") == b"x"
    assert caplog.messages == [FAILS + WRONG_TYPE, ANSWERS]


async def test_nobody_has_to_wait_for_what_was_begun(
    breakable_redis: RedisServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure is told once, by the breaker: not again by asyncio when the answers are dropped."""
    async with connected(breakable_redis.url) as (client, _):
        admin.set("text", "x")
        dropped = client.begin([("LPUSH", "text", "y")])
        answers = client.begin([("GET", "text")])  # of another caller, in the same round trip
        assert await answers == [b"x"]
        assert await is_refused(client.execute("PING"))
        assert dropped.done()
        del dropped, answers
        refused_at_once = client.begin([("PING",)])
        assert refused_at_once.done()
        del refused_at_once
        gc.collect()
        assert caplog.messages == [FAILS + WRONG_TYPE]
        await until(lambda: client.is_trusted)


async def test_the_first_failure_refuses_all_that_wait(
    breakable_redis: RedisServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """They do not fail one after the other."""
    async with connected(breakable_redis.url, timeout_seconds=1) as (client, metrics):
        assert await client.ping()
        breakable_redis.stop_answering()
        trips = []
        for number in range(1, ROUND_TRIPS + 1):
            trips.append(asyncio.create_task(is_refused(client.execute("ECHO", str(number)))))
            await until(partial(has_trips, client, number))
        waiting = [asyncio.create_task(is_refused(client.execute("ECHO", "x"))) for _ in range(500)]
        await until(lambda: len(client._waiting) == 500)
        await asyncio.wait(trips, return_when=asyncio.FIRST_COMPLETED)
        assert all(one.done() and one.result() for one in waiting)
        assert all(is_refused_at_once(client) for _ in range(100))
        assert (client.is_trusted, redis_up(metrics)) == (False, 0)
        assert await asyncio.gather(*trips) == [True, True]
    assert caplog.messages == [FAILS + "TimeoutError"]


def has_trips(client: RedisClient, number: int) -> bool:
    return len(client._trips) == number


async def test_a_silent_server_is_cut_off(
    breakable_redis: RedisServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Late answers, to what was refused, are nobody's."""
    async with connected(breakable_redis.url, timeout_seconds=0.25) as (client, _):
        assert await client.ping()
        before = generations(admin)
        breakable_redis.stop_answering()
        refused = await asyncio.gather(
            *(is_refused(client.execute("ECHO", f"late {n}")) for n in range(100))
        )
        assert refused == [True] * 100
        assert is_refused_at_once(client)
        breakable_redis.answer_again()
        await until(lambda: client.is_trusted)
        answers = await asyncio.gather(*(client.execute("ECHO", str(n)) for n in range(100)))
        assert answers == [str(n).encode() for n in range(100)]
        assert set(before).isdisjoint(generations(admin))
    assert caplog.messages == [FAILS + "TimeoutError", ANSWERS]


async def test_one_line_for_each_change_whoever_asks(
    breakable_redis: RedisServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {True: 0, False: 0}
    is_over = False

    async def ask_on() -> None:
        while not is_over:
            asked[await is_refused(client.execute("PING"))] += 1
            await asyncio.sleep(0.001)

    async def many_more(*, are_refused: bool) -> None:
        goal = asked[are_refused] + 1_000
        await until(lambda: asked[are_refused] >= goal)

    async with connected(breakable_redis.url) as (client, metrics), asyncio.TaskGroup() as group:
        assert await client.ping()
        for _ in range(300):
            group.create_task(ask_on())
        for outage in (1, 2):
            await many_more(are_refused=False)
            breakable_redis.kill()
            await many_more(are_refused=True)
            assert (client.is_trusted, redis_up(metrics)) == (False, 0)
            breakable_redis.start()
            await until(lambda: client.is_trusted)
            assert redis_up(metrics) == 1
            assert len(caplog.messages) == 2 * outage
        is_over = True
    assert [line.startswith(FAILS) for line in caplog.messages] == [True, False] * 2
    assert caplog.messages[1::2] == [ANSWERS] * 2


async def test_it_is_not_back_before_it_takes_writes(
    breakable_redis: RedisServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Out of memory it reads, and what was cached before would be believed."""
    async with connected(breakable_redis.url) as (client, metrics):
        assert await client.ping()
        before = generations(admin)
        admin.config_set("maxmemory", 1)
        assert await client.execute("GET", "k") is None
        assert await is_refused(client.execute("SET", "k", "v"))
        attempts = calls(admin, "eval")
        await until(lambda: calls(admin, "eval") >= attempts + 3)
        assert (client.is_trusted, redis_up(metrics)) == (False, 0)
        assert generations(admin) == before
        admin.config_set("maxmemory", 0)
        await until(lambda: client.is_trusted)
        after = generations(admin)
        assert set(before).isdisjoint(after)
        assert [one[:40] for one in after] == [run_id(admin)] * 2
    [fails, answers] = caplog.messages
    assert fails.startswith(FAILS + "command not allowed when used memory > 'maxmemory'")
    assert answers == ANSWERS


class Gate:
    """Between client and server: each renewal waits here until it is let through."""

    def __init__(self) -> None:
        self._let_through = asyncio.Semaphore(0)
        self.renewals = 0  # that have come so far

    def let_through(self, renewals: int) -> None:
        for _ in range(renewals):
            self._let_through.release()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while data := await reader.read(2**16):
                if b"\r\nrenew\r\n" in data:
                    self.renewals += 1
                    await self._let_through.acquire()
                writer.write(data)


@asynccontextmanager
async def gate(breakable_redis: RedisServer, socket: Path) -> AsyncIterator[tuple[Gate, str]]:
    """And the URL of its outer side."""
    gate, tasks = Gate(), set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_unix_connection(urlsplit(breakable_redis.url).path)
        tasks.add(asyncio.create_task(gate.pass_on(reader, inner[1])))
        tasks.add(asyncio.create_task(gate.pass_on(inner[0], writer)))

    async with await asyncio.start_unix_server(accept, socket):
        yield gate, f"unix://{socket}"
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_on_its_way_back_it_is_written_to_and_not_read(
    breakable_redis: RedisServer,
    admin: redis.Redis,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Twice what is cached is declared void: before the first write, and after."""
    async with (
        gate(breakable_redis, tmp_path / "gate.sock") as (passage, url),
        connected(url) as (client, metrics),
    ):
        assert await client.ping()
        seen = [generations(admin)]
        await cut_off(client, admin)
        await until(lambda: passage.renewals == 1)
        assert is_refused_at_once(client)
        assert generations(admin) == seen[0]

        passage.let_through(1)
        await until(lambda: passage.renewals == 2)
        seen.append(generations(admin))
        assert await client.execute("SET", "k", "v") == b"OK"
        assert admin.get("k") == b"v"
        assert (client.is_trusted, await client.ping(), redis_up(metrics)) == (False, False, 0)
        assert len(caplog.messages) == 1

        passage.let_through(1)
        await until(lambda: client.is_trusted)
        assert (await client.ping(), redis_up(metrics)) == (True, 1)
        seen.append(generations(admin))
        for caches in zip(*seen, strict=True):
            assert len(set(caches)) == 3
        assert passage.renewals == 2
    assert caplog.messages == [FAILS + WRONG_TYPE, ANSWERS]


async def test_a_failure_on_the_way_back_starts_it_anew(
    breakable_redis: RedisServer,
    admin: redis.Redis,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        gate(breakable_redis, tmp_path / "gate.sock") as (passage, url),
        connected(url) as (client, _),
    ):
        assert await client.ping()
        await cut_off(client, admin)
        passage.let_through(1)
        await until(lambda: passage.renewals == 2)
        await cut_off(client, admin)
        assert is_refused_at_once(client)
        passage.let_through(2)
        await until(lambda: passage.renewals == 4)
        assert not client.is_trusted
        passage.let_through(1)
        await until(lambda: client.is_trusted)
        assert passage.renewals == 4
    assert caplog.messages == [FAILS + WRONG_TYPE, ANSWERS]
