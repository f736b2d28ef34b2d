"""Generations: all that a cache holds is void at one stroke, or as Redis forgets or recalls.

Two clients are two processes.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from economy.cache import CATALOGUE, INVENTORY
from economy.cache_store import GENERATION_BYTES, RedisStore
from economy.redis_client import RedisClient
from tests.cache_source import fill, open_client, values_of
from tests.servers import own_redis_server

GENERATION, VALUE = "economy:2:inventory:generation", "economy:2:inventory:{1}"


@pytest.fixture
async def client(own_redis_url: str) -> AsyncIterator[RedisClient]:
    async with open_client(own_redis_url) as client:
        yield client


@pytest.fixture
def redis_store(client: RedisClient) -> RedisStore:
    return RedisStore(client, INVENTORY, 300)


async def test_a_new_generation_costs_the_same_whatever_there_is() -> None:
    """One script that touches no entry: they are void, and end by themselves."""
    with own_redis_server() as server:
        async with open_client(server.url) as client, Redis.from_url(server.url) as raw:
            store, keys = RedisStore(client, INVENTORY, 300), list(range(1_000))
            _, lease = await store.read_or_lease(keys)
            assert await store.fill(dict.fromkeys(keys, b"old"), lease) == 0
            await raw.config_resetstat()
            await store.start_generation()
            told = await raw.info("commandstats")
            calls = {name.removeprefix("cmdstat_"): one["calls"] for name, one in told.items()}
            called = ["config|resetstat", "eval", "info", "time", "get", "set"]
            assert calls == dict.fromkeys(called, 1)
            assert await raw.dbsize() == 1_000 + 2
            assert await values_of(store, *keys) == {}


async def test_caches_have_generations_of_their_own(client: RedisClient) -> None:
    inventories = RedisStore(client, INVENTORY, 300)
    catalogue = RedisStore(client, CATALOGUE, 300)
    await fill(inventories, 1, b"inventory")
    await fill(catalogue, 1, b"product")
    await catalogue.start_generation()
    assert await values_of(inventories, 1) == {1: b"inventory"}
    assert await values_of(catalogue, 1) == {}


async def test_a_generation_holds_for_all_processes(own_redis_url: str) -> None:
    async with open_client(own_redis_url) as mine, open_client(own_redis_url) as others:
        one, other = RedisStore(mine, INVENTORY, 300), RedisStore(others, INVENTORY, 300)
        await fill(one, 1, b"old")
        assert await values_of(other, 1) == {1: b"old"}
        await other.start_generation()
        await fill(one, 1, b"new")
        assert await values_of(other, 1) == {1: b"new"}


async def test_a_generation_that_was_lost(redis_store: RedisStore, raw: Redis) -> None:
    """Evicted, say: what was filled under it is never believed again."""
    await fill(redis_store, 1, b"old")
    _, lease = await redis_store.read_or_lease([2])
    lost = await raw.get(GENERATION)
    assert await raw.delete(GENERATION) == 1
    await redis_store.fill({2: b"old"}, lease)
    found, new_lease = await redis_store.read_or_lease([1, 2])
    assert (found, list(new_lease.keys)) == ({}, [1, 2])
    assert await raw.get(GENERATION) not in (None, lost)
    assert await redis_store.fill({1: b"new", 2: b"new"}, new_lease) == 0
    assert await values_of(redis_store, 1, 2) == {1: b"new", 2: b"new"}


async def test_a_redis_that_was_flushed(redis_store: RedisStore, raw: Redis) -> None:
    await fill(redis_store, 1, b"old")
    _, lease = await redis_store.read_or_lease([2])
    await raw.flushdb()
    assert await redis_store.fill({2: b"old"}, lease) == 1
    await fill(redis_store, 1, b"new")
    await fill(redis_store, 2, b"new")
    assert await values_of(redis_store, 1, 2) == {1: b"new", 2: b"new"}
    assert await raw.strlen(GENERATION) == GENERATION_BYTES


async def test_a_redis_restarted_from_an_old_snapshot() -> None:
    """What was forgotten since is there again, leases too, and must not be believed."""
    with own_redis_server() as server:
        async with open_client(server.url) as client, Redis.from_url(server.url) as raw:
            store = RedisStore(client, INVENTORY, 300)
            await fill(store, 1, b"old")
            _, lease = await store.read_or_lease([2])
            await raw.expire("economy:2:inventory:{2}:lease", 300)
            await raw.save()
            await store.forget([1, 2])
            server.restart()
            while not await client.ping():  # noqa: ASYNC110 - until it has noticed
                await asyncio.sleep(0.01)
            await raw.connection_pool.disconnect()
            assert await raw.exists(VALUE, "economy:2:inventory:{2}:lease") == 2
            assert await values_of(store, 1) == {}
            assert await store.fill({2: b"old"}, lease) == 0
            assert await raw.exists("economy:2:inventory:{2}") == 1
            async with open_client(server.url) as new_client:
                for each in (store, RedisStore(new_client, INVENTORY, 300)):
                    assert await values_of(each, 1, 2) == {}
            await store.forget([1, 2])
            await fill(store, 1, b"new")
            assert await values_of(store, 1) == {1: b"new"}


async def test_a_process_started_after_a_restart_believes_no_old_snapshot() -> None:
    """Nobody was connected meanwhile: its own greeting voids what was there."""
    with own_redis_server() as server, BlockingRedis.from_url(server.url) as raw:
        async with open_client(server.url) as client:
            await fill(RedisStore(client, INVENTORY, 300), 1, b"old")
        raw.save()
        server.restart()
        async with open_client(server.url) as client:
            assert await values_of(RedisStore(client, INVENTORY, 300), 1) == {}
        assert raw.exists(VALUE) == 1
