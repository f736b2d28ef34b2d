"""A connection to Redis to test, the server behind it, and what that server tells of itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import redis

from economy.cache import CATALOGUE, INVENTORY, connect_redis
from economy.cache_store import GENERATION_BYTES
from economy.metrics import Metrics
from economy.redis_client import PREFIX, RedisClient, RedisUnavailable
from economy.settings import Settings
from tests.servers import RedisServer

FAILS = "Redis fails, going on without it: "
ANSWERS = "Redis answers again"
GENERATIONS = [f"{PREFIX}:{name}:generation" for name in (INVENTORY, CATALOGUE)]
LONG_SECONDS = 10.0  # a timeout that no test waits for


@contextmanager
def emptied(server: RedisServer) -> Iterator[redis.Redis]:
    """Another client of the server, which answers, in every way, and holds nothing."""
    if server.process.poll() is not None:
        server.start()
    server.answer_again()
    with redis.Redis.from_url(server.url) as admin:
        admin.config_set("maxmemory", 0)
        admin.replicaof("NO", "ONE")
        admin.flushall()
        admin.config_resetstat()
        yield admin


@asynccontextmanager
async def connected(
    url: str, *, timeout_seconds: float = LONG_SECONDS
) -> AsyncIterator[tuple[RedisClient, Metrics]]:
    """As the services are; what it has not noticed yet may be that nobody answers."""
    metrics = Metrics()
    settings = Settings(redis_url=url, redis_timeout_seconds=timeout_seconds)
    client = connect_redis(settings, metrics)
    assert client is not None
    try:
        yield client, metrics
    finally:
        await client.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def is_refused(command: Awaitable[Any]) -> bool:
    try:
        await command
    except RedisUnavailable:
        return True
    return False


def is_refused_at_once(client: RedisClient) -> bool:
    """Without giving the loop a turn."""
    command = client.execute("PING")
    try:
        command.send(None)
    except RedisUnavailable:
        return True
    finally:
        command.close()
    return False


def redis_up(metrics: Metrics) -> float:
    lines = metrics.text().decode().splitlines()
    [line] = [line for line in lines if line.startswith("economy_redis_up ")]
    return float(line.split()[1])


def calls(admin: redis.Redis, command: str) -> int:
    """How often it was sent, whatever came of it."""
    stats: Any = admin.info("commandstats")
    one = stats.get(f"cmdstat_{command}", {"calls": 0, "rejected_calls": 0})
    return int(one["calls"]) + int(one["rejected_calls"])


def generations(admin: redis.Redis) -> list[bytes]:
    values: Any = admin.mget(GENERATIONS)
    assert [len(value) for value in values] == [GENERATION_BYTES, GENERATION_BYTES]
    return list(values)


def run_id(admin: redis.Redis) -> bytes:
    info: Any = admin.info("server")
    return str(info["run_id"]).encode()
