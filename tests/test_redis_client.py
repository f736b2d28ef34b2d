"""The connection to Redis, on a real server: round trips are shared, generations are kept."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from economy.redis_client import RedisClient, RedisUnavailable
from tests.redis_client import (
    ANSWERS,
    FAILS,
    LONG_SECONDS,
    calls,
    connected,
    generations,
    is_refused,
    is_refused_at_once,
    run_id,
    until,
)
from tests.servers import RedisServer


@pytest.fixture
async def client(breakable_redis: RedisServer, admin: redis.Redis) -> AsyncIterator[RedisClient]:
    async with connected(breakable_redis.url) as (client, _):
        assert await client.ping()
        yield client


def round_trips(admin: redis.Redis) -> tuple[int, int]:
    """How often the server has read from a client, and written to one."""
    stats: Any = admin.info("stats")
    return stats["total_reads_processed"], stats["total_writes_processed"]


async def test_commands_of_one_moment_share_a_round_trip(
    client: RedisClient, admin: redis.Redis
) -> None:
    first, second = round_trips(admin), round_trips(admin)
    looking = (second[0] - first[0], second[1] - first[1])
    answers = await asyncio.gather(*(client.execute("ECHO", str(n)) for n in range(300)))
    third = round_trips(admin)
    assert answers == [str(n).encode() for n in range(300)]
    assert calls(admin, "echo") == 300
    assert third[0] - second[0] - looking[0] == 1
    assert third[1] - second[1] - looking[1] == 1


async def test_each_caller_gets_its_own_answers(client: RedisClient) -> None:
    async def ask(caller: int) -> None:
        for turn in range(20):
            words = [f"{caller}-{turn}-{n}" for n in range(caller % 4 + 1)]
            answers = await client.execute_all([("ECHO", word) for word in words])
            assert answers == [word.encode() for word in words]

    await asyncio.gather(*(ask(caller) for caller in range(50)))
    assert await client.execute_all([]) == []
    assert client.is_trusted


async def test_commands_of_one_caller_run_in_their_order(
    client: RedisClient, admin: redis.Redis
) -> None:
    answers = await client.execute_all([("SET", "k", 1), ("GET", "k"), ("DEL", "k"), ("GET", "k")])
    assert answers == [b"OK", b"1", 1, None]


async def test_more_commands_than_a_round_trip_takes(
    client: RedisClient, admin: redis.Redis
) -> None:
    await asyncio.gather(*(client.execute("INCR", "count") for _ in range(2_000)))
    assert admin.get("count") == b"2000"


async def test_a_caller_that_goes_away_harms_nobody(
    client: RedisClient, breakable_redis: RedisServer, admin: redis.Redis
) -> None:
    breakable_redis.stop_answering()
    callers = [asyncio.create_task(client.execute("ECHO", str(n))) for n in range(3)]
    await until(lambda: bool(client._trips))
    assert callers[1].cancel()
    await asyncio.wait([callers[1]])
    breakable_redis.answer_again()
    assert await callers[0] == b"0"
    assert await callers[2] == b"2"
    assert callers[1].cancelled()
    assert await client.execute("ECHO", "next") == b"next"
    assert client.is_trusted


async def until_hung_up(client: RedisClient) -> None:
    """Until the end of its only connection has come through to it."""
    [connection] = client._idle
    assert connection._reader is not None
    await until(connection._reader.at_eof)


def listen_on_tcp(breakable_redis: RedisServer) -> str:
    """Beside its socket; the URL."""
    with socket.socket() as free, redis.Redis.from_url(breakable_redis.url) as admin:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        admin.config_set("port", port)
    return f"redis://127.0.0.1:{port}/0"


@pytest.mark.parametrize("scheme", ["unix", "redis"])
async def test_a_connection_that_was_idle_too_long_is_no_failure(
    breakable_redis: RedisServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture, scheme: str
) -> None:
    """Servers and networks close such connections: nothing was lost with them."""
    url = breakable_redis.url if scheme == "unix" else listen_on_tcp(breakable_redis)
    async with connected(url) as (client, _):
        assert await client.ping()
        before = generations(admin)
        assert admin.client_kill_filter(_type="normal", skipme=True) == 1
        await until_hung_up(client)
        assert await client.execute("ECHO", "after") == b"after"
        assert client.is_trusted
        assert generations(admin) == before
    assert caplog.messages == []


async def test_a_new_connection_keeps_the_generations(
    client: RedisClient, breakable_redis: RedisServer, admin: redis.Redis
) -> None:
    before = generations(admin)
    assert [one[:40] for one in before] == [run_id(admin)] * 2
    async with connected(breakable_redis.url) as (other, _):
        assert await other.ping()
    assert generations(admin) == before


async def test_generations_of_another_run_are_void(
    client: RedisClient,
    breakable_redis: RedisServer,
    admin: redis.Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Restarted from a snapshot: what had been forgotten since is there again."""
    before, first_run = generations(admin), run_id(admin)
    admin.set("k", "old")
    admin.save()
    admin.set("k", "new")
    breakable_redis.restart()
    assert generations(admin) == before
    await until_hung_up(client)
    assert await client.execute("GET", "k") == b"old"
    assert client.is_trusted
    after, second_run = generations(admin), run_id(admin)
    assert second_run != first_run
    assert [one[:40] for one in after] == [second_run] * 2
    assert caplog.messages == []


async def test_closing_ends_the_comeback(
    breakable_redis: RedisServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = asyncio.all_tasks()
    async with connected(breakable_redis.url, timeout_seconds=0.25) as (client, _):
        assert await client.ping()
        breakable_redis.stop_answering()
        assert await is_refused(client.execute("PING"))
    assert asyncio.all_tasks() == tasks
    breakable_redis.answer_again()
    assert is_refused_at_once(client)
    assert caplog.messages == [FAILS + "TimeoutError"]


@pytest.mark.parametrize("is_answered", [True, False])
async def test_closing_waits_for_what_was_asked(
    breakable_redis: RedisServer,
    admin: redis.Redis,
    caplog: pytest.LogCaptureFixture,
    is_answered: bool,
) -> None:
    tasks = asyncio.all_tasks()
    seconds = LONG_SECONDS if is_answered else 0.25
    async with connected(breakable_redis.url, timeout_seconds=seconds) as (client, _):
        assert await client.ping()
        breakable_redis.stop_answering()
        asked = [asyncio.create_task(client.execute("ECHO", str(n))) for n in range(50)]
        await until(lambda: bool(client._trips))
        closing = asyncio.create_task(client.close())
        if is_answered:
            await until(lambda: not closing.done())
            breakable_redis.answer_again()
        await closing
        answers = await asyncio.gather(*asked, return_exceptions=True)
        if is_answered:
            assert answers == [str(n).encode() for n in range(50)]
        else:
            assert {type(answer) for answer in answers} == {RedisUnavailable}
        assert is_refused_at_once(client)
    assert asyncio.all_tasks() - tasks == set()
    assert caplog.messages == ([] if is_answered else [FAILS + "TimeoutError"])


LPUSH_TO_TEXT = ("LPUSH", "text", "y")  # is answered with an error


@pytest.mark.parametrize("place", [0, 1, 49, 98, 99])
async def test_an_error_among_many_answers_is_its_callers_alone(
    client: RedisClient, admin: redis.Redis, place: int
) -> None:
    """In one round trip of 100 callers, the others of whom get what is theirs."""
    admin.set("text", "x")
    reads = round_trips(admin)[0]
    looking = round_trips(admin)[0] - reads
    asked: list[list[tuple[str, ...]]] = [
        [("ECHO", f"{caller}-{n}") for n in range(caller % 3 + 1)] for caller in range(100)
    ]
    asked[place] = [("ECHO", "before"), LPUSH_TO_TEXT, ("ECHO", "after")]
    answers = await asyncio.gather(
        *(client.execute_all(commands) for commands in asked), return_exceptions=True
    )
    assert round_trips(admin)[0] - reads - 2 * looking == 1
    assert type(answers.pop(place)) is RedisUnavailable
    del asked[place]
    assert answers == [[word.encode() for _, word in commands] for commands in asked]
    assert calls(admin, "lpush") == 1


async def test_late_answers_are_nobodys(
    breakable_redis: RedisServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A round trip that was cut in the middle: its connection is closed, and never used again."""
    async with connected(breakable_redis.url, timeout_seconds=0.25) as (client, _):
        [old_id] = await client.execute_all([("CLIENT", "ID")])
        asked = [("ECHO", "one"), ("BLPOP", "nothing yet", 0), ("ECHO", "late")]
        cut = await asyncio.gather(
            *(is_refused(client.execute(*command)) for command in asked),
            is_refused(client.execute_all([("ECHO", "later"), ("ECHO", "latest")])),
        )
        assert cut == [True] * 4
        assert client._idle == []
        await until(lambda: client.is_trusted)
        answers = await asyncio.gather(*(client.execute("ECHO", str(n)) for n in range(5)))
        assert answers == [str(n).encode() for n in range(5)]
        assert await client.execute("CLIENT", "ID") != old_id
        await until(lambda: str(old_id) not in [one["id"] for one in admin.client_list()])
        assert admin.lpush("nothing yet", "x") == 1
        assert await client.execute("LLEN", "nothing yet") == 1  # nobody waits for it any more
    assert caplog.messages == [FAILS + "TimeoutError", ANSWERS]


async def test_a_connection_is_not_used_while_answers_are_due(
    breakable_redis: RedisServer, admin: redis.Redis
) -> None:
    """Two round trips at once go over two connections, each of which gets its own answers."""
    async with connected(breakable_redis.url) as (client, _):
        assert await client.ping()
        waiting = asyncio.create_task(client.execute("BLPOP", "nothing yet", 0))
        await until(lambda: admin.info("clients")["blocked_clients"] == 1)
        answers = await client.execute_all([("ECHO", str(n)) for n in range(5)])
        assert answers == [str(n).encode() for n in range(5)]
        assert not waiting.done()
        admin.lpush("nothing yet", "x")
        assert await waiting == [b"nothing yet", b"x"]
        assert len(client._idle) == 2
