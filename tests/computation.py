"""A computation that a test holds up and lets go on, and those who ask for its value."""

import asyncio

from economy.cache_refresh import RefreshedValue
from economy.metrics import Metrics
from economy.redis_client import RedisClient

NAME, TTL_SECONDS = "popular_products", 3600
VALUE = "economy:2:{popular_products}"
FRESH, LOCK = f"{VALUE}:fresh", f"{VALUE}:lock"
CALLERS = 10  # in each process


class Failure(Exception):
    """Why a computation failed."""


class Computation:
    """Each takes until the test lets it end; its value is its number."""

    def __init__(self) -> None:
        self.begun = 0
        self.running = 0
        self.most_running = 0
        self.fails = False
        self.is_running = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self) -> bytes:
        self.begun += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        value = str(self.begun).encode()
        self.is_running.set()
        try:
            await self.may_end.wait()
            if self.fails:
                raise Failure(value)
        finally:
            self.running -= 1
        return value

    def hold(self) -> None:
        self.is_running.clear()
        self.may_end.clear()


def value_of(
    client: RedisClient | None,
    computation: Computation,
    metrics: Metrics | None = None,
    ttl_seconds: int = TTL_SECONDS,
) -> RefreshedValue:
    return RefreshedValue(
        client, computation, name=NAME, ttl_seconds=ttl_seconds, metrics=metrics or Metrics()
    )


def start_readers(processes: list[RefreshedValue]) -> list[asyncio.Task[bytes]]:
    """In every process at once."""
    return [asyncio.create_task(each.read()) for _ in range(CALLERS) for each in processes]


async def until_done(readers: list[asyncio.Task[bytes]], count: int) -> None:
    async with asyncio.timeout(30):
        while sum(reader.done() for reader in readers) < count:
            await asyncio.wait(
                [reader for reader in readers if not reader.done()],
                return_when=asyncio.FIRST_COMPLETED,
            )
