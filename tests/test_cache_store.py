"""Where cached values lie, in the process or in Redis: leases, and the lifetimes of all keys."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from economy.cache import INVENTORY
from economy.cache_store import (
    GENERATION_TTL_SECONDS,
    LEASE_TTL_SECONDS,
    MOST_ENTRIES_IN_PROCESS,
    NO_LEASE,
    MemoryStore,
    RedisStore,
    Store,
)
from economy.redis_client import RedisClient
from tests.cache_source import fill, lifetimes, open_client, values_of

GENERATION = "economy:2:inventory:generation"
VALUE, LEASE = "economy:2:inventory:{1}", "economy:2:inventory:{1}:lease"


@pytest.fixture
async def client(own_redis_url: str) -> AsyncIterator[RedisClient]:
    async with open_client(own_redis_url) as client:
        yield client


@pytest.fixture
def redis_store(client: RedisClient) -> RedisStore:
    return RedisStore(client, INVENTORY, 300)


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Store[bytes]:
    if request.param == "memory":
        return MemoryStore(300)
    redis_store: RedisStore = request.getfixturevalue("redis_store")
    return redis_store


async def test_the_first_reader_that_misses_holds_the_lease(store: Store[bytes]) -> None:
    found, first = await store.read_or_lease([1, 2])
    assert (found, list(first.keys)) == ({}, [1, 2])
    found, second = await store.read_or_lease([1, 3])
    assert (found, list(second.keys)) == ({}, [3])
    assert await store.fill({1: b"second", 3: b"second"}, second) == 0
    assert await values_of(store, 1, 3) == {3: b"second"}
    assert await store.fill({1: b"first", 2: b"first"}, first) == 0
    assert await values_of(store, 1, 2, 3) == {1: b"first", 2: b"first", 3: b"second"}


async def test_who_takes_no_lease_fills_nothing(store: Store[bytes]) -> None:
    assert await store.fill({1: b"1"}, NO_LEASE) == 0
    await store.read_or_lease([1])
    _, lease = await store.read_or_lease([1])
    assert await store.fill({1: b"1"}, lease) == 0
    assert await values_of(store, 1) == {}


async def test_a_lease_is_good_for_one_fill(store: Store[bytes]) -> None:
    _, lease = await store.read_or_lease([1])
    assert await store.fill({1: b"1"}, lease) == 0
    assert await store.fill({1: b"2"}, lease) == 1
    assert await values_of(store, 1) == {1: b"1"}


async def test_a_writer_takes_the_lease_away(store: Store[bytes]) -> None:
    _, old = await store.read_or_lease([1, 2])
    await store.forget([1])
    _, new = await store.read_or_lease([1, 2])
    assert list(new.keys) == [1]
    assert await store.fill({1: b"old", 2: b"old"}, old) == 1
    assert await values_of(store, 1, 2) == {2: b"old"}
    assert await store.fill({1: b"new"}, new) == 0
    assert await values_of(store, 1, 2) == {1: b"new", 2: b"old"}


async def test_what_could_not_be_loaded_is_not_filled(store: Store[bytes]) -> None:
    _, lease = await store.read_or_lease([1, 2])
    assert await store.fill({2: b"2"}, lease) == 0
    assert await values_of(store, 1, 2) == {2: b"2"}


async def test_a_new_generation_takes_values_and_leases(store: Store[bytes]) -> None:
    await fill(store, 1, b"old")
    _, lease = await store.read_or_lease([2])
    await store.start_generation()
    await store.fill({2: b"old"}, lease)
    assert await values_of(store, 1, 2) == {}


async def test_an_entry_in_the_process_ends_with_its_lifetime() -> None:
    store: MemoryStore[bytes] = MemoryStore(0)
    for _ in range(2):
        await fill(store, 1, b"1")


async def test_what_has_ended_takes_no_memory() -> None:
    """Whoever asks for page after page does not fill the process with them."""
    store: MemoryStore[bytes] = MemoryStore(0)
    for key in range(100):
        await fill(store, key, b"")
    assert (len(store._values), len(store._leases)) == (0, 0)


async def test_an_entrys_lifetime_counts_from_before_it_was_read() -> None:
    """Whoever reads slowly keeps what is as old as its lease."""
    store: MemoryStore[bytes] = MemoryStore(0.05)
    _, lease = await store.read_or_lease([1])
    leased_at = time.monotonic()
    while time.monotonic() <= leased_at + 0.05:  # noqa: ASYNC110 - time itself is waited for
        await asyncio.sleep(0.01)
    assert await store.fill({1: b"1"}, lease) == 0
    assert await values_of(store, 1) == {}


async def test_the_process_keeps_a_limited_number_of_entries() -> None:
    store: MemoryStore[bytes] = MemoryStore(300)
    for key in range(MOST_ENTRIES_IN_PROCESS + 1):
        await fill(store, key, b"")
    assert len(store._values) == MOST_ENTRIES_IN_PROCESS
    assert await values_of(store, 0, 1, MOST_ENTRIES_IN_PROCESS) == {
        1: b"",
        MOST_ENTRIES_IN_PROCESS: b"",
    }
    for key in range(MOST_ENTRIES_IN_PROCESS + 1):  # of readers that never came back
        await store.read_or_lease([f"lost {key}"])
    assert len(store._leases) == MOST_ENTRIES_IN_PROCESS


async def test_every_key_of_redis_has_its_lifetime(redis_store: RedisStore, raw: Redis) -> None:
    _, lease = await redis_store.read_or_lease([1, 2])
    leased = await lifetimes(raw)
    leases = [f"economy:2:inventory:{{{number}}}:lease" for number in (1, 2)]
    assert leased.keys() == {
        GENERATION,
        "economy:2:catalogue:generation",  # of the greeting
        *leases,
    }
    assert all(0 < leased[name] <= LEASE_TTL_SECONDS for name in leases)
    await redis_store.fill({1: b"1"}, lease)
    filled = await lifetimes(raw)
    assert filled.keys() == leased.keys() - {LEASE} | {VALUE}
    assert LEASE_TTL_SECONDS < filled[VALUE] <= 300
    await redis_store.forget([1, 2])
    await redis_store.start_generation()
    left = await lifetimes(raw)
    assert left.keys() == {GENERATION, "economy:2:catalogue:generation"}
    a_day = 24 * 3600
    assert all(
        GENERATION_TTL_SECONDS - a_day < seconds <= GENERATION_TTL_SECONDS
        for seconds in left.values()
    )


async def test_a_lease_of_a_reader_that_died_ends(redis_store: RedisStore, raw: Redis) -> None:
    await redis_store.read_or_lease([1])
    assert await raw.pttl(LEASE) > 0
    await raw.pexpire(LEASE, 1)
    while await raw.exists(LEASE):  # noqa: ASYNC110 - there is nothing else to wait for
        await asyncio.sleep(0.001)
    await fill(redis_store, 1, b"1")
    assert await values_of(redis_store, 1) == {1: b"1"}


async def test_connections_that_redis_has_closed_lose_nothing(
    redis_store: RedisStore, client: RedisClient, raw: Redis
) -> None:
    """As Redis' own `timeout`, or a load balancer, does to idle ones."""
    await fill(redis_store, 1, b"old")
    for value in (b"new", b"newer"):
        await raw.client_kill_filter(_type="normal", skipme=True)
        await redis_store.forget([1])
        await raw.client_kill_filter(_type="normal", skipme=True)
        await fill(redis_store, 1, value)
        assert await values_of(redis_store, 1) == {1: value}
    assert client.is_trusted
