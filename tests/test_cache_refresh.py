"""A value that is dear to compute: computed once at a time, whoever asks, in whatever process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from economy.cache_refresh import LOCK_TTL_SECONDS, RefreshedValue
from economy.metrics import Metrics
from tests.cache_source import cache_figures, lifetimes, open_client
from tests.computation import (
    CALLERS,
    FRESH,
    LOCK,
    NAME,
    TTL_SECONDS,
    VALUE,
    Computation,
    Failure,
    start_readers,
    until_done,
    value_of,
)


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


async def test_a_fresh_value_is_served_to_all(
    own_redis_url: str, computation: Computation, raw: Redis
) -> None:
    metrics = Metrics()
    async with open_client(own_redis_url) as mine, open_client(own_redis_url) as others:
        one, other = (value_of(each, computation, metrics) for each in (mine, others))
        assert await one.read() == b"1"
        assert await asyncio.gather(*start_readers([one, other])) == [b"1"] * 2 * CALLERS
    assert computation.begun == 1
    assert cache_figures(metrics, NAME) == (2 * CALLERS, 1, 0)
    left = await lifetimes(raw)
    a_day = 24 * 3600
    assert TTL_SECONDS - 60 < left.pop(FRESH) <= TTL_SECONDS
    assert TTL_SECONDS + a_day - 60 < left.pop(VALUE) <= TTL_SECONDS + a_day
    assert all(name.endswith(":generation") for name in left)


async def test_one_computes_an_expired_value_while_all_others_get_the_old_one(
    processes: list[RefreshedValue], computation: Computation, raw: Redis
) -> None:
    assert await processes[0].read() == b"1"
    for number in (2, 3):
        await raw.delete(FRESH)  # its time is up
        computation.hold()
        readers = start_readers(processes)
        await computation.is_running.wait()
        await until_done(readers, len(readers) - 1)
        assert 0 < await raw.ttl(LOCK) <= LOCK_TTL_SECONDS
        old = str(number - 1).encode()
        assert await asyncio.gather(*start_readers(processes)) == [old] * 3 * CALLERS
        computation.may_end.set()
        values = sorted(await asyncio.gather(*readers))
        assert values == [old] * (3 * CALLERS - 1) + [str(number).encode()]
        assert await asyncio.gather(*start_readers(processes)) == [values[-1]] * 3 * CALLERS
        assert await raw.exists(LOCK) == 0
    assert (computation.begun, computation.most_running) == (3, 1)


async def test_its_time_is_up_by_itself(
    own_redis_url: str, computation: Computation, raw: Redis
) -> None:
    async with open_client(own_redis_url) as client:
        value = value_of(client, computation, ttl_seconds=1)
        assert await value.read() == b"1"
        while await raw.exists(FRESH):  # noqa: ASYNC110 - time itself is waited for
            await asyncio.sleep(0.02)
        assert await raw.get(VALUE) == "1"
        assert await value.read() == b"2"


async def test_one_computes_what_nobody_has_while_all_others_wait(
    processes: list[RefreshedValue], computation: Computation
) -> None:
    computation.hold()
    readers = start_readers(processes)
    await computation.is_running.wait()
    while not all(each._refresh is not None for each in processes):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert not any(reader.done() for reader in readers)
    computation.may_end.set()
    assert await asyncio.gather(*readers) == [b"1"] * 3 * CALLERS
    assert (computation.begun, computation.most_running) == (1, 1)


async def test_never_two_computations_at_once(
    processes: list[RefreshedValue], computation: Computation, raw: Redis
) -> None:
    """Whenever its time is up, and whenever it is lost."""
    assert await processes[0].read() == b"1"

    async def read_often(each: RefreshedValue, *lost: str) -> list[int]:
        found = []
        for _ in range(30):
            await raw.delete(*lost)
            found += [int(await each.read()) for _ in range(3)]
        return found

    lost = [(FRESH,), (VALUE, FRESH), (VALUE,)]
    readers = [read_often(each, *keys) for each in processes for keys in lost]
    found = [number for numbers in await asyncio.gather(*readers) for number in numbers]
    newest = int(await processes[0].read())
    assert (newest, computation.most_running) == (computation.begun, 1)
    assert newest > 1
    assert set(found) <= set(range(1, newest + 1))


async def test_a_computation_that_fails_leaves_the_old_value(
    processes: list[RefreshedValue],
    computation: Computation,
    raw: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await processes[0].read() == b"1"
    await raw.delete(FRESH)
    computation.fails = True
    for each in processes:
        assert await each.read() == b"1"
        assert await raw.exists(LOCK) == 0
    assert computation.begun == 4
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    computation.fails = False
    assert await processes[1].read() == b"5"
    assert await processes[2].read() == b"5"


async def test_a_computation_that_fails_without_an_old_value(
    processes: list[RefreshedValue], computation: Computation, raw: Redis
) -> None:
    """All that wait in the process are told; another process tries for itself."""
    computation.fails = True
    computation.hold()
    readers = start_readers(processes)
    await computation.is_running.wait()
    computation.may_end.set()
    failures = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(failure) for failure in failures] == [Failure] * 3 * CALLERS
    assert (computation.begun, computation.most_running) == (3, 1)
    assert await raw.exists(LOCK, VALUE, FRESH) == 0
    computation.fails = False
    assert await asyncio.gather(*(each.read() for each in processes)) == [b"4"] * 3


@pytest.mark.parametrize("is_anybody_left", [True, False])
async def test_a_caller_that_goes_away_does_not_end_it_for_the_others(
    processes: list[RefreshedValue], computation: Computation, raw: Redis, is_anybody_left: bool
) -> None:
    computation.hold()
    first = asyncio.create_task(processes[0].read())
    await computation.is_running.wait()
    others = start_readers(processes) if is_anybody_left else []
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    computation.may_end.set()
    assert await asyncio.gather(*others) == [b"1"] * len(others)
    while not await raw.exists(FRESH):  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.01)
    assert await processes[1].read() == b"1"
    assert computation.begun == 1
