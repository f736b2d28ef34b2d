"""The cache: key names, TTLs, read-through. A Redis failure is a miss, never an error.

A reader that misses places a lease before it reads the database, and fills only while its lease
still stands; a writer deletes value and lease after its commit. So a reader that raced the commit
cannot put the old value back, however slow it is.
"""

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from economy.settings import Settings

PREFIX = "economy:1"  # the number is the form of the values: raise it when they change
POPULAR_PRODUCTS_KEY = f"{PREFIX}:popular"
LEASE_TTL_SECONDS = 10
MOST_ENTRIES_IN_PROCESS = 20_000

logger = logging.getLogger(__name__)

Load = Callable[[Sequence[str]], Awaitable[Mapping[str, bytes]]]


def inventory_key(user_id: int) -> str:
    """The braces keep a value and its lease on one node of a Redis cluster."""
    return f"{PREFIX}:inventory:{{{user_id}}}"


class Store(Protocol):
    async def read_or_lease(self, keys: Sequence[str], lease: str) -> list[bytes | None]:
        """The values; for each that is missing the lease is placed."""

    async def fill(self, values: Mapping[str, bytes], lease: str, ttl_seconds: int) -> None:
        """Store those whose lease still stands."""

    async def forget(self, keys: Collection[str]) -> None: ...

    async def ping(self) -> bool: ...

    async def close(self) -> None: ...


class Cache:
    """Without a store nothing is cached: several processes without Redis would go stale."""

    def __init__(self, store: Store | None) -> None:
        self._store = store

    async def read_through(
        self, keys: Sequence[str], ttl_seconds: int, load: Load
    ) -> dict[str, bytes]:
        """The value of every key: from the store, or loaded and kept for `ttl_seconds`."""
        if self._store is None:
            return dict(await load(keys))
        lease = secrets.token_hex(8)
        found = await self._store.read_or_lease(keys, lease)
        values = {key: value for key, value in zip(keys, found, strict=True) if value is not None}
        missing = [key for key in keys if key not in values]
        if missing:
            loaded = await load(missing)
            await self._store.fill(loaded, lease, ttl_seconds)
            values.update(loaded)
        return values

    async def forget(self, keys: Collection[str]) -> None:
        if self._store is not None and keys:
            await self._store.forget(keys)

    async def is_healthy(self) -> bool:
        return self._store is None or await self._store.ping()

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()


class MemoryStore:
    """One process' own. The least recently filled entry goes first when it is full."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._leases: dict[str, str] = {}

    async def read_or_lease(self, keys: Sequence[str], lease: str) -> list[bytes | None]:
        now = time.monotonic()
        found: list[bytes | None] = []
        for key in keys:
            expires_at, value = self._values.get(key, (0.0, b""))
            if expires_at > now:
                found.append(value)
            else:
                self._leases[key] = lease
                found.append(None)
        while len(self._leases) > MOST_ENTRIES_IN_PROCESS:  # of readers that failed
            self._leases.pop(next(iter(self._leases)))
        return found

    async def fill(self, values: Mapping[str, bytes], lease: str, ttl_seconds: int) -> None:
        for key, value in values.items():
            if self._leases.get(key) == lease:
                del self._leases[key]
                self._values[key] = (time.monotonic() + ttl_seconds, value)
                self._values.move_to_end(key)
        while len(self._values) > MOST_ENTRIES_IN_PROCESS:
            self._values.popitem(last=False)

    async def forget(self, keys: Collection[str]) -> None:
        for key in keys:
            self._values.pop(key, None)
            self._leases.pop(key, None)

    async def ping(self) -> bool:
        return True

    async def close(self) -> None:
        self._values.clear()


# KEYS: value and lease, in turn; ARGV: lease, TTL in seconds, values.
_FILL = """
for i = 1, #KEYS, 2 do
  if redis.call('GET', KEYS[i + 1]) == ARGV[1] then
    redis.call('SET', KEYS[i], ARGV[2 + (i + 1) / 2], 'EX', ARGV[2])
    redis.call('DEL', KEYS[i + 1])
  end
end
"""


class RedisStore:
    """Shared by all processes."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )
        self._is_down = False

    async def read_or_lease(self, keys: Sequence[str], lease: str) -> list[bytes | None]:
        try:
            found = cast("list[bytes | None]", await self._redis.mget(keys))
            missing = [key for key, value in zip(keys, found, strict=True) if value is None]
            if missing:
                pipeline = self._redis.pipeline(transaction=False)
                for key in missing:
                    pipeline.set(_lease_key(key), lease, ex=LEASE_TTL_SECONDS)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            self._note_failure(error)
            return [None] * len(keys)
        self._note_success()
        return found

    async def fill(self, values: Mapping[str, bytes], lease: str, ttl_seconds: int) -> None:
        keys = [name for key in values for name in (key, _lease_key(key))]
        try:
            await self._redis.eval(_FILL, len(keys), *keys, lease, ttl_seconds, *values.values())
        except (RedisError, OSError) as error:
            self._note_failure(error)

    async def forget(self, keys: Collection[str]) -> None:
        try:
            await self._redis.unlink(*(name for key in keys for name in (key, _lease_key(key))))
        except (RedisError, OSError) as error:
            self._note_failure(error)

    async def ping(self) -> bool:
        try:
            return bool(await self._redis.ping())
        except (RedisError, OSError):
            return False

    async def close(self) -> None:
        await self._redis.aclose()

    def _note_failure(self, error: Exception) -> None:
        if not self._is_down:
            logger.warning("Redis fails, going on without it: %s", error)
        self._is_down = True

    def _note_success(self) -> None:
        if self._is_down:
            logger.warning("Redis answers again")
        self._is_down = False


def _lease_key(key: str) -> str:
    return f"{key}:lease"


def open_cache(settings: Settings) -> Cache:
    if settings.redis_url is not None:
        return Cache(RedisStore(settings.redis_url, settings.redis_timeout_seconds))
    return Cache(MemoryStore() if settings.workers == 1 else None)
