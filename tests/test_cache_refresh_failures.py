"""A value that is dear to compute, where a lock is lost, a process dies, or Redis is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from economy.cache_refresh import LOCK_TTL_SECONDS, RefreshedValue
from economy.metrics import Metrics
from tests.cache_source import cache_figures, open_client
from tests.computation import (
    CALLERS,
    FRESH,
    LOCK,
    NAME,
    VALUE,
    Computation,
    start_readers,
    until_done,
    value_of,
)
from tests.servers import own_redis_server


@pytest.fixture
def computation() -> Computation:
    return Computation()


@pytest.fixture
async def processes(
    own_redis_url: str, computation: Computation
) -> AsyncIterator[list[RefreshedValue]]:
    """Three, on one Redis."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(open_client(own_redis_url)) for _ in range(3)]
        yield [value_of(client, computation) for client in clients]


async def test_a_lock_whose_holder_died_ends(
    processes: list[RefreshedValue], computation: Computation, raw: Redis
) -> None:
    await raw.set(LOCK, "another's", ex=LOCK_TTL_SECONDS)
    reader = asyncio.create_task(processes[0].read())
    while processes[0]._refresh is None:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    assert (computation.begun, reader.done()) == (0, False)
    await raw.pexpire(LOCK, 1)
    assert await reader == b"1"


async def test_who_computes_holds_on_to_the_lock(
    processes: list[RefreshedValue], computation: Computation, raw: Redis
) -> None:
    """However long it takes; the lifetime is for who died."""
    computation.hold()
    reader = asyncio.create_task(processes[0].read())
    await computation.is_running.wait()
    await raw.pexpire(LOCK, LOCK_TTL_SECONDS * 1000 // 2)
    async with asyncio.timeout(30):
        # until it is prolonged
        while await raw.pttl(LOCK) <= LOCK_TTL_SECONDS * 1000 // 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    computation.may_end.set()
    assert await reader == b"1"
    assert await raw.exists(LOCK) == 0


async def test_a_lock_that_was_lost_to_another(
    processes: list[RefreshedValue], computation: Computation, raw: Redis
) -> None:
    """That one's value counts, and its lock stays."""
    computation.hold()
    reader = asyncio.create_task(processes[0].read())
    await computation.is_running.wait()
    await raw.set(LOCK, "another's", ex=LOCK_TTL_SECONDS)
    computation.may_end.set()
    assert await reader == b"1"
    assert await raw.get(LOCK) == "another's"
    assert await raw.exists(VALUE, FRESH) == 0


async def test_without_redis_each_process_has_its_own(computation: Computation) -> None:
    metrics = Metrics()
    processes = [value_of(None, computation, metrics) for _ in range(2)]
    assert [await each.read() for each in processes * 2] == [b"1", b"2", b"1", b"2"]
    assert cache_figures(metrics, NAME) == (2, 2, 0)


async def test_without_redis_one_computes_at_a_time(computation: Computation) -> None:
    value = value_of(None, computation, ttl_seconds=0)
    for number in (1, 2):
        computation.hold()
        readers = start_readers([value])
        await computation.is_running.wait()
        if number == 2:
            await until_done(readers, CALLERS - 1)
        computation.may_end.set()
        found = await asyncio.gather(*readers)
        assert sorted(found) == ([b"1"] * CALLERS if number == 1 else [b"1"] * 9 + [b"2"])
    computation.fails = True
    assert await value.read() == b"2"
    assert (computation.begun, computation.most_running) == (3, 1)


async def test_redis_goes_while_it_is_computed(computation: Computation) -> None:
    with own_redis_server() as server:
        async with open_client(server.url) as client:
            value = value_of(client, computation)
            computation.hold()
            readers = start_readers([value])
            await computation.is_running.wait()
            server.kill()
            computation.may_end.set()
            assert await asyncio.gather(*readers) == [b"1"] * CALLERS
            assert await value.read() == b"1"  # the process' own
            server.start()
            while not await client.ping():  # noqa: ASYNC110 - until it is believed again
                await asyncio.sleep(0.01)
            assert await value.read() == b"2"
            assert await value.read() == b"2"
    assert (computation.begun, computation.most_running) == (2, 1)
