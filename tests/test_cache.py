"""The cache alone: hits, misses and lost leases, in the process and on a real Redis."""

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack

import pytest

from economy.cache import INVENTORY, Cache, open_cache
from economy.cache_store import Key, MemoryStore, RedisStore, Store
from economy.metrics import Metrics
from economy.settings import Settings
from tests.cache_source import Source, cache_figures, open_client
from tests.servers import redis_server


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store[bytes]]:
    if request.param == "memory":
        yield MemoryStore(300)
    else:
        async with open_client(request.getfixturevalue("own_redis_url")) as client:
            yield RedisStore(client, INVENTORY, 300)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def cache(store: Store[bytes], metrics: Metrics) -> Cache[bytes]:
    return Cache(store, name=INVENTORY, metrics=metrics)


@pytest.fixture
def source() -> Source:
    return Source()


async def test_a_miss_is_loaded_and_kept(
    cache: Cache[bytes], source: Source, metrics: Metrics
) -> None:
    for _ in range(3):
        assert await cache.read_through([1], source.load) == {1: source.value(1)}
    assert source.asked == [[1]]
    assert cache_figures(metrics, INVENTORY) == (2, 1, 0)


async def test_only_what_is_missing_is_loaded(
    cache: Cache[bytes], source: Source, metrics: Metrics
) -> None:
    await cache.read_through([2], source.load)
    source.version = 2
    values = await cache.read_through([1, 2, 3], source.load)
    assert source.asked == [[2], [1, 3]]
    assert values == {1: source.value(1), 2: source.value(2, version=1), 3: source.value(3)}
    assert await cache.read_through([3, 2, 1], source.load) == values
    assert source.asked == [[2], [1, 3]]
    assert cache_figures(metrics, INVENTORY) == (1 + 3, 1 + 2, 0)


async def test_keys_of_both_kinds_are_apart(cache: Cache[bytes], source: Source) -> None:
    """An id, and a text with whatever is in it."""
    keys: list[Key] = [7, "page:any:all:50:7", "{7}", "7:lease", "generation", "ключ"]
    values = await cache.read_through(keys, source.load)
    assert values == {key: source.value(key) for key in keys}
    await cache.forget(["{7}", "ключ"])
    source.version = 2
    after = await cache.read_through(keys, source.load)
    assert after == values | {"{7}": source.value("{7}"), "ключ": source.value("ключ")}
    assert source.asked == [keys, ["{7}", "ключ"]]


async def test_an_empty_value_is_a_value(cache: Cache[bytes]) -> None:
    async def load(keys: Sequence[Key]) -> dict[Key, bytes]:
        asked.extend(keys)
        return dict.fromkeys(keys, b"")

    asked: list[Key] = []
    for _ in range(2):
        assert await cache.read_through([1], load) == {1: b""}
    assert asked == [1]


async def test_what_is_forgotten_is_loaded_again(cache: Cache[bytes], source: Source) -> None:
    await cache.read_through([1, 2], source.load)
    source.version = 2
    await cache.forget([1])
    await cache.forget([])
    values = await cache.read_through([1, 2], source.load)
    assert source.asked == [[1, 2], [1]]
    assert values == {1: source.value(1), 2: source.value(2, version=1)}


async def test_no_keys(
    cache: Cache[bytes], source: Source, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    assert await cache.read_through([], source.load) == {}
    assert (source.asked, caplog.messages) == ([], [])
    assert cache_figures(metrics, INVENTORY) == (0, 0, 0)


async def test_a_new_generation_forgets_everything(
    cache: Cache[bytes], source: Source, metrics: Metrics
) -> None:
    keys = list(range(100))
    await cache.read_through(keys, source.load)
    source.version = 2
    await cache.start_generation()
    for _ in range(2):
        values = await cache.read_through(keys, source.load)
        assert values == {key: source.value(key) for key in keys}
    assert source.asked == [keys, keys]
    assert cache_figures(metrics, INVENTORY) == (100, 200, 0)


async def test_a_reader_that_raced_a_commit_does_not_put_the_old_value_back(
    cache: Cache[bytes], source: Source, metrics: Metrics
) -> None:
    async def load_slowly(keys: Sequence[Key]) -> dict[Key, bytes]:
        old = await source.load(keys)
        source.version = 2  # the writer commits
        await cache.forget([1])
        return old

    raced = await cache.read_through([1, 2], load_slowly)
    assert raced == {1: source.value(1, version=1), 2: source.value(2, version=1)}
    assert cache_figures(metrics, INVENTORY) == (0, 2, 1)  # 2 was not written: it is kept
    assert await cache.read_through([1, 2], source.load) == raced | {1: source.value(1)}
    assert source.asked == [[1, 2], [1]]


async def test_a_reader_that_raced_a_commit_and_another_reader(
    cache: Cache[bytes], source: Source, metrics: Metrics
) -> None:
    """The other read what is new; the slow one must not overwrite it."""

    async def load_slowly(keys: Sequence[Key]) -> dict[Key, bytes]:
        old = await source.load(keys)
        source.version = 2
        await cache.forget([1])
        await cache.read_through([1], source.load)
        return old

    await cache.read_through([1], load_slowly)
    assert await cache.read_through([1], source.load) == {1: source.value(1)}
    assert source.asked == [[1], [1]]
    assert cache_figures(metrics, INVENTORY) == (1, 2, 1)


async def test_a_reader_that_raced_a_new_generation_fills_nothing_that_counts(
    cache: Cache[bytes], source: Source
) -> None:
    async def load_slowly(keys: Sequence[Key]) -> dict[Key, bytes]:
        old = await source.load(keys)
        source.version = 2
        await cache.start_generation()
        return old

    assert await cache.read_through([1], load_slowly) == {1: source.value(1, version=1)}
    for _ in range(2):
        assert await cache.read_through([1], source.load) == {1: source.value(1)}
    assert source.asked == [[1], [1]]


async def test_of_readers_at_once_the_first_fills(
    cache: Cache[bytes], source: Source, metrics: Metrics
) -> None:
    """The second one loads, too, and leaves it to the first: no fill of its was refused."""

    async def load_slowly(keys: Sequence[Key]) -> dict[Key, bytes]:
        mine = await source.load(keys)
        source.version = 2
        assert await cache.read_through([1], source.load) == {1: source.value(1)}
        return mine

    await cache.read_through([1], load_slowly)
    assert await cache.read_through([1], source.load) == {1: source.value(1, version=1)}
    assert source.asked == [[1], [1]]
    assert cache_figures(metrics, INVENTORY) == (1, 2, 0)


async def test_what_cannot_be_loaded_is_left_out_and_not_kept(
    cache: Cache[bytes], source: Source, metrics: Metrics
) -> None:
    async def load_known(keys: Sequence[Key]) -> dict[Key, bytes]:
        return await source.load([key for key in keys if key in known])

    known = {2}
    assert await cache.read_through([1, 2], load_known) == {2: source.value(2)}
    assert await cache.read_through([1], load_known) == {}
    known = {1, 2}
    assert await cache.read_through([1, 2], load_known) == {1: source.value(1), 2: source.value(2)}
    assert source.asked == [[2], [], [1]]
    assert cache_figures(metrics, INVENTORY) == (1, 4, 0)


async def test_a_reader_that_failed_is_an_obstacle_to_fills_only(
    cache: Cache[bytes], source: Source
) -> None:
    async def fail(keys: Sequence[Key]) -> dict[Key, bytes]:
        raise LookupError(keys)

    with pytest.raises(LookupError):
        await cache.read_through([1], fail)
    assert await cache.read_through([1], source.load) == {1: source.value(1)}
    await cache.forget([1])  # its lease, too
    for _ in range(2):
        assert await cache.read_through([1], source.load) == {1: source.value(1)}
    assert source.asked == [[1], [1]]


async def test_without_a_store_nothing_is_cached(source: Source, metrics: Metrics) -> None:
    cache: Cache[bytes] = Cache(None, name=INVENTORY, metrics=metrics)
    for source.version in (1, 2):
        assert await cache.read_through([1], source.load) == {1: source.value(1)}
    await cache.forget([1])
    await cache.start_generation()
    assert source.asked == [[1], [1]]
    assert cache_figures(metrics, INVENTORY) == (0, 0, 0)


@pytest.mark.parametrize(("workers", "asked"), [(1, [[1]]), (2, [[1], [1]])])
async def test_several_processes_without_redis_cache_nothing(
    workers: int, asked: list[list[Key]], source: Source, metrics: Metrics
) -> None:
    settings = Settings(workers=workers)
    cache = open_cache(settings, None, metrics, name=INVENTORY, ttl_seconds=300)
    for _ in range(2):
        await cache.read_through([1], source.load)
    assert source.asked == asked


async def test_a_stopped_redis_is_a_miss_and_not_an_error(
    monkeypatch: pytest.MonkeyPatch, source: Source, metrics: Metrics
) -> None:
    monkeypatch.delenv("TEST_REDIS_URL", raising=False)
    with ExitStack() as running:
        url = running.enter_context(redis_server())
        async with open_client(url, metrics=metrics) as client:
            cache = Cache(RedisStore(client, INVENTORY, 300), name=INVENTORY, metrics=metrics)
            await cache.read_through([1], source.load)
            running.close()
            source.version = 2
            for _ in range(2):
                assert await cache.read_through([1], source.load) == {1: source.value(1)}
                await cache.forget([1])
    assert source.asked == [[1]] * 3
    assert cache_figures(metrics, INVENTORY) == (0, 3, 0)
