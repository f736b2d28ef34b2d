"""The cache alone: hits, leases and lifetimes, in the process and on a real Redis."""

import logging
from collections.abc import AsyncIterator, Sequence

import pytest
from redis.asyncio import Redis

from economy.cache import (
    LEASE_TTL_SECONDS,
    MOST_ENTRIES_IN_PROCESS,
    Cache,
    MemoryStore,
    RedisStore,
    Store,
    open_cache,
)
from economy.settings import Settings
from tests.redis_database import empty_database
from tests.servers import redis_server

ONE, TWO, THREE = "economy:1:test:{1}", "economy:1:test:{2}", "economy:1:test:{3}"


@pytest.fixture
def own_redis_url(redis_url: str, worker_id: str) -> str:
    return empty_database(redis_url, worker_id)


@pytest.fixture
async def client(own_redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(own_redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    store: Store = MemoryStore()
    if request.param == "redis":
        store = RedisStore(request.getfixturevalue("own_redis_url"), timeout_seconds=10)
    yield store
    await store.close()


@pytest.fixture
def cache(store: Store) -> Cache:
    return Cache(store)


class Source:
    """What is cached: it counts how often it is asked."""

    def __init__(self) -> None:
        self.version = 1
        self.asked: list[list[str]] = []

    async def load(self, keys: Sequence[str]) -> dict[str, bytes]:
        self.asked.append(list(keys))
        return {key: self.value(key) for key in keys}

    def value(self, key: str) -> bytes:
        return b"\x00\xff" + key.encode() + bytes([self.version])


async def lifetimes(client: Redis) -> dict[str, int]:
    """Of every key; -1 is for ever."""
    return {str(key): await client.ttl(key) for key in await client.keys("*")}


async def test_a_miss_is_loaded_and_kept(cache: Cache) -> None:
    source = Source()
    for _ in range(3):
        assert await cache.read_through([ONE], 300, source.load) == {ONE: source.value(ONE)}
    assert source.asked == [[ONE]]


async def test_only_what_is_missing_is_loaded(cache: Cache) -> None:
    source = Source()
    await cache.read_through([TWO], 300, source.load)
    source.version = 2
    values = await cache.read_through([ONE, TWO, THREE], 300, source.load)
    assert source.asked == [[TWO], [ONE, THREE]]
    old = b"\x00\xff" + TWO.encode() + b"\x01"
    assert values == {ONE: source.value(ONE), TWO: old, THREE: source.value(THREE)}


async def test_what_is_forgotten_is_loaded_again(cache: Cache) -> None:
    source = Source()
    await cache.read_through([ONE, TWO], 300, source.load)
    source.version = 2
    await cache.forget([ONE])
    await cache.forget([])
    values = await cache.read_through([ONE, TWO], 300, source.load)
    assert source.asked == [[ONE, TWO], [ONE]]
    assert values[ONE] == source.value(ONE)


async def test_no_keys(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    assert await cache.read_through([], 300, source.load) == {}
    assert (source.asked, caplog.messages) == ([], [])


async def test_a_reader_that_raced_a_commit_does_not_put_the_old_value_back(cache: Cache) -> None:
    source = Source()

    async def load_slowly(keys: Sequence[str]) -> dict[str, bytes]:
        old = await source.load(keys)
        source.version = 2  # the writer commits
        await cache.forget([ONE])
        return old

    raced = await cache.read_through([ONE], 300, load_slowly)
    assert raced == {ONE: b"\x00\xff" + ONE.encode() + b"\x01"}
    assert await cache.read_through([ONE], 300, source.load) == {ONE: source.value(ONE)}
    assert source.asked == [[ONE], [ONE]]


async def test_a_reader_that_raced_a_commit_and_another_reader(cache: Cache) -> None:
    """The other read what is new; the slow one must not overwrite it."""
    source = Source()

    async def load_slowly(keys: Sequence[str]) -> dict[str, bytes]:
        old = await source.load(keys)
        source.version = 2
        await cache.forget([ONE])
        await cache.read_through([ONE], 300, source.load)
        return old

    await cache.read_through([ONE], 300, load_slowly)
    assert await cache.read_through([ONE], 300, source.load) == {ONE: source.value(ONE)}
    assert source.asked == [[ONE], [ONE]]


async def test_the_second_readers_lease_replaces_the_firsts(store: Store) -> None:
    assert await store.read_or_lease([ONE, TWO], "first") == [None, None]
    assert await store.read_or_lease([ONE], "second") == [None]
    await store.fill({ONE: b"first", TWO: b"first"}, "first", 300)
    assert await store.read_or_lease([ONE], "third") == [None]
    await store.fill({ONE: b"second"}, "second", 300)
    assert await store.read_or_lease([ONE, TWO], "fourth") == [None, b"first"]
    await store.fill({ONE: b"fourth"}, "fourth", 300)
    assert await store.read_or_lease([ONE, TWO], "fifth") == [b"fourth", b"first"]


async def test_a_lease_is_good_for_one_fill(store: Store) -> None:
    await store.read_or_lease([ONE], "lease")
    await store.fill({ONE: b"1"}, "lease", 300)
    await store.fill({ONE: b"2"}, "lease", 300)
    assert await store.read_or_lease([ONE], "other") == [b"1"]


async def test_without_a_lease_nothing_is_filled(store: Store) -> None:
    await store.fill({ONE: b"1"}, "lease", 300)
    assert await store.read_or_lease([ONE], "other") == [None]


async def test_a_reader_that_failed_is_no_obstacle(cache: Cache) -> None:
    async def fail(keys: Sequence[str]) -> dict[str, bytes]:
        raise LookupError(keys)

    source = Source()
    with pytest.raises(LookupError):
        await cache.read_through([ONE], 300, fail)
    for _ in range(2):
        assert await cache.read_through([ONE], 300, source.load) == {ONE: source.value(ONE)}
    assert source.asked == [[ONE]]


async def test_every_key_of_redis_has_its_lifetime(own_redis_url: str, client: Redis) -> None:
    store = RedisStore(own_redis_url, timeout_seconds=10)
    await store.read_or_lease([ONE, TWO], "lease")
    leases = await lifetimes(client)
    assert leases.keys() == {f"{ONE}:lease", f"{TWO}:lease"}
    assert all(0 < seconds <= LEASE_TTL_SECONDS for seconds in leases.values())
    await store.fill({ONE: b"1"}, "lease", 300)
    left = await lifetimes(client)
    assert left.keys() == {ONE, f"{TWO}:lease"}
    assert LEASE_TTL_SECONDS < left[ONE] <= 300
    await store.forget([ONE, TWO])
    assert await lifetimes(client) == {}
    await store.close()


async def test_an_entry_in_the_process_ends_with_its_lifetime() -> None:
    cache, source = Cache(MemoryStore()), Source()
    for _ in range(2):
        await cache.read_through([ONE], 0, source.load)
    assert source.asked == [[ONE], [ONE]]


async def test_the_process_keeps_a_limited_number_of_entries() -> None:
    store, source = MemoryStore(), Source()
    cache = Cache(store)
    keys = [str(number) for number in range(MOST_ENTRIES_IN_PROCESS + 1)]
    for key in keys:
        await cache.read_through([key], 300, source.load)
    assert len(store._values) == MOST_ENTRIES_IN_PROCESS
    await cache.read_through([keys[1], keys[-1]], 300, source.load)
    assert len(source.asked) == len(keys)
    await cache.read_through([keys[0]], 300, source.load)  # the oldest had to go
    assert len(source.asked) == len(keys) + 1
    for key in keys:  # readers that never came back
        await store.read_or_lease([f"lost {key}"], "lease")
    assert len(store._leases) == MOST_ENTRIES_IN_PROCESS


async def test_without_a_store_nothing_is_cached() -> None:
    cache, source = Cache(None), Source()
    for version in (1, 2):
        source.version = version
        assert await cache.read_through([ONE], 300, source.load) == {ONE: source.value(ONE)}
    await cache.forget([ONE])
    assert await cache.is_healthy()
    await cache.close()


@pytest.mark.parametrize(("workers", "asked"), [(1, [[ONE]]), (2, [[ONE], [ONE]])])
async def test_several_processes_without_redis_cache_nothing(
    workers: int, asked: list[list[str]]
) -> None:
    cache, source = open_cache(Settings(workers=workers)), Source()
    for _ in range(2):
        await cache.read_through([ONE], 300, source.load)
    assert source.asked == asked


async def test_a_stopped_redis_is_a_miss_and_not_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("TEST_REDIS_URL", raising=False)
    source = Source()
    with redis_server() as url:
        cache = open_cache(Settings(redis_url=url, redis_timeout_seconds=10))
        await cache.read_through([ONE], 300, source.load)
        assert await cache.is_healthy()
    source.version = 2
    for _ in range(2):
        assert await cache.read_through([ONE], 300, source.load) == {ONE: source.value(ONE)}
        await cache.forget([ONE])
    assert source.asked == [[ONE]] * 3
    assert not await cache.is_healthy()
    warnings = [record for record in caplog.records if record.name == "economy.cache"]
    assert [record.levelno for record in warnings] == [logging.WARNING]  # once, not each time
    await cache.close()


async def test_connections_that_redis_has_closed_lose_nothing(
    own_redis_url: str, client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """As Redis' own `timeout`, or a load balancer, does to idle ones."""
    cache, source = Cache(RedisStore(own_redis_url, timeout_seconds=10)), Source()
    await cache.read_through([ONE], 300, source.load)
    await client.client_kill_filter(_type="normal", skipme=True)
    await cache.forget([ONE])
    source.version = 2
    assert await cache.read_through([ONE], 300, source.load) == {ONE: source.value(ONE)}
    await client.client_kill_filter(_type="normal", skipme=True)
    await cache.read_through([ONE], 300, source.load)
    assert len(source.asked) == 2
    assert caplog.messages == []
    await cache.close()
