"""What cache tests read through a cache, and how they look at what the caches did."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from economy.cache import connect_redis
from economy.cache_store import Key, Store
from economy.metrics import Metrics
from economy.redis_client import RedisClient
from economy.settings import Settings


class Source:
    """What is cached: its values name their version, and it remembers what it was asked."""

    def __init__(self) -> None:
        self.version = 1
        self.asked: list[list[Key]] = []

    async def load(self, keys: Sequence[Key]) -> dict[Key, bytes]:
        self.asked.append(list(keys))
        return {key: self.value(key) for key in keys}

    def value(self, key: Key, version: int | None = None) -> bytes:
        return b"\x00\xff" + f"{key}:{version or self.version}".encode()


@asynccontextmanager
async def open_client(
    redis_url: str, *, metrics: Metrics | None = None, timeout_seconds: float = 10
) -> AsyncIterator[RedisClient]:
    """As one process has it; on a noisy machine a slow answer must not look like a failure."""
    settings = Settings(redis_url=redis_url, redis_timeout_seconds=timeout_seconds)
    client = connect_redis(settings, metrics or Metrics())
    assert client is not None
    try:
        yield client
    finally:
        await client.close()


def figures(text: bytes | str) -> dict[str, float]:
    """The values of a page of metrics by their names, labels included; what is 0 is left out."""
    lines = (text if isinstance(text, str) else text.decode()).splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in samples if float(value)}


def cache_figures(metrics: Metrics, name: str) -> tuple[int, int, int]:
    """Hits, misses and refused fills of one cache."""
    found = figures(metrics.text())
    reads = 'economy_cache_reads_total{{cache="{}",outcome="{}"}}'
    refused = f'economy_cache_fills_refused_total{{cache="{name}"}}'
    names = (reads.format(name, "hit"), reads.format(name, "miss"), refused)
    hits, misses, fills_refused = (int(found.get(one, 0)) for one in names)
    return hits, misses, fills_refused


async def lifetimes(raw: Redis) -> dict[str, int]:
    """In seconds, of every key; -1 is for ever."""
    return {str(key): await raw.ttl(key) for key in sorted(await raw.keys("*"))}


async def values_of(store: Store[bytes], *keys: Key) -> dict[Key, bytes]:
    return (await store.read_or_lease(keys))[0]


async def fill(store: Store[bytes], key: Key, value: bytes) -> None:
    found, lease = await store.read_or_lease([key])
    assert (found, list(lease.keys)) == ({}, [key])
    assert await store.fill({key: value}, lease) == 0
